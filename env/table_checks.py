"""What a table must not hold: values that cannot be, the gaps of a bandit log, arms that are charged unknown costs."""

from __future__ import annotations

import numpy as np

from env.contexts import Bools, Contexts, Floats, Outcomes
from env.errors import BadInput


def check_values(contexts: Contexts, outcomes: Outcomes, masked_reward: float, name: str) -> None:
    """Refuse what would otherwise show up as a wrong number somewhere else."""
    if not contexts.features.shape[1]:
        raise BadInput(f"{name}: contexts have no features; give one column of zeros where there is nothing to see")
    if not np.isfinite(masked_reward):
        raise BadInput(f"masked_reward is a finite number, got {masked_reward}")
    if not (np.isfinite(contexts.latency_weight) & (contexts.latency_weight >= 0)).all():
        raise BadInput(f"{name}: a latency weight is finite and 0 or more, in score points per second")
    bad = np.flatnonzero(~np.isfinite(contexts.features).all(axis=1))
    if len(bad):
        raise BadInput(f"{name}: features of row {bad[0]} are not finite; mend them, or leave the row out")
    columns = (("score", outcomes.score, 1.0), ("cost_usd", outcomes.cost_usd, None))
    for what, values, top in (*columns, ("latency_s", outcomes.latency_s, None)):
        if values.shape != contexts.mask.shape:
            raise BadInput(f"{name}: {what} is (queries, arms) = {contexts.mask.shape}, got {values.shape}")
        wrong = np.isinf(values) | (values < 0) | (False if top is None else values > top)
        if wrong.any():
            row, arm = np.argwhere(wrong)[0]
            meant = "finite and 0 or more" if top is None else "0 to 1"
            raise BadInput(
                f"{name}: {what} of arm {arm} in row {row} is {values[row, arm]:g}; it is {meant}, NaN where unknown"
            )


def check_recorded(outcomes: Outcomes, may: Bools, charged: dict[str, bool], arms: tuple[str, ...], name: str) -> None:
    """Refuse an arm whose scores were recorded, but never what the reward charges besides."""
    scored = (may & ~np.isnan(outcomes.score)).any(axis=0)
    for what, values in (("cost", outcomes.cost_usd), ("latency", outcomes.latency_s)):
        if not charged[what]:
            continue
        for arm in np.flatnonzero(scored & ~(may & ~np.isnan(values)).any(axis=0)):
            raise BadInput(
                f"{name}: arm `{arms[arm]}` has no recorded {what}, and {what}_weight is above 0; "
                f"record it, set {what}_weight to 0, or leave the arm out with trace.select_arms([...])"
            )


def check_seen(allowed: Bools, may: Bools, arms: tuple[str, ...], name: str) -> None:
    """Refuse an arm without any outcome: it could be chosen nowhere."""
    for never in np.flatnonzero(may.any(axis=0) & ~allowed.any(axis=0)):
        raise BadInput(
            f"{name}: arm `{arms[never]}` has no observed outcome; leave it out with trace.select_arms([...])"
        )


def check_log(score: Floats, may: Bools, name: str) -> None:
    """Refuse to mask the gaps of a bandit log: what a mask leaves of it is the arm that the logging policy chose.

    What is a log is decided on the scores. It is one where most of the queries with a gap have a single observed arm,
    and these are more than a tenth of all: a few answers that failed make no log, nor do a few fallbacks unmake one.
    Of two arms a gap always leaves one; there it takes more than half of all. Arms without any score do not count.

    Args:
        score: ``(n, K)``, NaN where not observed.
        may: ``(n, K)`` True where an arm can take a query.
        name: what the error calls the data.

    Raises:
        BadInput: it is a log.

    Example:
        >>> logged = np.full((3, 3), np.nan, dtype=np.float32)
        >>> logged[[0, 1, 2], [2, 0, 1]] = 0.5
        >>> check_log(logged, np.ones((3, 3), dtype=bool), "mine")
        Traceback (most recent call last):
        ...
        env.errors.BadInput: mine is a bandit log (3 of 3 queries have one observed arm): masking what was not ...
    """
    seen = may & ~np.isnan(score)
    scored = seen.any(axis=0)
    possible, there = may[:, scored].sum(axis=1), seen[:, scored].sum(axis=1)
    choice = (possible > 1) & (there > 0)
    single, gap = choice & (there == 1), choice & (there < possible)
    # Where three could answer, one answer is a sign; where two could, only their number is.
    telling, of_three = int((single & (possible > 2)).sum()), int((gap & (possible > 2)).sum())
    chosen = telling > max(of_three / 2, choice.sum() / 10)
    if chosen or single.sum() > choice.sum() / 2:
        raise log_refused(name, f" ({single.sum()} of {choice.sum()} queries have one observed arm)")


def log_refused(name: str, why: str = "") -> BadInput:
    """The error for a log whose gaps would be masked."""
    return BadInput(
        f"{name} is a bandit log{why}: masking what was not observed would leave only the logged choice. "
        "Evaluate a policy on it by off-policy estimators, model the gaps with unobserved='model', "
        "or use a table of several arms per query"
    )
