"""Direct: one call to the arm that a router chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from env.contexts import Bools, Contexts, Ints
from routers import make, router_class
from routers.attempts import Attempts
from routers.base import Array, RouterState
from routers.plan import Opening, Plan


class Direct(Plan):
    """The plan that every router is by itself: one call. Another is made only where a call failed.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        router: name of the router that chooses; ``fixed`` for always the same arm.
        settings: of that router.

    Example:
        >>> plan = Direct(3, 1, router="fixed", settings={"arm": 2})
        >>> contexts = Contexts.of(np.zeros((1, 1)), n_arms=3)
        >>> plan.first(contexts, np.random.default_rng(0)).calls.tolist()
        [[False, False, True]]
    """

    name: ClassVar[str] = "direct"

    def __init__(
        self, n_arms: int, n_features: int, *, router: str = "fixed", settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(n_arms, n_features, router=router, settings=dict(settings or {}))
        self.router = make(router, n_arms, n_features, **self.settings["settings"])

    def first(self, contexts: Contexts, rng: np.random.Generator) -> Opening:
        """The arm the router chooses, with its propensity."""
        decision = self.router.act(contexts, rng)
        return Opening(np.arange(self.n_arms) == decision.arms[:, None], decision.propensities)

    def next(self, contexts: Contexts, attempts: Attempts) -> Bools:
        """Nothing, once there is an answer; until then the best arm, in the router's eyes, that was not asked."""
        if attempts.answered.any(axis=1).all():
            return np.zeros(contexts.mask.shape, dtype=bool)
        scores = self.router.act(contexts, np.random.default_rng(0), explore=False).scores
        return fallback(scores, contexts, attempts)

    @property
    def learns_from_table(self) -> bool:
        """Where its router does."""
        return self.router.capabilities.offline

    def answer(self, contexts: Contexts, attempts: Attempts) -> Ints:
        """The arm that answered."""
        return np.asarray(np.argmax(attempts.answered, axis=1), dtype=np.int64)

    def fit(self, contexts: Contexts, recorded: Attempts) -> Self:
        """Let the router learn the recorded outcomes."""
        self.router.fit(contexts, recorded.outcomes)
        return self

    def _arrays(self) -> dict[str, Array]:
        return self.router.state().arrays

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        state = RouterState(self.router.state().config, dict(arrays))
        self.router = router_class(self.router.name).from_state(state)


def fallback(worth: Array, contexts: Contexts, attempts: Attempts) -> Bools:
    """``(n, K)`` where nothing has answered, the arm of the highest worth ``(n, K)`` still unasked; else nothing."""
    left = contexts.mask & ~attempts.asked
    best = np.argmax(np.where(left, worth, -np.inf), axis=1, keepdims=True)
    needed = left.any(axis=1, keepdims=True) & ~attempts.answered.any(axis=1, keepdims=True)
    return np.asarray((np.arange(contexts.n_arms) == best) & needed, dtype=bool)
