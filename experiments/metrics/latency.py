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
    order, rows = np.argsort(values), counts.reshape(-1, len(values)).astype(np.float64, copy=False)
    found, total = np.empty((len(rows), len(shares))), rows.sum(axis=1)
    for at, share in enumerate(shares):
        # Weights are counts: half of one keeps sums of thirds from missing their rank by a rounding.
        rank = np.maximum(np.ceil(share * total - 1e-9), 1) - 0.5
        # Replicates have their percentiles near those of the data: a few columns tell, and all of them if one does not.
        for low, high in (_near(share, len(values)), (0, len(values))):
            below = np.zeros(len(values))
            below[order[:low]] = 1
            before = rows @ below
            reached = before[:, None] + np.cumsum(rows[:, order[low:high]], axis=1)
            if ((before < rank) & (rank < reached[:, -1])).all():
                break
        found[:, at] = values[order[low + np.minimum((reached < rank[:, None]).sum(axis=1), high - low - 1)]]
    return found.reshape(*counts.shape[:-1], len(shares))


def _near(share: float, n: int) -> tuple[int, int]:
    """Ranks within eight standard deviations of a share's, of ``n`` drawn with replacement."""
    width = int(4 * np.sqrt(n)) + 1
    return max(0, int(share * n) - width), min(n, int(share * n) + width + 1)
