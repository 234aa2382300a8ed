"""Percentiles of latency: what most requests wait, and what the slow ones do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from env.errors import BadInput
from experiments.metrics.frontier import Array


def percentiles(latency_s: ArrayLike, shares: Sequence[float], weights: ArrayLike | None = None) -> Array:
    """The least recorded latency that a share of the requests does not exceed (nearest rank, nothing interpolated).

    Args:
        latency_s: ``(n,)`` seconds.
        shares: ``(q,)`` in [0, 1]: 0.5 is the median, 0.95 the p95.
        weights: ``(..., n)`` how often each query counts; once each when not given.

    Returns:
        ``(..., q)``; NaN where a latency is not known.

    Raises:
        BadInput: a share outside [0, 1], or no latency at all.

    Example:
        >>> percentiles([0.3, 0.1, 0.2, 9.0], [0.5, 0.95]).tolist()
        [0.2, 9.0]
    """
    values = np.asarray(latency_s, dtype=np.float64)
    if not len(values) or not all(0 <= share <= 1 for share in shares):
        raise BadInput(f"percentiles: {len(values)} latencies at shares {list(shares)}; give one or more, in [0, 1]")
    counts = np.ones(len(values)) if weights is None else np.asarray(weights)
    if np.isnan(values).any():
        return np.full((*counts.shape[:-1], len(shares)), np.nan)
    order = np.argsort(values)
    ranked = values[order]
    found = np.empty((*counts.shape[:-1], len(shares)))
    # One replicate at a time stays in the processor's cache, which is several times faster than all of them at once.
    for at in np.ndindex(counts.shape[:-1]):
        reached = np.cumsum(counts[at][order], dtype=np.float64)
        # Weights are counts: half of one keeps sums of thirds from missing their rank by a rounding.
        ranks = np.maximum(np.ceil(np.multiply(shares, reached[-1]) - 1e-9), 1) - 0.5
        found[at] = ranked[np.minimum(np.searchsorted(reached, ranks), len(ranked) - 1)]
    return found
