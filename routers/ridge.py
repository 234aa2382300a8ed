"""Full-information ridge regression: for each arm a linear model of its score, all from one decomposition.

On recorded tables this plain method is hard to beat: many published and commercial routers fail to beat even simpler
ones (LLMRouterBench, arXiv 2601.07206).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.base import Array, Estimator
from routers.costs import CostModel
from routers.least_squares import Linear, fit_linear


class Ridge(Estimator):
    """Linear models of quality, and of cost and latency relative to each arm's mean.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        alpha: penalty on the weights, not on the intercept; None chooses it by leave-one-out on the training rows.
        predict_cost: predict cost and latency of each query; False for each arm's mean.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(200, 3)).astype(np.float32)
        >>> scores = 0.5 + 0.1 * np.stack([x[:, 0], -x[:, 0]], axis=1)
        >>> contexts = Contexts.of(x, n_arms=2)
        >>> router = Ridge(2, 3).fit(contexts, Outcomes.of(scores))
        >>> bool((router.act(contexts, rng).arms == scores.argmax(axis=1)).mean() > 0.97)
        True
    """

    name: ClassVar[str] = "ridge"

    def __init__(self, n_arms: int, n_features: int, *, alpha: float | None = None, predict_cost: bool = True) -> None:
        super().__init__(n_arms, n_features, alpha=alpha, predict_cost=predict_cost)
        if alpha is not None and not alpha >= 0:
            raise BadInput(f"router `{self.name}`: alpha is {alpha}; it must be 0 or more, or null")
        self.alpha = alpha
        self._score = Linear.unknown(n_features, n_arms)
        self._costs = CostModel(n_arms, n_features, per_query=predict_cost)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Solve for every arm on the rows where it was observed; ``(n, K)`` outcomes, NaN allowed."""
        self._score = fit_linear(contexts.features, outcomes.score, self.alpha)
        self._costs.fit(contexts.features, outcomes)
        return self

    @property
    def settled(self) -> dict[str, Any]:
        """The settings with the penalty that was chosen."""
        return {**self.settings, "alpha": self._score.alpha}

    def predict(self, contexts: Contexts) -> Outcomes:
        """Expected score (in [0, 1]), cost and latency, each ``(n, K)``."""
        score = np.clip(self._score(contexts.features), 0, 1)
        return Outcomes(score, *self._costs.predict(contexts.features))

    def _arrays(self) -> dict[str, Array]:
        return {
            "score_weights": self._score.weights,
            "score_intercept": self._score.intercept,
            **self._costs.arrays(),
        }

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._score = Linear(arrays["score_weights"], arrays["score_intercept"], float("nan"))
        self._costs.restore(arrays)
