"""What an agent sees of a query, as one float32 row, and how the price of money enters it.

The environments encode with an :class:`ObservationLayout`; a trained network that is served encodes with the same
one, so that both see the same numbers for the same query.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from env.contexts import Floats

# A drawn cost weight is spread evenly over its logarithm, from this share of the top down to (smoothly) zero: what
# a dollar is worth matters by its order of magnitude.
_DECADES_SHARE = 1e-3
_STEEPNESS = float(-np.log(_DECADES_SHARE))


@dataclass(frozen=True, slots=True)
class ObservationLayout:
    """An observation is the features, and after them the cost weight where the agent sees it.

    The cost weight ``w`` is normalised to ``[-1, 1]``: -1 is ``w = 0`` (only quality matters), 1 is
    ``w = max_cost_weight``; between them it is logarithmic. Larger weights are clipped to 1.

    Attributes:
        n_features: number of features ``d``.
        max_cost_weight: the largest cost weight, in score points per dollar, that an agent is trained for;
            ``None`` where the cost weight is fixed and so not part of the observation.

    Example:
        >>> layout = ObservationLayout(n_features=2, max_cost_weight=100.0)
        >>> rows = layout.encode(np.zeros((2, 2), dtype=np.float32), np.array([0.0, 100.0]))
        >>> rows.tolist()
        [[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]
    """

    n_features: int
    max_cost_weight: float | None = None

    def __post_init__(self) -> None:
        if self.max_cost_weight is not None and not 0 < self.max_cost_weight < np.inf:
            raise ValueError(f"max_cost_weight is finite and above 0, got {self.max_cost_weight}")

    @property
    def width(self) -> int:
        """Numbers in one observation."""
        return self.n_features + (self.max_cost_weight is not None)

    def encode(self, features: Floats, cost_weight: NDArray[np.floating] | float = 0.0) -> Floats:
        """Observations ``(n, width)`` of features ``(n, d)`` at cost weights ``(n,)`` or one for all.

        A cost weight that the agent does not see is left out.
        """
        rows = np.zeros((len(features), self.width), dtype=np.float32)
        rows[:, : self.n_features] = features
        if self.max_cost_weight is not None:
            rows[:, -1] = self.normalise(np.asarray(cost_weight))
        return rows

    def decode(self, observations: Floats) -> tuple[Floats, NDArray[np.float64] | None]:
        """Features ``(n, d)`` and cost weights ``(n,)`` of observations ``(n, width)``; ``None`` if not seen."""
        if observations.ndim != 2 or observations.shape[1] != self.width:
            raise ValueError(f"observations must be (n, {self.width}), got {observations.shape}")
        if self.max_cost_weight is None:
            return observations, None
        return observations[:, :-1], self.cost_weight(observations[:, -1])

    def normalise(self, cost_weight: NDArray[np.floating]) -> Floats:
        """Cost weights to ``[-1, 1]``."""
        if self.max_cost_weight is None:
            raise ValueError("the cost weight is not part of this observation")
        share = np.clip(np.asarray(cost_weight, dtype=np.float64) / self.max_cost_weight, 0, 1)
        logarithm = np.log1p(share * np.expm1(_STEEPNESS)) / _STEEPNESS
        return np.asarray(2 * logarithm - 1, dtype=np.float32)

    def cost_weight(self, normalised: NDArray[np.floating]) -> NDArray[np.float64]:
        """Cost weights from ``[-1, 1]``, the inverse of :meth:`normalise`."""
        if self.max_cost_weight is None:
            raise ValueError("the cost weight is not part of this observation")
        logarithm = (np.asarray(normalised, dtype=np.float64) + 1) / 2
        return np.asarray(self.max_cost_weight * np.expm1(logarithm * _STEEPNESS) / np.expm1(_STEEPNESS))

    def draw(self, rng: np.random.Generator, n: int) -> Floats:
        """``n`` normalised cost weights, uniform in ``[-1, 1]``."""
        return rng.uniform(-1, 1, n).astype(np.float32)
