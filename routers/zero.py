"""The zero router: what is known about the models, and nothing about the prompt.

For each cost weight it picks one fixed arm, a vertex of the hull of the fixed arms; mixing two vertices moves along
the hull (RouterBench, arXiv 2403.12031). A router that is not above that hull has learned nothing of use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from env.contexts import Contexts, Outcomes
from routers.base import Array, Capabilities, Estimator
from routers.costs import CostModel, column_means


class ZeroRouter(Estimator):
    """Global means of score, cost and latency of each arm.

    Example:
        >>> contexts = Contexts.of(np.zeros((4, 1)), n_arms=2, cost_weight=100.0)
        >>> outcomes = Outcomes.of(np.tile([0.6, 0.9], (4, 1)), cost_usd=np.tile([0.001, 0.01], (4, 1)))
        >>> ZeroRouter(2, 1).fit(contexts, outcomes).act(contexts, np.random.default_rng(0)).arms.tolist()
        [0, 0, 0, 0]
    """

    name: ClassVar[str] = "zero"
    capabilities: ClassVar[Capabilities] = Capabilities(uses_features=False, uses_load=True)
    _per_query_cost: ClassVar[bool] = False

    def __init__(self, n_arms: int, n_features: int) -> None:
        super().__init__(n_arms, n_features)
        self._score = np.full(n_arms, np.nan, dtype=np.float32)
        self._costs = CostModel(n_arms, n_features, per_query=self._per_query_cost)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Take the means."""
        self._score = column_means(outcomes.score)
        self._costs.fit(contexts.features, outcomes)
        return self

    def predict(self, contexts: Contexts) -> Outcomes:
        """The means, the same score for every query; each ``(n, K)``."""
        score = np.broadcast_to(self._score, (len(contexts), self.n_arms))
        return Outcomes(score, *self._costs.predict(contexts.features))

    def _arrays(self) -> dict[str, Array]:
        return {"score": self._score, **self._costs.arrays()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._score = arrays["score"]
        self._costs.restore(arrays)


class ZeroCost(ZeroRouter):
    """Zero + cost: global mean scores, and cost and latency predicted for each query.

    It knows nothing of quality, only that a long prompt costs more; a learned router should beat this one too.

    Example:
        >>> contexts = Contexts.of(np.zeros((4, 1)), n_arms=2)
        >>> ZeroCost(2, 1).fit(contexts, Outcomes.of(np.tile([0.6, 0.9], (4, 1)))).predict(contexts).score[0].tolist()
        [0.6000000238418579, 0.8999999761581421]
    """

    name: ClassVar[str] = "zero_cost"
    capabilities: ClassVar[Capabilities] = Capabilities(uses_load=True)
    _per_query_cost: ClassVar[bool] = True
