"""LinUCB over a sliding window: only the last outcomes count, whole, and what came before not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from env.contexts import Floats
from env.errors import BadInput
from routers.base import Array
from routers.discounted import DiscountedPosterior
from routers.linucb import LinUCB

_RING = ("recent_inputs", "recent_targets", "recent_arms", "recent_at")


class WindowPosterior(DiscountedPosterior):
    """A posterior of the last ``window`` outcomes, whatever arms they were of, and of a table given at the start.

    Cheung, Simchi-Levi, Zhu 2019 (arXiv 1810.03024) estimate from a window likewise. An outcome that leaves is taken
    off the sums at the next solve; see :class:`~routers.discounted.DiscountedPosterior`. What ``fit`` was given stays.

    Attributes:
        recent_inputs: ``(window, D)`` float32, a ring.
        recent_targets: ``(window, 3)``.
        recent_arms: ``(window,)``; -1 where there is none yet.
        recent_at: ``(1,)`` where the next outcome goes.
    """

    def __init__(self, n_arms: int, n_inputs: int, ridge: float, *, window: int, refresh: int) -> None:
        self._window = window
        super().__init__(n_arms, n_inputs, ridge, gamma=1.0, refresh=refresh)

    def update(self, x: Floats, arm: int, targets: Floats) -> None:
        """Learn one observation, input ``(D,)`` and targets ``(3,)``; the oldest of a full window leaves."""
        at = int(self.recent_at[0])
        if self.recent_arms[at] >= 0:
            self._leave(at)
        self.recent_inputs[at], self.recent_targets[at], self.recent_arms[at] = x, targets, arm
        self.recent_at[0] = (at + 1) % self._window
        super().update(x, arm, targets)

    def forget(self, arm: int) -> None:
        """Put one arm back to the prior; what the window holds of it cannot leave a second time."""
        super().forget(arm)
        self.recent_arms[self.recent_arms == arm] = -1

    def arrays(self) -> dict[str, Array]:
        """Everything learned, by name; copies."""
        return {**super().arrays(), **{name: getattr(self, name).copy() for name in _RING}}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what :meth:`arrays` gave."""
        super().restore(arrays)
        for name in _RING:
            setattr(self, name, arrays[name].copy())

    def _leave(self, at: int) -> None:
        arm, targets = int(self.recent_arms[at]), self.recent_targets[at]
        x, seen = self.recent_inputs[at].astype(np.float64), ~np.isnan(targets)
        known = np.where(seen, targets, 0)
        self.gram[arm] -= np.outer(x, x)
        self.moment[:, arm] -= known[:, None] * x
        self.missing[:, arm] -= ~seen[:, None] * x
        self.count[:, arm] -= seen
        # An arm whose outcomes have all left sums to nothing, not to what rounding left of them.
        self.total[:, arm] = np.where(self.count[:, arm] > 0, self.total[:, arm] - known, 0)

    def _clear(self, n_arms: int, n_inputs: int) -> None:
        super()._clear(n_arms, n_inputs)
        self.recent_inputs = np.zeros((self._window, n_inputs), dtype=np.float32)
        self.recent_targets = np.zeros((self._window, 3), dtype=np.float32)
        self.recent_arms = np.full(self._window, -1, dtype=np.int64)
        self.recent_at = np.zeros(1, dtype=np.int64)


class SlidingWindowLinUCB(LinUCB):
    """:class:`~routers.linucb.LinUCB` over a :class:`WindowPosterior`.

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        alpha: width of the bonus in score points where nothing is known; 0 is greedy.
        ridge: prior precision of the weights.
        window: outcomes that count, of all arms together.
        refresh: outcomes between two solves, ``O(K d^3)`` each.

    Example:
        >>> SlidingWindowLinUCB(2, 1, window=500).settings
        {'alpha': 1.0, 'ridge': 10.0, 'window': 500, 'refresh': 10}
    """

    name: ClassVar[str] = "sliding_window_linucb"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        alpha: float = 1.0,
        ridge: float = 10.0,
        window: int = 1_000,
        refresh: int = 10,
    ) -> None:
        super().__init__(n_arms, n_features, alpha=alpha, ridge=ridge)
        if window < 1 or refresh < 1:
            raise BadInput(f"router `{self.name}`: window and refresh must be 1 or more, got {window} and {refresh}")
        self.settings |= {"window": window, "refresh": refresh}
        self._posterior = WindowPosterior(n_arms, n_features + 1, ridge, window=window, refresh=refresh)
