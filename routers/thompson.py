"""Linear Thompson sampling: act on a draw from what the model believes, and know with what probability."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from env.contexts import Contexts, Floats, Ints
from routers.least_squares import Doubles
from routers.normal_law import argmax_law
from routers.width import WidthBandit


class LinearThompson(WidthBandit):
    """Disjoint linear Thompson sampling (Agrawal, Goyal 2013, arXiv 1209.3352, algorithm 1), by scalar draws.

    A decision needs of the draw ``theta~ ~ N(theta_k, v^2 A_k^-1)`` only ``x' theta~``, and that is
    ``N(x' theta_k, v^2 x' A_k^-1 x)``: one normal number per arm gives exactly the law of drawing whole vectors,
    without factorising a matrix. The probability of an arm is then a one-dimensional integral
    (:func:`~routers.normal_law.argmax_law`).

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        v: standard deviation of a score around its expectation, as the draws believe it; 0 is greedy.
        ridge: prior precision of the weights, which are taken to be about ``1 / sqrt(ridge)`` in size.
        prior_strength: how many observations an arm's rows of a ``fit`` count for at most; ``None`` for all of them.

    Example:
        >>> router = LinearThompson(n_arms=2, n_features=1, v=0.5)
        >>> router.law(Contexts.of(np.array([[1.0]]), n_arms=2)).round(3)
        array([[0.5, 0.5]])
    """

    name: ClassVar[str] = "linear_thompson"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        v: float = 0.5,
        ridge: float = 10.0,
        prior_strength: float | None = None,
    ) -> None:
        super().__init__(n_arms, n_features, v=v, ridge=ridge, prior_strength=prior_strength)
        self.v = np.float32(v)

    def law(self, contexts: Contexts, *, explore: bool = True) -> Doubles:
        """``(n, K)`` probability of each arm; error at most 1e-3."""
        if not explore or self.v == 0:
            return super().law(contexts, explore=False)
        worth, width = self._posterior.believe(contexts)
        law = self._argmax_law(worth, self.v * width)
        return np.asarray(law / law.sum(axis=1, keepdims=True), dtype=np.float64)

    def _bonus(self, n: int, rng: np.random.Generator) -> Floats:
        """``K`` normal numbers a row, ``v`` times; at ``v = 0`` nothing is drawn."""
        if self.v == 0:
            return np.zeros((n, self.n_arms), dtype=np.float32)
        return self.v * rng.standard_normal((n, self.n_arms)).astype(np.float32)

    def _propensities(self, worth: Floats, width: Floats, arms: Ints) -> Doubles:
        if self.v == 0:
            return np.ones(len(arms))
        return self._argmax_law(worth, self.v * width, arms[:, None])[:, 0]

    def _argmax_law(self, mean: Floats, width: Floats, arms: Ints | None = None) -> Doubles:
        if not self._posterior.compiled:
            return argmax_law(mean, width, arms)
        from routers import packed_law

        return packed_law.argmax_law(mean, width, arms)
