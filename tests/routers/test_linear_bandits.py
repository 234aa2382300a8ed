"""LinUCB and linear Thompson against explicit inverses and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env.contexts import Contexts, Outcomes
from routers.base import PRIOR_SCORE
from routers.linear import make_posterior, with_constant
from routers.linucb import LinUCB
from routers.normal_law import argmax_law
from routers.thompson import LinearThompson
from tests.conftest import needs

ARMS, FEATURES, RIDGE = 3, 4, 2.0


@pytest.fixture(params=["plain", "compiled"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds of both posteriors."""
    if request.param == "compiled":
        needs("fast", "the compiled posterior")
    else:
        monkeypatch.setattr("routers.linear.find_spec", lambda _name: None)


def log(n: int = 200, seed: int = 0) -> tuple[Contexts, np.ndarray, Outcomes]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, FEATURES)).astype(np.float32)
    arms = rng.integers(ARMS, size=n)
    return (
        Contexts.of(x, ARMS),
        arms,
        Outcomes.of(rng.random(n), 0.01 + 0.001 * rng.random(n), rng.random(n)),
    )


def table_of(arms: np.ndarray, outcomes: Outcomes) -> Outcomes:
    """The same log as a table with gaps."""
    chosen = arms[:, None] == np.arange(ARMS)
    return Outcomes.of(
        *(np.where(chosen, v[:, None], np.nan) for v in (outcomes.score, outcomes.cost_usd, outcomes.latency_s))
    )


def test_means_and_widths_equal_the_explicit_inverse() -> None:
    contexts, arms, outcomes = log()
    router = LinUCB(ARMS, FEATURES, alpha=0.7, ridge=RIDGE)
    router.update(contexts, arms, outcomes, np.ones(len(arms)))
    x = with_constant(contexts.features).astype(np.float64)
    asked = log(5, seed=1)[0]
    inputs = with_constant(asked.features).astype(np.float64)
    decision = router.act(asked, np.random.default_rng(0))
    for arm in range(ARMS):
        own = x[arms == arm]
        inverse = np.linalg.inv(own.T @ own + np.diag([RIDGE] * FEATURES + [1.0]))
        theta = inverse @ (own.T @ (outcomes.score[arms == arm] - PRIOR_SCORE))
        mean = PRIOR_SCORE + inputs @ theta
        width = np.sqrt(np.einsum("nd,de,ne->n", inputs, inverse, inputs))
        np.testing.assert_allclose(router.predict(asked).score[:, arm], mean, atol=1e-5)
        np.testing.assert_allclose(decision.scores[:, arm], mean + 0.7 * width, atol=1e-5)


def test_fit_equals_updates_on_scores() -> None:
    contexts, arms, outcomes = log()
    online, offline = LinUCB(ARMS, FEATURES), LinUCB(ARMS, FEATURES)
    online.update(contexts, arms, outcomes, np.ones(len(arms)))
    offline.fit(contexts, table_of(arms, outcomes))
    asked = log(20, seed=1)[0]
    one, other = (router.act(asked, np.random.default_rng(0)).scores for router in (online, offline))
    np.testing.assert_allclose(one, other, atol=1e-5)
    # Costs are centred on the first one seen online, on their mean offline: close, not equal.
    np.testing.assert_allclose(online.predict(asked).cost_usd, offline.predict(asked).cost_usd, rtol=0.02)


def test_float32_updates_do_not_drift() -> None:
    rng = np.random.default_rng(0)
    x = with_constant(rng.normal(size=(5_000, 8)).astype(np.float32))
    posterior = make_posterior(1, 9, ridge=1.0)
    for row in x:
        posterior.update(row, 0, np.array([0.5, np.nan, np.nan], dtype=np.float32))
    exact = np.linalg.inv(x.T.astype(np.float64) @ x + np.diag([1.0] * 9))
    np.testing.assert_allclose(posterior.inverse[0], exact, atol=1e-6)
    np.testing.assert_array_equal(posterior.inverse[0], posterior.inverse[0].T)


def test_a_row_without_a_score_teaches_nothing_and_a_cost_not_observed_only_itself() -> None:
    contexts, arms, outcomes = log(50)
    half = Outcomes.of(outcomes.score, np.where(np.arange(50) % 2, np.nan, outcomes.cost_usd), outcomes.latency_s)
    full_router, half_router = LinUCB(ARMS, FEATURES), LinUCB(ARMS, FEATURES)
    full_router.update(contexts, arms, outcomes, np.ones(50))
    half_router.update(contexts, arms, half, np.ones(50))
    full, part = full_router.predict(contexts), half_router.predict(contexts)
    np.testing.assert_array_equal(full.score, part.score)
    np.testing.assert_array_equal(full.latency_s, part.latency_s)
    np.testing.assert_allclose(full.cost_usd, part.cost_usd, rtol=0.2)
    before = full_router.state().arrays
    full_router.update(contexts, arms, Outcomes.of(np.full(50, np.nan), outcomes.cost_usd), np.ones(50))
    for name, array in full_router.state().arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_dear_first_arm_does_not_lock_out_arms_never_tried() -> None:
    for router in (LinUCB(2, 1), LinearThompson(2, 1)):
        context = Contexts.of(np.zeros((1, 1)), 2, cost_weight=1e4)
        router.update(context, np.array([0]), Outcomes.of(np.ones(1), np.ones(1)), np.ones(1))
        assert router.act(context, np.random.default_rng(0)).arms.tolist() == [1]


def test_explore_false_is_the_greedy_mean() -> None:
    contexts, arms, outcomes = log()
    for router in (LinUCB(ARMS, FEATURES), LinearThompson(ARMS, FEATURES)):
        router.update(contexts, arms, outcomes, np.ones(len(arms)))
        decision = router.act(contexts, np.random.default_rng(0), explore=False)
        np.testing.assert_array_equal(decision.arms, router.predict(contexts).score.argmax(axis=1))
        assert (decision.propensities == 1).all()


def simulated(mean: np.ndarray, width: np.ndarray, draws: int = 400_000) -> np.ndarray:
    samples = mean + width * np.random.default_rng(0).standard_normal((draws, len(mean)))
    return np.bincount(samples.argmax(axis=1), minlength=len(mean)) / draws


@pytest.mark.parametrize(
    ("mean", "width"),
    [
        ([0.0, 0.0], [1.0, 1.0]),
        ([0.5, 0.4, 0.6], [0.1, 0.3, 0.01]),
        ([0.9, 0.9, 0.9, 0.0], [1e-4, 0.2, 0.05, 2.0]),
        ([0.0, 1.0, 0.5, -1.0, 0.8], [3.0, 1e-3, 0.5, 1.0, 0.1]),
    ],
)
def test_quadrature_equals_simulation(mean: list[float], width: list[float]) -> None:
    law = argmax_law(np.array([mean]), np.array([width]))[0]
    shares = simulated(np.array(mean), np.array(width))
    np.testing.assert_allclose(law, shares, atol=5 * 0.5 / math.sqrt(400_000) + 1e-4)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-2, 2), st.floats(-6, 0.5)), min_size=2, max_size=12),
)
def test_quadrature_of_all_arms_sums_to_one(beliefs: list[tuple[float, float]]) -> None:
    mean = np.array([[mean for mean, _ in beliefs]])
    width = np.array([[10.0**exponent for _, exponent in beliefs]])
    law = argmax_law(mean, width)
    assert (law > 0).all() and abs(law.sum() - 1) < 1e-3


def test_quadrature_of_two_arms_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    mean, width = rng.normal(size=(200, 2)), 10 ** rng.uniform(-4, 1, (200, 2))
    gap = (mean[:, 0] - mean[:, 1]) / np.hypot(width[:, 0], width[:, 1])
    exact = [0.5 * (1 + math.erf(z / math.sqrt(2))) for z in gap]
    np.testing.assert_allclose(argmax_law(mean, width)[:, 0], exact, atol=1e-3)


def test_no_width_is_greedy_with_certainty() -> None:
    router = LinearThompson(ARMS, FEATURES, v=0.0)
    decision = router.act(log(9)[0], np.random.default_rng(0))
    assert (decision.propensities == 1).all() and (decision.arms == 0).all()


@pytest.mark.parametrize("kind", [LinUCB, LinearThompson])
def test_a_warm_start_counts_for_no_more_than_its_stated_strength(kind: type[LinUCB | LinearThompson]) -> None:
    contexts, arms, outcomes = log(300)
    table = table_of(arms, outcomes)
    weak, whole, ample = (kind(ARMS, FEATURES, prior_strength=strength).fit(contexts, table)
                          for strength in (20, None, 1e6))  # fmt: skip
    for name, array in ample.state().arrays.items():
        np.testing.assert_allclose(array, whole.state().arrays[name], rtol=1e-6)
    inputs = with_constant(contexts.features).astype(np.float64)
    for arm in range(ARMS):
        own = inputs[arms == arm]
        precision = 20 / len(own) * own.T @ own + np.diag([10.0] * FEATURES + [1.0])
        np.testing.assert_allclose(weak.state().arrays["inverse"][arm], np.linalg.inv(precision), atol=1e-5)
    assert (weak.state().arrays["count"] == 20).all()
    level = (r.state().arrays["total"] / r.state().arrays["count"] for r in (weak, whole))
    np.testing.assert_allclose(*level)
    # What comes later outweighs a weak prior sooner.
    worse = Outcomes.of(np.zeros(60), 0.01 * np.ones(60), np.ones(60))
    asked = contexts.take(range(60))
    for router in (weak, whole):
        router.update(asked, np.zeros(60, dtype=np.int64), worse, np.ones(60))
    assert weak.predict(asked).score[:, 0].mean() < whole.predict(asked).score[:, 0].mean() - 0.1


def test_a_policy_without_a_stated_strength_is_saved_as_before() -> None:
    assert "prior_strength" not in LinUCB(ARMS, FEATURES).state().config
    assert LinUCB.from_state(LinUCB(ARMS, FEATURES, prior_strength=5.0).state()).settings["prior_strength"] == 5.0
