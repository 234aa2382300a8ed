"""Neural-linear Thompson sampling: a small network learns what to look at, Bayesian regression on top explores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np

from env.contexts import Contexts, Floats, Ints, Outcomes
from env.errors import BadInput
from routers.base import Array, Decision, certain, greedy, utility
from routers.least_squares import Doubles
from routers.thompson import LinearThompson

_BATCH = 64
_RATE, _MOMENTUM, _SCALE, _DECAY = 3e-3, 0.9, 0.999, 1e-4


class NeuralLinear(LinearThompson):
    """Linear Thompson sampling on the last hidden layer of a network (Riquelme, Tucker, Snoek 2018, arXiv 1802.09127).

    ``fit`` trains one hidden layer on the scores of all arms, squared error over the cells observed, and then the
    Bayesian regression of every arm on its activations. ``update`` teaches the regressions alone: the layer stays as
    it was trained, and before any training it is a fixed random one. Deciding needs numpy only.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        hidden: units of the layer.
        v: standard deviation of a score around its expectation, as the draws believe it; 0 is greedy.
        ridge: prior precision of the weights on the activations.
        epochs: passes over the table in ``fit``.
        seed: of the first weights and the order of the rows.

    Example:
        >>> router = NeuralLinear(2, 3, hidden=8)
        >>> router.act(Contexts.of(np.zeros((1, 3)), 2), np.random.default_rng(0)).arms.shape
        (1,)
    """

    name: ClassVar[str] = "neural_linear"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        hidden: int = 32,
        v: float = 0.5,
        ridge: float = 10.0,
        epochs: int = 30,
        seed: int = 0,
    ) -> None:
        if hidden < 1 or epochs < 1:
            raise BadInput(f"router `{self.name}`: hidden and epochs must be 1 or more, got {hidden} and {epochs}")
        super().__init__(n_arms, hidden, v=v, ridge=ridge)
        self.n_features = n_features
        self.settings |= {"hidden": hidden, "epochs": epochs, "seed": seed}
        weights = np.random.default_rng(seed).normal(0, 1, (n_features, hidden))
        self._weights = np.asarray(weights / np.sqrt(max(n_features, 1)), dtype=np.float32)
        self._offset = np.zeros(hidden, dtype=np.float32)

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """As linear Thompson sampling, on the activations."""
        if not explore:
            return greedy(utility(self.predict(contexts), contexts))
        return super().act(self._seen(contexts), rng)

    def law(self, contexts: Contexts, *, explore: bool = True) -> Doubles:
        """``(n, K)`` probability of each arm; error at most 1e-3."""
        if not explore or self.v == 0:
            return certain(self.act(contexts, np.random.default_rng(0), explore=False).arms, self.n_arms)
        return super().law(self._seen(contexts))

    def predict(self, contexts: Contexts) -> Outcomes:
        """Posterior means of score, cost and latency, each ``(n, K)``."""
        return super().predict(self._seen(contexts))

    def replay(
        self, contexts: Contexts, outcomes: Outcomes, rng: np.random.Generator, *, propensities: bool = True
    ) -> Decision:
        """As :meth:`Router.replay`; the layer is computed once."""
        return super().replay(self._seen(contexts), outcomes, rng, propensities=propensities)

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Learn the outcomes ``(n,)`` of the arms chosen in the regressions; the layer stays."""
        super().update(self._seen(contexts), arms, outcomes, propensities)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Train the layer, then the regressions, on a table ``(n, K)``, NaN where not observed."""
        scored = ~np.isnan(outcomes.score).all(axis=1)
        if scored.any():
            self._weights, self._offset = self._trained(contexts.features[scored], outcomes.score[scored])
        return super().fit(self._seen(contexts), outcomes)

    def _trained(self, features: Floats, scores: Floats) -> tuple[Floats, Floats]:
        """The hidden layer of a network that was fitted to the scores: Adam (arXiv 1412.6980), rows in batches."""
        rng = np.random.default_rng(self.settings["seed"])
        seen = ~np.isnan(scores)
        targets = np.where(seen, scores - np.nanmean(scores), 0).astype(np.float64)
        width = len(self._offset)
        layers: list[Doubles] = [
            rng.normal(0, np.sqrt(2 / max(features.shape[1], 1)), (features.shape[1], width)),
            np.zeros(width),
            np.zeros((width, self.n_arms)),
            np.zeros(self.n_arms),
        ]
        first, second = ([np.zeros_like(layer) for layer in layers] for _ in range(2))
        step = 0
        for _ in range(self.settings["epochs"]):
            order = rng.permutation(len(features))
            for start in range(0, len(order), _BATCH):
                rows, step = order[start : start + _BATCH], step + 1
                x = features[rows].astype(np.float64)
                hidden = np.maximum(x @ layers[0] + layers[1], 0)
                error = np.where(seen[rows], hidden @ layers[2] + layers[3] - targets[rows], 0) / len(rows)
                back = (error @ layers[2].T) * (hidden > 0)
                gradients = (x.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0))
                for layer, gradient, m, v in zip(layers, gradients, first, second, strict=True):
                    m += (1 - _MOMENTUM) * (gradient + _DECAY * layer - m)
                    v += (1 - _SCALE) * (np.square(gradient) - v)
                    scale = np.sqrt(v / (1 - _SCALE**step)) + 1e-8
                    layer -= _RATE * m / (1 - _MOMENTUM**step) / scale
        return layers[0].astype(np.float32), layers[1].astype(np.float32)

    def _seen(self, contexts: Contexts) -> Contexts:
        return replace(contexts, features=self._activations(contexts.features))

    def _activations(self, features: Floats) -> Floats:
        # Of about unit length, as the prior precision expects of features.
        active = np.maximum(features @ self._weights + self._offset, 0)
        return np.asarray(active * np.float32(np.sqrt(2 / len(self._offset))), dtype=np.float32)

    def _arrays(self) -> dict[str, Array]:
        return {**super()._arrays(), "layer_weights": self._weights, "layer_offset": self._offset}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        super()._restore(arrays)
        self._weights, self._offset = arrays["layer_weights"], arrays["layer_offset"]
