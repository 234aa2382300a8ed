"""A maximum cost of each request, around any router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from env.contexts import Contexts, Ints, Outcomes
from env.errors import BadInput
from routers.base import Array, Capabilities
from routers.expected_cost import ExpectedCost, affordable
from routers.wrapper import Wrapper


class MaxCost(Wrapper):
    """Masks the arms that are expected to cost more on a request than a maximum; never the cheapest one.

    What is expected is what the router inside predicts, put right by bills (:class:`ExpectedCost`). A single bill may
    be higher. The runtime does the same for calls with the header ``x-pointsman-max-cost-usd``, but refuses where not
    even the cheapest arm is cheap enough.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        max_cost_usd: dollars, 0 or more (0 for always the cheapest); ``None`` for no maximum.
        router: name of the router inside.
        settings: its settings.

    Raises:
        BadInput: a negative maximum, or what the router inside refuses.

    Example:
        >>> contexts = Contexts.of(np.zeros((2, 1)), n_arms=2)
        >>> outcomes = Outcomes.of(np.tile([0.6, 0.9], (2, 1)), np.tile([0.001, 0.01], (2, 1)))
        >>> router = MaxCost(2, 1, max_cost_usd=0.005, router="zero").fit(contexts, outcomes)
        >>> router.act(contexts, np.random.default_rng(0)).arms.tolist()
        [0, 0]
    """

    name: ClassVar[str] = "max_cost"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        max_cost_usd: float | None = None,
        router: str = "linucb",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(n_arms, n_features, router=router, settings=settings, max_cost_usd=max_cost_usd)
        if max_cost_usd is not None and not max_cost_usd >= 0:
            raise BadInput(f"router `{self.name}`: max_cost_usd is {max_cost_usd}; it must be 0 or more, or null")
        self.max_cost_usd = max_cost_usd
        self._costs = ExpectedCost(n_arms)

    def asked(self, contexts: Contexts) -> Contexts:
        """The contexts with the arms that are cheap enough."""
        if self.max_cost_usd is None:
            return contexts
        costs = self._costs(self.router, contexts)
        return replace(contexts, mask=affordable(costs, contexts.mask, self.max_cost_usd))

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Learn a table, and what its calls cost."""
        super().fit(contexts, outcomes)
        self._costs.fit(outcomes)
        return self

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Learn from the bills ``(n,)``, then let the router inside learn."""
        predicted = self._costs.predict(self.router, contexts)
        for row in np.flatnonzero(~np.isnan(outcomes.cost_usd)):
            arm = int(arms[row])
            self._costs.learn(arm, float(predicted[row, arm]), float(outcomes.cost_usd[row]))
        if self.router.capabilities.online:
            self.router.update(contexts, arms, outcomes, propensities)

    def add_arm(self) -> None:
        """One more arm; until it was tried it counts as dear as the dearest known one."""
        super().add_arm()
        self._costs.add_arm()

    def _declared(self, inside: Capabilities) -> Capabilities:
        # It learns from every bill, even where the router inside learns nothing any more.
        return replace(inside, online=True)

    def _arrays(self) -> dict[str, Array]:
        return {**super()._arrays(), **self._costs.arrays()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        super()._restore(arrays)
        self._costs.restore(arrays)
