"""What a router is worth: its cost/quality curve, the area under it, and what it adds over blind mixing.

Shapes: ``D`` dials, ``n`` queries, ``...`` any leading axes (bootstrap replicates), over which every function
is vectorised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Frontier:
    """Mean cost and mean score at each dial, and the fixed arms that bound the comparison.

    Attributes:
        cost: ``(..., D)`` mean dollars a query.
        score: ``(..., D)`` mean score.
        cheapest_cost: ``(...,)`` mean cost of the cheapest fixed arm, the left end ``c_lo``.
        cheapest_score: ``(...,)`` its mean score, where every curve starts.
        best_cost: ``(...,)`` mean cost of the best single arm, the right end ``c_hi``.
    """

    cost: Array
    score: Array
    cheapest_cost: Array
    cheapest_score: Array
    best_cost: Array

    @property
    def aiq(self) -> Array:
        """Average improvement in quality ``(...,)``, see :func:`aiq`."""
        return aiq(*curve(self.cost, self.score, self.cheapest_cost, self.cheapest_score), *self.span)

    @property
    def span(self) -> tuple[Array, Array]:
        """``c_lo`` and ``c_hi``, each ``(...,)``."""
        return self.cheapest_cost, self.best_cost


def curve(cost: Array, score: Array, anchor_cost: Array, anchor_score: Array) -> tuple[Array, Array]:
    """The points of a router in order of cost, with the cheapest fixed arm, which anyone can choose, among them.

    No hull is taken: a hull over test points picks the lucky ones and flatters (DESIGN section 5).

    Args:
        cost: ``(..., D)``.
        score: ``(..., D)``.
        anchor_cost: ``(...,)`` mean cost of the cheapest fixed arm.
        anchor_score: ``(...,)`` its mean score.

    Returns:
        Costs and scores, each ``(..., D + 1)``.

    Example:
        >>> cost, score = curve(np.array([3.0, 2.0]), np.array([0.9, 0.7]), np.array(1.0), np.array(0.5))
        >>> cost.tolist(), score.tolist()
        ([1.0, 2.0, 3.0], [0.5, 0.7, 0.9])
    """
    cost = np.concatenate([np.asarray(anchor_cost)[..., None], cost], axis=-1)
    score = np.concatenate([np.asarray(anchor_score)[..., None], score], axis=-1)
    # Points of equal cost by rising score, so that the flat end past the last point starts from the better.
    order = np.lexsort((score, cost), axis=-1)
    return np.take_along_axis(cost, order, axis=-1), np.take_along_axis(score, order, axis=-1)


def aiq(cost: Array, score: Array, low: Array | float, high: Array | float) -> Array:
    """Average improvement in quality: the mean height of a curve between two costs.

    ``AIQ = 1 / (c_hi - c_lo) * integral of score(c) dc over [c_lo, c_hi]``, with ``score(c)`` linear between
    the points and flat beyond them. RouterBench (arXiv 2403.12031, section 3), without its hull, over the range
    from the cheapest fixed arm to the best single one instead of each router's own.

    Args:
        cost: ``(..., m)`` ascending along the last axis.
        score: ``(..., m)``.
        low: ``(...,)`` the left end ``c_lo``.
        high: ``(...,)`` the right end ``c_hi``.

    Returns:
        ``(...,)``; NaN where the range is empty (the best single arm is the cheapest) or a cost is not known.

    Example:
        >>> float(aiq(np.array([0.0, 2.0]), np.array([0.0, 1.0]), 0.0, 4.0))
        0.75
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    clipped = np.clip(cost, low[..., None], high[..., None])
    left, right = clipped[..., :-1], clipped[..., 1:]
    rise, run = np.diff(score, axis=-1), np.diff(cost, axis=-1)
    slope = np.divide(rise, run, out=np.zeros_like(rise), where=run > 0)
    middle = score[..., :-1] + slope * ((left + right) / 2 - cost[..., :-1])
    area = (
        ((right - left) * middle).sum(axis=-1)
        + (clipped[..., 0] - low) * score[..., 0]
        + (high - clipped[..., -1]) * score[..., -1]
    )
    width = high - low
    mean: Array = np.divide(area, width, out=np.full(np.shape(area), np.nan), where=width > 0)
    return mean


def mean_over(weights: NDArray[Any], values: NDArray[Any]) -> Array:
    """Weighted means of the rows of ``values``.

    Args:
        weights: ``(B, n)`` how often each query counts in each replicate.
        values: ``(D, n)``.

    Returns:
        ``(B, D)``; NaN where a value is not known, or where a replicate holds none of these queries.

    Example:
        >>> mean_over(np.array([[1, 1], [2, 0]]), np.array([[0.0, 1.0]])).tolist()
        [[0.5], [0.0]]
    """
    # One product for sums and total: the weights are far larger than all else, and read once.
    columns = np.concatenate([np.asarray(values, dtype=np.float64), np.ones((1, weights.shape[1]))])
    sums, total = np.split(np.asarray(weights, dtype=np.float64) @ columns.T, [-1], axis=1)
    means: Array = np.divide(sums, total, out=np.full(sums.shape, np.nan), where=total > 0)
    return means


def height_at(cost: Array, score: Array, at: Array | float) -> Array:
    """The height of a curve at some cost: linear between its points, flat beyond the last.

    Args:
        cost: ``(..., m)`` ascending along the last axis.
        score: ``(..., m)``.
        at: ``(..., q)`` costs; a number for one.

    Returns:
        ``(..., q)``; NaN below the first point, which nothing can be had for.

    Example:
        >>> height_at(np.array([1.0, 3.0]), np.array([0.5, 0.9]), np.array([0.5, 2.0, 4.0])).tolist()
        [nan, 0.7, 0.9]
    """
    at = np.atleast_1d(np.asarray(at, dtype=np.float64))
    cost, score = np.asarray(cost, dtype=np.float64), np.asarray(score, dtype=np.float64)
    reached = (cost[..., None, :] <= at[..., :, None]).sum(axis=-1)
    left, right = np.maximum(reached - 1, 0), np.minimum(reached, cost.shape[-1] - 1)
    lead = reached.shape[:-1]
    cost, score = (np.broadcast_to(values, (*lead, values.shape[-1])) for values in (cost, score))
    low, high = (np.take_along_axis(cost, index, axis=-1) for index in (left, right))
    start, end = (np.take_along_axis(score, index, axis=-1) for index in (left, right))
    part = np.divide(at - low, high - low, out=np.zeros(reached.shape), where=high > low)
    found: Array = np.where(reached > 0, start + part * (end - start), np.nan)
    return found


def first_at(cost: Array, score: Array, level: Array | float) -> Array:
    """Where a curve, drawn straight between its points, first gets to a level: read off its running maximum.

    Args:
        cost: ``(..., m)`` ascending along the last axis.
        score: ``(..., m)``.
        level: ``(...,)``.

    Returns:
        ``(...,)``; NaN where the curve never gets there.

    Example:
        >>> cost, dips = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 0.6, 0.4, 0.8])
        >>> float(first_at(cost, dips, 0.3)), float(first_at(cost, dips, 0.6)), float(first_at(cost, dips, 0.9))
        (0.5, 1.0, nan)
    """
    cost, score = np.broadcast_arrays(np.asarray(cost, dtype=np.float64), np.asarray(score, dtype=np.float64))
    level = np.asarray(level, dtype=np.float64)
    reached = score >= level[..., None]
    first = np.broadcast_to(np.argmax(reached, axis=-1)[..., None], (*reached.shape[:-1], 1))
    lead = first.shape[:-1]
    cost, score = (np.broadcast_to(values, (*lead, values.shape[-1])) for values in (cost, score))
    before = np.maximum(first - 1, 0)
    start, low = (np.take_along_axis(values, before, axis=-1)[..., 0] for values in (cost, score))
    end, high = (np.take_along_axis(values, first, axis=-1)[..., 0] for values in (cost, score))
    part = np.divide(level - low, high - low, out=np.zeros(lead), where=high > low)
    found: Array = np.where(reached.any(axis=-1), start + part * (end - start), np.nan)
    return found
