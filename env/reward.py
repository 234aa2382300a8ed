"""The reward, and the dial that sets its price of money at decision time.

Reward = score - cost_weight * cost_usd - latency_weight * latency_s. Quality, cost and latency are modelled
apart, so the trade-off is chosen when a decision is made, not when a router is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from env.contexts import Floats, Outcomes


@dataclass(frozen=True, slots=True)
class Reward:
    """Score minus what it cost.

    Attributes:
        cost_weight: score points per dollar.
        latency_weight: score points per second.
    """

    cost_weight: float = 0.0
    latency_weight: float = 0.0

    def __call__(
        self,
        outcomes: Outcomes,
        cost_weight: NDArray[Any] | float | None = None,
        latency_weight: NDArray[Any] | float | None = None,
    ) -> Floats:
        """Reward of each outcome; weights given here (scalar or ``(n,)``) replace the defaults.

        A term whose weight is 0 is left out, so a trace without costs can still be compared on quality.
        A NaN that a weight does touch stays NaN.

        Example:
            >>> Reward(cost_weight=10.0)(Outcomes.of(np.array([0.9]), np.array([0.02])))
            array([0.7], dtype=float32)
        """
        per_usd = _weight(self.cost_weight if cost_weight is None else cost_weight, outcomes.score)
        per_s = _weight(self.latency_weight if latency_weight is None else latency_weight, outcomes.score)
        cost = np.where(per_usd == 0, np.float32(0), per_usd * outcomes.cost_usd)
        wait = np.where(per_s == 0, np.float32(0), per_s * outcomes.latency_s)
        return np.asarray(outcomes.score - cost - wait, dtype=np.float32)


def _weight(weight: NDArray[Any] | float, like: Floats) -> Floats:
    rows = np.asarray(weight, dtype=np.float32)
    return rows[:, None] if rows.ndim == 1 and like.ndim == 2 else rows


@dataclass(frozen=True, slots=True)
class DialMap:
    """A monotone map from the dial (0 = cheapest, 1 = best) to ``cost_weight``, learned on validation data.

    The knots are weights that were tried, and the dial snaps to the nearest of them: interpolated between two knots,
    a rule with few outcomes (one that only mixes fixed models, say) could skip its best ones.

    Attributes:
        dial: knots in [0, 1], increasing, first 0 and last 1.
        cost_weight: score points per dollar at each knot, never increasing.
    """

    dial: tuple[float, ...] = (0.0, 1.0)
    cost_weight: tuple[float, ...] = (0.0, 0.0)

    def __post_init__(self) -> None:
        knots, weights = np.asarray(self.dial), np.asarray(self.cost_weight)
        if len(knots) < 2 or len(knots) != len(weights):
            raise ValueError("a dial map needs two or more knots, each with a cost weight")
        if knots[0] != 0 or knots[-1] != 1 or (np.diff(knots) <= 0).any():
            raise ValueError("dial knots must rise from 0 to 1")
        if not np.isfinite(weights).all() or (weights < 0).any() or (np.diff(weights) > 0).any():
            raise ValueError("cost weights must be finite, 0 or more, and never rise with the dial")

    def __call__(self, dial: NDArray[Any] | float) -> Floats:
        """Cost weight of the knot nearest to ``dial``; of two as near the cheaper one.

        Raises:
            ValueError: a dial outside [0, 1].

        Example:
            >>> DialMap((0.0, 0.4, 1.0), (100.0, 30.0, 0.0))(np.array([0.1, 0.25, 0.5]))
            array([100.,  30.,  30.], dtype=float32)
        """
        at = np.asarray(dial, dtype=np.float64)
        if not ((at >= 0) & (at <= 1)).all():
            raise ValueError("the dial runs from 0 (cheapest) to 1 (best)")
        knots = np.asarray(self.dial)
        nearest = np.searchsorted((knots[1:] + knots[:-1]) / 2, at, side="left")
        return np.asarray(np.asarray(self.cost_weight, dtype=np.float32)[nearest])
