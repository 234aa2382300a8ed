"""A floor under the mean quality: what is held, at what cost, and what happens when predictions are wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.base import Decision
from routers.quality_floor import QualityFloor
from tests.routers.test_budget import ARMS, FEATURES, table


def hits(contexts: Contexts, outcomes: Outcomes, seed: int = 0) -> Outcomes:
    """The same expected scores, as answers that are right or wrong."""
    right = np.random.default_rng(seed).random(outcomes.score.shape) < outcomes.score
    return replace(outcomes, score=right.astype(np.float32))


def mean_floor(floor: float | None, inside: str = "ridge", **own: float) -> QualityFloor:
    return QualityFloor(ARMS, FEATURES, floor=floor, held="mean", router=inside, **own)  # type: ignore[arg-type]


def streamed(router: QualityFloor, n: int = 4_000, seed: int = 3) -> tuple[Decision, Outcomes]:
    contexts, expected = table(n, seed)
    decision = router.replay(contexts, hits(contexts, expected, seed), np.random.default_rng(seed))
    return decision, expected.at(decision.arms)


@pytest.mark.parametrize("inside", ["ridge", "linucb", "linear_thompson"])
@pytest.mark.parametrize("floor", [0.5, 0.6, 0.75])
def test_the_mean_is_held_for_less_money_than_blind_mixing_takes(floor: float, inside: str) -> None:
    router = mean_floor(floor, inside).fit(*table(400, seed=1))
    _, got = streamed(router)
    assert got.score.mean() == pytest.approx(floor, abs=0.015)
    # The cheapest blind mixture of the three arms that is as good: costs rise faster than scores, so of neighbours.
    _, every = table(4_000, 3)
    score, cost = every.score.mean(axis=0), every.cost_usd.mean(axis=0)
    assert got.cost_usd.mean() < 0.9 * np.interp(got.score.mean(), score, cost)


def test_wrong_predictions_break_a_floor_under_each_request_but_not_under_the_mean() -> None:
    contexts, outcomes = table(400, seed=1)
    flattered = replace(outcomes, score=np.clip(outcomes.score + 0.25, 0, 1))
    each = QualityFloor(ARMS, FEATURES, floor=0.7, router="ridge").fit(contexts, flattered)
    asked, expected = table(4_000, 3)
    missed = expected.at(each.act(asked, np.random.default_rng(0)).arms).score.mean()
    _, got = streamed(mean_floor(0.7).fit(contexts, flattered))
    assert missed < 0.62
    assert got.score.mean() > 0.68
    assert got.score[1_000:].mean() == pytest.approx(0.7, abs=0.015)


def test_the_price_keeps_the_account_that_the_guarantee_reads() -> None:
    router = mean_floor(0.6, step=0.1).fit(*table(400, seed=1))
    before = router.price
    contexts, expected = table(500, 3)
    told = hits(contexts, expected)
    decision = router.replay(contexts, told, np.random.default_rng(0))
    scores = told.at(decision.arms).score
    assert scores.mean() == pytest.approx(0.6 + np.log(router.price / before) / (0.1 * 500), abs=1e-6)


@pytest.mark.parametrize(("floor", "arm"), [(1.0, "best"), (0.0, "cheapest")])
def test_a_floor_that_is_out_of_reach_or_no_floor_at_all(floor: float, arm: str) -> None:
    router = mean_floor(floor).fit(*table(400, seed=1))
    contexts, _ = table(300, seed=2)
    predicted = router.router.predict(contexts)  # type: ignore[attr-defined]  # an estimator, as is checked
    chosen = router.act(contexts, np.random.default_rng(0)).arms
    wanted = predicted.score.argmax(axis=1) if arm == "best" else predicted.cost_usd.argmin(axis=1)
    assert (chosen == wanted).mean() > 0.98


def test_without_a_table_the_price_finds_its_scale_by_itself() -> None:
    _, got = streamed(mean_floor(0.6, "linucb"), n=6_000)
    assert got.score[3_000:].mean() == pytest.approx(0.6, abs=0.02)


def test_scores_that_nobody_gave_move_nothing() -> None:
    router = mean_floor(0.6).fit(*table(400, seed=1))
    before = router.price
    contexts, outcomes = table(50, 3)
    arms = np.zeros(50, dtype=np.int64)
    router.update(contexts, arms, Outcomes.of(np.full(50, np.nan), outcomes.at(arms).cost_usd), np.ones(50))
    assert router.price == before


def test_a_loaded_router_goes_on_at_the_same_price() -> None:
    router = mean_floor(0.6, "linucb").fit(*table(400, seed=1))
    streamed(router, 200)
    loaded = QualityFloor.from_state(router.state())
    assert loaded.price == router.price
    one, other = (streamed(each, 200, seed=5)[0] for each in (router, loaded))
    np.testing.assert_array_equal(one.arms, other.arms)


def test_a_router_that_learns_nothing_online_may_hold_the_mean_and_says_so() -> None:
    assert mean_floor(0.6).capabilities.online
    assert not mean_floor(None).capabilities.online
    assert not QualityFloor(ARMS, FEATURES, floor=0.6, router="ridge").capabilities.online


@pytest.mark.parametrize("own", [{"held": "median"}, {"step": 0.0}])
def test_a_setting_that_makes_no_sense_is_refused(own: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=f"{next(iter(own))} is"):
        QualityFloor(ARMS, FEATURES, floor=0.5, **own)  # type: ignore[arg-type]  # the point
