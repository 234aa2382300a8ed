"""Hulls: what mixing points blindly can reach, RouterBench's AIQ over a router's own, and the zero router.

A hull over test points picks the lucky ones, so that its area flatters: ``aiq`` without it is what this project ranks
by, and the hull stands beside it, for comparison with figures that were made so.
"""

from __future__ import annotations

import numpy as np

from experiments.metrics.frontier import Array, aiq


def non_decreasing_hull(cost: Array, score: Array) -> tuple[Array, Array]:
    """The upper hull of some points, from the cheapest of them to the best.

    What a mixture of the points can reach: between two of them lies every coin that chooses between them. Points that
    are no better than a cheaper one are not on it (RouterBench, arXiv 2403.12031, "non-decreasing convex hull").

    Args:
        cost: ``(..., m)`` in any order.
        score: ``(..., m)``.

    Returns:
        Costs and scores of the corners, each ``(..., m)``, ascending; the last corner is repeated to fill the rows.

    Example:
        >>> cost, score = non_decreasing_hull(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.2, 0.3, 0.8, 0.7]))
        >>> cost.tolist(), score.tolist()
        ([1.0, 3.0, 3.0, 3.0], [0.2, 0.8, 0.8, 0.8])
    """
    cost, score = np.broadcast_arrays(np.asarray(cost, dtype=np.float64), np.asarray(score, dtype=np.float64))
    shape = cost.shape
    x, y = cost.reshape(-1, shape[-1]), score.reshape(-1, shape[-1])
    order = np.lexsort((-y, x), axis=-1)  # the better of equally cheap points first
    x, y = np.take_along_axis(x, order, axis=-1), np.take_along_axis(y, order, axis=-1)
    corners = np.zeros(x.shape, dtype=np.int64)
    at = corners[:, :1]
    for step in range(1, shape[-1]):
        run = x - np.take_along_axis(x, at, axis=-1)
        rise = y - np.take_along_axis(y, at, axis=-1)
        above = (run > 0) & (rise > 0)
        if not above.any():
            corners[:, step:] = at
            break
        slope = np.divide(rise, run, out=np.full(x.shape, -np.inf), where=above)
        steepest = shape[-1] - 1 - np.argmax(slope[:, ::-1], axis=-1)[:, None]  # of equally steep ones the farthest
        at = np.where(above.any(axis=-1, keepdims=True), steepest, at)
        corners[:, step : step + 1] = at
    return (
        np.take_along_axis(x, corners, axis=-1).reshape(shape),
        np.take_along_axis(y, corners, axis=-1).reshape(shape),
    )


def hull_aiq(cost: Array, score: Array, low: Array | float, high: Array | float) -> Array:
    """AIQ as RouterBench takes it: the mean height of the non-decreasing hull of a router's points.

    ``1 / (c_hi - c_lo) * integral of hull(c) dc over [c_lo, c_hi]`` (arXiv 2403.12031, section 3). The published code
    divides by the largest cost alone, which leaves out the part below the cheapest point; this is the paper's formula.

    Args:
        cost: ``(..., m)`` in any order.
        score: ``(..., m)``.
        low: ``(...,)`` the left end.
        high: ``(...,)`` the right end.

    Returns:
        ``(...,)``; never below ``aiq`` of the same points. NaN where the range is empty.

    Example:
        >>> dented = np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.0, 0.5])
        >>> float(aiq(*dented, 0.0, 2.0)), float(hull_aiq(*dented, 0.0, 2.0))
        (0.25, 0.5)
    """
    return aiq(*non_decreasing_hull(cost, score), low, high)


def zero_router(cost: Array, score: Array) -> tuple[Array, Array]:
    """The curve of blind mixing: the hull of the fixed arms (RouterBench's zero router).

    What anyone reaches who reads no prompt. From arms' means on the data that it is compared on, as here, it has
    looked at the answers; the router ``zero`` of a comparison takes its arms from training data and has not.

    Args:
        cost: ``(..., K)`` mean cost of each arm.
        score: ``(..., K)`` its mean score.

    Returns:
        Costs and scores of its corners, each ``(..., K)``; ``height_at`` reads its score at a cost off them.

    Example:
        >>> from experiments.metrics import height_at
        >>> curve = zero_router(np.array([1.0, 2.0, 5.0]), np.array([0.5, 0.4, 0.9]))
        >>> height_at(*curve, 3.0).tolist()
        [0.7]
    """
    return non_decreasing_hull(cost, score)
