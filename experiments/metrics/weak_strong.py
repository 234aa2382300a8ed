"""A router between a weak and a strong model: how much of what lies between them it recovers, for how many calls.

RouteLLM (Ong et al., arXiv 2406.18665) ranks queries by one number, here the expected gain in score of the strong model
over the weak one, and sends the share at the top to the strong model. Shapes: ``n`` queries, ``m`` points of a curve,
``...`` any leading axes (bootstrap replicates), over which every function is vectorised.

The original code reads CPT off ``np.interp(level, scores, calls)``, which asks for ascending scores. A measured curve
dips, and what that call returns then is whichever crossing its binary search runs into: on some curves fewer calls for
more of the gap. Here a level counts as reached where the curve first gets there, which is to read it off the curve's
monotone envelope, its running maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from env.errors import BadInput
from experiments.metrics.frontier import Array, first_at


@dataclass(frozen=True, slots=True)
class CallCurve:
    """Mean score over the share of queries that the strong model answers.

    Attributes:
        calls: ``(m,)`` shares, ascending from 0 (all weak) to 1 (all strong).
        score: ``(..., m)`` mean score at each.
    """

    calls: Array
    score: Array

    @property
    def pgr(self) -> Array:
        """Performance gap recovered at each share, ``(..., m)``; see :func:`pgr`."""
        return pgr(self.score, self.score[..., :1], self.score[..., -1:])


def call_curve(
    ranking: ArrayLike, weak: ArrayLike, strong: ArrayLike, weights: ArrayLike | None = None, *, steps: int = 10
) -> CallCurve:
    """The curve of a router that sends the queries of the highest rank to the strong model.

    Queries of equal rank are sent in equal measure: what a random order among them would give in the mean. The original
    code sends them all at once, so that a router of few different values has few points.

    Args:
        ranking: ``(n,)`` any numbers; the higher, the rather is the strong model called.
        weak: ``(n,)`` scores of the weak model.
        strong: ``(n,)`` scores of the strong model.
        weights: ``(..., n)`` how often each query counts; once each when not given.
        steps: the share of strong calls goes from 0 to 1 in so many; RouteLLM takes 10.

    Raises:
        BadInput: a rank or a score is not known, or lengths differ.

    Example:
        >>> curve = call_curve([0.9, 0.1, 0.5, 0.5], weak=[0, 1, 0, 1], strong=[1, 1, 1, 1], steps=4)
        >>> curve.calls.tolist(), curve.score.tolist()
        ([0.0, 0.25, 0.5, 0.75, 1.0], [0.5, 0.75, 0.875, 1.0, 1.0])
    """
    rank, low, high = (np.asarray(values, dtype=np.float64) for values in (ranking, weak, strong))
    counts = np.ones(rank.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if rank.ndim != 1 or not rank.shape == low.shape == high.shape == counts.shape[-1:] or not len(rank):
        raise BadInput(
            f"a curve of calls: {rank.shape} ranks, {low.shape} weak and {high.shape} strong scores, weights "
            f"{counts.shape}; give one of each for every query, of one query or more"
        )
    if np.isnan([rank, low, high]).any():
        raise BadInput("a curve of calls: a rank or a score is NaN; keep the queries that both models answered")
    if steps < 1:
        raise BadInput(f"a curve of calls: {steps} steps; give 1 or more")
    order = np.argsort(-rank, kind="stable")
    changes = np.flatnonzero(np.diff(rank[order], prepend=np.nan, append=np.nan))
    ends = slice(None) if len(changes) > len(rank) else changes  # between runs of equal ranks
    called, gained = np.zeros((2, len(rank) + 1))
    gains, calls = (high - low)[order], np.linspace(0, 1, steps + 1)
    gain = np.empty((*counts.shape[:-1], steps + 1))
    # One replicate at a time stays in the processor's cache, which is several times faster than all of them at once.
    for at in np.ndindex(counts.shape[:-1]):
        drawn = counts[at][order]
        np.cumsum(drawn, out=called[1:])
        np.cumsum(drawn * gains, out=gained[1:])
        gain[at] = np.interp(calls * called[-1], called[ends], gained[ends])
    total = counts.sum(axis=-1, keepdims=True)
    score = np.divide((counts @ low)[..., None] + gain, total, out=np.full(gain.shape, np.nan), where=total > 0)
    return CallCurve(calls, score)


def pgr(score: ArrayLike, weak: ArrayLike, strong: ArrayLike) -> Array:
    """Performance gap recovered: ``(score - weak) / (strong - weak)`` of mean scores (RouteLLM).

    0 is the weak model, 1 the strong one; a router that knows where the weak model is right can exceed 1.

    Returns:
        Of the arguments' common shape; NaN where the strong model is no better than the weak one.

    Example:
        >>> float(pgr(0.75, weak=0.5, strong=1.0))
        0.5
    """
    low = np.asarray(weak, dtype=np.float64)
    rise, gap = np.asarray(score, dtype=np.float64) - low, np.asarray(strong, dtype=np.float64) - low
    rise, gap = np.broadcast_arrays(rise, gap)
    found: Array = np.divide(rise, gap, out=np.full(rise.shape, np.nan), where=gap > 0)
    return found


def apgr(curve: CallCurve) -> Array:
    """Average performance gap recovered, ``(...,)``: the area under PGR over the share of strong calls.

    By trapezoids between the points of the curve, as the original code has it. A blind mixture has 0.5, and so has
    a random order in the mean; an order that puts harm before gain is below.

    Example:
        >>> float(apgr(CallCurve(np.array([0.0, 0.5, 1.0]), np.array([0.2, 0.8, 1.0]))))
        0.625
    """
    recovered = curve.pgr
    heights = (recovered[..., :-1] + recovered[..., 1:]) / 2
    return np.asarray((heights * np.diff(curve.calls)).sum(axis=-1), dtype=np.float64)


def cpt(curve: CallCurve, share: float) -> Array:
    """Call-performance threshold CPT(x): the least share of strong calls that recovers ``x`` of the gap.

    Where the curve, drawn straight between its points, first reaches that height (see the module's head on why the
    original code's interpolation does not tell).

    Args:
        curve: of a router.
        share: ``x``, from 0 to 1.

    Returns:
        ``(...,)`` in [0, 1]; RouteLLM prints percent. NaN where there is no gap.

    Raises:
        BadInput: a share outside [0, 1].

    Example:
        >>> dips = CallCurve(np.array([0.0, 0.25, 0.5, 1.0]), np.array([0.0, 0.75, 0.25, 1.0]))
        >>> round(float(cpt(dips, 0.6)), 3)
        0.2
    """
    if not 0 <= share <= 1:
        raise BadInput(f"CPT({share}): the share of the gap is a number in [0, 1]")
    recovered = curve.pgr
    # The last point has recovered the whole gap by definition: 1, whatever the sums were rounded to.
    recovered[..., -1] = np.where(np.isnan(recovered[..., -1]), np.nan, 1)
    return first_at(curve.calls, recovered, share)
