"""The dial, learned on validation data: which price of a dollar puts a policy where on its own frontier."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from env.contexts import Contexts, Ints, Outcomes
from env.reward import DialMap

# Cost weights per unit of (score range / mean cost range of the arms): from "money does not matter" to "only
# money matters". Three decades either side cover every recorded set with room to spare.
_RELATIVE_WEIGHTS = np.concatenate([[0.0], np.logspace(-3, 3, 80)])


def cost_weights(outcomes: Outcomes) -> NDArray[np.float64]:
    """Ascending cost weights worth trying on outcomes ``(n, K)``, from 0 up; only 0 where costs are unknown."""
    seen = outcomes.cost_usd[np.isfinite(outcomes.cost_usd)]
    if not len(seen) or not seen.any():
        return np.zeros(1)
    return _RELATIVE_WEIGHTS / float(seen.mean(dtype=np.float64))


def fit_dial(
    choose: Callable[[float], Ints], outcomes: Outcomes, weights: NDArray[np.float64]
) -> tuple[DialMap, dict[str, list[float]]]:
    """The dial of a policy whose choices at each cost weight are known.

    The recorded outcomes of the choices trace a curve of mean cost and mean score. Its upper concave hull is
    the policy's frontier; the dial moves evenly along it, half its travel measured in cost and half in score,
    so that neither a steep nor a flat stretch is skipped over.

    Args:
        choose: the ``(n,)`` arms chosen at a cost weight.
        outcomes: recorded outcomes ``(n, K)`` of the same validation queries.
        weights: cost weights to try, ascending.

    Returns:
        The map, and the frontier ``{"dial", "cost_weight", "cost_usd", "score"}`` it was read from.
    """
    nothing: dict[str, list[float]] = {"dial": [], "cost_weight": [], "cost_usd": [], "score": []}
    if len(weights) == 1 or np.isnan(outcomes.cost_usd).all():
        return DialMap(), nothing
    cost, score = np.empty(len(weights)), np.empty(len(weights))
    for at, weight in enumerate(weights):
        chosen = outcomes.at(choose(float(weight)))
        cost[at], score[at] = np.nanmean(chosen.cost_usd), np.nanmean(chosen.score)
    if not np.isfinite(cost).all():
        return DialMap(), nothing
    hull = _middles(upper_hull(cost, score), cost, score)
    # Dearer points need lower weights. A rule that is noisy, or blind to cost, may say otherwise: no dial can use that.
    hull = hull[np.diff(np.minimum.accumulate(hull), prepend=hull[0] + 1) < 0]
    travel = _fraction(cost[hull]) + _fraction(score[hull])
    if travel[-1] == 0:
        knots, dial = np.repeat(hull[:1], 2), np.array([0.0, 1.0])
    else:
        knots = np.sort(np.concatenate([hull, _between(hull, weights, cost)]))[::-1]
        dial = np.interp(cost[knots], cost[hull], travel / travel[-1])
        # A lower weight should bring a better score for more money, but on few queries one may bring neither, by a
        # hair: such a knot is left out.
        dearer = np.diff(np.maximum.accumulate(dial), prepend=-1) > 0
        no_worse = score[knots] >= np.maximum.accumulate(score[knots])
        knots, dial = knots[dearer & no_worse], dial[dearer & no_worse]
    frontier = {
        "dial": dial.tolist(),
        "cost_weight": weights[knots].tolist(),
        "cost_usd": cost[knots].tolist(),
        "score": score[knots].tolist(),
    }
    return DialMap(tuple(frontier["dial"]), tuple(frontier["cost_weight"])), frontier


def upper_hull(cost: NDArray[np.float64], score: NDArray[np.float64]) -> Ints:
    """Indices of the non-decreasing upper concave hull of points, by rising cost (Andrew's monotone chain).

    Example:
        >>> upper_hull(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.1, 0.6, 0.7, 0.65])).tolist()
        [0, 1, 2]
    """
    # By cost, then the better score first: of points of equal cost only the best can be on the hull.
    order = np.lexsort((-score, cost))
    hull: list[int] = []
    for point in order:
        if hull and score[point] <= score[hull[-1]]:
            continue
        while len(hull) >= 2 and _turns_left(cost, score, hull[-2], hull[-1], int(point)):
            hull.pop()
        hull.append(int(point))
    return np.array(hull, dtype=np.int64)


def _middles(hull: Ints, cost: NDArray[np.float64], score: NDArray[np.float64]) -> Ints:
    """Each point of the hull at the middle of all the weights that lead to it.

    A rule with few outcomes, like mixing fixed models, makes the same choices over a wide range of weights. At the
    edge of that range the next query would already tip it over, and its dial would skip the point; the ends of the
    dial keep the outermost weight, which means what they say: only money matters, only quality matters.
    """
    runs = [np.flatnonzero((cost == cost[point]) & (score == score[point])) for point in hull]
    middles = [int(run[len(run) // 2]) for run in runs]
    return np.array([int(runs[0][-1]), *middles[1:-1], int(runs[-1][0])][: len(runs)] if len(runs) > 1 else middles)


def _between(hull: Ints, weights: NDArray[np.float64], cost: NDArray[np.float64]) -> Ints:
    """Weights between those of two neighbours on the hull whose cost lies between theirs too.

    They fill the dial where the hull of a small validation set is sparse. A rule with few outcomes has none.
    """
    found = [
        np.flatnonzero((weights < weights[a]) & (weights > weights[b]) & (cost > cost[a]) & (cost < cost[b]))
        for a, b in itertools.pairwise(hull)
    ]
    return np.concatenate([*found, np.zeros(0, dtype=np.int64)]).astype(np.int64)


def _turns_left(cost: NDArray[np.float64], score: NDArray[np.float64], a: int, b: int, c: int) -> bool:
    """True when ``b`` lies on or below the chord from ``a`` to ``c``."""
    return bool((score[b] - score[a]) * (cost[c] - cost[a]) <= (score[c] - score[a]) * (cost[b] - cost[a]))


def _fraction(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = values[-1] - values[0]
    return (values - values[0]) / spread if spread > 0 else np.zeros(len(values))


def choices_at(act: Callable[[Contexts], Ints], contexts: Contexts) -> Callable[[float], Ints]:
    """From a rule over contexts to a rule over cost weights, every other part of the contexts kept."""

    def choose(weight: float) -> Ints:
        return act(
            Contexts.of(
                contexts.features,
                contexts.n_arms,
                cost_weight=weight,
                latency_weight=contexts.latency_weight,
                mask=contexts.mask,
                load=contexts.load,
                task=contexts.task,
                saving_usd=contexts.saving_usd,
            )
        )

    return choose
