"""LinUCB: a linear model for each arm, and a bonus where it is unsure."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from env.contexts import Floats
from routers.width import WidthBandit


class LinUCB(WidthBandit):
    """Disjoint LinUCB: ``x' theta_k + alpha * sqrt(x' A_k^-1 x)``, minus weighted expected cost and latency.

    Li, Chu, Langford, Schapire 2010 (arXiv 1003.0146), algorithm 1, with two changes: scores are centred on their
    prior mean, so that an untried arm is not taken for a bad one, and cost and latency are regressions of their own,
    so that their weights may change with every request. The bonus is on quality alone.

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        alpha: width of the bonus in score points where nothing is known; 0 is greedy.
        ridge: prior precision of the weights, which are taken to be about ``1 / sqrt(ridge)`` in size.
        prior_strength: how many observations an arm's rows of a ``fit`` count for at most; ``None`` for all of them.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> router = LinUCB(n_arms=2, n_features=1, alpha=1.0, ridge=1.0)
        >>> contexts = Contexts.of(np.array([[1.0]]), n_arms=2)
        >>> router.update(contexts, np.array([0]), Outcomes.of(np.array([0.8])), np.ones(1))
        >>> router.act(contexts, np.random.default_rng(0)).scores.round(3).tolist()  # the untried arm first
        [[1.5160000324249268, 1.9140000343322754]]
    """

    name: ClassVar[str] = "linucb"
    exact_widths: ClassVar[bool] = False

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        alpha: float = 1.0,
        ridge: float = 10.0,
        prior_strength: float | None = None,
    ) -> None:
        super().__init__(n_arms, n_features, alpha=alpha, ridge=ridge, prior_strength=prior_strength)
        self.alpha = np.float32(alpha)

    def _bonus(self, n: int, rng: np.random.Generator) -> Floats:
        """``alpha`` for every arm; nothing is drawn."""
        return np.full((n, self.n_arms), self.alpha)
