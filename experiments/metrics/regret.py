"""Learning as it goes: what was lost against a named reference, and whether the money went as planned."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from env.errors import BadInput
from experiments.metrics.frontier import Array

Reference = Literal["best_recorded", "best_arm"]
"""``best_recorded``: the best recorded reward of each round, luck included. ``best_arm``: the one arm that did best
over all rounds, in hindsight."""


def reference_rewards(rewards: ArrayLike, reference: Reference) -> Array:
    """What a reference earns each round.

    Args:
        rewards: ``(..., T, K)`` of every arm: a full table.
        reference: its name; a regret without one says nothing.

    Returns:
        ``(..., T)``.

    Raises:
        BadInput: an unknown name.

    Example:
        >>> table = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
        >>> reference_rewards(table, "best_recorded").tolist(), reference_rewards(table, "best_arm").tolist()
        ([1.0, 1.0, 1.0], [1.0, 0.0, 1.0])
    """
    table = np.asarray(rewards, dtype=np.float64)
    if reference == "best_recorded":
        return np.asarray(table.max(axis=-1))
    if reference == "best_arm":
        best = np.argmax(table.sum(axis=-2), axis=-1)[..., None, None]
        return np.asarray(np.take_along_axis(table, best, axis=-1)[..., 0])
    raise BadInput(f"regret: no reference `{reference}`; known: best_recorded, best_arm")


def cumulative_regret(reward: ArrayLike, reference: ArrayLike) -> Array:
    """What was lost so far: ``R_t = sum over s <= t of (reference_s - reward_s)``.

    Of what was realised, not of expectations: it can fall, and against ``best_arm`` end below 0. Against
    ``best_recorded`` part of it is luck that nobody can have, so no learner's curve flattens out.

    Args:
        reward: ``(..., T)`` of the learner.
        reference: ``(..., T)`` as :func:`reference_rewards` gives it, or of any policy on the same rounds.

    Returns:
        ``(..., T)``.

    Raises:
        BadInput: rounds that do not match.

    Example:
        >>> cumulative_regret([0.0, 1.0, 1.0], [1.0, 1.0, 0.0]).tolist()
        [1.0, 1.0, 0.0]
    """
    got, could = np.asarray(reward, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if got.shape[-1:] != could.shape[-1:]:
        raise BadInput(f"regret: {got.shape} rewards against {could.shape}; both must be of the same rounds")
    return np.asarray(np.cumsum(could - got, axis=-1))


def budget_utilisation(mean_cost: ArrayLike, budget_usd: ArrayLike) -> Array:
    """Share of a budget that was spent: mean realised cost a query over the target (ParetoBandit's "util.").

    1 is the target met; above it the budget was broken, far below it quality may have been left unbought. A mean over
    the whole stream hides a spree at its start.

    Returns:
        Of the arguments' common shape.

    Raises:
        BadInput: a budget that is not above 0.

    Example:
        >>> round(float(budget_utilisation(0.0019, 0.002)), 3)
        0.95
    """
    budget = np.asarray(budget_usd, dtype=np.float64)
    if not (budget > 0).all():
        raise BadInput(f"budget utilisation: a budget of {float(np.min(budget)):g} dollars a query; give more than 0")
    return np.asarray(np.asarray(mean_cost, dtype=np.float64) / budget)
