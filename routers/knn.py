"""k nearest neighbours: what did the arms score on the most similar prompts seen before?

Simple and strong: it matches or beats many learned routers (arXiv 2505.12601).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from env.contexts import Contexts, Floats, Outcomes
from env.errors import BadInput
from env.features import unit_rows
from routers.base import Array, Estimator
from routers.costs import CostModel, column_means
from routers.least_squares import advantage_errors, plainest

# Numbers of neighbours tried when none is given, and how many rows judge them.
_CANDIDATES = (5, 10, 20, 40, 80, 160, 320)
_JUDGES = 2_000

# Similarities closer than this are the same: float32 dot products differ in the last bits with the size of the
# batch, and which of two equal prompts is a neighbour must not hang on that.
_SAME = np.float32(2e-6)

_CHUNK = 16_000_000  # similarities held at once (64 MB)


class KNN(Estimator):
    """Mean score of the ``k`` training prompts of highest cosine similarity, shrunk to the global mean.

    Prompts tied at the edge of the neighbourhood share the places left. Arms not observed on a neighbour are
    left out of that arm's mean.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        k: neighbours; None chooses by leave-one-out on the training rows.
        tau: neighbours that the global mean is worth, 0 or more.
        predict_cost: predict cost and latency of each query; False for each arm's mean.

    Example:
        >>> contexts = Contexts.of(np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]), n_arms=2)
        >>> outcomes = Outcomes.of(np.array([[1, 0], [1, 0], [0, 1], [0, 1]]))
        >>> router = KNN(2, 2, k=2).fit(contexts, outcomes)
        >>> router.act(contexts, np.random.default_rng(0)).arms.tolist()
        [0, 0, 1, 1]
    """

    name: ClassVar[str] = "knn"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        k: int | None = None,
        tau: float = 20.0,
        predict_cost: bool = True,
    ) -> None:
        super().__init__(n_arms, n_features, k=k, tau=tau, predict_cost=predict_cost)
        if k is not None and k < 1:
            raise BadInput(f"router `{self.name}`: k is {k}; it must be 1 or more, or null")
        if not tau >= 0:
            raise BadInput(f"router `{self.name}`: tau is {tau}; it must be 0 or more")
        self.k = k
        self.tau = np.float32(tau)
        self._neighbours = k or 1
        self._rows = np.zeros((0, n_features), dtype=np.float32)
        self._remember(np.zeros((0, n_arms), dtype=np.float32))
        self._mean = np.full(n_arms, np.nan, dtype=np.float32)
        self._costs = CostModel(n_arms, n_features, per_query=predict_cost)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Remember the rows on which anything was scored."""
        scored = ~np.isnan(outcomes.score).all(axis=1)
        self._rows = unit_rows(contexts.features[scored])
        self._remember(outcomes.score[scored])
        self._mean = column_means(self._score)
        self._neighbours = self._chosen_k() if self.k is None else self.k
        self._costs.fit(contexts.features, outcomes)
        return self

    @property
    def settled(self) -> dict[str, Any]:
        """The settings with the number of neighbours that was chosen."""
        return {**self.settings, "k": self._neighbours}

    def predict(self, contexts: Contexts) -> Outcomes:
        """Expected score, cost and latency, each ``(n, K)``."""
        asked = unit_rows(contexts.features)
        score = np.empty((len(asked), self.n_arms), dtype=np.float32)
        for part in _chunks(len(asked), len(self._rows)):
            similarity = asked[part] @ self._rows.T
            score[part] = self._mean_score(similarity, self._neighbours)
        return Outcomes(score, *self._costs.predict(contexts.features))

    def _remember(self, score: Floats) -> None:
        """Keep scores ``(rows, K)``, and what a weighted mean with gaps needs of them."""
        seen = ~np.isnan(score)
        self._score, self._filled, self._seen = score, np.where(seen, score, 0), seen.astype(np.float32)

    def _mean_score(self, similarity: Floats, k: int) -> Floats:
        """``(n, K)`` from similarities ``(n, rows)``."""
        weights = _neighbour_weights(similarity, k)
        total, count = weights @ self._filled, weights @ self._seen
        # With tau = 0 an arm without an observed neighbour would be 0 / 0; the global mean stands in.
        weight = np.maximum(count + self.tau, 1e-6)
        return np.asarray((total + (weight - count) * self._mean) / weight, dtype=np.float32)

    def _chosen_k(self) -> int:
        """The plainest (largest) candidate by leave-one-out advantage errors; at most ``_JUDGES`` rows judge."""
        n = len(self._rows)
        candidates = [k for k in _CANDIDATES if k < n]
        if not candidates:
            return 1
        judges = np.unique(np.linspace(0, n - 1, min(n, _JUDGES)).astype(np.int64))
        residuals = {k: np.full((len(judges), self.n_arms), np.nan, dtype=np.float32) for k in candidates}
        for part in _chunks(len(judges), n):
            own = judges[part]
            similarity = self._rows[own] @ self._rows.T
            similarity[np.arange(len(own)), own] = -np.inf
            for k in candidates:
                residuals[k][part] = self._score[own] - self._mean_score(similarity, k)
        return candidates[plainest([advantage_errors(residuals[k]) for k in candidates])]

    def _arrays(self) -> dict[str, Array]:
        return {
            "neighbours": np.array([self._neighbours], dtype=np.int64),
            "rows": self._rows,
            "score": self._score,
            "mean": self._mean,
            **self._costs.arrays(),
        }

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._neighbours = int(arrays["neighbours"][0])
        self._rows, self._mean = arrays["rows"], arrays["mean"]
        self._remember(arrays["score"])
        self._costs.restore(arrays)


def _neighbour_weights(similarity: Floats, k: int) -> Floats:
    """``(n, rows)`` weight of each training row: 1 inside, a share of the places left on the edge, 0 outside.

    Example:
        >>> _neighbour_weights(np.array([[0.9, 0.5, 0.5, 0.1]], dtype=np.float32), k=2).tolist()
        [[1.0, 0.5, 0.5, 0.0]]
    """
    rows = similarity.shape[1]
    if k >= rows:
        return np.ones_like(similarity)
    edge = np.partition(similarity, rows - k, axis=1)[:, rows - k, None]
    inside = similarity > edge + _SAME
    tied = (similarity >= edge - _SAME) & ~inside
    share = (k - inside.sum(axis=1, keepdims=True)) / tied.sum(axis=1, keepdims=True)
    return np.asarray(inside + tied * share, dtype=np.float32)


def _chunks(n: int, width: int) -> Iterator[slice]:
    size = max(1, _CHUNK // max(width, 1))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
