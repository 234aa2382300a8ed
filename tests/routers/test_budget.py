"""Limits around any router: the budget, the maximum cost, the least quality."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers import Router, RouterState, Unsupported, make, router_class
from routers.base import Estimator
from routers.budget import Budget
from routers.expected_cost import ExpectedCost, affordable
from routers.max_cost import MaxCost
from routers.quality_floor import QualityFloor

ARMS, FEATURES = 3, 4
COSTS = np.array([0.001, 0.004, 0.02])
INSIDE = ("linucb", "linear_thompson", "squarecb", "ridge", "zero", "random", "fixed", "epsilon_greedy")


def table(n: int = 200, seed: int = 0) -> tuple[Contexts, Outcomes]:
    """Dearer arms score better, each best somewhere; costs vary with the query."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, FEATURES)).astype(np.float32)
    score = np.clip([0.4, 0.6, 0.8] + 0.2 * np.tanh(features[:, :3]) + rng.normal(0, 0.05, (n, ARMS)), 0, 1)
    cost = COSTS * np.exp(0.5 * features[:, 3:] + rng.normal(0, 0.2, (n, ARMS)))
    return Contexts.of(features, ARMS), Outcomes.of(score, cost)


def budget(usd: float | None, inside: str = "linucb", fitted: bool = True, **own: Any) -> Budget:
    router = make("budget", ARMS, FEATURES, budget_usd=usd, router=inside, **own)
    assert isinstance(router, Budget)
    return router.fit(*table(seed=1)) if fitted and router.capabilities.offline else router


def spent(router: Router, contexts: Contexts, outcomes: Outcomes, seed: int = 0) -> np.ndarray:
    decision = router.replay(contexts, outcomes, np.random.default_rng(seed))
    return outcomes.at(decision.arms).cost_usd.astype(float)


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("kind", ["budget", "max_cost"])
def test_without_a_limit_it_decides_exactly_as_the_router_inside(kind: str, inside: str) -> None:
    contexts, outcomes = table(60)
    contexts = replace(contexts, cost_weight=np.full(60, 5, dtype=np.float32))
    alone, limited = make(inside, ARMS, FEATURES), make(kind, ARMS, FEATURES, router=inside)
    for router in (alone, limited):
        if alone.capabilities.offline:
            router.fit(*table(seed=1))
    for explore in (True, False):
        one, other = (r.act(contexts, np.random.default_rng(3), explore=explore) for r in (alone, limited))
        np.testing.assert_array_equal(one.arms, other.arms)
        np.testing.assert_array_equal(one.propensities, other.propensities)
        np.testing.assert_array_equal(one.scores, other.scores)
    if alone.capabilities.online:
        one, other = (r.replay(contexts, outcomes, np.random.default_rng(3)) for r in (alone, limited))
        np.testing.assert_array_equal(one.arms, other.arms)


@pytest.mark.parametrize("inside", INSIDE)
def test_it_can_do_what_the_router_inside_can_and_pays_bills_besides(inside: str) -> None:
    alone, limited = make(inside, ARMS, FEATURES), budget(0.002, inside, fitted=False)
    assert limited.capabilities == replace(alone.capabilities, online=True)
    if not alone.capabilities.offline:
        with pytest.raises(Unsupported, match="`budget` does not support fit"):
            limited.fit(*table())
    if not alone.capabilities.adds_arms:
        with pytest.raises(Unsupported, match="`budget` does not support add_arm"):
            limited.add_arm()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_calls_cost_the_account_holds(data: st.DataObject) -> None:
    """The stated guarantee, on costs made up to break it: a cheap past, dear bills, an unknown price, gaps."""
    n, usd = data.draw(st.integers(5, 40)), data.draw(st.sampled_from([0.0005, 0.0015, 0.005, 0.03]))
    inside = data.draw(st.sampled_from(["linucb", "zero", "random", "squarecb"]))
    router = budget(usd, inside, fitted=data.draw(st.booleans()), caution=data.draw(st.sampled_from([1.0, 2.0])))
    contexts = table(n, seed=n)[0]
    bills = st.floats(0, 0.2) | st.sampled_from([0.0, 1.0])
    cost = np.array(data.draw(st.lists(st.tuples(*[bills] * ARMS), min_size=n, max_size=n)), dtype=np.float32)
    total, forced, worst, rng = 0.0, 0.0, 0.0, np.random.default_rng(n)
    for row in range(n):
        asked = contexts.take([row])
        expected = router._costs(router.router, asked)[0]
        arm = int(router.act(asked, rng).arms[0])
        bill = float(cost[row, arm])
        router.update(asked, np.array([arm]), Outcomes.of(np.array([0.5]), cost[row, [arm]]), np.ones(1))
        total += bill
        if arm == expected.argmin() or expected[arm] <= usd / 2:
            forced += max(bill - usd, 0.0)
        else:
            worst = max(worst, bill - float(expected[arm]))
        assert total <= (row + 1) * usd + worst + forced + 1e-6
    assert router.balance_usd == pytest.approx(n * usd - total, abs=1e-6)


@pytest.mark.parametrize("inside", ["linucb", "linear_thompson", "squarecb", "ridge", "zero", "random", "fixed"])
@pytest.mark.parametrize("usd", [0.0015, 0.003, 0.01])
def test_mean_spend_stays_within_the_budget(inside: str, usd: float) -> None:
    contexts, outcomes = table(600, seed=2)
    router = budget(usd, inside, settings={"arm": 2} if inside == "fixed" else None)
    mean = spent(router, contexts, outcomes).mean()
    assert mean <= 1.01 * usd
    if inside not in ("random", "fixed"):  # those do not look at the price, and may leave money
        assert mean >= 0.8 * usd


def test_the_price_finds_the_better_use_of_the_money() -> None:
    """Without the price the account alone would hold the budget, and spend it on whoever comes first."""
    contexts, outcomes = table(1500, seed=2)
    paced, unpaced = budget(0.003), budget(0.003, step=0.0)
    unpaced._worth = 1e-6
    scores = [outcomes.at(r.replay(contexts, outcomes, np.random.default_rng(0)).arms).score for r in (paced, unpaced)]
    assert scores[0].mean() > scores[1].mean() + 0.02


@pytest.mark.parametrize("inside", ["ridge", "linucb"])
def test_a_price_list_that_is_off_by_three_is_put_right(inside: str) -> None:
    contexts, outcomes = table(800, seed=2)
    dearer = replace(outcomes, cost_usd=3 * outcomes.cost_usd)
    router = budget(0.009, inside)
    assert spent(router, contexts, dearer).mean() <= 1.01 * 0.009
    told = router._costs(router.router, contexts)[:, :2].mean(axis=0)
    np.testing.assert_allclose(told, dearer.cost_usd[:, :2].mean(axis=0), rtol=0.25)


def test_costs_unknown_at_the_start_are_learned() -> None:
    contexts, outcomes = table(800, seed=2)
    router = budget(0.003, "linucb", fitted=False)
    paid = spent(router, contexts, outcomes)
    assert paid.sum() <= 800 * 0.003 + 0.1 and paid[200:].mean() >= 0.7 * 0.003


def test_in_debt_an_arm_that_leaves_half_of_the_income_stays_open() -> None:
    contexts, outcomes = table(100, seed=2)
    router = budget(0.02)
    router.balance_usd = -1.0
    mask = router.asked(contexts).mask
    np.testing.assert_array_equal(mask, router._costs(router.router, contexts) <= 0.01)
    assert mask[:, 0].all() and mask[:, 1].mean() > 0.9 and 0 < mask[:, 2].mean() < 0.5
    router.replay(contexts, outcomes, np.random.default_rng(0))
    assert router.balance_usd > -1.0 + 100 * 0.01


def test_a_bill_that_never_comes_is_paid_as_expected() -> None:
    router = budget(0.003)
    asked = table(1, seed=5)[0]
    expected = float(router._costs(router.router, asked)[0, 1])
    router.update(asked, np.array([1]), Outcomes.of(np.array([0.7])), np.ones(1))
    assert router.balance_usd == pytest.approx(0.003 - expected)


def test_a_score_that_never_comes_is_paid_all_the_same() -> None:
    router = budget(0.003)
    router.update(table(1)[0], np.array([1]), Outcomes.of(np.array([np.nan]), np.array([0.002])), np.ones(1))
    assert router.balance_usd == pytest.approx(0.001)


@pytest.mark.parametrize("inside", ["linucb", "linear_thompson", "squarecb", "ridge", "random"])
def test_saved_in_the_middle_it_goes_on_the_same(inside: str) -> None:
    contexts, outcomes = table(80, seed=4)
    router = budget(0.003, inside)
    router.replay(contexts, outcomes, np.random.default_rng(0))
    state = router.state()
    arrays = load(save({key: np.ascontiguousarray(array) for key, array in state.arrays.items()}))
    config = json.loads(json.dumps(state.config, allow_nan=False))
    loaded = router_class("budget").from_state(RouterState(config, arrays))
    one, other = (r.replay(contexts, outcomes, np.random.default_rng(1)) for r in (router, loaded))
    np.testing.assert_array_equal(one.arms, other.arms)
    np.testing.assert_array_equal(one.propensities, other.propensities)
    for key, array in router.state().arrays.items():
        np.testing.assert_array_equal(array, loaded.state().arrays[key])


@pytest.mark.parametrize("inside", ["linear_thompson", "squarecb", "random", "epsilon_greedy"])
def test_the_law_is_the_one_that_acts_when_the_account_says_no(inside: str) -> None:
    router, draws = budget(0.003, inside), 20_000
    router._costs.fit(table(seed=1)[1])  # chance itself learns nothing, and knows no costs
    router.balance_usd = 0.015  # two of the three arms
    contexts = table(3, seed=6)[0]
    masked = router.asked(contexts).mask
    assert masked[:, 0].all() and not masked.all() and masked.sum() > 3
    law = router.law(contexts)
    assert (law[~masked] == 0).all()
    for row in range(3):
        seen = router.act(contexts.take(np.full(draws, row)), np.random.default_rng(row))
        shares = np.bincount(seen.arms, minlength=ARMS) / draws
        assert (np.abs(shares - law[row]) <= 5 * np.sqrt(law[row] * (1 - law[row]) / draws) + 1e-3).all()
        np.testing.assert_allclose(seen.propensities, law[row, seen.arms], atol=1e-3)


@pytest.mark.parametrize("kind", ["budget", "max_cost", "quality_floor"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_limit_never_opens_an_arm_that_is_masked(kind: str, data: st.DataObject) -> None:
    row = st.lists(st.booleans(), min_size=ARMS, max_size=ARMS).filter(any)
    mask = np.array(data.draw(st.lists(row, min_size=1, max_size=6)))
    limit = {"budget": {"budget_usd": 0.002}, "max_cost": {"max_cost_usd": 0.002}, "quality_floor": {"floor": 0.6}}
    router = make(kind, ARMS, FEATURES, **limit[kind]).fit(*table())
    contexts = replace(table(len(mask), seed=3)[0], mask=mask)
    assert mask[np.arange(len(mask)), router.act(contexts, np.random.default_rng(0)).arms].all()
    assert (router.law(contexts)[~mask] == 0).all()


def test_an_added_arm_counts_as_the_dearest_until_it_was_tried() -> None:
    router = budget(0.003)
    router.add_arm()
    contexts = Contexts.of(table(5)[0].features, ARMS + 1)
    costs = router._costs(router.router, contexts)
    np.testing.assert_allclose(costs[:, ARMS], costs[:, :ARMS].max(axis=1))


def test_expected_costs_of_a_router_that_predicts_none_are_the_means_of_its_bills() -> None:
    costs, router, contexts = ExpectedCost(ARMS), make("random", ARMS, FEATURES), table(2)[0]
    assert (costs(router, contexts) == 0).all()
    for paid in (0.01, 0.02, 0.03):
        costs.learn(1, np.nan, paid)
    np.testing.assert_allclose(costs(router, contexts), 0.02, rtol=0.01)


def test_limits_can_be_put_around_each_other() -> None:
    inside = {"router": "max_cost", "settings": {"router": "ridge", "settings": {"alpha": 1.0}, "max_cost_usd": 0.01}}
    router = make("budget", ARMS, FEATURES, budget_usd=0.003, **inside)
    assert isinstance(router, Budget) and isinstance(router.router, MaxCost)
    router.fit(*table(seed=1))
    contexts, outcomes = table(300, seed=2)
    predicted = router._costs(router, contexts)
    assert (np.ptp(predicted, axis=0) > 0).all()  # of each query, as the ridge at the bottom predicts
    loaded = Budget.from_state(router.state())
    arms = [r.replay(contexts, outcomes, np.random.default_rng(0)).arms for r in (router, loaded)]
    np.testing.assert_array_equal(arms[0], arms[1])
    assert outcomes.at(arms[0]).cost_usd.mean() <= 1.01 * 0.003


def test_the_cheapest_allowed_arm_is_always_affordable() -> None:
    mask = np.array([[True, True, True], [False, True, True]])
    assert affordable(np.tile(COSTS, (2, 1)), mask, -1.0).tolist() == [[True, False, False], [False, True, False]]


def test_no_request_is_expected_to_cost_more_than_its_maximum() -> None:
    contexts = table(300, seed=2)[0]
    router = MaxCost(ARMS, FEATURES, max_cost_usd=0.012, router="ridge").fit(*table(seed=1))
    assert isinstance(router.router, Estimator)
    arms = router.act(contexts, np.random.default_rng(0)).arms
    expected = router.router.predict(contexts).cost_usd
    chosen = expected[np.arange(300), arms]
    assert (chosen <= np.maximum(0.012, expected.min(axis=1)) + 1e-7).all()
    assert len(np.unique(arms)) > 1


def test_a_maximum_learns_from_bills() -> None:
    contexts, outcomes = table(300, seed=2)
    router = MaxCost(ARMS, FEATURES, max_cost_usd=0.009, router="ridge").fit(*table(seed=1))
    before = (router.act(contexts, np.random.default_rng(0)).arms == 1).mean()
    router.replay(contexts, replace(outcomes, cost_usd=4 * outcomes.cost_usd), np.random.default_rng(0))
    assert (router.act(contexts, np.random.default_rng(0)).arms == 1).mean() < before / 2


def test_a_floor_takes_the_cheapest_arm_that_reaches_it_or_else_the_best() -> None:
    contexts = table(300, seed=2)[0]
    router = QualityFloor(ARMS, FEATURES, floor=0.6, margin=0.1, router="ridge").fit(*table(seed=1))
    assert isinstance(router.router, Estimator)
    decision, predicted = router.act(contexts, np.random.default_rng(0)), router.router.predict(contexts)
    cells = range(300), decision.arms
    reaching = predicted.score >= 0.7
    some = reaching.any(axis=1)
    assert 0 < some.sum() < 300 and (decision.propensities == 1).all()
    cheapest = np.where(reaching, predicted.cost_usd, np.inf).min(axis=1)
    np.testing.assert_array_equal(predicted.cost_usd[cells][some], cheapest[some])
    np.testing.assert_array_equal(decision.arms[~some], predicted.score[~some].argmax(axis=1))


def test_a_higher_floor_costs_more_and_brings_more() -> None:
    contexts, outcomes = table(600, seed=2)
    found = []
    for floor in (0.3, 0.5, 0.65, 0.8):
        router = QualityFloor(ARMS, FEATURES, floor=floor, router="ridge").fit(*table(seed=1))
        got = outcomes.at(router.act(contexts, np.random.default_rng(0)).arms)
        found.append((got.cost_usd.mean(), got.score.mean()))
        assert got.score.mean() >= floor
    assert found == sorted(found) and len(set(found)) == 4


@pytest.mark.parametrize(
    ("kind", "setting", "words"),
    [
        ("budget", {"budget_usd": 0.0}, "budget_usd is 0.0"),
        ("budget", {"budget_usd": float("nan")}, "budget_usd is nan"),
        ("budget", {"caution": 0.5}, "caution is 0.5"),
        ("budget", {"step": -1.0}, "step is -1.0"),
        ("budget", {"window": 0.0}, "window is 0.0"),
        ("budget", {"router": "linucp"}, "did you mean `linucb`"),
        ("budget", {"settings": {"no_such": 1}}, "no_such"),
        ("max_cost", {"max_cost_usd": -1.0}, "max_cost_usd is -1.0"),
        ("quality_floor", {"floor": 1.5}, "floor is 1.5"),
        ("quality_floor", {"router": "random"}, "`random` predicts no scores"),
    ],
)
def test_what_makes_no_sense_is_refused(kind: str, setting: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        make(kind, ARMS, FEATURES, **setting)
