"""Many routers, one table: how sure one is of all its verdicts together.

Of the 95 % intervals of twenty routers that are the reference's equals, one lies wholly above or below 0 by chance more
often than not. The step-down of Romano and Wolf asks of the bootstrap replicates that are there already how large the
*largest* of all differences would be by chance. Routers' differences rise and fall together, because they are of the
same prompts, so it takes far less than Bonferroni or Holm would.
"""

from __future__ import annotations

import numpy as np

from experiments.bootstrap import LEVEL, Array


def adjusted(values: Array, replicates: Array) -> Array:
    """p-values of differences from 0, corrected for how many are told at once; two-sided.

    Below ``1 - level`` for all of them together: the chance that any of them is called a difference and is none is at
    most that, whichever are real. Step-down maximum of studentised differences (Romano and Wolf 2005, doi
    10.1198/016214504000000539), each divided by the standard deviation of its replicates.

    Args:
        values: ``(R,)`` the differences; NaN where there is none.
        replicates: ``(R, B)`` of the same, paired: column ``b`` of all is of the same draws. One in which a difference
            is not known is left out for all.

    Returns:
        ``(R,)`` from ``1 / (B + 1)`` to 1; NaN where a difference, or every replicate of it, is.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> replicates = np.array([[0.5], [0.0]]) + 0.1 * rng.normal(size=(2, 400))
        >>> adjusted(np.array([0.5, 0.0]), replicates).round(3).tolist()
        [0.002, 1.0]
    """
    found = np.full(len(values), np.nan)
    told = np.flatnonzero(np.isfinite(values) & np.isfinite(replicates).any(axis=1))
    paired = replicates[told][:, np.isfinite(replicates[told]).all(axis=0)]
    if not paired.size:
        return found
    centred = paired - paired.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    # What never differs in any replicate is either the reference itself, or surely not it.
    chance = np.abs(np.divide(centred, spread, out=np.zeros(centred.shape), where=spread > 0))
    size = np.abs(values[told])
    size = np.divide(size, spread[:, 0], out=np.where(size > 0, np.inf, 0.0), where=spread[:, 0] > 0)
    largest_first = np.argsort(-size, kind="stable")
    least = 0.0
    for at, row in enumerate(largest_first):
        largest = chance[largest_first[at:]].max(axis=0)
        least = max(least, (1 + np.count_nonzero(largest >= size[row])) / (1 + paired.shape[1]))
        found[told[row]] = least
    return found


def holds(p_value: float | None, level: float = LEVEL) -> bool:
    """True where a difference is told from 0 with this confidence, all that were told at once counted.

    Example:
        >>> holds(0.02), holds(0.07), holds(None)
        (True, False, False)
    """
    return p_value is not None and p_value < 1 - level
