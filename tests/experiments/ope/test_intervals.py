"""Intervals: against formulas by hand, and whether they hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.ope.estimators import Parts
from experiments.ope.intervals import bootstrap, confidence_sequence, empirical_bernstein


def test_empirical_bernstein_by_hand() -> None:
    values = np.array([0.0, 0.5, 1.0, 0.5])
    log = np.log(80)  # 4 / .05
    reach = np.sqrt(2 * (0.5 / 3) * log / 4) + 7 * log / 9
    found = empirical_bernstein(values, (-10.0, 10.0))
    wide = np.sqrt(2 * (0.5 / 3) * log / 4) + 7 * 20 * log / 9
    assert found.low == pytest.approx(max(-10, 0.5 - wide))
    assert empirical_bernstein(np.tile(values, 1), (0.0, 1.0)).high == min(1.0, 0.5 + reach)


def test_the_bootstrap_is_that_of_the_mean_for_many_even_rows() -> None:
    values = np.random.default_rng(0).normal(2, 3, 4000)
    found = bootstrap({"mean": Parts(values)}, np.arange(4000), replicates=2000, rng=np.random.default_rng(1))["mean"]
    error = values.std() / np.sqrt(4000)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_rows_of_one_prompt_are_one_draw() -> None:
    """Every row four times is no more than every row once."""
    values = np.random.default_rng(0).random(200)
    once = bootstrap({"v": Parts(values)}, np.arange(200), rng=np.random.default_rng(1))["v"]
    repeated = bootstrap(
        {"v": Parts(np.repeat(values, 4))}, np.repeat(np.arange(200), 4), rng=np.random.default_rng(1)
    )["v"]
    assert repeated.low == pytest.approx(once.low)
    assert repeated.high == pytest.approx(once.high)


def test_a_ratio_varies_less_than_its_parts() -> None:
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=1000)
    rewards = 0.8 + 0.1 * rng.random(1000)
    found = bootstrap(
        {"ips": Parts(weights * rewards), "snips": Parts(weights * rewards, weights)}, np.arange(1000), rng=rng
    )
    assert found["snips"].high - found["snips"].low < 0.3 * (found["ips"].high - found["ips"].low)


def test_rows_that_are_all_alike_have_an_interval_of_no_width() -> None:
    found = bootstrap({"v": Parts(np.full(10, 0.5))}, np.arange(10), rng=np.random.default_rng(0))["v"]
    assert (found.low, found.high) == (0.5, 0.5)


def test_the_bootstrap_covers_skewed_weights() -> None:
    """300 logs of weights .5 or 10 (effective size 475): the nominal 95 % interval holds the truth in 93 % and more."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        weights = np.where(rng.random(2500) < 0.05, 10.0, 0.526316)
        found = bootstrap({"ips": Parts(weights * (rng.random(2500) < 0.3))}, np.arange(2500), replicates=400, rng=rng)[
            "ips"
        ]
        held += found.holds(0.3)
    assert held / 300 >= 0.93


@pytest.mark.parametrize("weighty", [False, True])
def test_the_confidence_sequence_covers_at_every_time_at_once(weighty: bool) -> None:
    rng = np.random.default_rng(5)
    left, n = 0, 400
    for _ in range(400):
        weights = np.where(rng.random(n) < 0.1, 5.5, 0.5) if weighty else np.ones(n)
        low, high = confidence_sequence(weights, (rng.random(n) < 0.4).astype(float))
        left += bool((low > 0.4).any() or (high < 0.4).any())
    assert left / 400 <= 0.05


def test_the_confidence_sequence_by_hand() -> None:
    values = np.tile([0.5, 0.25, 1.0], 200)
    low, _ = confidence_sequence(np.ones(600), values, scale=1.0)
    assert 0.4 < low[-1] < values.mean()
    assert low[-1] == pytest.approx(_by_loop(values), rel=1e-9)


def _by_loop(values: np.ndarray) -> float:
    """The running lower bound, one row after another."""
    evidence, best = np.log(40), 0.0
    total, squares, staked, won, paid = 0.0, 0.0, 0.0, 0.0, 0.0
    for row, value in enumerate(values):
        mean, variance = min((0.5 + total) / (row + 1), 1.0), (1 + squares) / (row + 4)
        bet = min(0.5, np.sqrt(2 * evidence / (variance * (row + 5) * np.log1p(row + 5))))
        staked, won = staked + bet, won + bet * value
        paid += (-np.log1p(-bet) - bet) * (value - mean) ** 2
        total += value
        squares += (value - min((0.5 + total) / (row + 2), 1.0)) ** 2
        best = max(best, (won - evidence - paid) / staked)
    return best


def test_the_confidence_sequence_closes_in_whatever_the_weights() -> None:
    rng = np.random.default_rng(0)
    weights = np.where(rng.random(200_000) < 0.01, 50.5, 0.5)
    low, high = confidence_sequence(weights, (rng.random(200_000) < 0.7).astype(float), scale=50.0)
    assert high[-1] - low[-1] < 0.08
    assert low[-1] < 0.7 < high[-1]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(0, 10**6))
def test_a_longer_look_never_widens_a_sequence(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = confidence_sequence(rng.exponential(size=n), rng.random(n))
    assert low.shape == high.shape == (n,)
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) <= 0).all()


def test_no_rows_say_nothing() -> None:
    low, high = confidence_sequence(np.zeros(0), np.zeros(0))
    assert len(low) == len(high) == 0
