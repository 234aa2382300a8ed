"""Logistic regression of many targets at once, with gaps, of full or of low rank: the solver behind two routers.

The curvature ``p (1 - p)`` of the loss is at most a quarter. With that bound in its place (Böhning, Lindsay 1988,
Monotonicity of quadratic-approximation algorithms) the matrix of a Newton step is the same for every target and every
step, so that one symmetric eigendecomposition serves them all, and no step makes the fit worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from env.contexts import Floats
from routers.least_squares import ALPHAS, Doubles, Linear, advantage_errors, alike_columns, plainest

_BOUND = 0.25
# A step that moves no logit by more than this ends the search, or, where penalties are only compared, by the coarser.
_SETTLED, _COMPARED = 1e-4, 1e-2
_STEPS = 300
# Of what is left out, so much of the curvature of a row stays at least: near a probability of 0 or 1 the mean
# curvature says little about it.
_LEAST_LEFT = 0.1


class Logistic(Linear):
    """``probability = sigmoid(features @ weights + intercept)``; a ``Linear`` model of log-odds."""

    def __call__(self, features: Floats) -> Floats:
        """Predictions ``(n, K)`` in [0, 1] for features ``(n, d)``."""
        return np.asarray(sigmoid(super().__call__(features)), dtype=np.float32)


def fit_logistic(features: Floats, targets: Floats, alpha: float | None = None) -> Logistic:
    """Cross-entropy with a penalty ``alpha / 2`` on the squared weights and none on the intercept.

    ``alpha=None`` takes the :func:`~routers.least_squares.plainest` penalty by the squared advantage errors of the
    predicted probabilities when each row is left out, to first order (Rad, Maleki 2020, A scalable estimate of the
    out-of-sample prediction error via approximate leave-one-out cross-validation, arXiv 1801.10243), here with the
    mean curvature of each target.

    Args:
        features: ``(n, d)``.
        targets: ``(n, K)`` in [0, 1], whole or not; NaN where not observed.
        alpha: above 0, or None.

    Example:
        >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]], dtype=np.float32)
        >>> fitted = fit_logistic(x, np.array([[0.0], [0.25], [0.75], [1.0]], dtype=np.float32), alpha=0.1)
        >>> fitted(x).round(2).ravel().tolist()
        [0.05999999865889549, 0.20000000298023224, 0.800000011920929, 0.9399999976158142]
    """
    where = list(alike_columns(targets))
    if not where:
        return Logistic.unknown(features.shape[1], targets.shape[1])
    problems = [Problem(features[rows], targets[rows][:, columns]) for rows, columns in where]
    if alpha is None:
        errors = []
        for left_out in zip(*(problem.left_out(ALPHAS) for problem in problems), strict=True):
            residuals = np.full(targets.shape, np.nan)
            for found, (rows, columns) in zip(left_out, where, strict=True):
                residuals[np.ix_(rows, columns)] = found
            errors.append(advantage_errors(residuals))
        alpha = ALPHAS[plainest(errors[::-1])]
    solution = Logistic.unknown(features.shape[1], targets.shape[1])
    for problem, (_, columns) in zip(problems, where, strict=True):
        weights, intercept = problem.features_of(problem.solve(alpha))
        solution.weights[:, columns] = weights
        solution.intercept[columns] = intercept
    return Logistic(solution.weights, solution.intercept, alpha)


@dataclass(frozen=True, slots=True)
class Solution:
    """Weights ``(d, K)`` in the eigenbasis of the rows, and intercepts ``(K,)`` for centred rows."""

    weights: Doubles
    intercept: Doubles


class Problem:
    """Rows in the eigenbasis of their Gram matrix, and the targets to be told from them.

    Args:
        features: ``(n, d)``.
        targets: ``(n, K)`` in [0, 1]; NaN where not observed, each observed on a row or more.
    """

    def __init__(self, features: Floats, targets: Floats) -> None:
        rows = features.astype(np.float64)
        self.center = rows.mean(axis=0)
        rows -= self.center
        eigenvalues, self.basis = np.linalg.eigh(rows.T @ rows)
        self.eigenvalues = np.maximum(eigenvalues, 0.0)
        self.rows = rows @ self.basis
        self.seen = ~np.isnan(targets)
        self.targets = np.where(self.seen, targets, 0).astype(np.float64)

    def start(self) -> Solution:
        """No weights; the intercepts of the mean targets, pulled to a half by one row more."""
        mean = (self.targets.sum(axis=0) + 0.5) / (self.seen.sum(axis=0) + 1)
        return Solution(np.zeros((self.rows.shape[1], len(mean))), np.log(mean / (1 - mean)))

    def solve(
        self, alpha: float, start: Solution | None = None, *, rank: int | None = None, settled: float = _SETTLED
    ) -> Solution:
        """Steps down the bound until no logit moves by more than ``settled``.

        With a ``rank`` each step ends on the best weights of that rank under the same bound: a truncated singular value
        decomposition in its metric (as in reduced-rank regression: Izenman 1975).

        Args:
            alpha: above 0.
            start: where to begin; with a rank, of that rank.
            rank: of the weights at most; ``None`` for any.
            settled: logits.
        """
        at = self.start() if start is None else start
        curvature = (_BOUND * self.eigenvalues + alpha)[:, None]
        weights, intercept = at.weights, at.intercept
        logits = self.rows @ weights + intercept
        for _ in range(_STEPS):
            slope = np.where(self.seen, self.targets - sigmoid(logits), 0)
            weights = weights + (self.rows.T @ slope - alpha * weights) / curvature
            if rank is not None:
                weights = _truncated(weights, np.sqrt(curvature), rank)
            intercept = intercept + slope.mean(axis=0) / _BOUND
            before, logits = logits, self.rows @ weights + intercept
            if np.abs(logits - before).max(initial=0) <= settled:
                break
        return Solution(weights, intercept)

    def path(
        self, alphas: Iterable[float], *, rank: int | None = None, settled: float = _COMPARED
    ) -> Iterator[Solution]:
        """Solutions for several penalties, each begun where the one before ended: give the largest penalty first."""
        at: Solution | None = None
        for alpha in alphas:
            at = self.solve(alpha, at, rank=rank, settled=settled)
            yield at

    def left_out(self, alphas: tuple[float, ...]) -> Iterator[Doubles]:
        """``(n, K)`` residual of each row under the fit to all others, for each penalty from the last to the first."""
        squares = np.square(self.rows)
        descending = alphas[::-1]
        for alpha, found in zip(descending, self.path(descending), strict=True):
            logits = self.rows @ found.weights + found.intercept
            expected = sigmoid(logits)
            own = expected * (1 - expected)
            curvature = np.maximum(own.mean(axis=0), 1e-6)
            leverage = squares @ (1 / (self.eigenvalues[:, None] * curvature + alpha)) + 1 / (len(logits) * curvature)
            kept = np.maximum(1 - leverage * own, _LEAST_LEFT)
            yield self.targets - sigmoid(logits - leverage * (self.targets - expected) / kept)

    def features_of(self, found: Solution) -> tuple[Doubles, Doubles]:
        """Weights ``(d, K)`` on the features as they are, and intercepts ``(K,)``."""
        weights = self.basis @ found.weights
        return weights, found.intercept - self.center @ weights


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    """``1 / (1 + exp(-logits))`` without overflow; NaN stays NaN.

    Example:
        >>> sigmoid(np.array([-1e4, 0.0, 1e4])).tolist()
        [0.0, 0.5, 1.0]
    """
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


def _truncated(weights: Doubles, metric: Doubles, rank: int) -> Doubles:
    left, sizes, right = np.linalg.svd(metric * weights, full_matrices=False)
    return np.asarray((left[:, :rank] * sizes[:rank]) @ right[:rank] / metric, dtype=np.float64)
