"""What was chosen, rather than what came of it: against the cheapest right answer, and on the same prompt reworded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from env.contexts import Ints
from env.errors import BadInput
from experiments.metrics.frontier import Array, mean_over


def optimal_selection(
    arms: Ints, score: NDArray[Any], cost: NDArray[Any], weights: NDArray[Any] | None = None
) -> Array:
    """Optimal-selection rate: how often the choice was the cheapest arm among those that answered best.

    Of the queries that some arm has a score above 0 on; elsewhere nothing is optimal. With scores of 0 and 1 that is
    RouterArena's Optimal Selection Score (arXiv 2510.00202): the cheapest right model, queries without one left out.
    Where scores are graded, "best" is often an accident of the judge, and the rate is low for everybody.

    Args:
        arms: ``(D, n)`` the arm chosen for each query.
        score: ``(n, K)`` recorded scores.
        cost: ``(n, K)`` recorded costs.
        weights: ``(B, n)`` how often each query counts in each replicate; once each when not given.

    Returns:
        ``(B, D)``, or ``(D,)`` without weights; NaN where no query has an optimal arm, or a cost is not known.

    Example:
        >>> score, cost = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]), np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
        >>> optimal_selection(np.array([[1, 0], [2, 0]]), score, cost).tolist()
        [1.0, 0.0]
    """
    top = np.max(score, axis=1, keepdims=True)
    best = score == top
    price = np.where(best, cost, np.inf)
    optimal = best & (cost == price.min(axis=1, keepdims=True))
    hits = np.take_along_axis(optimal[None], arms[:, :, None], axis=2)[:, :, 0].astype(np.float64)
    judged = top[:, 0] > 0
    if np.isnan(cost[judged]).any():
        hits[:] = np.nan
    once = np.ones((1, len(score))) if weights is None else weights
    # Of the judged ones alone: the mean of all, over the share of those that count.
    rate, share = np.split(mean_over(once, np.vstack([np.where(judged, hits, 0), judged])), [-1], axis=1)
    found: Array = np.divide(rate, share, out=np.full(rate.shape, np.nan), where=share > 0)
    return found[0] if weights is None else found


def robustness(first: Ints, second: Ints, weights: NDArray[Any] | None = None) -> Array:
    """Robustness to paraphrase: ``1 - flips / total``, how often a reworded prompt gets the same arm.

    RouterArena's Robustness Score (arXiv 2510.00202). Decide with ``explore=False``, or the draws are counted as flips.
    A router that ignores the prompt has 1: it says nothing without a figure of quality beside it.

    Args:
        first: ``(D, n)`` arms chosen for the prompts.
        second: ``(D, n)`` arms chosen for the same prompts, reworded.
        weights: ``(B, n)`` how often each pair counts; once each when not given.

    Returns:
        ``(B, D)``, or ``(D,)`` without weights.

    Raises:
        BadInput: the two are not pairs.

    Example:
        >>> robustness(np.array([[0, 1, 1, 2]]), np.array([[0, 1, 2, 2]])).tolist()
        [0.75]
    """
    if first.shape != second.shape:
        raise BadInput(f"robustness: {first.shape} choices and {second.shape} for reworded prompts; give pairs")
    same = (first == second).astype(np.float64)
    return same.mean(axis=-1) if weights is None else mean_over(weights, same)
