"""Session affinity: when a conversation changes its model, by which law, and what is remembered of it."""

from __future__ import annotations

import numpy as np
import pytest

from env.arms import Price
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.affinity import Affinity, Sessions
from routers.base import Estimator, utility

ARMS = 3
SCORE = np.array([0.5, 0.6, 0.9])


def inside(**settings: object) -> Affinity:
    contexts = Contexts.of(np.zeros((60, 1)), ARMS)
    outcomes = Outcomes.of(np.tile(SCORE, (60, 1)), np.tile([0.001, 0.002, 0.01], (60, 1)))
    return Affinity(ARMS, 1, **settings).fit(contexts, outcomes)  # type: ignore[arg-type]  # settings of several kinds in one mapping


def asked(saving: list[float] | None, cost_weight: float = 10.0, n: int = 1) -> Contexts:
    given = None if saving is None else np.tile(saving, (n, 1))
    return Contexts.of(np.zeros((n, 1)), ARMS, cost_weight=cost_weight, saving_usd=given)


def arm(router: Affinity, contexts: Contexts) -> int:
    return int(router.act(contexts, np.random.default_rng(0)).arms[0])


def test_it_stays_where_the_cache_is_worth_more_than_the_change() -> None:
    router = inside(router="ridge")
    assert arm(router, asked(None)) == arm(router, asked([0, 0, 0])) == 2
    assert arm(router, asked([0, 0.02, 0])) == 2  # 0.2 points, the change brings 0.22
    assert arm(router, asked([0, 0.04, 0])) == 1
    assert arm(router, asked([0, 0.04, 0], cost_weight=1.0)) == 2  # to whom money is cheap, caches are


def test_a_deterministic_router_then_takes_the_best_with_the_savings_in() -> None:
    router, rng = inside(router="ridge"), np.random.default_rng(0)
    saving = rng.choice([0.0, 0.01, 0.03], (200, ARMS))
    contexts = Contexts.of(np.zeros((200, 1)), ARMS, cost_weight=rng.choice([0.0, 5.0, 40.0], 200), saving_usd=saving)
    assert isinstance(router.router, Estimator)
    plain = utility(router.router.predict(contexts), contexts)
    best = (plain + contexts.cost_weight[:, None] * saving).max(axis=1)
    decision = router.act(contexts, rng)
    worth = plain[np.arange(200), decision.arms] + contexts.cost_weight * saving[np.arange(200), decision.arms]
    assert np.allclose(worth, best, atol=1e-5)


def test_a_margin_holds_whoever_holds_the_conversation() -> None:
    assert arm(inside(router="ridge", margin=0.5), asked([0, 1e-6, 0])) == 1
    assert arm(inside(router="ridge", margin=0.5), asked([0, 0, 0])) == 2


def test_a_masked_arm_holds_nothing() -> None:
    saving, mask = np.array([[0, 9.0, 0]]), np.array([[True, False, True]])
    contexts = Contexts.of(np.zeros((1, 1)), ARMS, cost_weight=10.0, saving_usd=saving, mask=mask)
    assert arm(inside(router="ridge"), contexts) == 2


@pytest.mark.parametrize("kind", ["epsilon_greedy", "squarecb", "linear_thompson"])
def test_propensities_are_of_the_law_that_acted(kind: str) -> None:
    router, n = inside(router=kind), 20_000
    for saving in ([0, 0.01, 0], [0, 0.05, 0], [0.1, 0, 0.01]):
        decision = router.act(asked(saving, n=n), np.random.default_rng(1))
        law = router.law(asked(saving))[0]
        assert law.sum() == pytest.approx(1)
        assert np.abs(np.bincount(decision.arms, minlength=ARMS) / n - law).max() < 0.015
        assert np.allclose(decision.propensities, law[decision.arms], atol=2e-3)


def test_without_savings_it_is_the_router_inside() -> None:
    router, contexts = inside(router="epsilon_greedy"), asked(None, n=500)
    one, other = (which.act(contexts, np.random.default_rng(2)) for which in (router, router.router))
    assert (one.arms == other.arms).all() and (one.propensities == other.propensities).all()


PRICES = [Price(2.0, 8.0, cached_input_usd_per_mtok=0.5), Price(1.0, 4.0)]


def test_a_cache_saves_what_was_read_and_is_asked_again_at_the_difference_of_rates() -> None:
    sessions = Sessions(PRICES)
    sessions.remember("a", 0, 4_000, now_s=0.0)
    sessions.remember("a", 1, 4_000, now_s=0.0)
    saved = sessions.saving_usd(["a", "a", "b", None], [10_000, 1_000, 10_000, 10_000], now_s=1.0)
    assert np.allclose(saved, np.array([[0.006, 0], [0.0015, 0], [0, 0], [0, 0]]))


def test_a_cache_grows_cold() -> None:
    sessions = Sessions(PRICES, cache_s=300.0)
    sessions.remember("a", 0, 4_000, now_s=0.0)
    assert sessions.saving_usd(["a"], [5_000], now_s=300.0)[0, 0] > 0
    assert sessions.saving_usd(["a"], [5_000], now_s=301.0)[0, 0] == 0


def test_the_conversation_that_was_used_least_recently_is_forgotten() -> None:
    sessions = Sessions(PRICES, kept=2)
    for name in ("a", "b", "a", "c"):
        sessions.remember(name, 0, 1_000, now_s=0.0)
    assert len(sessions) == 2
    assert (sessions.saving_usd(["a", "b", "c"], [1_000] * 3, now_s=0.0)[:, 0] > 0).tolist() == [True, False, True]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="margin"):
        Affinity(2, 1, margin=-0.1)
    with pytest.raises(BadInput, match="kept"):
        Sessions(PRICES, kept=0)
