"""What routing saves at equal quality: the cost at which a router reaches the best single arm's score, in dollars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.bootstrap import LEVEL, Array, Bootstrap
from experiments.metrics import cost_save

_EQUAL = 1e-9  # means of the same scores, summed in another order, are the same score


@dataclass(frozen=True, slots=True)
class Saving:
    """What a router saves at the best single arm's score.

    A bound of ``None`` means never: there, the router does not reach that score at any dial.

    Attributes:
        score: of the best single arm.
        best_usd: what it costs a query, in dollars.
        usd: saved a query by the cheapest dial that reaches the score; negative where that costs more.
        low: of the interval.
        high: of the interval.
        reached: share of the replicates in which the score is reached.
    """

    score: float
    best_usd: float
    usd: float | None
    low: float | None
    high: float | None
    reached: float


def saving(
    cost: Array, score: Array, best_cost: Array, best_score: Array, draws: Bootstrap, level: float = LEVEL
) -> Saving | None:
    """What is saved at equal quality, on the curve that is the mean over seeds.

    Seeds are pooled before the dial is looked for, so that no seed in which the score is not reached is left out. The
    interval is of percentiles; a replicate that never reaches the score lies below all others.

    Args:
        cost: ``(S, 1 + B, D)`` mean dollars a query at each dial; row 0 is the data, the others are replicates.
        score: ``(S, 1 + B, D)``.
        best_cost: ``(S, 1 + B)`` of the best single arm.
        best_score: ``(S, 1 + B)``.
        draws: the replicates.
        level: of confidence.

    Returns:
        ``None`` where costs are not known.

    Example:
        >>> draws = Bootstrap.draw(np.arange(4), n_seeds=1, replicates=3)
        >>> cost, score = np.tile([1.0, 2.0], (1, 4, 1)), np.tile([0.5, 0.8], (1, 4, 1))
        >>> found = saving(cost, score, np.full((1, 4), 5.0), np.full((1, 4), 0.75), draws)
        >>> (found.usd, found.low, found.high, found.reached)
        (3.0, 3.0, 3.0, 1.0)
        >>> saving(cost, score, np.full((1, 4), 5.0), np.full((1, 4), 0.9), draws).usd is None
        True
    """
    pooled_cost, pooled_score = _pooled(cost, draws), _pooled(score, draws)
    dear, good = (_pooled(values[..., None], draws)[:, 0] for values in (best_cost, best_score))
    if not np.isfinite(pooled_cost[0]).all():
        return None
    saved = cost_save(pooled_cost, pooled_score, dear, good - _EQUAL) * dear
    saved[np.isnan(saved)] = -np.inf
    tail = (1 - level) / 2
    bounds = np.quantile(saved[1:], [tail, 1 - tail], method="nearest")
    usd, low, high = (float(value) if np.isfinite(value) else None for value in (saved[0], *bounds))
    return Saving(float(good[0]), float(dear[0]), usd, low, high, float(np.isfinite(saved[1:]).mean()))


def _pooled(values: Array, draws: Bootstrap) -> Array:
    """``(1 + B, D)`` of ``(S, 1 + B, D)``: means over the seeds, and over those that each replicate drew."""
    columns = [draws.pooled(values[:, 1:, at]) for at in range(values.shape[2])]
    return np.concatenate([values[:, :1].mean(axis=0), np.stack(columns, axis=1)])
