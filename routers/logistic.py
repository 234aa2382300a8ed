"""Logistic regression: for each arm the chance that it answers well, all arms from one decomposition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.base import Array, Estimator
from routers.costs import CostModel
from routers.logistic_regression import Logistic, fit_logistic


class LogisticRouter(Estimator):
    """``score = sigmoid(w_k . x + b_k)``; cost and latency as ridge regression tells them.

    Scores are labels in [0, 1], whole or not: the cross-entropy of a score is that of so many successes. Where scores
    are mostly 0 or 1 this fits better than a straight line, which leaves their range. See
    :func:`~routers.logistic_regression.fit_logistic`.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        alpha: penalty on the weights, not on the intercept; None chooses it by leave-one-out on the training rows.
        predict_cost: predict cost and latency of each query; False for each arm's mean.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(200, 3)).astype(np.float32)
        >>> scores = np.stack([x[:, 0] > 0, x[:, 0] <= 0], axis=1)
        >>> contexts = Contexts.of(x, n_arms=2)
        >>> router = LogisticRouter(2, 3).fit(contexts, Outcomes.of(scores))
        >>> bool((router.act(contexts, rng).arms == scores.argmax(axis=1)).mean() > 0.97)
        True
    """

    name: ClassVar[str] = "logistic"

    def __init__(self, n_arms: int, n_features: int, *, alpha: float | None = None, predict_cost: bool = True) -> None:
        super().__init__(n_arms, n_features, alpha=alpha, predict_cost=predict_cost)
        if alpha is not None and not alpha > 0:
            raise BadInput(f"router `{self.name}`: alpha is {alpha}; it must be above 0, or null")
        self.alpha = alpha
        self._score = Logistic.unknown(n_features, n_arms)
        self._costs = CostModel(n_arms, n_features, per_query=predict_cost)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Solve for every arm on the rows where it was observed; ``(n, K)`` outcomes, NaN allowed."""
        self._score = fit_logistic(contexts.features, np.clip(outcomes.score, 0, 1), self.alpha)
        self._costs.fit(contexts.features, outcomes)
        return self

    @property
    def settled(self) -> dict[str, Any]:
        """The settings with the penalty that was chosen."""
        return {**self.settings, "alpha": self._score.alpha}

    def predict(self, contexts: Contexts) -> Outcomes:
        """Expected score (in [0, 1]), cost and latency, each ``(n, K)``."""
        return Outcomes(self._score(contexts.features), *self._costs.predict(contexts.features))

    def _arrays(self) -> dict[str, Array]:
        return {
            "score_weights": self._score.weights,
            "score_intercept": self._score.intercept,
            **self._costs.arrays(),
        }

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._score = Logistic(arrays["score_weights"], arrays["score_intercept"], float("nan"))
        self._costs.restore(arrays)
