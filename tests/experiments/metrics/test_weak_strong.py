"""PGR, APGR and CPT against values worked by hand, RouteLLM's own figures, and what must hold of any router."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.errors import BadInput
from env.sources.named import load_trace
from experiments.metrics.weak_strong import CallCurve, apgr, call_curve, cpt, pgr

# Four queries: the strong model gains on two, harms on one. Ranked c, a, d, b the gap 0.25 is recovered in the order
# of gains 1, 1, 0, -1: score 0.5, 0.75, 1, 1, 0.75 after 0, 1, ... 4 strong calls, so PGR 0, 1, 2, 2, 1.
WEAK, STRONG, RANK = [0, 1, 0, 1], [1, 0, 1, 1], [0.8, 0.1, 0.9, 0.4]
WEAKER, STRONGER = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"


def test_a_curve_worked_by_hand() -> None:
    curve = call_curve(RANK, WEAK, STRONG, steps=4)
    assert curve.calls.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curve.score.tolist() == [0.5, 0.75, 1, 1, 0.75]
    assert curve.pgr.tolist() == [0, 1, 2, 2, 1]
    # Trapezoids of width 1/4: 0.5 + 1.5 + 2 + 1.5.
    assert apgr(curve) == pytest.approx(5.5 / 4)
    assert cpt(curve, 0.5) == pytest.approx(0.125)
    assert cpt(curve, 1.0) == pytest.approx(0.25)


def test_a_share_of_calls_between_two_queries_is_a_mixture() -> None:
    assert call_curve(RANK, WEAK, STRONG, steps=8).score[1] == pytest.approx(0.625)


def test_equal_ranks_are_called_in_equal_measure() -> None:
    curve = call_curve([0, 0, 0, 0], WEAK, STRONG)
    np.testing.assert_allclose(curve.pgr, curve.calls, atol=1e-12)
    assert apgr(curve) == pytest.approx(0.5)


def test_the_order_of_the_queries_says_nothing() -> None:
    turned = [3, 1, 0, 2]
    rank, weak, strong = (np.array(column) for column in ([1, 1, 1, 2], WEAK, STRONG))
    one, other = call_curve(rank, weak, strong), call_curve(rank[turned], weak[turned], strong[turned])
    np.testing.assert_allclose(one.score, other.score)


def test_pgr_has_no_value_without_a_gap() -> None:
    assert np.isnan(pgr(0.5, 0.7, 0.7)) and np.isnan(pgr([0.5, 0.6], 0.7, 0.6)).all()
    curve = call_curve([1, 0], [1, 1], [1, 0])
    assert np.isnan(apgr(curve)) and np.isnan(cpt(curve, 0.5))


TENTHS = np.linspace(0, 1, 11)


def naive(curve: CallCurve, share: float) -> float:
    """As the original code reads it: scores that do not ascend, given to a function that asks for ascending ones."""
    return float(np.interp(share, curve.pgr, curve.calls))


def test_both_readings_agree_on_a_curve_without_dips() -> None:
    curve = CallCurve(TENTHS, np.sqrt(TENTHS))
    for share in (0.0, 0.2, 0.5, 0.8, 1.0):
        assert cpt(curve, share) == pytest.approx(naive(curve, share))


def test_the_original_interpolation_is_wrong_where_a_curve_dips() -> None:
    curve = CallCurve(TENTHS, np.array([0, 0.2, 0.4, 0.55, 0.7, 0.82, 0.78, 0.79, 0.9, 0.97, 1]))
    # Four fifths of the gap are recovered two thirds of the way from 0.7 at 40 % of the calls to 0.82 at 50 %.
    assert cpt(curve, 0.8) == pytest.approx(0.4 + 0.1 * 10 / 12)
    assert naive(curve, 0.8) == pytest.approx(0.709, abs=1e-3)  # a later crossing, 23 points of calls dearer


def test_the_original_interpolation_may_ask_for_fewer_calls_the_more_is_wanted() -> None:
    curve = CallCurve(TENTHS, np.array([0, 0.02, 0.28, 0.5, 0.73, 0.84, 0.89, 1.01, 0.86, 0.95, 1]))
    assert naive(curve, 0.9) == pytest.approx(0.844, abs=1e-3) and naive(curve, 0.95) == pytest.approx(0.65)
    assert cpt(curve, 0.9) == pytest.approx(0.6 + 0.1 * 1 / 12) and cpt(curve, 0.95) == pytest.approx(0.65)


queries = st.lists(
    st.tuples(st.integers(-3, 3), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=1,
    max_size=12,
)


@given(queries)
def test_what_must_hold_of_any_router(found: list[tuple[int, float, float]]) -> None:
    rank, weak, strong = (np.array(column, dtype=float) for column in zip(*found, strict=True))
    curve = call_curve(rank, weak, strong, steps=5)
    assert curve.score[0] == pytest.approx(weak.mean()) and curve.score[-1] == pytest.approx(strong.mean())
    if strong.mean() <= weak.mean():
        assert np.isnan(apgr(curve))
        return
    # The opposite ranking has the mirrored curve: both areas together are 1.
    assert apgr(curve) + apgr(call_curve(-rank, weak, strong, steps=5)) == pytest.approx(1)
    # Ranking is all that counts.
    assert apgr(call_curve(np.exp(rank), weak, strong, steps=5)) == pytest.approx(apgr(curve))
    # Nobody is above who knows the outcomes.
    assert apgr(call_curve(strong - weak, weak, strong, steps=5)) >= apgr(curve) - 1e-12
    thresholds = [float(cpt(curve, share)) for share in (0.0, 0.2, 0.5, 0.8, 1.0)]
    assert thresholds[0] == 0 and thresholds == sorted(thresholds) and thresholds[-1] <= 1
    for share, calls in zip((0.2, 0.5, 0.8), thresholds[1:-1], strict=True):
        assert np.interp(calls, curve.calls, curve.pgr) == pytest.approx(share)


@given(queries, st.integers(0, 9))
def test_replicates_at_once_equal_queries_taken_so_often(found: list[tuple[int, float, float]], seed: int) -> None:
    rank, weak, strong = (np.array(column, dtype=float) for column in zip(*found, strict=True))
    counts = np.random.default_rng(seed).multinomial(len(rank), np.full(len(rank), 1 / len(rank)), size=3)
    together = call_curve(rank, weak, strong, counts)
    for row, times in enumerate(counts):
        apart = call_curve(*(np.repeat(column, times) for column in (rank, weak, strong)))
        np.testing.assert_allclose(together.score[row], apart.score, atol=1e-12)
        np.testing.assert_allclose(apgr(together)[row], apgr(apart), atol=1e-9)
        np.testing.assert_allclose(cpt(together, 0.5)[row], cpt(apart, 0.5), atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1.0], [0.0, 1.0], [1.0, 1.0]), "one of each for every query"),
        (([], [], []), "of one query or more"),
        (([1.0, np.nan], [0.0, 1.0], [1.0, 1.0]), "that both models answered"),
    ],
)
def test_what_cannot_be_ranked_is_refused(arguments: tuple[list[float], ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        call_curve(*arguments)


def test_a_share_past_the_gap_and_no_steps_are_refused() -> None:
    with pytest.raises(BadInput, match=r"CPT\(1.5\)"):
        cpt(call_curve(RANK, WEAK, STRONG), 1.5)
    with pytest.raises(BadInput, match="0 steps"):
        call_curve(RANK, WEAK, STRONG, steps=0)


def test_figures_of_the_recorded_outcomes(data_file: Callable[[str], Path]) -> None:
    trace = load_trace(str(data_file("routellm.parquet")))
    rows = np.array([str(task).startswith("mmlu/") for task in trace.tasks])
    weak, strong = (trace.score[rows, trace.arms.index(name)] for name in (WEAKER, STRONGER))
    assert 100 * weak.mean() == pytest.approx(68.1, abs=0.05)
    assert 100 * strong.mean() == pytest.approx(80.6, abs=0.05)
    rng = np.random.default_rng(0)
    areas = [apgr(call_curve(rng.random(len(weak)), weak, strong)) for _ in range(100)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.01)
