"""What a log can say of a policy at all: whether it went where the policy would go, and how often."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.ope.logs import BanditLog, Doubles

TOLERATED = 0.01
"""Share of the target's decisions that may lie where the log could not go; the estimate is off by no more than this
share of the rewards' range."""
ENOUGH = 200
"""Effective sample size from which the intervals were measured to hold (docs/off-policy.md)."""
_QUANTILES = (0.5, 0.9, 0.99, 0.999)
_SURELY = 4.0  # standard errors


@dataclass(frozen=True, slots=True)
class Overlap:
    """How log and target meet.

    Attributes:
        n: decisions.
        ess: Kish's effective sample size, ``(sum w)^2 / sum w^2``: as many decisions of the target itself would tell
            as much.
        mean_weight: 1 on average where propensities are right and support is full.
        mean_weight_error: its standard error.
        max_weight: the largest weight.
        quantiles: of the weights, by level.
        unsupported: share of the target's decisions where the log could not go.
        refusal: why no estimate is given, one line; ``None`` where there is no reason.
        caveats: what makes estimates doubtful, a line each.
    """

    n: int
    ess: float
    mean_weight: float
    mean_weight_error: float
    max_weight: float
    quantiles: dict[float, float]
    unsupported: float
    refusal: str | None
    caveats: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {**found, "quantiles": {f"{level:g}": value for level, value in self.quantiles.items()}}


def effective_sample_size(weights: Doubles) -> float:
    """``(sum w)^2 / sum w^2``, 0 where all weights are 0 (Kish 1965, Survey Sampling).

    Example:
        >>> effective_sample_size(np.array([1.0, 1.0, 0.0, 0.0])), effective_sample_size(np.array([9.0, 0.0]))
        (2.0, 1.0)
    """
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def overlap(log: BanditLog, law: Doubles, *, tolerated: float = TOLERATED) -> Overlap:
    """Look at the support of a target's decisions in a log.

    The log could not go to arms that were not available, to arms that it never chose, nor past a choice that it
    made with certainty.

    Args:
        log: ``n`` decisions.
        law: ``(n, K)`` of the target.
        tolerated: share of the target's decisions that may lie there.

    Example:
        >>> log = BanditLog.of(["a", "b"], actions=[0, 0], rewards=[1.0, 0.0], propensities=[1.0, 1.0])
        >>> overlap(log, np.array([[0.0, 1.0], [0.0, 1.0]])).refusal
        'every propensity is 1: whoever logged never explored, and 100 % of the decisions would be others; log with \
some exploration'
    """
    chosen = np.arange(log.n_arms) == log.actions[:, None]
    passed_by = log.mask & ~chosen & (log.propensities == 1)[:, None]
    lost_certain = float(law[passed_by].sum()) / len(log)
    lost_closed = float(law[~log.mask].sum()) / len(log)
    lost_arms = np.where(log.mask & ~passed_by & ~chosen.any(axis=0), law, 0.0).sum(axis=0) / len(log)
    unsupported = lost_certain + lost_closed + float(lost_arms.sum())
    weights = law[np.arange(len(log)), log.actions] / log.propensities
    ess = effective_sample_size(weights)
    error = float(weights.std() / np.sqrt(len(log)))
    refusal = None
    if unsupported > tolerated:
        refusal = _why(log, lost_certain, lost_closed, lost_arms, bool((log.propensities == 1).all()))
    elif not weights.any():
        refusal = "not one decision of the log is one that the policy could have made; log more, or with other policies"
    found = Overlap(
        len(log),
        ess,
        float(weights.mean()),
        error,
        float(weights.max()),
        {level: float(np.quantile(weights, level)) for level in _QUANTILES},
        unsupported,
        refusal,
        (),
    )
    return found if refusal else _with_caveats(found, log)


def _why(log: BanditLog, certain: float, closed: float, arms: Doubles, deterministic: bool) -> str:
    """The largest of the reasons."""
    most = max(certain, closed, float(arms.sum()))
    share = f"{100 * most:.3g} % of the decisions"
    if most == certain and deterministic:
        return (
            f"every propensity is 1: whoever logged never explored, and {share} would be others; log with some "
            "exploration"
        )
    if most == certain:
        return f"{share} would differ from choices that were certain (propensity 1); log them with some exploration too"
    if most == closed:
        return f"{share} would go to arms that were not available; judge it on requests that it could have answered so"
    names = ", ".join(f"`{log.arms[arm]}`" for arm in np.flatnonzero(arms > 0))
    return f"{share} would go to {names}, which the log never chose; log with some exploration"


def _with_caveats(found: Overlap, log: BanditLog) -> Overlap:
    caveats = []
    if found.ess < ENOUGH:
        caveats.append(
            f"worth {found.ess:.0f} decisions of the policy itself: below {ENOUGH}, intervals may be too short; log "
            "more, or with more exploration"
        )
    if found.unsupported > 0:
        caveats.append(
            f"{100 * found.unsupported:.2g} % of the decisions lie where the log could not go: estimates may be off by "
            "as much of the rewards' range"
        )
    if abs(found.mean_weight - 1) > max(TOLERATED, _SURELY * found.mean_weight_error):
        caveats.append(
            f"the weights average {found.mean_weight:.3g} and should average 1: propensities are not those of the law "
            "that acted, or the policy goes where the log hardly ever went"
        )
    caveats += [f"{count} left out: {reason}" for reason, count in log.left_out.items()]
    return replace(found, caveats=tuple(caveats))
