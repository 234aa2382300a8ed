"""Routers that learn nothing: the random and the fixed choice, which every comparison starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from env.contexts import Contexts, Floats
from env.errors import BadInput
from routers.base import Array, Capabilities, Decision, Router, certain, greedy, sample, uniform


class RandomRouter(Router):
    """Every allowed arm with the same probability, whatever ``explore`` says: chance is what it stands for.

    Example:
        >>> contexts = Contexts.of(np.zeros((1, 2)), n_arms=4, mask=np.array([True, True, False, False]))
        >>> RandomRouter(4, 2).act(contexts, np.random.default_rng(0)).propensities
        array([0.5])
    """

    name: ClassVar[str] = "random"
    capabilities: ClassVar[Capabilities] = Capabilities(offline=False, adds_arms=True, uses_features=False)

    def __init__(self, n_arms: int, n_features: int) -> None:
        super().__init__(n_arms, n_features)

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """One uniform draw a row."""
        scores = np.where(contexts.mask, 0, -np.inf).astype(np.float32)
        return sample(self.law(contexts), scores, rng)

    def law(self, contexts: Contexts, *, explore: bool = True) -> NDArray[np.float64]:
        """``(n, K)`` one over the number of allowed arms."""
        return uniform(contexts.mask)

    def add_arm(self) -> None:
        """One more arm to draw from."""
        self.n_arms += 1

    def _arrays(self) -> dict[str, Array]:
        return {}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        pass


class FixedRouter(Router):
    """Always the same arm; where it is masked, the allowed arm of the lowest index.

    Args:
        n_arms: ``K``.
        n_features: ``d``, not used.
        arm: index of the arm.

    Raises:
        BadInput: there is no such arm.

    Example:
        >>> contexts = Contexts.of(np.zeros((2, 1)), n_arms=3, mask=np.array([[True] * 3, [True, True, False]]))
        >>> FixedRouter(3, 1, arm=2).act(contexts, np.random.default_rng(0)).arms
        array([2, 0])
    """

    name: ClassVar[str] = "fixed"
    capabilities: ClassVar[Capabilities] = Capabilities(offline=False, adds_arms=True, uses_features=False)

    def __init__(self, n_arms: int, n_features: int, *, arm: int = 0) -> None:
        super().__init__(n_arms, n_features, arm=arm)
        if not 0 <= arm < n_arms:
            raise BadInput(f"router `fixed`: arm {arm} does not exist; arms are 0 to {n_arms - 1}")
        self.arm = arm

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """The fixed arm; deterministic."""
        return greedy(self._scores(contexts))

    def law(self, contexts: Contexts, *, explore: bool = True) -> NDArray[np.float64]:
        """``(n, K)`` all mass on the arm chosen."""
        return certain(self._scores(contexts).argmax(axis=1), self.n_arms)

    def _scores(self, contexts: Contexts) -> Floats:
        return np.where(contexts.mask, np.arange(self.n_arms) == self.arm, -np.inf).astype(np.float32)

    def add_arm(self) -> None:
        """One more arm that is not chosen."""
        self.n_arms += 1

    def _arrays(self) -> dict[str, Array]:
        return {}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        pass
