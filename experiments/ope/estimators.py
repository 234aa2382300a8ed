"""Estimators of a policy's value from another one's log, each a line on rows that are weighed already.

Notation: the log holds contexts ``x``, chosen arms ``a`` with probability ``p``, rewards ``r``. The policy that is
judged, the target, would choose ``a`` with probability ``pi(a|x)``; its importance weight is ``w = pi(a|x) / p``.
A model of the reward says ``q(x, a)``; ``q_pi(x) = sum_a pi(a|x) q(x, a)`` is what it says of the target.

Where the propensities are right and the target goes nowhere that the log could not go, IPS is unbiased, and so is DR
with any ``q`` made without the row itself (:mod:`experiments.ope.models`); SNIPS is consistent. DM is as good as its
model; clipped IPS and Switch-DR trade bias for variance. What is estimated and how sure it is are apart: every
estimator gives the rows' parts of it, of which :mod:`experiments.ope.intervals` makes intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from experiments.ope.logs import BanditLog, Doubles


@dataclass(frozen=True, slots=True)
class Case:
    """A log, a target and a model of the reward, boiled down to what estimators look at; each ``(n,)``.

    Attributes:
        rewards: ``r``.
        weights: ``w = pi(a|x) / p`` of the chosen arm.
        factual: ``q(x, a)`` of the chosen arm; 0 without a model.
        direct: ``q_pi(x)``; 0 without a model.
    """

    rewards: Doubles
    weights: Doubles
    factual: Doubles
    direct: Doubles

    @classmethod
    def of(cls, log: BanditLog, law: Doubles, expected: Doubles | None = None) -> Self:
        """Boil down.

        Args:
            log: ``n`` decisions.
            law: ``(n, K)`` the target's probability of every arm.
            expected: ``(n, K)`` the model's reward of every arm.

        Example:
            >>> log = BanditLog.of(["a", "b"], actions=[0, 1], rewards=[1.0, 0.0], propensities=[0.5, 0.25])
            >>> Case.of(log, np.array([[0.5, 0.5], [0.5, 0.5]])).weights.tolist()
            [1.0, 2.0]
        """
        # One gather over flat indices costs half of what a pair of index arrays does, and fresh memory is dear too.
        at = np.arange(0, law.size, log.n_arms)
        at += log.actions
        weights = law.ravel().take(at)
        weights /= log.propensities
        if expected is None:
            nothing = np.broadcast_to(0.0, weights.shape)
            return cls(log.rewards, weights, nothing, nothing)
        return cls(log.rewards, weights, expected.ravel().take(at), np.einsum("nk,nk->n", law, expected))


@dataclass(frozen=True, slots=True)
class Parts:
    """An estimate as a ratio of two sums over rows.

    Attributes:
        numerator: ``(n,)``.
        denominator: ``(n,)``, or ``None`` for 1 in each row: a plain mean.
    """

    numerator: Doubles
    denominator: Doubles | None = None

    @property
    def value(self) -> float:
        """The estimate; NaN where all weights are 0."""
        below = len(self.numerator) if self.denominator is None else float(self.denominator.sum())
        return float(self.numerator.sum()) / below if below else float("nan")


Estimator = Callable[[Case], Parts]


def dm(case: Case) -> Parts:
    """Direct method: ``mean q_pi(x)``.

    All on the model's word: its bias is the estimate's, and no interval around it knows.
    """
    return Parts(case.direct)


def ips(case: Case) -> Parts:
    """Inverse propensity scoring: ``mean w r`` (Horvitz and Thompson 1952, doi:10.1080/01621459.1952.10483446)."""
    return Parts(case.weights * case.rewards)


def clipped_ips(case: Case, cap: float | None = None) -> Parts:
    """IPS with weights of ``cap`` at most: ``mean min(w, cap) r`` (Ionides 2008, doi:10.1198/106186008X320456).

    Biased downwards for rewards of 0 or more: what a rare choice brought counts for less than it should.

    Args:
        case: rows.
        cap: of the weights; ``sqrt(n)`` when not given, as Ionides proposes.
    """
    limit = np.sqrt(len(case.rewards)) if cap is None else cap
    return Parts(np.minimum(case.weights, limit) * case.rewards)


def snips(case: Case) -> Parts:
    """Self-normalised IPS: ``sum w r / sum w`` (Swaminathan and Joachims 2015, NeurIPS).

    Never outside the range of the rewards, and unmoved where all rewards shift; a bias of order ``1 / n`` for that.
    """
    return Parts(case.weights * case.rewards, case.weights)


def dr(case: Case) -> Parts:
    """Doubly robust: ``mean q_pi(x) + w (r - q(x, a))`` (Dudik, Langford and Li 2011, arXiv 1103.4601).

    The model says what it can, the log corrects it: right if the propensities are, or if the model is.
    """
    return Parts(case.direct + case.weights * (case.rewards - case.factual))


def switch_dr(case: Case, threshold: float | None = None) -> Parts:
    """DR that leaves rows of large weight to the model: ``mean q_pi(x) + w (r - q(x, a)) [w <= threshold]``.

    Wang, Agarwal and Dudik 2017 (arXiv 1612.01205).

    Args:
        case: rows.
        threshold: of the weights; :func:`switch_threshold` when not given.
    """
    limit = switch_threshold(case) if threshold is None else threshold
    correction = case.weights * (case.rewards - case.factual)
    return Parts(case.direct + np.where(case.weights <= limit, correction, 0.0))


def switch_threshold(case: Case, candidates: int = 20) -> float:
    """The threshold of the least estimated variance plus squared bound on the bias, as Wang et al. choose theirs.

    What a threshold leaves to the model is ``mean w |r - q| [w > threshold]``: no bias can be larger than that on
    average, whatever the model's errors. The bound is cautious, so DR is left only where its variance is the larger.

    Args:
        case: rows.
        candidates: how many quantiles of the weights are tried, beside "never switch".

    Returns:
        A threshold; the largest weight where the model is best not asked.
    """
    correction = case.weights * (case.rewards - case.factual)
    top = float(case.weights.max(initial=0.0))
    # Only the upper half is worth a thought: small weights are what DR handles best.
    tried = np.unique([*np.quantile(case.weights, np.linspace(0.5, 1, candidates)), top])
    n = len(correction)

    def error(limit: float) -> float:
        kept = np.where(case.weights <= limit, correction, 0.0)
        return float((case.direct + kept).var() / n + np.abs(correction - kept).mean() ** 2)

    # The last of equals: the larger threshold is the smaller bias.
    errors = [error(limit) for limit in tried]
    return float(tried[len(errors) - 1 - int(np.argmin(errors[::-1]))])


def mrdr(case: Case) -> Parts:
    """More robust DR: DR with the model that makes DR's own variance least (Farajtabar et al. 2018, arXiv 1802.03493).

    The case's model must be one fitted with the weights of :func:`mrdr_weights`; the formula is that of :func:`dr`.
    """
    return dr(case)


def mrdr_weights(log: BanditLog, law: Doubles) -> Doubles:
    """``(n,)`` weights ``pi(a|x) (1 - p) / p**2`` of the chosen arms in the least squares that make MRDR's model.

    A residual matters to DR's variance where the target often goes and the log seldom went. Farajtabar et al. derive
    it for deterministic targets; of stochastic ones it takes the variance given the context to be that of each arm.

    Example:
        >>> log = BanditLog.of(["a", "b"], actions=[0, 1], rewards=[1.0, 0.0], propensities=[0.5, 0.25])
        >>> mrdr_weights(log, np.array([[0.5, 0.5], [0.5, 0.5]])).tolist()
        [1.0, 6.0]
    """
    target = law[np.arange(len(log)), log.actions]
    return np.asarray(target * (1 - log.propensities) / log.propensities**2, dtype=np.float64)


ESTIMATORS: Mapping[str, Estimator] = {
    "dm": dm,
    "ips": ips,
    "clipped_ips": clipped_ips,
    "snips": snips,
    "dr": dr,
    "switch_dr": switch_dr,
    "mrdr": mrdr,
}
"""By the name that the command line and reports use."""
MODELLED = frozenset({"dm", "dr", "switch_dr", "mrdr"})
"""Those that need a model of the reward."""
