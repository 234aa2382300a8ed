"""NeuralUCB on the last layer: a learned representation, and a bonus where its regression is unsure."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from env.contexts import Contexts, Floats, Ints
from routers.base import certain
from routers.least_squares import Doubles
from routers.neural_linear import NeuralLinear


class NeuralUCB(NeuralLinear):
    """NeuralUCB (Zhou, Li, Gu 2020, arXiv 1911.04462) with the bonus of the last layer alone.

    The paper's bonus is over the gradients of all weights of the network; here it is over the last hidden layer's
    activations, an approximation that Xu et al. (2020, arXiv 2012.01780) analyse. The layer is trained by ``fit``
    and stays as it is between fits; ``update`` teaches the regression of the arm asked.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        alpha: width of the bonus in score points where nothing is known; 0 is greedy.
        hidden: units of the layer.
        ridge: prior precision of the weights on the activations.
        epochs: passes over the table in ``fit``.
        seed: of the first weights and the order of the rows.

    Example:
        >>> router = NeuralUCB(2, 3, hidden=8)
        >>> router.act(Contexts.of(np.zeros((1, 3)), 2), np.random.default_rng(0)).propensities
        array([1.])
    """

    name: ClassVar[str] = "neural_ucb"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        alpha: float = 1.0,
        hidden: int = 32,
        ridge: float = 10.0,
        epochs: int = 30,
        seed: int = 0,
    ) -> None:
        super().__init__(n_arms, n_features, hidden=hidden, v=alpha, ridge=ridge, epochs=epochs, seed=seed)
        self.settings["alpha"] = self.settings.pop("v")

    def law(self, contexts: Contexts, *, explore: bool = True) -> Doubles:
        """All mass on the arm that :meth:`act` chooses."""
        return certain(self.act(contexts, np.random.default_rng(0), explore=explore).arms, self.n_arms)

    def _bonus(self, n: int, rng: np.random.Generator) -> Floats:
        return np.full((n, self.n_arms), self.v)

    def _propensities(self, worth: Floats, width: Floats, arms: Ints) -> Doubles:
        return np.ones(len(arms))
