"""The front of all that is compared, and how far from it a router's points lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.metrics import pareto_distance, pareto_front

points = st.lists(st.tuples(st.integers(0, 4).map(float), st.integers(0, 4).map(float)), min_size=1, max_size=8)


@given(points)
def test_the_front_is_what_nothing_dominates(found: list[tuple[float, float]]) -> None:
    cost, score = np.array(found).T
    for at, on in enumerate(pareto_front(cost, score)):
        dominated = (cost <= cost[at]) & (score >= score[at]) & ((cost < cost[at]) | (score > score[at]))
        assert on == (not dominated.any())


def test_a_distance_worked_by_hand() -> None:
    # The front is (0, 0), (2, .5), (4, 1); on scales of 4 dollars and 1 point the router's (4, .5) is half a width from
    # (2, .5) and half a height from (4, 1), and its (2, .5) is on the front.
    cost, score = np.array([0.0, 2.0, 4.0, 4.0]), np.array([0.0, 0.5, 1.0, 0.5])
    assert pareto_distance(cost[[1, 3]], score[[1, 3]], cost, score) == pytest.approx(0.25)
    assert pareto_distance(cost[:3], score[:3], cost, score) == 0


def test_replicates_at_once_equal_one_by_one() -> None:
    rng = np.random.default_rng(0)
    cost, score = rng.random((2, 3, 9)), rng.random((2, 3, 9))
    together = pareto_distance(cost[..., :4], score[..., :4], cost, score)
    assert together.shape == (2, 3)
    for at in np.ndindex(2, 3):
        apart = pareto_distance(cost[at][:4], score[at][:4], cost[at], score[at])
        assert together[at] == pytest.approx(apart)
