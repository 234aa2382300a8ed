"""SquareCB: the worse an arm looks, the rarer it is drawn. Regression turned into a law with a guarantee."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from env.contexts import Bools, Contexts, Floats
from routers.base import Decision, sample, utility
from routers.least_squares import Doubles
from routers.linear import LinearBandit

# FastCB draws the other arms with a probability proportional to the loss of the best one. A predicted loss of
# nothing (a linear model may even say less) would end exploration at once and for ever.
_LEAST_LOSS = 0.01


class SquareCB(LinearBandit):
    """Inverse gap weighting on a linear model of each arm (Foster, Rakhlin 2020, arXiv 2002.04926, algorithm 1).

    With ``u_k`` the predicted utilities, ``b`` the best arm and ``K`` the number of arms allowed, every other arm
    has ``P(k) = 1 / (K + gamma_t (u_b - u_k))`` and ``b`` the rest: exact, and never 0. The paper's ``gamma`` is of
    the order ``sqrt(K T / regret of the regression)``, with a known horizon; here ``gamma_t = gamma * t ** exponent``
    after ``t`` scored outcomes, those of a warm start included, so that exploration fades. A weight on cost widens
    the gaps: dear arms are tried rarely where money matters.

    ``fast=True`` is FastCB (Foster, Krishnamurthy 2021, arXiv 2107.02237, algorithm 1): reweighted inverse gaps,
    ``P(k) = l_b / (K l_b + gamma_t (u_b - u_k))`` with the loss ``l_b = 1 - u_b`` of the best arm, at least 0.01: the
    better the best arm does, the less is explored. The paper regresses by the logarithmic loss, this by squares.

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        gamma: how strongly a gap counts, per score point; 0 draws uniformly.
        exponent: how ``gamma_t`` grows with ``t``; the theory says 1/2.
        fast: FastCB instead.
        ridge: prior precision of the weights, which are taken to be about ``1 / sqrt(ridge)`` in size.

    Example:
        >>> inverse_gap_law(np.array([[0.9, 0.4, -np.inf]]), np.array([[True, True, False]]), gamma=16)
        array([[0.9, 0.1, 0. ]])
    """

    name: ClassVar[str] = "squarecb"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        gamma: float = 10.0,
        exponent: float = 0.5,
        fast: bool = False,
        ridge: float = 10.0,
    ) -> None:
        super().__init__(n_arms, n_features, gamma=gamma, exponent=exponent, fast=fast, ridge=ridge)
        self._start, self._exponent, self._fast = gamma, exponent, fast

    @property
    def gamma(self) -> float:
        """``gamma_t``, which weighs the gaps of the next decisions."""
        return float(self._start * self._posterior.count[0].sum() ** self._exponent)

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """A draw from the law, one uniform number a row; the arm of the highest mean without ``explore``."""
        if not explore:
            return super().act(contexts, rng, explore=False)
        scores = self._scores(contexts)
        return sample(inverse_gap_law(scores, contexts.mask, self.gamma, fast=self._fast), scores, rng)

    def law(self, contexts: Contexts, *, explore: bool = True) -> Doubles:
        """``(n, K)`` the probability of each arm, exactly."""
        if not explore:
            return super().law(contexts, explore=False)
        return inverse_gap_law(self._scores(contexts), contexts.mask, self.gamma, fast=self._fast)

    def _scores(self, contexts: Contexts) -> Floats:
        return utility(self._worth_trying(contexts.features), contexts)


def inverse_gap_law(utilities: Floats, mask: Bools, gamma: float, *, fast: bool = False) -> Doubles:
    """The law of :class:`SquareCB` (or FastCB) over allowed arms.

    Args:
        utilities: ``(n, K)`` score points.
        mask: ``(n, K)`` True where the arm may be drawn; one or more in each row.
        gamma: 0 or more.
        fast: reweight by the loss ``1 - utility`` of the best arm.

    Returns:
        ``(n, K)`` float64, rows sum to 1; exactly 0 where masked.

    Example:
        >>> inverse_gap_law(np.array([[0.75, 0.25]]), np.ones((1, 2), dtype=bool), gamma=16, fast=True).round(4)
        array([[0.9706, 0.0294]])
    """
    worth = np.where(mask, utilities, -np.inf).astype(np.float64)
    best = worth.argmax(axis=1)[:, None]
    top = np.take_along_axis(worth, best, axis=1)
    gaps = np.where(mask, top - worth, 0)
    weight = np.maximum(1 - top, _LEAST_LOSS) if fast else np.ones_like(top)
    law = np.where(mask, weight / (mask.sum(axis=1, keepdims=True) * weight + gamma * gaps), 0)
    np.put_along_axis(law, best, 0, axis=1)
    np.put_along_axis(law, best, 1 - law.sum(axis=1, keepdims=True), axis=1)
    return np.asarray(law, dtype=np.float64)
