"""Estimators by hand, and what must hold of them whatever the log."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.ope.estimators import (
    ESTIMATORS,
    Case,
    clipped_ips,
    dm,
    dr,
    ips,
    mrdr,
    mrdr_weights,
    snips,
    switch_dr,
    switch_threshold,
)
from experiments.ope.logs import BanditLog

# Three decisions between two arms; the target prefers the second arm.
LOG = BanditLog.of(["a", "b"], actions=[0, 1, 1], rewards=[1.0, 0.5, 1.0], propensities=[0.8, 0.2, 0.5])
LAW = np.array([[0.4, 0.6], [0.4, 0.6], [0.5, 0.5]])
EXPECTED = np.array([[0.5, 1.0], [0.25, 0.75], [0.5, 0.5]])
CASE = Case.of(LOG, LAW, EXPECTED)


def test_a_case_is_what_the_log_and_the_law_say() -> None:
    np.testing.assert_allclose(CASE.weights, [0.5, 3.0, 1.0])  # .4 / .8, .6 / .2, .5 / .5
    np.testing.assert_allclose(CASE.factual, [0.5, 0.75, 0.5])
    np.testing.assert_allclose(CASE.direct, [0.8, 0.55, 0.5])  # .4 * .5 + .6 * 1, ...


@pytest.mark.parametrize(
    ("estimator", "value"),
    [
        (dm, (0.8 + 0.55 + 0.5) / 3),
        (ips, (0.5 * 1 + 3 * 0.5 + 1 * 1) / 3),
        (lambda case: clipped_ips(case, cap=2.0), (0.5 * 1 + 2 * 0.5 + 1 * 1) / 3),
        (clipped_ips, (0.5 * 1 + np.sqrt(3) * 0.5 + 1 * 1) / 3),
        (snips, (0.5 * 1 + 3 * 0.5 + 1 * 1) / 4.5),
        # corrections: .5 * (1 - .5), 3 * (.5 - .75), 1 * (1 - .5)
        (dr, (0.8 + 0.25 + 0.55 - 0.75 + 0.5 + 0.5) / 3),
        (mrdr, (0.8 + 0.25 + 0.55 - 0.75 + 0.5 + 0.5) / 3),
        (lambda case: switch_dr(case, threshold=1.0), (0.8 + 0.25 + 0.55 + 0.5 + 0.5) / 3),
        (lambda case: switch_dr(case, threshold=3.0), (0.8 + 0.25 + 0.55 - 0.75 + 0.5 + 0.5) / 3),
    ],
)
def test_by_hand(estimator, value: float) -> None:
    assert estimator(CASE).value == pytest.approx(value, abs=1e-12)


def test_weights_of_mrdr_by_hand() -> None:
    # pi (1 - p) / p^2: .4 * .2 / .64, .6 * .8 / .04, .5 * .5 / .25
    np.testing.assert_allclose(mrdr_weights(LOG, LAW), [0.125, 12.0, 1.0])


def test_without_any_weight_snips_is_not_a_number() -> None:
    log = BanditLog.of(["a", "b"], actions=[0, 0], rewards=[1.0, 1.0], propensities=[0.5, 0.5])
    assert np.isnan(snips(Case.of(log, np.array([[0.0, 1.0], [0.0, 1.0]]))).value)


def test_the_threshold_gives_up_rows_only_where_their_variance_is_the_larger_evil() -> None:
    rng = np.random.default_rng(0)
    n = 2000
    even = Case(rng.random(n), np.ones(n), np.full(n, 0.5), np.full(n, 0.5))
    assert switch_threshold(even) == 1.0
    # One row of a weight of 10,000 whose residual is tiny: its bias bound is small, its variance is not.
    weights, rewards = np.ones(n), np.full(n, 0.5)
    weights[0], rewards[0] = 1e4, 0.51
    assert switch_threshold(Case(rewards, weights, np.full(n, 0.5), np.full(n, 0.5))) == pytest.approx(1e4)
    noisy = Case(rng.random(n), np.where(np.arange(n) < 100, 50.0, 1.0), np.full(n, 0.5), np.full(n, 0.5))
    kept = switch_threshold(noisy)
    assert kept in (1.0, 50.0)


@st.composite
def logs(draw) -> tuple[BanditLog, np.ndarray, np.ndarray]:
    """A log, the law that made it, and a model of the reward."""
    n, n_arms = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    law = rng.dirichlet(np.ones(n_arms), size=n) * 0.9 + 0.1 / n_arms
    arms = (rng.random((n, 1)) * law.sum(axis=1, keepdims=True) < np.cumsum(law, axis=1)).argmax(axis=1)
    log = BanditLog.of(
        [f"arm {k}" for k in range(n_arms)],
        actions=arms,
        rewards=rng.random(n),
        propensities=np.minimum(law[np.arange(n), arms], 1.0),
    )
    return log, law / law.sum(axis=1, keepdims=True), rng.random((n, n_arms))


@settings(deadline=None)
@given(logs())
def test_the_logging_policy_itself_is_worth_what_it_brought(made) -> None:
    log, law, _ = made
    case = Case.of(log, law)
    for name in ("ips", "snips", "clipped_ips"):
        assert ESTIMATORS[name](case).value == pytest.approx(log.rewards.mean(), rel=1e-9)


@settings(deadline=None)
@given(logs(), st.floats(-5, 5))
def test_snips_moves_with_the_rewards_and_stays_in_their_range(made, shift: float) -> None:
    log, _, expected = made
    law = expected / expected.sum(axis=1, keepdims=True)
    case = Case.of(log, law)
    value = snips(case).value
    assert log.rewards.min() - 1e-9 <= value <= log.rewards.max() + 1e-9
    moved = Case(case.rewards + shift, case.weights, case.factual, case.direct)
    assert snips(moved).value == pytest.approx(value + shift, abs=1e-9)


@settings(deadline=None)
@given(logs())
def test_dr_with_a_perfect_model_is_dm_and_with_none_is_ips(made) -> None:
    log, law, expected = made
    expected[np.arange(len(log)), log.actions] = log.rewards
    case = Case.of(log, law, expected)
    assert dr(case).value == pytest.approx(dm(case).value, abs=1e-9)
    bare = Case.of(log, law)
    assert dr(bare).value == pytest.approx(ips(bare).value, abs=1e-12)


@settings(deadline=None)
@given(logs(), st.floats(0.01, 20))
def test_switching_lies_between_the_model_and_dr(made, threshold: float) -> None:
    log, law, expected = made
    case = Case.of(log, law, expected)
    assert switch_dr(case, threshold=case.weights.max()).value == pytest.approx(dr(case).value, abs=1e-12)
    assert switch_dr(case, threshold=-1.0).value == pytest.approx(dm(case).value, abs=1e-12)
    kept = case.weights <= threshold
    by_hand = np.where(kept, case.weights * (case.rewards - case.factual), 0) + case.direct
    assert switch_dr(case, threshold).value == pytest.approx(by_hand.mean(), abs=1e-12)


@settings(deadline=None)
@given(logs(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(made, shuffler) -> None:
    log, law, expected = made
    order = list(range(len(log)))
    shuffler.shuffle(order)
    one, other = Case.of(log, law, expected), Case.of(log.take(order), law[order], expected[order])
    for name, estimator in ESTIMATORS.items():
        assert estimator(one).value == pytest.approx(estimator(other).value, abs=1e-9), name


def test_ips_and_dr_are_unbiased_and_dm_is_not() -> None:
    """The mean over every possible log of one query, each with its probability."""
    logging, target = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.6])
    rewards, model = np.array([0.9, 0.2, 0.6]), np.array([[0.5, 0.6, 0.1]])
    mean = {"ips": 0.0, "dr": 0.0, "dm": 0.0}
    for arm, chance in enumerate(logging):
        log = BanditLog.of(["a", "b", "c"], actions=[arm], rewards=[rewards[arm]], propensities=[chance])
        case = Case.of(log, target[None], model)
        for name in mean:
            mean[name] += chance * ESTIMATORS[name](case).value
    truth = float(target @ rewards)
    assert mean["ips"] == pytest.approx(truth)
    assert mean["dr"] == pytest.approx(truth)
    assert abs(mean["dm"] - truth) > 0.1
