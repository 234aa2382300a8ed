"""The oracle, with and without luck.

A recorded score is one draw of what a model does on a prompt. The arm with the highest *recorded* score of each query
is partly the arm that was lucky, and the mean of those maxima is above what anybody could foresee: it bounds from
above. Choosing by what is known of the *other* queries of a cluster and counting the recorded score leaves no luck
in the figure; it bounds from below, for a prompt says more than its cluster. What a perfect router would reach lies
between the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from env.contexts import Ints
from env.errors import BadInput
from experiments.metrics.frontier import Array


def oracle_arms(expected: NDArray[Any], cost: NDArray[Any] | None = None) -> Ints:
    """The arm of the highest score for each query; of equal ones the cheapest, as the oracle of RouterBench takes it.

    Args:
        expected: ``(..., n, K)`` the recorded scores themselves, or what is expected of each arm without this query's
            own outcome, as :func:`leave_one_out_means` has it. NaN where an arm was not observed.
        cost: ``(..., n, K)``; the first of equal arms when not given.

    Returns:
        ``(..., n)`` to take the recorded scores at.

    Raises:
        BadInput: a query with no score at all.

    Example:
        >>> oracle_arms(np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[5.0, 2.0], [5.0, 2.0]])).tolist()
        [1, 1]
    """
    known = np.where(np.isnan(expected), -np.inf, expected)
    top = known.max(axis=-1, keepdims=True)
    if not np.isfinite(top).all():
        raise BadInput("oracle: a query has no score of any arm; leave it out")
    if cost is None:
        found: Ints = np.argmax(known, axis=-1)
        return found
    price = np.where(known == top, np.nan_to_num(cost, nan=np.inf, posinf=np.inf), np.inf)
    # Where no cost of the best is known, the first of them.
    priced = np.isfinite(price).any(axis=-1)
    cheapest: Ints = np.where(priced, np.argmin(price, axis=-1), np.argmax(known, axis=-1))
    return cheapest


def leave_one_out_means(score: NDArray[Any], clusters: Ints) -> Array:
    """The mean score of each arm on the other queries of a query's cluster.

    A choice by these has not seen the outcome it is counted on. Clusters are tasks, groups of similar prompts, or
    several answers to one prompt where those were recorded.

    Args:
        score: ``(n, K)``; NaN where not observed.
        clusters: ``(n,)`` a number of 0 or more for each query.

    Returns:
        ``(n, K)``; the mean of all other queries where the cluster has no other that the arm was observed on, and NaN
        where there is none at all.

    Example:
        >>> leave_one_out_means(np.array([[1.0], [0.0], [0.5], [1.0]]), np.array([0, 0, 0, 1])).tolist()
        [[0.25], [0.75], [0.5], [0.5]]
    """
    values = np.asarray(score, dtype=np.float64)
    if len(values) != len(clusters):
        raise BadInput(f"leave-one-out means: {len(values)} queries and {len(clusters)} clusters; give one for each")
    seen = np.isfinite(values)
    filled = np.where(seen, values, 0)

    def others(sums: Array, counts: Array) -> Array:
        left = counts - seen
        found: Array = np.divide(sums - filled, left, out=np.full(values.shape, np.nan), where=left > 0)
        return found

    n_clusters = int(clusters.max()) + 1 if len(clusters) else 0
    sums, counts = np.zeros((n_clusters, values.shape[1])), np.zeros((n_clusters, values.shape[1]))
    np.add.at(sums, clusters, filled)
    np.add.at(counts, clusters, seen)
    own = others(sums[clusters], counts[clusters])
    return np.where(np.isnan(own), others(filled.sum(axis=0), seen.sum(axis=0)), own)
