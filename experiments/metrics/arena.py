"""RouterArena's score: accuracy and cost in one number, on a scale of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from env.errors import BadInput
from experiments.metrics.frontier import Array

BETA = 0.1
"""How much cost weighs against accuracy: little."""
MOST_PER_1K, LEAST_PER_1K = 200.0, 0.0044
"""Dollars per 1,000 queries at which the cost's share of the score is 0 and 1: the constants of the published code."""


def arena_score(
    score: ArrayLike,
    per_thousand_usd: ArrayLike,
    *,
    beta: float = BETA,
    least: float = LEAST_PER_1K,
    most: float = MOST_PER_1K,
) -> Array:
    """``S = (1 + b) A C / (b A + C)`` with ``C = log2(most / c) / log2(most / least)`` (arXiv 2510.00202).

    The weighted harmonic mean of accuracy ``A`` and of the cost's place on a logarithmic scale. The constants are those
    of RouterArena's code, made for its queries and its pools; figures of other data are on no common scale with its
    leaderboard, and its paper's text lets the ends depend on each router's own pool.

    Args:
        score: accuracy, or mean score, in [0, 1].
        per_thousand_usd: dollars per 1,000 queries; outside the range it counts as the nearer end.
        beta: ``b``.
        least: dollars at which ``C`` is 1.
        most: dollars at which it is 0.

    Returns:
        In [0, 1], of the arguments' common shape; the leaderboard shows it times 100.

    Raises:
        BadInput: a scale that is empty.

    Example:
        >>> round(100 * float(arena_score(0.7396, 10.02)), 2)  # GPT-5 on the leaderboard
        64.32
    """
    if not 0 < least < most:
        raise BadInput(f"arena score: the scale of costs runs from {least} to {most}; give 0 < least < most")
    accuracy = np.asarray(score, dtype=np.float64)
    spent = np.clip(np.asarray(per_thousand_usd, dtype=np.float64), least, most)
    thrift = np.log2(most / spent) / np.log2(most / least)
    below = beta * accuracy + thrift
    found: Array = np.divide((1 + beta) * accuracy * thrift, below, out=np.zeros(np.shape(below)), where=below > 0)
    return np.where(np.isnan(below), np.nan, found)
