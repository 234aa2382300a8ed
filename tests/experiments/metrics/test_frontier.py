"""AIQ and its parts against values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.metrics import Frontier, aiq, curve, first_at, height_at, mean_over


def test_aiq_of_a_line_is_its_middle_height() -> None:
    assert aiq(np.array([0.0, 10.0]), np.array([0.2, 0.8]), 0.0, 10.0) == pytest.approx(0.5)


def test_aiq_of_three_points_worked_by_hand() -> None:
    # On [1, 4]: from (1, .5) to (2, .7) the area is .6, from (2, .7) to (4, .8) it is 1.5; 2.1 / 3.
    assert aiq(np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.7, 0.8]), 1.0, 4.0) == pytest.approx(0.7)


def test_a_curve_is_flat_beyond_its_last_point() -> None:
    # (.5 + .7) / 2 * 1 and then .7 * 2, over a width of 3.
    assert aiq(np.array([1.0, 2.0]), np.array([0.5, 0.7]), 1.0, 4.0) == pytest.approx(2.0 / 3)


def test_points_outside_the_range_are_cut_off_where_the_line_crosses() -> None:
    # The line from (0, 0) to (4, 1) between 1 and 3 runs from .25 to .75.
    assert aiq(np.array([0.0, 4.0]), np.array([0.0, 1.0]), 1.0, 3.0) == pytest.approx(0.5)


def test_no_hull_is_taken_over_test_points() -> None:
    dented = aiq(np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.1, 0.5]), 0.0, 2.0)
    assert dented == pytest.approx(0.3)


def test_an_empty_range_has_no_aiq() -> None:
    assert np.isnan(aiq(np.array([1.0, 2.0]), np.array([0.5, 0.7]), 2.0, 2.0))


def test_unknown_costs_have_no_aiq() -> None:
    frontier = Frontier(np.full(3, np.nan), np.ones(3), np.array(np.nan), np.array(0.5), np.array(np.nan))
    assert np.isnan(frontier.aiq)


def test_a_curve_starts_at_the_cheapest_arm_and_is_sorted_by_cost() -> None:
    cost, score = curve(np.array([3.0, 2.0]), np.array([0.9, 0.4]), np.array(1.0), np.array(0.5))
    assert cost.tolist() == [1.0, 2.0, 3.0]
    assert score.tolist() == [0.5, 0.4, 0.9]


def test_of_points_of_equal_cost_the_better_is_last() -> None:
    _, score = curve(np.array([2.0, 2.0]), np.array([0.9, 0.4]), np.array(1.0), np.array(0.5))
    assert score.tolist() == [0.5, 0.4, 0.9]


points = st.lists(
    st.tuples(st.floats(0, 5, allow_subnormal=False), st.floats(0, 1, allow_subnormal=False)), min_size=2, max_size=6
)


@given(points, st.floats(0.5, 2), st.floats(2.5, 4.5))
def test_aiq_agrees_with_a_fine_sum(found: list[tuple[float, float]], low: float, high: float) -> None:
    cost, score = (np.array(column) for column in zip(*sorted(found), strict=True))
    middles = low + (high - low) * (np.arange(20_000) + 0.5) / 20_000
    assert aiq(cost, score, low, high) == pytest.approx(np.interp(middles, cost, score).mean(), abs=2e-3)


def test_replicates_at_once_equal_one_at_a_time() -> None:
    rng = np.random.default_rng(0)
    cost, score = np.sort(rng.random((5, 7)), axis=1), rng.random((5, 7))
    low, high = rng.random(5) / 4, 0.5 + rng.random(5) / 4
    together = aiq(cost, score, low, high)
    apart = [aiq(cost[row], score[row], low[row], high[row]) for row in range(5)]
    np.testing.assert_allclose(together, apart)


def test_weighted_means_skip_nothing() -> None:
    weights = np.array([[1, 1, 1], [0, 3, 0], [0, 0, 0]])
    means = mean_over(weights, np.array([[0.0, 0.5, 1.0], [1.0, np.nan, 1.0]]))
    assert means[0, 0] == 0.5
    assert means[1, 0] == 0.5
    assert np.isnan(means[0, 1])
    assert np.isnan(means[2]).all()


def test_a_curve_is_read_off_between_its_points_and_flat_beyond_the_last() -> None:
    cost, score = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.7, 0.8])
    found = height_at(cost, score, np.array([0.9, 1.0, 1.5, 2.0, 3.0, 9.0]))
    np.testing.assert_allclose(found, [np.nan, 0.5, 0.6, 0.7, 0.75, 0.8])


def test_a_level_is_reached_where_a_curve_first_gets_there() -> None:
    cost, dips = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.1, 0.7, 0.3, 0.9])
    found = [float(first_at(cost, dips, level)) for level in (0.0, 0.1, 0.4, 0.7, 0.8, 0.9, 0.95)]
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, 2 + 5 / 6, 3, np.nan])


def test_curves_are_read_off_row_by_row() -> None:
    rng = np.random.default_rng(0)
    cost, score = np.sort(rng.random((5, 4)), axis=1), rng.random((5, 4))
    at, level = rng.random((5, 3)), rng.random(5)
    for row in range(5):
        apart = height_at(cost[row], score[row], at[row])
        np.testing.assert_array_equal(height_at(cost, score, at)[row], apart)
        np.testing.assert_array_equal(first_at(cost, score, level)[row], first_at(cost[row], score[row], level[row]))
