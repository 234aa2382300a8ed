"""Round robin: every arm in its turn, whatever it costs and however well it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from env.contexts import Contexts, Floats, Ints, Outcomes
from routers.base import Array, Capabilities, Decision, Router, certain, greedy


class RoundRobin(Router):
    """The allowed arm that has been asked least often, the lowest index among equals: the load balancer's rule.

    Deciding does not take a turn, being told of the outcome does (also of one without a score, or an arm that
    never answers would keep its turn for ever). Queries decided before the first outcome is back therefore go to
    the same arm. A new arm takes all turns until it has caught up. The turn is no secret and not random:
    propensities are 1, so its log says nothing about other policies; log with ``random`` for that.

    Args:
        n_arms: ``K``.
        n_features: ``d``, not used.

    Example:
        >>> router, contexts = RoundRobin(3, 1), Contexts.of(np.zeros((1, 1)), n_arms=3)
        >>> turns = []
        >>> for _ in range(4):
        ...     turns += router.act(contexts, np.random.default_rng(0)).arms.tolist()
        ...     router.update(contexts, np.array(turns[-1:]), Outcomes.of(np.array([0.5])), np.ones(1))
        >>> turns
        [0, 1, 2, 0]
    """

    name: ClassVar[str] = "round_robin"
    capabilities: ClassVar[Capabilities] = Capabilities(offline=False, online=True, adds_arms=True, uses_features=False)

    def __init__(self, n_arms: int, n_features: int) -> None:
        super().__init__(n_arms, n_features)
        self._asked = np.zeros(n_arms, dtype=np.int64)

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """The arm whose turn it is; deterministic. Its score is minus the number of times it was asked."""
        return greedy(self._scores(contexts))

    def law(self, contexts: Contexts, *, explore: bool = True) -> NDArray[np.float64]:
        """``(n, K)`` all mass on the arm whose turn it is."""
        return certain(self._scores(contexts).argmax(axis=1), self.n_arms)

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Count the turns of the arms chosen, ``(n,)``; what came of them does not matter."""
        self._asked += np.bincount(arms, minlength=self.n_arms)

    def add_arm(self) -> None:
        """One more arm, not asked yet."""
        self.n_arms += 1
        self._asked = np.append(self._asked, 0)

    def _scores(self, contexts: Contexts) -> Floats:
        # Counted from the one asked least: float32 tells small numbers apart, however long the router has run.
        behind = self._asked.min() - self._asked
        return np.where(contexts.mask, behind, -np.inf).astype(np.float32)

    def _arrays(self) -> dict[str, Array]:
        return {"asked": self._asked.copy()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._asked = arrays["asked"].copy()
