"""The hull against RouterBench's own way of making it, and the zero router against recorded figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.sources.named import load_trace
from experiments.metrics import Array, aiq, curve, height_at, hull_aiq, non_decreasing_hull, zero_router

points = st.lists(
    st.tuples(st.integers(0, 8).map(float), st.integers(0, 8).map(lambda step: step / 8)), min_size=1, max_size=7
)


def raised(cost: Array, score: Array, at: float) -> float:
    """The hull's height as RouterBench comes to it: the best chord over a cost, never below what is cheaper."""
    heights = [y for x, y in zip(cost, score, strict=True) if x <= at]
    for x1, y1 in zip(cost, score, strict=True):
        heights += [y1 + (y2 - y1) * (at - x1) / (x2 - x1) for x2, y2 in zip(cost, score, strict=True) if x1 < at < x2]
    return float(max(heights))


@given(points)
def test_it_is_the_best_chord_everywhere(found: list[tuple[float, float]]) -> None:
    cost, score = np.array(found).T
    hull = non_decreasing_hull(cost, score)
    for at in np.linspace(cost.min(), cost.max() + 1, 19):
        assert height_at(*hull, at)[0] == pytest.approx(raised(cost, score, at))


@given(points)
def test_it_rises_bends_down_and_ends_at_the_best(found: list[tuple[float, float]]) -> None:
    cost, score = np.array(found).T
    x, y = non_decreasing_hull(cost, score)
    assert x[0] == cost.min() and y[-1] == score.max()
    corners = np.diff(x) > 0
    slopes = np.diff(y)[corners] / np.diff(x)[corners]
    assert (slopes > 0).all() and (np.diff(slopes) < 0).all()
    assert set(zip(x, y, strict=True)) <= set(found), "corners are points that were given"


@given(points, st.integers(0, 99))
def test_replicates_at_once_equal_one_by_one(found: list[tuple[float, float]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost = np.array(found)[:, 0] + rng.random((2, 3, len(found)))
    score = rng.random(cost.shape)
    together = non_decreasing_hull(cost, score)
    for at in np.ndindex(2, 3):
        apart = non_decreasing_hull(cost[at], score[at])
        np.testing.assert_array_equal([values[at] for values in together], apart)


def test_a_hull_flatters() -> None:
    cost, score = np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.2, 0.1, 0.6, 0.5])
    # The hull goes from (0, .2) to (2, .6) and stays there: (.4 * 2 + .6 * 2) / 4. The curve dips twice.
    assert hull_aiq(cost, score, 0.0, 4.0) == pytest.approx(0.5)
    assert aiq(cost, score, 0.0, 4.0) == pytest.approx((0.15 + 0.35 + 1.1) / 4)


@pytest.mark.parametrize(
    ("task", "zero", "oracle"), [("mbpp", 0.6832, 0.8653), ("winogrande", 0.7901, 0.9960)]
)  # fmt: skip
def test_figures_of_recorded_outcomes(data_file: Callable[[str], Path], task: str, zero: float, oracle: float) -> None:
    """Of eleven models between the cheapest and the dearest; measured apart, with code of its own."""
    trace = load_trace(str(data_file("routerbench_5shot_subset.parquet")))
    rows = (trace.tasks == task) & (trace.query_columns["split"] == "test")
    score, cost = trace.score[rows].astype(float), trace.cost_usd[rows].astype(float)
    arms = cost.mean(axis=0), score.mean(axis=0)
    span = arms[0].min(), arms[0].max()
    assert aiq(*zero_router(*arms), *span) == pytest.approx(zero, abs=5e-5)
    chosen = [np.argmax(score * worth - cost, axis=1)[:, None] for worth in (0, *np.geomspace(1e-6, 1e6, 200))]
    spent, got = (np.array([np.take_along_axis(of, at, axis=1).mean() for at in chosen]) for of in (cost, score))
    start = span[0], arms[1][arms[0].argmin()]
    assert aiq(*curve(spent, got, *map(np.asarray, start)), *span) == pytest.approx(oracle, abs=5e-4)
