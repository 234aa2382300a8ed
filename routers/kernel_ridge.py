"""Kernel ridge regression on landmarks: what ridge does, on similarities to recorded prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from env.contexts import Contexts, Floats, Outcomes
from env.errors import BadInput
from routers.base import Array, Estimator
from routers.costs import CostModel
from routers.kmeans import squared_distances
from routers.least_squares import Linear, fit_linear

# Eigenvalues of the landmarks' kernel below this share of the largest are rounding, and would be blown up.
_NOTHING = 1e-7


class KernelRidge(Estimator):
    """Ridge regression with a Gaussian kernel, approximated on landmarks (Nystrom method: Williams, Seeger 2001).

    ``k(x, l) = exp(-|x - l|^2 / s)`` with ``s`` the median squared distance of training prompts to landmarks; the
    features are ``k(x, L) U S^(-1/2)`` for the landmarks' kernel ``U S U'``, so that their inner products approximate
    the kernel. It bends where :class:`~routers.ridge.Ridge` is straight.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        landmarks: training prompts drawn as such, at most.
        alpha: penalty on the weights; None chooses it by leave-one-out on the training rows.
        predict_cost: predict cost and latency of each query; False for each arm's mean.
        seed: of the draw.

    Example:
        >>> x = np.linspace(-1, 1, 200, dtype=np.float32)[:, None]
        >>> contexts = Contexts.of(x, n_arms=2)
        >>> scores = np.hstack([np.abs(x), 1 - np.abs(x)])  # no straight line tells them apart
        >>> router = KernelRidge(2, 1).fit(contexts, Outcomes.of(scores))
        >>> bool((router.act(contexts, np.random.default_rng(0)).arms == scores.argmax(axis=1)).mean() > 0.95)
        True
    """

    name: ClassVar[str] = "kernel_ridge"
    featuriser: ClassVar[str] = "compact"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        landmarks: int = 700,
        alpha: float | None = None,
        predict_cost: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(n_arms, n_features, landmarks=landmarks, alpha=alpha, predict_cost=predict_cost, seed=seed)
        if landmarks < 1:
            raise BadInput(f"router `{self.name}`: landmarks is {landmarks}; it must be 1 or more")
        self._landmarks = np.zeros((0, n_features), dtype=np.float32)
        self._whitening = np.zeros((0, 0))
        self._width = 1.0
        self._score = Linear.unknown(0, n_arms)
        self._costs = CostModel(n_arms, n_features, per_query=predict_cost)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Draw landmarks, then solve for every arm on the rows where it was observed; ``(n, K)``, NaN allowed."""
        scored = np.flatnonzero(~np.isnan(outcomes.score).all(axis=1))
        rows = contexts.features[scored]
        drawn = np.random.default_rng(self.settings["seed"]).permutation(len(rows))[: self.settings["landmarks"]]
        self._landmarks = rows[np.sort(drawn)]
        if len(rows):
            self._width = max(float(np.median(squared_distances(rows[drawn], self._landmarks))), 1e-12)
            strength, basis = np.linalg.eigh(self._kernel(self._landmarks))
            kept = strength > _NOTHING * strength[-1]
            self._whitening = basis[:, kept] / np.sqrt(strength[kept])
        self._score = fit_linear(self._seen(rows), outcomes.score[scored], self.settings["alpha"])
        self._costs.fit(contexts.features, outcomes)
        return self

    @property
    def settled(self) -> dict[str, Any]:
        """The settings with the penalty that was chosen."""
        return {**self.settings, "alpha": self._score.alpha}

    def predict(self, contexts: Contexts) -> Outcomes:
        """Expected score (in [0, 1]), cost and latency, each ``(n, K)``."""
        score = np.clip(self._score(self._seen(contexts.features)), 0, 1)
        return Outcomes(score, *self._costs.predict(contexts.features))

    def _kernel(self, rows: Floats) -> Array:
        return np.asarray(np.exp(squared_distances(rows, self._landmarks) / -self._width))

    def _seen(self, rows: Floats) -> Floats:
        """Features ``(n, m)`` whose inner products are about the kernel."""
        return np.asarray(self._kernel(rows) @ self._whitening, dtype=np.float32)

    def _arrays(self) -> dict[str, Array]:
        return {
            "landmarks": self._landmarks,
            "whitening": self._whitening,
            "width": np.array([self._width]),
            "score_weights": self._score.weights,
            "score_intercept": self._score.intercept,
            **self._costs.arrays(),
        }

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._landmarks, self._whitening = arrays["landmarks"], arrays["whitening"]
        self._width = float(arrays["width"][0])
        self._score = Linear(arrays["score_weights"], arrays["score_intercept"], float("nan"))
        self._costs.restore(arrays)
