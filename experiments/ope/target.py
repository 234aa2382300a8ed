"""The law of the policy that is judged, on the rows and in the arms of a log."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from env.errors import BadInput
from experiments.ope.logs import BanditLog, Doubles
from routers.policy import Policy

# Laws come from float32 scores and from files: what rounding leaves.
_ROUNDING = 1e-4


def law_of(
    policy: Policy,
    log: BanditLog,
    *,
    dial: float | None = None,
    explore: bool = False,
    retired: Collection[str] = (),
) -> Doubles:
    """``(n, K)`` the probability with which a policy would have chosen each arm of a log.

    Arms that were not available are masked, as they were when the log was made. Queues are not known to a log: a
    policy that weighs waits decides as if there were none.

    Args:
        policy: is judged.
        log: with queries.
        dial: 0 (cheapest) to 1 (best) for all; what each caller asked for when not given, and the policy's default
            where that was not kept.
        explore: True for the router's own randomised law, False for its greedy one, which a server uses.
        retired: arms of the log that the policy is known not to have.

    Raises:
        BadInput: arms differ, nothing to decide on, or a row where none of the policy's arms was available.
    """
    columns = _columns(policy.arm_names, log, retired)
    if log.queries is None:
        raise BadInput(f"{log.name}: no queries for a policy to decide on; give its law as an array (n, K)")
    mask = log.mask[:, columns]
    if (shut := ~mask.any(axis=1)).any():
        raise BadInput(f"{log.name}: row {int(np.argmax(shut))}: none of the policy's arms was available; leave it out")
    asked: Any = log.dials if dial is None else dial
    contexts = policy.contexts(log.queries, dial=asked, mask=mask)
    law = np.zeros((len(log), log.n_arms))
    law[:, columns] = policy.router.law(contexts, explore=explore)
    return law


def _columns(arms: tuple[str, ...], log: BanditLog, retired: Collection[str]) -> list[int]:
    absent = [arm for arm in arms if arm not in log.arms]
    if absent:
        raise BadInput(
            f"{log.name}: the policy's arms differ from the log's: {', '.join(absent)} is not in it (it has "
            f"{', '.join(log.arms)}); log with that arm too, or judge a policy trained on this log's arms"
        )
    others = [arm for arm in log.arms if arm not in arms and arm not in retired]
    if others:
        options = " ".join(f"--retired {arm}" for arm in others)
        raise BadInput(
            f"{log.name}: the policy's arms differ from the log's: it has no {', '.join(others)}; if it is never to "
            f"choose them, say so (retired=..., {options}), else train it on this log's arms"
        )
    return [log.arms.index(arm) for arm in arms]


def checked_law(law: Any, log: BanditLog) -> Doubles:
    """A law given as an array, looked at.

    Args:
        law: ``(n, K)``, or ``(K,)`` for one that looks at no context.
        log: its rows and arms.

    Raises:
        BadInput: another shape, a probability outside [0, 1], or a row that does not add up to 1.

    Example:
        >>> log = BanditLog.of(["a", "b"], actions=[0, 1], rewards=[1.0, 0.0], propensities=[0.5, 0.5])
        >>> checked_law([0.2, 0.8], log).tolist()
        [[0.2, 0.8], [0.2, 0.8]]
    """
    given = np.asarray(law, dtype=np.float64)
    shape = (len(log), log.n_arms)
    if given.shape == shape[1:]:
        given = np.broadcast_to(given, shape)
    if given.shape != shape:
        raise BadInput(f"{log.name}: the policy's law has shape {given.shape}; {shape} is expected, one arm a column")
    with np.errstate(invalid="ignore"):
        wrong = ~(np.all((given >= 0) & (given <= 1), axis=1) & (np.abs(given.sum(axis=1) - 1) <= _ROUNDING))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BadInput(
            f"{log.name}: row {row}: the policy's law is {given[row].round(4).tolist()}; probabilities lie in [0, 1] "
            "and add up to 1"
        )
    return given
