"""How far points lie from the best that anybody in a comparison reached."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from experiments.metrics.frontier import Array


def pareto_front(cost: Array, score: Array) -> NDArray[np.bool_]:
    """Which points no other point dominates: none is as cheap and better, or as good and cheaper.

    Args:
        cost: ``(..., m)``.
        score: ``(..., m)``.

    Returns:
        ``(..., m)``; of equal points all or none.

    Example:
        >>> pareto_front(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.4, 0.9])).tolist()
        [True, False, True]
    """
    order = np.lexsort((-score, cost), axis=-1)
    cheap, good = np.take_along_axis(cost, order, axis=-1), np.take_along_axis(score, order, axis=-1)
    best = np.maximum.accumulate(good, axis=-1)
    # Better than all before it; and what equals such a point.
    before = np.concatenate([np.full((*best.shape[:-1], 1), -np.inf), best[..., :-1]], axis=-1)
    free = good > before
    same = np.zeros(free.shape, dtype=bool)
    same[..., 1:] = (np.diff(cheap, axis=-1) == 0) & (np.diff(good, axis=-1) == 0)
    first = np.maximum.accumulate(np.where(same, 0, np.arange(free.shape[-1])), axis=-1)
    free = np.take_along_axis(free, first, axis=-1)
    found = np.empty(free.shape, dtype=bool)
    np.put_along_axis(found, order, free, axis=-1)
    return found


def pareto_distance(cost: Array, score: Array, all_cost: Array, all_score: Array) -> Array:
    """ParetoDist: the mean distance of a router's points from the nearest point of the front of all compared.

    Both axes are scaled to [0, 1] over the points compared. LLMRouterBench (arXiv 2601.07206) says "average distance
    to the Pareto frontier"; scale and norm are ours (multi-objective search knows it as generational distance), so
    compare within one comparison only: one more router can move the front.

    Args:
        cost: ``(..., D)`` of one router.
        score: ``(..., D)``.
        all_cost: ``(..., m)`` of all that are compared, this router among them.
        all_score: ``(..., m)``.

    Returns:
        ``(...,)``; 0 where every point is on the front.

    Example:
        >>> cost, score = np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.5])
        >>> float(pareto_distance(cost[2:], score[2:], cost, score))
        0.5
    """
    on = pareto_front(all_cost, all_score)
    # The fronts are short: their points first, and no column that no row needs.
    width = int(on.sum(axis=-1).max())
    keep = np.argsort(~on, axis=-1, kind="stable")[..., :width]
    taken = np.take_along_axis(on, keep, axis=-1)
    square: Array | float = 0.0
    for mine, every in ((cost, all_cost), (score, all_score)):
        low, high = every.min(axis=-1, keepdims=True), every.max(axis=-1, keepdims=True)
        size = np.where(high > low, high - low, 1)
        front = np.take_along_axis((every - low) / size, keep, axis=-1)
        square = square + (((mine - low) / size)[..., :, None] - front[..., None, :]) ** 2
    nearest = np.where(taken[..., None, :], square, np.inf).min(axis=-1)
    found: Array = np.sqrt(nearest).mean(axis=-1)
    return found
