"""A router around another one: what it passes on, how its state is nested, and what it declares."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Contexts, Ints, Outcomes
from routers import make, router_class
from routers.base import Array, Capabilities, Decision, Router, RouterState, Unsupported

_PREFIX = "router."


class Wrapper(Router):
    """Puts another question to the router inside (:meth:`asked`) and passes everything else on.

    The law of the router inside, on the question it was asked, is the law that acts: its propensities stay true.
    An instance declares what the router inside can do; the class, what its default can.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        router: name of the router inside.
        settings: its settings; none when ``None``.
        **own: settings of the wrapper itself.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(online=True, adds_arms=True, uses_load=True)

    def __init__(
        self, n_arms: int, n_features: int, *, router: str, settings: Mapping[str, Any] | None, **own: Any
    ) -> None:
        super().__init__(n_arms, n_features, router=router, settings=dict(settings or {}), **own)
        self.router = make(router, n_arms, n_features, **self.settings["settings"])
        # On the instance, where it hides what the class says: only here is it known which router is inside.
        vars(self)["capabilities"] = self._declared(self.router.capabilities)

    @classmethod
    def featuriser_for(cls, settings: Mapping[str, Any]) -> str:
        """What the router inside was made to see."""
        default = inspect.signature(cls).parameters["router"].default
        return router_class(settings.get("router", default)).featuriser_for(settings.get("settings") or {})

    def asked(self, contexts: Contexts) -> Contexts:
        """The contexts that the router inside decides on."""
        return contexts

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """What the router inside chooses, on the question it is asked."""
        return self.router.act(self.asked(contexts), rng, explore=explore)

    def law(self, contexts: Contexts, *, explore: bool = True) -> NDArray[np.float64]:
        """``(n, K)`` the law of the router inside, on the question it is asked."""
        return self.router.law(self.asked(contexts), explore=explore)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Let the router inside learn a table ``(n, K)``."""
        if not self.capabilities.offline:
            raise Unsupported(self, "fit")
        self.router.fit(contexts, outcomes)
        return self

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Let the router inside learn the outcomes ``(n,)`` of chosen arms."""
        if not self.capabilities.online:
            raise Unsupported(self, "update")
        self.router.update(contexts, arms, outcomes, propensities)

    def add_arm(self) -> None:
        """One more arm, for the router inside too."""
        if not self.capabilities.adds_arms:
            raise Unsupported(self, "add_arm")
        self.router.add_arm()
        self.n_arms += 1

    def _declared(self, inside: Capabilities) -> Capabilities:
        """What the whole can do, where the router inside can do so much."""
        return inside

    def _arrays(self) -> dict[str, Array]:
        return {_PREFIX + name: array for name, array in self.router.state().arrays.items()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        inside = {name.removeprefix(_PREFIX): array for name, array in arrays.items() if name.startswith(_PREFIX)}
        self.router = self.router.from_state(RouterState(self.router.state().config, inside))


def innermost(router: Router) -> Router:
    """The router that all wrappers around it ask in the end; a router that is not wrapped is itself.

    Example:
        >>> inside = {"router": "max_cost", "settings": {"router": "ridge"}}
        >>> innermost(make("budget", 2, 1, **inside)).name
        'ridge'
    """
    while isinstance(router, Wrapper):
        router = router.router
    return router
