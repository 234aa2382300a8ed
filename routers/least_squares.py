"""Ridge regression of many targets at once, in closed form, with gaps: the solver behind several routers.

One symmetric eigendecomposition serves every target that was observed on the same rows and every penalty tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Floats, Ints

Doubles = NDArray[np.float64]

# Half decades. The largest leaves next to nothing but the mean, so that "the features say nothing" is a choice.
ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-2.0, 4.5, 0.5))


@dataclass(frozen=True, slots=True)
class Linear:
    """``targets = features @ weights + intercept``.

    Attributes:
        weights: ``(d, K)`` float32.
        intercept: ``(K,)`` float32; NaN for a target that was never observed.
        alpha: the penalty that was used.
    """

    weights: Floats
    intercept: Floats
    alpha: float

    @classmethod
    def unknown(cls, n_features: int, n_targets: int) -> Self:
        """What is known before any data: nothing (every prediction is NaN)."""
        return cls(
            np.zeros((n_features, n_targets), dtype=np.float32),
            np.full(n_targets, np.nan, dtype=np.float32),
            float("nan"),
        )

    def __call__(self, features: Floats) -> Floats:
        """Predictions ``(n, K)`` for features ``(n, d)``."""
        return np.asarray(features @ self.weights + self.intercept, dtype=np.float32)


def fit_linear(features: Floats, targets: Floats, alpha: float | None = None) -> Linear:
    """Least squares with a penalty ``alpha`` on the weights and none on the intercept.

    Solved in float64. ``alpha=None`` takes the :func:`plainest` of ``ALPHAS`` by :func:`advantage_errors` under
    leave-one-out, which ridge gives in closed form: ``residual / (1 - leverage)`` (Hastie, Tibshirani, Friedman,
    The Elements of Statistical Learning, 7.10). Every choice thus stays inside the rows given.

    Args:
        features: ``(n, d)``.
        targets: ``(n, K)``, NaN where not observed; each target uses the rows on which it was.
        alpha: 0 or more (0 may be singular), or None.

    Example:
        >>> x = np.arange(8, dtype=np.float32)[:, None]
        >>> line = fit_linear(x, 2 * x + 1, alpha=1e-6)
        >>> line.weights.round(3).tolist(), line.intercept.round(3).tolist()
        ([[2.0]], [1.0])
    """
    where = list(alike_columns(targets))
    if not where:
        return Linear.unknown(features.shape[1], targets.shape[1])
    spectra = [_Spectrum(features[rows], targets[rows][:, columns]) for rows, columns in where]
    if alpha is None:
        errors = [advantage_errors(_left_out(spectra, where, targets.shape, penalty)) for penalty in ALPHAS]
        alpha = ALPHAS[plainest(errors)]
    solution = Linear.unknown(features.shape[1], targets.shape[1])
    for spectrum, (_, columns) in zip(spectra, where, strict=True):
        weights, intercept = spectrum.solve(alpha)
        solution.weights[:, columns] = weights
        solution.intercept[columns] = intercept
    return Linear(solution.weights, solution.intercept, alpha)


def advantage_errors(residuals: NDArray[Any]) -> Doubles:
    """``(n,)`` summed squares of residuals ``(n, K)`` (NaN left out), each row's own mean taken off before.

    A router only needs to know which arm is better on a query, not how hard the query is for all of them: what
    is common to a row cannot change a decision. Rows with a single observed arm count as they are.

    Example:
        >>> advantage_errors(np.array([[0.3, 0.3], [0.0, 0.2]])).round(6).tolist()
        [0.0, 0.02]
    """
    seen = ~np.isnan(residuals)
    counts = seen.sum(axis=1, keepdims=True)
    filled = np.where(seen, residuals, 0.0)
    common = np.where(counts > 1, filled.sum(axis=1, keepdims=True) / np.maximum(counts, 1), 0.0)
    return np.asarray((np.where(seen, filled - common, 0.0) ** 2).sum(axis=1), dtype=np.float64)


def plainest(errors: Sequence[Doubles]) -> int:
    """Index of the plainest candidate that is not clearly worse than the best one.

    That is the last one whose error on the same rows exceeds the lowest by no more than one standard error of the
    difference. Whoever chooses the arm of the highest prediction favours arms whose prediction errs upwards, so a
    router wants to be plainer than the model of the lowest error, where the rows cannot tell the two apart.

    Args:
        errors: ``(n,)`` errors of each candidate, the plainest candidate last.

    Example:
        >>> plainest([np.array([1.0, 3.0]), np.array([1.0, 2.0]), np.array([0.9, 2.2]), np.array([9.0, 9.0])])
        2
    """
    best = int(np.argmin([error.mean() for error in errors]))
    for candidate in range(len(errors) - 1, best, -1):
        worse = errors[candidate] - errors[best]
        if worse.mean() <= worse.std() / np.sqrt(len(worse)):
            return candidate
    return best


class _Spectrum:
    """Centred rows in the eigenbasis of their Gram matrix: every penalty is then a division."""

    def __init__(self, features: Floats, targets: Floats) -> None:
        rows = features.astype(np.float64)
        self.center, self.mean = rows.mean(axis=0), targets.mean(axis=0, dtype=np.float64)
        rows -= self.center
        eigenvalues, self.basis = np.linalg.eigh(rows.T @ rows)
        self.eigenvalues = np.maximum(eigenvalues, 0.0)
        self.rows = rows @ self.basis
        self.centred = targets.astype(np.float64) - self.mean
        self.moments = self.rows.T @ self.centred

    def solve(self, alpha: float) -> tuple[Doubles, Doubles]:
        """Weights ``(d, k)`` and intercepts ``(k,)``."""
        weights = self.basis @ (self.moments / self._penalised(alpha)[:, None])
        return weights, self.mean - self.center @ weights

    def left_out(self, alpha: float) -> Doubles:
        """``(n, k)`` residual of each row under the fit to all others."""
        shrink = 1.0 / self._penalised(alpha)
        fitted = self.rows @ (self.moments * shrink[:, None])
        leverage = 1.0 / len(self.rows) + np.square(self.rows) @ shrink
        return np.asarray((self.centred - fitted) / np.maximum(1.0 - leverage, 1e-6)[:, None], dtype=np.float64)

    def _penalised(self, alpha: float) -> Doubles:
        # A direction in which the rows do not vary carries no moment: whatever it is divided by, its weight is 0.
        floor = 1e-10 * max(float(self.eigenvalues[-1:].sum()), 1e-30)
        return np.asarray(np.maximum(self.eigenvalues + alpha, floor), dtype=np.float64)


def alike_columns(targets: Floats) -> Iterator[tuple[Bools, Ints]]:
    """Groups of columns of ``(n, K)`` observed on the same rows: ``((n,) rows, columns)``.

    Columns never observed are left out. A full table is one group, and so needs one decomposition.
    """
    observed = ~np.isnan(targets)
    patterns: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(observed.any(axis=0)):
        patterns.setdefault(np.packbits(observed[:, column]).tobytes(), []).append(int(column))
    for columns in patterns.values():
        yield observed[:, columns[0]], np.array(columns, dtype=np.int64)


def _left_out(
    spectra: list[_Spectrum], where: list[tuple[Bools, Ints]], shape: tuple[int, ...], alpha: float
) -> Doubles:
    residuals = np.full(shape, np.nan)
    for spectrum, (rows, columns) in zip(spectra, where, strict=True):
        residuals[np.ix_(rows, columns)] = spectrum.left_out(alpha)
    return residuals
