"""Models of the reward for DM, DR and their kin: one ridge regression per arm, cross-fitted.

Every prompt belongs to a fold, with all its repetitions; what is said of a fold was learned from the others alone, so
that no row's own reward is in what is expected of it (Chernozhukov et al. 2018, doi:10.1111/ectj.12097). That is what
leaves DR unbiased. One regression per arm, because a linear model of context and arm side by side can say nothing of
which arm suits which context.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from env.contexts import Floats, Ints
from env.reward_model import folds
from experiments.ope.logs import BanditLog, Doubles

# Whole decades, in units of rows: the largest leaves next to nothing but each arm's mean.
PENALTIES = tuple(float(penalty) for penalty in 10.0 ** np.arange(-1.0, 4.5))


def cross_fitted(log: BanditLog, features: Floats, weights: Doubles | None = None) -> Doubles:
    """``(n, K)`` the reward expected of every arm on every row by models that have not seen the row's prompt.

    The penalty of a fold is chosen by generalised cross-validation (Golub, Heath and Wahba 1979,
    doi:10.1080/00401706.1979.10489751) on the rows of the other folds, one for all arms; it is on the slopes. An
    arm's mean is drawn towards that of all arms by one row's worth, so an arm that others never chose has one too.

    Args:
        log: ``n`` decisions.
        features: ``(n, d)`` what the reward is modelled by.
        weights: ``(n,)`` of the squared residuals, 0 or more; equal when not given.

    Example:
        >>> x = np.linspace(-1, 1, 80)[:, None]
        >>> log = BanditLog.of(["a"], actions=[0] * 80, rewards=(x[:, 0] + 1) / 2, propensities=[1.0] * 80)
        >>> bool(np.abs(cross_fitted(log, x)[:, 0] - log.rewards).max() < 0.02)
        True
    """
    fold = folds(log.groups)
    sums = _Sums.of(log, np.asarray(features, dtype=np.float64), fold, weights)
    expected = np.empty((len(log), log.n_arms))
    for part in np.unique(fold):
        slopes, intercepts = sums.without(part).solved()
        held_out = fold == part
        expected[held_out] = features[held_out] @ slopes.T + intercepts
    # No model may promise what no log can hold; where bounds are not known, what was seen stands in for them.
    low, high = log.bounds or (log.rewards.min(), log.rewards.max())
    return np.clip(expected, low, high)


class _Sums:
    """All that ridge regression needs to know of the rows of each fold and arm; folds add up.

    Args:
        n: ``(F, K)`` rows.
        w: ``(F, K)`` their weight.
        x: ``(F, K, d)`` weighted sums of features.
        y: ``(F, K)`` of rewards.
        xx: ``(F, K, d, d)`` of products.
        xy: ``(F, K, d)``.
        yy: ``(F, K)``.
    """

    def __init__(self, *sums: NDArray[np.float64]) -> None:
        self.n, self.w, self.x, self.y, self.xx, self.xy, self.yy = sums

    @classmethod
    def of(cls, log: BanditLog, features: Doubles, fold: Ints, weights: Doubles | None) -> _Sums:
        n_folds, n_arms, d = int(fold.max()) + 1, log.n_arms, features.shape[1]
        shape = (n_folds, n_arms)
        n, w, y, yy = (np.zeros(shape) for _ in range(4))
        x, xy, xx = np.zeros((*shape, d)), np.zeros((*shape, d)), np.zeros((*shape, d, d))
        order = np.lexsort((log.actions, fold))
        cell = fold[order] * n_arms + log.actions[order]
        starts = np.flatnonzero(np.diff(cell, prepend=-1))
        for rows in np.split(order, starts[1:]):
            at = (fold[rows[0]], log.actions[rows[0]])
            # Weights of mean 1, so that a penalty means the same with and without them.
            weight = np.ones(len(rows)) if weights is None else weights[rows] / max(weights.mean(), 1e-300)
            some, got = features[rows], log.rewards[rows]
            weighted = some * weight[:, None]
            n[at], w[at], x[at], y[at] = len(rows), weight.sum(), weighted.sum(axis=0), weight @ got
            xx[at], xy[at], yy[at] = weighted.T @ some, weighted.T @ got, weight @ got**2
        return cls(n, w, x, y, xx, xy, yy)

    def without(self, fold: int) -> _Sums:
        """The sums of all other folds, ``(K, ...)``."""
        # Added up anew: of a difference, the fold itself would leave a rounding error.
        return _Sums(*(np.delete(column, fold, axis=0).sum(axis=0) for column in vars(self).values()))

    def solved(self) -> tuple[Doubles, Doubles]:
        """Slopes ``(K, d)`` and intercepts ``(K,)``."""
        weight = np.maximum(self.w, 1e-12)
        common = self.y.sum() / max(self.w.sum(), 1e-12)
        centre = self.x / weight[:, None]
        mean = (self.y + common) / (self.w + 1)
        gram = self.xx - self.w[:, None, None] * centre[:, :, None] * centre[:, None, :]
        moment = self.xy - self.w[:, None] * centre * (self.y / weight)[:, None]
        spread = self.yy - self.y**2 / weight
        eigenvalues, basis = np.linalg.eigh(gram)
        eigenvalues = np.maximum(eigenvalues, 0.0)
        rotated = np.einsum("kij,ki->kj", basis, moment)
        penalty = min(PENALTIES, key=lambda tried: self._gcv(tried, eigenvalues, rotated, spread))
        slopes = np.einsum("kij,kj->ki", basis, rotated / (eigenvalues + penalty))
        return slopes, mean - np.einsum("kd,kd->k", slopes, centre)

    def _gcv(self, penalty: float, eigenvalues: Doubles, rotated: Doubles, spread: Doubles) -> float:
        shrunk = eigenvalues + penalty
        residual = spread - (rotated**2 * (2 / shrunk - eigenvalues / shrunk**2)).sum(axis=1)
        # As many degrees of freedom as rows explain nothing: such an arm must not win by a division by 0.
        free = np.maximum(1 - (1 + (eigenvalues / shrunk).sum(axis=1)) / np.maximum(self.n, 1), 1e-3)
        return float((np.maximum(residual, 0.0) / free**2).sum())
