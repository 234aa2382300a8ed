"""Single figures that papers quote of a curve, each against the best fixed arm: peak, PerfGain, CostSave, QNC, AUDC.

All but AUDC ask where a router stands beside the best single arm, a question that luck can answer where both are
nearly equal: read them with their intervals. The dial at which a figure is reached is chosen on the queries that the
figure is of, so all of them flatter by a little; AIQ does not.
"""

from __future__ import annotations

import numpy as np

from experiments.metrics.frontier import Array, aiq, first_at


def peak(score: Array) -> Array:
    """The best mean score at any dial: ``max over dials of score`` (UniRoute, arXiv 2502.08773; CSCR).

    Args:
        score: ``(..., D)``.

    Returns:
        ``(...,)``.

    Example:
        >>> float(peak(np.array([0.5, 0.9, 0.8])))
        0.9
    """
    found: Array = np.max(score, axis=-1)
    return found


def perf_gain(score: Array, best_score: Array | float) -> Array:
    """How much better than the best single arm a router gets: ``peak / best_score - 1``.

    LLMRouterBench (arXiv 2601.07206) says it in words, "maximum performance improvement over the best single model";
    that it is relative, as its CostSave is, is our reading.

    Args:
        score: ``(..., D)``.
        best_score: ``(...,)`` mean score of the best single arm.

    Returns:
        ``(...,)``; NaN where the best arm scores 0.

    Example:
        >>> round(float(perf_gain(np.array([0.5, 0.88]), 0.8)), 3)
        0.1
    """
    best_score = np.asarray(best_score, dtype=np.float64)
    top = peak(score)
    ratio: Array = np.divide(top, best_score, out=np.full(np.broadcast(top, best_score).shape, np.nan),
                             where=best_score > 0)  # fmt: skip
    return ratio - 1


def cost_save(cost: Array, score: Array, best_cost: Array | float, best_score: Array | float) -> Array:
    """The largest saving at the best single arm's quality: ``1 - min {cost at a dial with score >= best} / best_cost``.

    LLMRouterBench (arXiv 2601.07206). Of the points that were run, without mixing them.

    Args:
        cost: ``(..., D)``.
        score: ``(..., D)``.
        best_cost: ``(...,)`` mean cost of the best single arm.
        best_score: ``(...,)`` its mean score.

    Returns:
        ``(...,)``; negative where that quality costs more, NaN where no dial reaches it.

    Example:
        >>> round(float(cost_save(np.array([1.0, 3.0, 4.0]), np.array([0.5, 0.8, 0.9]), 4.0, 0.8)), 3)
        0.25
    """
    best_cost, best_score = np.asarray(best_cost, dtype=np.float64), np.asarray(best_score, dtype=np.float64)
    least = np.where(score >= best_score[..., None], cost, np.inf).min(axis=-1)
    share: Array = np.divide(least, best_cost, out=np.full(np.broadcast(least, best_cost).shape, np.nan),
                             where=np.isfinite(least) & (best_cost > 0))  # fmt: skip
    return 1 - share


def qnc(cost: Array, score: Array, best_cost: Array | float, best_score: Array | float) -> Array:
    """Quality-neutral cost: the least share of the best single arm's cost that buys its quality.

    ``min {c : curve(c) >= best_score} / best_cost``, where the curve, drawn straight between the points, first gets
    there (UniRoute, arXiv 2502.08773: "the minimum relative cost" to match the most accurate model).

    Args:
        cost: ``(..., m)`` ascending along the last axis.
        score: ``(..., m)``.
        best_cost: ``(...,)`` mean cost of the best single arm.
        best_score: ``(...,)`` its mean score.

    Returns:
        ``(...,)``, 1 where it costs what that arm costs; NaN where the curve never gets there.

    Example:
        >>> float(qnc(np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.75, 1.0]), 4.0, 0.875))
        0.75
    """
    best_cost = np.asarray(best_cost, dtype=np.float64)
    spent = first_at(cost, score, best_score)
    share: Array = np.divide(spent, best_cost, out=np.full(np.broadcast(spent, best_cost).shape, np.nan),
                             where=best_cost > 0)  # fmt: skip
    return share


def audc(cost: Array, score: Array, dearest_cost: Array | float, *, up_to: float = 1.0) -> Array:
    """Area under the deferral curve: mean score over budgets from 0 to the cost of the dearest arm.

    ``1 / u * integral of score(x) dx over [0, u]`` with ``x = cost / dearest_cost``, flat beyond both ends (UniRoute,
    arXiv 2502.08773). It has a value where AIQ has none, because the best arm is also the cheapest. Where one dear arm
    stretches the axis, little but the height of the right end is left of it.

    Args:
        cost: ``(..., m)`` ascending along the last axis.
        score: ``(..., m)``.
        dearest_cost: ``(...,)`` mean cost of the dearest fixed arm.
        up_to: the right end ``u`` as a share of it; the paper has 1 and 0.5.

    Returns:
        ``(...,)``.

    Example:
        >>> float(audc(np.array([0.0, 2.0]), np.array([0.0, 1.0]), 4.0))
        0.75
    """
    right = np.asarray(dearest_cost, dtype=np.float64) * up_to
    return aiq(cost, score, np.zeros(right.shape), right)
