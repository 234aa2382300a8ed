"""Routers where Stable-Baselines3 expects a policy: anything with SB3's ``predict`` works in ``evaluate_policy``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Contexts, Floats, Ints
from env.observation import ObservationLayout
from routers.base import Router


class SB3Adapter:
    """A router that reads observations of ``pointsman/Routing-v0`` and answers as SB3's policies do.

    Args:
        router: any router.
        layout: how the observations are made up: ``env.table.layout``.
        cost_weight: score points per dollar, where the observation does not hold them.
        latency_weight: score points per second.
        seed: of the router's own randomness.

    Example:
        >>> from routers import make
        >>> fixed = SB3Adapter(make("fixed", n_arms=3, n_features=2, arm=1), ObservationLayout(n_features=2))
        >>> fixed.predict(np.zeros((4, 2), dtype=np.float32))
        (array([1, 1, 1, 1]), None)
    """

    def __init__(
        self,
        router: Router,
        layout: ObservationLayout,
        *,
        cost_weight: float = 0.0,
        latency_weight: float = 0.0,
        seed: int = 0,
    ) -> None:
        if layout.n_features != router.n_features:
            raise ValueError(
                f"the router takes {router.n_features} features, the observations have {layout.n_features}"
            )
        self.router = router
        self.layout = layout
        self.cost_weight = cost_weight
        self.latency_weight = latency_weight
        self._rng = np.random.default_rng(seed)

    def predict(
        self,
        observation: Floats | dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
        action_masks: Bools | None = None,
    ) -> tuple[Ints, tuple[NDArray[Any], ...] | None]:
        """Arms for observations.

        Args:
            observation: ``(n, width)``, or ``(width,)`` for one.
            state: returned as it came: a routing bandit has none.
            episode_start: not needed: every step starts an episode.
            deterministic: True for the router's greedy decision.
            action_masks: ``(n, K)`` True where an arm may be chosen, as sb3-contrib passes them.

        Returns:
            Arms ``(n,)``, or one arm for one observation; and ``state``.
        """
        if isinstance(observation, dict):
            raise ValueError("observations of pointsman/Routing-v0 are arrays, not dictionaries")
        single = observation.ndim == 1
        features, weights = self.layout.decode(observation[None] if single else observation)
        contexts = Contexts.of(
            features,
            self.router.n_arms,
            cost_weight=self.cost_weight if weights is None else weights,
            latency_weight=self.latency_weight,
            mask=None if action_masks is None else np.reshape(action_masks, (-1, self.router.n_arms)),
        )
        arms = self.router.act(contexts, self._rng, explore=not deterministic).arms
        return (arms[0] if single else arms), state
