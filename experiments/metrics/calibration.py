"""Whether predicted scores mean what they say: the reliability curve, and its one-number summary ECE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from env.errors import BadInput
from experiments.metrics.frontier import Array

BINS = 10


@dataclass(frozen=True, slots=True)
class Reliability:
    """Predictions in bins, beside what came of them.

    Attributes:
        edges: ``(b + 1,)`` of the bins; a prediction on an edge is in the upper one, the last edge is in the last bin.
        predicted: ``(..., b)`` mean prediction in each bin; NaN where a bin is empty.
        observed: ``(..., b)`` mean score.
        share: ``(..., b)`` of the predictions that are in it.
    """

    edges: Array
    predicted: Array
    observed: Array
    share: Array

    @property
    def ece(self) -> Array:
        """Expected calibration error ``(...,)``, see :func:`ece`."""
        gap = np.abs(self.observed - self.predicted)
        return np.asarray((self.share * np.where(self.share > 0, gap, 0)).sum(axis=-1))


def reliability(
    predicted: ArrayLike,
    observed: ArrayLike,
    *,
    bins: int | Sequence[float] = BINS,
    weights: ArrayLike | None = None,
) -> Reliability:
    """The reliability curve: mean observed score against mean prediction, bin by bin.

    Args:
        predicted: ``(n,)`` expected scores in [0, 1], of the arm that was chosen or of one arm throughout.
        observed: ``(n,)`` recorded scores of the same arms.
        bins: number of bins of equal width, or their edges, e.g. quantiles of the predictions for bins of equal size.
        weights: ``(..., n)`` how often each query counts; once each when not given.

    Raises:
        BadInput: predictions and scores that are no pairs, a NaN among them, or predictions outside the bins.

    Example:
        >>> curve = reliability([0.1, 0.3, 0.9, 0.9], [0.0, 0.0, 1.0, 0.0], bins=2)
        >>> curve.predicted.tolist(), curve.observed.tolist(), curve.share.tolist()
        ([0.2, 0.9], [0.0, 0.5], [0.5, 0.5])
    """
    said, came = np.asarray(predicted, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    if said.ndim != 1 or said.shape != came.shape or not len(said):
        raise BadInput(f"calibration: {said.shape} predictions and {came.shape} scores; give pairs, one or more")
    if np.isnan(said).any() or np.isnan(came).any():
        raise BadInput("calibration: a prediction or a score is NaN; keep the queries that have both")
    edges = np.linspace(0, 1, bins + 1) if isinstance(bins, int) else np.asarray(bins, dtype=np.float64)
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise BadInput("calibration: the edges of the bins must ascend; give two or more")
    if said.min() < edges[0] or said.max() > edges[-1]:
        raise BadInput(
            f"calibration: predictions from {said.min():g} to {said.max():g} outside the bins from {edges[0]:g} to "
            f"{edges[-1]:g}; clip them, or give wider bins"
        )
    inside = np.minimum(np.searchsorted(edges, said, side="right") - 1, len(edges) - 2)
    member = np.zeros((len(said), len(edges) - 1))
    member[np.arange(len(said)), inside] = 1
    counts = np.ones(len(said)) if weights is None else np.asarray(weights, dtype=np.float64)
    sums = counts @ np.hstack([member, member * said[:, None], member * came[:, None]])
    size, sum_said, sum_came = np.split(sums, 3, axis=-1)

    def mean(sums: Array) -> Array:
        found: Array = np.divide(sums, size, out=np.full(sums.shape, np.nan), where=size > 0)
        return found

    return Reliability(edges, mean(sum_said), mean(sum_came), size / size.sum(axis=-1, keepdims=True))


def ece(
    predicted: ArrayLike,
    observed: ArrayLike,
    *,
    bins: int | Sequence[float] = BINS,
    weights: ArrayLike | None = None,
) -> Array:
    """Expected calibration error: ``sum over bins of share * |mean observed - mean predicted|``.

    Guo et al. 2017 (arXiv 1706.04599, equation 3), with scores in place of right or wrong. The absolute value makes it
    positive by noise alone, the more so with many bins: compare only figures of equal numbers of queries and bins.

    Args:
        predicted: as of :func:`reliability`.
        observed: as of :func:`reliability`.
        bins: as of :func:`reliability`.
        weights: as of :func:`reliability`.

    Returns:
        ``(...,)``; 0 is perfect.

    Example:
        >>> round(float(ece([0.1, 0.3, 0.9, 0.9], [0.0, 0.0, 1.0, 0.0], bins=2)), 3)
        0.3
    """
    return reliability(predicted, observed, bins=bins, weights=weights).ece
