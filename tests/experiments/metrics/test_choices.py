"""Rates of choices, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from env.errors import BadInput
from experiments.metrics import optimal_selection, robustness

# Three arms at 1, 2 and 3 dollars; on the last query no answer is right, so it does not count.
SCORE = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
COST = np.tile([1.0, 2.0, 3.0], (4, 1))


def test_the_cheapest_right_answer_is_optimal() -> None:
    chosen = np.array([[0, 1, 2, 0], [1, 1, 1, 1], [2, 2, 2, 2], [0, 0, 0, 0]])
    np.testing.assert_allclose(optimal_selection(chosen, SCORE, COST), [1, 1 / 3, 1 / 3, 1 / 3])


def test_of_graded_scores_the_best_counts() -> None:
    assert optimal_selection(np.array([[0]]), np.array([[0.4, 0.6]]), np.array([[1.0, 2.0]])).tolist() == [0]
    assert optimal_selection(np.array([[1]]), np.array([[0.4, 0.6]]), np.array([[1.0, 2.0]])).tolist() == [1]


def test_equally_cheap_ones_are_both_optimal() -> None:
    chosen = np.array([[0], [1]])
    assert optimal_selection(chosen, np.array([[1.0, 1.0]]), np.array([[2.0, 2.0]])).tolist() == [1, 1]


def test_replicates_at_once_equal_queries_taken_so_often() -> None:
    rng = np.random.default_rng(0)
    score, cost = rng.integers(0, 2, (9, 3)).astype(float), rng.random((9, 3))
    chosen, counts = rng.integers(0, 3, (2, 9)), rng.integers(0, 3, (5, 9))
    together = optimal_selection(chosen, score, cost, counts)
    for row, times in enumerate(counts):
        rows = np.repeat(np.arange(9), times)
        apart = optimal_selection(chosen[:, rows], score[rows], cost[rows])
        np.testing.assert_allclose(together[row], apart)


def test_nothing_is_optimal_where_costs_are_unknown_or_nothing_is_right() -> None:
    assert np.isnan(optimal_selection(np.zeros((1, 4), dtype=int), SCORE, np.full((4, 3), np.nan))).all()
    assert np.isnan(optimal_selection(np.zeros((1, 2), dtype=int), np.zeros((2, 2)), np.ones((2, 2)))).all()


def test_robustness_is_one_less_the_share_of_flips() -> None:
    first, second = np.array([[0, 0, 1, 2], [1, 1, 1, 1]]), np.array([[0, 2, 1, 1], [1, 1, 1, 1]])
    assert robustness(first, second).tolist() == [0.5, 1]
    assert robustness(first, second, np.array([[0, 2, 0, 0], [3, 1, 0, 0]])).tolist() == [[0, 1], [0.75, 1]]
    with pytest.raises(BadInput, match="give pairs"):
        robustness(first, second[:, :3])
