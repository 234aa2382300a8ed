"""The reference recipe: the plain mean of six learners, a cost predictor, and the table of tasks where one is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.base import Array, Estimator
from routers.clusters import Clusters
from routers.committee import Committee, mean_of
from routers.costs import CostModel
from routers.kernel_ridge import KernelRidge
from routers.knn import KNN
from routers.logistic import LogisticRouter
from routers.per_task import BestPerTask
from routers.ridge import Ridge
from routers.task_posterior import TaskPosterior


class Recipe(Estimator):
    """Mean of ridge, logistic, kernel ridge, kNN, cluster means and task posterior, on the features ``rich``.

    What measured well before Pointsman's own :class:`~routers.auto.Auto` was made, and what that has to beat.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        task_weight: share of the task's own (shrunk) mean where the caller names a known task; 0 never looks at it.
        seed: of clusters and landmarks.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(80, 3)).astype(np.float32)
        >>> scores = np.stack([x[:, 0] > 0, x[:, 0] <= 0], axis=1)
        >>> router = Recipe(2, 3).fit(Contexts.of(x, n_arms=2), Outcomes.of(scores))
        >>> bool((router.act(Contexts.of(x, n_arms=2), rng).arms == scores.argmax(axis=1)).mean() > 0.9)
        True
    """

    name: ClassVar[str] = "recipe"
    featuriser: ClassVar[str] = "rich"

    def __init__(self, n_arms: int, n_features: int, *, task_weight: float = 0.35, seed: int = 0) -> None:
        super().__init__(n_arms, n_features, task_weight=task_weight, seed=seed)
        if not 0 <= task_weight <= 1:
            raise BadInput(f"router `{self.name}`: task_weight is {task_weight}; it is a share in [0, 1]")
        self._committee = Committee(
            {
                "ridge": Ridge(n_arms, n_features, predict_cost=False),
                "logistic": LogisticRouter(n_arms, n_features, predict_cost=False),
                "kernel_ridge": KernelRidge(n_arms, n_features, predict_cost=False, seed=seed),
                "knn": KNN(n_arms, n_features, tau=5, predict_cost=False),
                "clusters": Clusters(n_arms, n_features, clusters=24, tau=20, predict_cost=False, seed=seed),
                "task_posterior": TaskPosterior(n_arms, n_features, predict_cost=False),
            }
        )
        self._tasks = BestPerTask(n_arms, n_features, tau=10)
        self._costs = CostModel(n_arms, n_features)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Let every member learn; ``(n, K)`` outcomes, NaN allowed.

        Raises:
            MissingExtra: scikit-learn is not installed, and the rows have task labels to learn.
        """
        self._committee.fit(contexts, outcomes)
        self._tasks.fit(contexts, outcomes)
        self._costs.fit(contexts.features, outcomes)
        return self

    def predict(self, contexts: Contexts) -> Outcomes:
        """Expected score, cost and latency, each ``(n, K)``."""
        score = mean_of(self._committee.scores(contexts))
        share = self.settings["task_weight"] * self._tasks.knows(contexts)[:, None]
        score = (1 - share) * score + share * self._tasks.predict(contexts).score
        return Outcomes(np.asarray(score, dtype=np.float32), *self._costs.predict(contexts.features))

    def _arrays(self) -> dict[str, Array]:
        return {**self._committee.arrays(), **self._tasks.state().arrays, **self._costs.arrays()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._committee.restore(arrays)
        self._tasks._restore(arrays)
        self._costs.restore(arrays)
