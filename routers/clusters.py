"""Clusters of similar prompts, and in each the arms' mean scores: the whole router is a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from env.contexts import Contexts, Floats, Outcomes
from env.errors import BadInput
from env.features import unit_rows
from routers.base import Array, Estimator
from routers.costs import CostModel, column_means
from routers.kmeans import fit_centres, nearest_centre
from routers.least_squares import advantage_errors, plainest

# Numbers of clusters tried when none is given, the plainest last.
_CANDIDATES = (128, 64, 32, 16, 8, 4)


class Clusters(Estimator):
    """The mean score of each arm in the query's k-means cluster, shrunk to its mean everywhere.

    What Avengers does (arXiv 2505.19797): embed, cluster, and give each cluster to the arms that did best on its
    training prompts; here with costs beside the scores, and with means that few prompts cannot carry away.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        clusters: how many at most; None chooses by leave-one-out on the training rows.
        tau: prompts that the global mean is worth in each cluster, 0 or more.
        predict_cost: predict cost and latency of each query; False for each arm's mean.
        seed: of the clustering.

    Example:
        >>> contexts = Contexts.of(np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]), n_arms=2)
        >>> outcomes = Outcomes.of(np.array([[1, 0], [1, 0], [0, 1], [0, 1]]))
        >>> router = Clusters(2, 2, clusters=2, tau=1).fit(contexts, outcomes)
        >>> router.act(contexts, np.random.default_rng(0)).arms.tolist()
        [0, 0, 1, 1]
        >>> router.predict(contexts).score[0].round(2).tolist()  # (2 * 1 + 1 * 0.5) / 3, (2 * 0 + 1 * 0.5) / 3
        [0.8299999833106995, 0.17000000178813934]
    """

    name: ClassVar[str] = "clusters"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        clusters: int | None = None,
        tau: float = 10.0,
        predict_cost: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(n_arms, n_features, clusters=clusters, tau=tau, predict_cost=predict_cost, seed=seed)
        if clusters is not None and clusters < 1:
            raise BadInput(f"router `{self.name}`: clusters is {clusters}; it must be 1 or more, or null")
        if not tau >= 0:
            raise BadInput(f"router `{self.name}`: tau is {tau}; it must be 0 or more")
        self.clusters, self.tau, self.seed = clusters, tau, seed
        self._centres = np.zeros((1, n_features), dtype=np.float32)
        self._means = np.full((1, n_arms), np.nan, dtype=np.float32)
        self._costs = CostModel(n_arms, n_features, per_query=predict_cost)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Cluster the rows on which anything was scored, and take means; ``(n, K)`` outcomes, NaN allowed."""
        scored = ~np.isnan(outcomes.score).all(axis=1)
        x, y = unit_rows(contexts.features[scored]), outcomes.score[scored]
        self._centres = np.zeros((1, self.n_features), dtype=np.float32)
        self._means = np.full((1, self.n_arms), np.nan, dtype=np.float32)
        if len(x):
            tried = [self.clusters] if self.clusters is not None else [k for k in _CANDIDATES if 2 * k <= len(x)] or [1]
            fitted = [ClusterMeans(fit_centres(x, k, self.seed), x, y, self.tau) for k in tried]
            best = fitted[plainest([advantage_errors(means.left_out()) for means in fitted])]
            self._centres, self._means = best.centres, best.means()
        self._costs.fit(contexts.features, outcomes)
        return self

    def predict(self, contexts: Contexts) -> Outcomes:
        """Expected score, cost and latency, each ``(n, K)``."""
        score = self._means[nearest_centre(unit_rows(contexts.features), self._centres)]
        return Outcomes(score, *self._costs.predict(contexts.features))

    def _arrays(self) -> dict[str, Array]:
        return {"centres": self._centres, "means": self._means, **self._costs.arrays()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._centres, self._means = arrays["centres"], arrays["means"]
        self._costs.restore(arrays)


class ClusterMeans:
    """Scores ``(n, K)`` summed by the nearest of the centres ``(c, d)``."""

    def __init__(self, centres: Floats, x: Floats, y: Floats, tau: float) -> None:
        self.centres, self.tau, self.y = centres, tau, y
        self.member = nearest_centre(x, centres)
        belongs = (self.member == np.arange(len(centres))[:, None]).astype(np.float64)
        self.total, self.count = belongs @ np.nan_to_num(y), belongs @ ~np.isnan(y)
        self.everywhere = column_means(y)

    def means(self) -> Floats:
        """``(c, K)``; NaN for an arm that was never scored."""
        return self._shrunk(self.total, self.count)

    def left_out(self) -> Floats:
        """``(n, K)`` residual of each row under the means of all others, the clusters as they are."""
        own = ~np.isnan(self.y)
        others = self._shrunk(self.total[self.member] - np.nan_to_num(self.y), self.count[self.member] - own)
        return np.asarray(self.y - others, dtype=np.float32)

    def _shrunk(self, total: Array, count: Array) -> Floats:
        # With tau = 0 a cluster without a score would be 0 / 0; the mean everywhere stands in.
        weight = np.maximum(count + self.tau, 1e-6)
        return np.asarray((total + (weight - count) * self.everywhere) / weight, dtype=np.float32)
