"""Judge a policy on a log: every estimate with its intervals, beside what the log itself brought, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from env.contexts import Floats
from env.errors import BadInput, nearest
from env.features import default_featuriser
from experiments.bootstrap import LEVEL
from experiments.ope.estimators import ESTIMATORS, MODELLED, Case, Parts, mrdr_weights
from experiments.ope.intervals import (
    REPLICATES,
    SCALE,
    Interval,
    bootstrap,
    confidence_sequence,
    empirical_bernstein,
)
from experiments.ope.logs import BanditLog, Doubles
from experiments.ope.models import cross_fitted
from experiments.ope.overlap import Overlap, overlap

DEFAULT = ("ips", "snips", "dr", "switch_dr")
"""Estimators whose intervals were measured to hold (docs/off-policy.md)."""
LOGGED, GAIN = "logged", "gain"


@dataclass(frozen=True, slots=True)
class Estimated:
    """One estimator's word.

    Attributes:
        value: of the target; NaN where it cannot be told.
        interval: bootstrap over prompts.
        bernstein: empirical Bernstein; ``None`` where no bounds are known or the estimate is no mean.
        anytime: the confidence sequence after the last row; ``None`` but for IPS of scores.
    """

    value: float
    interval: Interval
    bernstein: Interval | None = None
    anytime: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        named = {"": self.interval, "bernstein_": self.bernstein, "anytime_": self.anytime}
        ends = {
            f"{name}{end}": None if interval is None else getattr(interval, end)
            for name, interval in named.items()
            for end in ("low", "high")
        }
        return {"value": self.value, **ends}


@dataclass(frozen=True, slots=True)
class OffPolicy:
    """What a log says of a policy.

    Attributes:
        log: its name.
        outcome: what was estimated.
        overlap: how log and policy meet; with a refusal there are no estimates.
        logged: mean of what the log itself brought.
        estimates: by estimator.
        gain: the policy's value less the log's own, by the first of DR, SNIPS and IPS that was asked for, paired.
    """

    log: str
    outcome: str
    overlap: Overlap
    logged: Estimated
    estimates: Mapping[str, Estimated]
    gain: Estimated | None

    @property
    def verdict(self) -> str:
        """In words."""
        if self.overlap.refusal is not None:
            return f"not estimated: {self.overlap.refusal}"
        if self.gain is None:
            return "no unbiased estimator was asked for, so nothing is said of better or worse"
        low, high = self.gain.interval.low, self.gain.interval.high
        size = f"{self.outcome} {self.gain.value:+.4g} [{low:+.4g}, {high:+.4g}]"
        if low > 0:
            return f"more than what the log brought: {size}"
        if high < 0:
            return f"less than what the log brought: {size}"
        return f"no difference from what the log brought can be told: {size}"

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "log": self.log,
            "outcome": self.outcome,
            "verdict": self.verdict,
            "logged": self.logged.to_json(),
            "gain": None if self.gain is None else self.gain.to_json(),
            "estimates": {name: found.to_json() for name, found in self.estimates.items()},
            "overlap": self.overlap.to_json(),
        }


def evaluate(
    log: BanditLog,
    law: Doubles,
    *,
    estimators: Sequence[str] = DEFAULT,
    features: Floats | None = None,
    least_propensity: float | None = None,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> OffPolicy:
    """Estimate what a target would have brought.

    Args:
        log: ``n`` decisions.
        law: ``(n, K)`` of the target (:func:`experiments.ope.target.law_of`).
        estimators: names of ``ESTIMATORS``.
        features: ``(n, d)`` for the model of the reward; the log's own, or the default featuriser's, when not given.
        least_propensity: that the logging policy could ever give, epsilon over K where it mixes epsilon uniformly:
            bounds the weights for empirical Bernstein, and sets the scale of the confidence sequence. The least in the
            log stands in for the first, and ``intervals.SCALE`` for the second, when not given.
        level: of confidence.
        replicates: of the bootstrap.
        seed: of its draws.

    Raises:
        BadInput: an unknown estimator, or a model is needed and there is nothing to make it from.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> arms = rng.integers(2, size=2000)
        >>> log = BanditLog.of(["a", "b"], actions=arms, rewards=arms, propensities=np.full(2000, 0.5))
        >>> found = evaluate(log, np.tile([0.1, 0.9], (2000, 1)), estimators=["ips", "snips"])
        >>> round(found.estimates["snips"].value, 1), found.gain.interval.low > 0.3
        (0.9, True)
    """
    for name in estimators:
        if name not in ESTIMATORS:
            raise BadInput(f"no estimator `{name}`{nearest(name, ESTIMATORS)}")
    met = overlap(log, law)
    rng = np.random.default_rng(seed)
    logged = Parts(log.rewards)
    if met.refusal is not None:
        intervals = bootstrap({LOGGED: logged}, log.groups, level=level, replicates=replicates, rng=rng)
        return OffPolicy(log.name, log.outcome, met, Estimated(logged.value, intervals[LOGGED]), {}, None)
    parts = estimated_parts(log, law, estimators, features)
    best = next((name for name in ("dr", "snips", "ips") if name in parts), None)
    asked = {**parts, LOGGED: logged}
    if best is not None:
        asked[GAIN] = _less(parts[best], log.rewards)
    intervals = bootstrap(asked, log.groups, level=level, replicates=replicates, rng=rng)
    most = 1 / (log.propensities.min() if least_propensity is None else least_propensity)
    estimates = {
        name: Estimated(
            part.value,
            intervals[name],
            _bernstein(name, part, log, float(most), level),
            _anytime(log, law, level, least_propensity) if name == "ips" else None,
        )
        for name, part in parts.items()
    }
    gain = None if best is None else Estimated(asked[GAIN].value, intervals[GAIN])
    return OffPolicy(log.name, log.outcome, met, Estimated(logged.value, intervals[LOGGED]), estimates, gain)


def estimated_parts(
    log: BanditLog, law: Doubles, estimators: Sequence[str], features: Floats | None = None
) -> dict[str, Parts]:
    """Every estimator's parts, each model made once."""
    plain = robust = Case.of(log, law)
    if MODELLED & {*estimators}:
        seen = _features(log) if features is None else features
        if MODELLED & {*estimators} != {"mrdr"}:
            plain = Case.of(log, law, cross_fitted(log, seen))
        if "mrdr" in estimators:
            robust = Case.of(log, law, cross_fitted(log, seen, mrdr_weights(log, law)))
    return {name: ESTIMATORS[name](robust if name == "mrdr" else plain) for name in estimators}


def _features(log: BanditLog) -> Floats:
    if log.features is not None:
        return log.features
    prompts = [] if log.queries is None else list(log.queries.prompts)
    if not prompts or None in prompts:
        raise BadInput(
            f"{log.name}: neither features nor prompts to model the reward by; ask for estimators without a model "
            "(ips, snips), or log with features"
        )
    return default_featuriser().transform(prompts)


def _less(parts: Parts, rewards: Doubles) -> Parts:
    """The estimate less the mean of the log's rewards, as one ratio: its interval is of paired rows."""
    if parts.denominator is None:
        return Parts(parts.numerator - rewards)
    # A ratio less a mean: linearised around both, which is what its standard error is made of anyway.
    scale = len(rewards) / parts.denominator.sum()
    value = parts.value
    return Parts(value + scale * (parts.numerator - value * parts.denominator) - rewards)


def _bernstein(name: str, parts: Parts, log: BanditLog, most: float, level: float) -> Interval | None:
    """For means of independent rows between known bounds; prompts that repeat are not independent rows."""
    if parts.denominator is not None or name in ("dm", "clipped_ips") or log.bounds is None or len(log) < 2:
        return None
    if len(np.unique(log.groups)) < len(log):
        return None
    low, high = log.bounds
    width = most * (high - low)
    bounds = (min(0.0, most * low), max(0.0, most * high)) if name == "ips" else (low - width, high + width)
    found = empirical_bernstein(parts.numerator, bounds, level=level)
    return Interval(max(low, found.low), min(high, found.high))


def _anytime(log: BanditLog, law: Doubles, level: float, least_propensity: float | None) -> Interval | None:
    if log.bounds != (0.0, 1.0):
        return None
    # The least of the log itself would look ahead, and so must not decide the bets.
    scale = SCALE if least_propensity is None else 1 / least_propensity
    lows, highs = confidence_sequence(Case.of(log, law).weights, log.rewards, level=level, scale=scale)
    return Interval(float(lows[-1]), float(highs[-1]))
