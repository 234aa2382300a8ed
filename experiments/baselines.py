"""Rows of a comparison that no router stands behind: every fixed arm, and the oracle that bounds them all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from env.contexts import Ints
from env.trace import Trace
from experiments.evaluate import DIALS, Evaluation, realised
from experiments.folds import Fold
from routers.dial import cost_weights, fit_dial

ORACLE = "oracle"
BEST_SINGLE = "best_single"
CHEAPEST = "cheapest"

# Between answers of equal reward the oracle takes the cheaper, as the oracle of RouterBench does; the price it
# puts on a dollar for that is too small to change any other choice.
_TIE_BREAK = 1e-6


def fixed_name(arm: str) -> str:
    """Name in reports of always choosing an arm."""
    return f"fixed:{arm}"


def fixed_arms(part: Fold) -> Iterator[Evaluation]:
    """Each arm on every query; then the best single arm and the cheapest one, as training data show them."""
    for arm, name in enumerate(part.test.arms):
        yield _constant(part, fixed_name(name), arm)
    yield _constant(part, BEST_SINGLE, part.best_single)
    yield _constant(part, CHEAPEST, part.cheapest)


def oracle(part: Fold) -> Evaluation:
    """The best recorded reward of each test query at every dial: a ceiling, which nothing that routes can see.

    A recorded cell is one sample of a model, so part of what the oracle gains is luck that no router could
    foresee. Its dial is fitted on validation queries, as every router's is.
    """
    weights = cost_weights(part.validation.outcomes)
    known = part.validation.outcomes
    dial_map, _ = fit_dial(lambda weight: _best_recorded(part.validation, weight), known, weights)
    arms = np.stack([_best_recorded(part.test, float(dial_map(dial))) for dial in DIALS])
    return Evaluation(ORACLE, part.seed, arms, np.ones(arms.shape), realised(part.test, arms))


def _best_recorded(trace: Trace, cost_weight: float) -> Ints:
    cost: NDArray[np.float64] = np.nan_to_num(trace.cost_usd.astype(np.float64))
    tie_break = _TIE_BREAK / max(float(cost.mean()), 1e-12)
    best: Ints = np.argmax(trace.score - (cost_weight + tie_break) * cost, axis=1)
    return best


def _constant(part: Fold, name: str, arm: int) -> Evaluation:
    arms = np.full((len(DIALS), len(part.test)), arm, dtype=np.int64)
    return Evaluation(name, part.seed, arms, np.ones(arms.shape), realised(part.test, arms))
