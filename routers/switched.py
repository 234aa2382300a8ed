"""Switched: stay with one arm until evidence says switch; ask several when an answer looks anomalous."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Contexts, Ints
from env.errors import BadInput
from routers.attempts import Attempts
from routers.base import Array
from routers.direct import fallback
from routers.parallel import chosen
from routers.plan import Opening, Plan

# Bets are shares of the wealth put on "the other arm is better"; an average over them needs no tuning.
_BETS = np.array([0.05, 0.1, 0.2, 0.4, 0.8])
# Answers of an arm before any of its answers can look unlike the others.
_ENOUGH = 20
# The moments of an arm's log-probabilities are over about so many of its last answers.
_MEMORY = 500.0


class Switched(Plan):
    """One arm at a time.

    **Asking several.** The first ``warm_up`` requests go to all arms, and so does a ``probe`` share of the later ones,
    at random. When the answer of the arm at work is blank, or its log-probability lies more than ``unusual`` standard
    deviations below what is usual for this arm, the others are asked in a second round. Among several answers the
    vote decides, as in :class:`~routers.parallel.Parallel`.

    **Switching.** Only requests on which both arms have a score compare them: ``D`` = reward of the other minus reward
    of the arm at work (score minus weighted cost and latency), clipped to [-1, 1]. For each other arm, bets on
    ``D > 0`` are laid one after another, each worth ``1 + bet * D`` for a share ``bet`` of the wealth (Waudby-Smith and
    Ramdas, Estimating means of bounded random variables by betting, arXiv 2010.09686); wealth below 1 is made up to 1
    before each bet (the e-CUSUM of Shin, Ramdas and Rinaldo, E-detectors, arXiv 2203.03532). When the mean wealth over
    five bets reaches ``patience * (K - 1)``, that arm takes over and all wealth is 1 again. While no other arm is
    better in the mean, whatever came before, a switch takes ``patience`` comparisons or more in expectation.
    Requests on which the answer looked anomalous are not like the others: where they are most of the comparisons, it
    is on such requests that the arms are compared. A probe share keeps that in check.

    Args:
        n_arms: ``K``.
        n_features: ``d``, not used.
        arm: at work at first.
        warm_up: requests that all arms are asked at first.
        probe: share of later requests that all arms are asked, in [0, 1).
        unusual: standard deviations, above 0.
        patience: comparisons between two switches in vain, in expectation; above 1.

    Raises:
        BadInput: a setting out of range.

    Example:
        >>> plan = Switched(2, 1, warm_up=0, patience=100)
        >>> contexts = Contexts.of(np.zeros((40, 1)), n_arms=2)
        >>> from dataclasses import replace
        >>> made = Attempts.none(np.full(40, "?", object), n_arms=2)
        >>> made = replace(made, round=made.round * 0, response=np.full((40, 2), "!", object))
        >>> plan.update(contexts, replace(made, score=np.tile(np.float32([0.2, 0.9]), (40, 1))))
        >>> plan.arm
        1
    """

    name: ClassVar[str] = "switched"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        arm: int = 0,
        warm_up: int = 20,
        probe: float = 0.02,
        unusual: float = 3.0,
        patience: float = 1000.0,
    ) -> None:
        super().__init__(n_arms, n_features, arm=arm, warm_up=warm_up, probe=probe, unusual=unusual, patience=patience)
        if not 0 <= arm < n_arms:
            raise BadInput(f"plan `{self.name}`: arm is {arm}; it must be from 0 to {n_arms - 1}")
        if warm_up < 0 or not 0 <= probe < 1:
            raise BadInput(f"plan `{self.name}`: warm_up is {warm_up}, probe {probe}; 0 or more, and a share below 1")
        if not unusual > 0 or not patience > 1:
            raise BadInput(f"plan `{self.name}`: unusual is {unusual}, patience {patience}; above 0, and above 1")
        self.probe, self.unusual, self.patience = probe, unusual, patience
        self.arm, self._warm = arm, warm_up
        self._wealth = np.ones((n_arms, len(_BETS)))
        # Count, mean and mean square deviation of the log-probabilities of each arm.
        self._usual = np.zeros((3, n_arms))

    def first(self, contexts: Contexts, rng: np.random.Generator) -> Opening:
        """The arm at work, or all arms where it warms up or probes; one draw a row."""
        probed = rng.random(len(contexts)) < self.probe
        at_work = np.broadcast_to(np.arange(self.n_arms) == self.arm, contexts.mask.shape)
        # Where the arm at work is masked, the next in order that is not stands in for this request.
        ahead = np.roll(np.arange(self.n_arms), -self.arm)
        stand_in = ahead[np.argmax(contexts.mask[:, ahead], axis=1)]
        at_work = np.where(contexts.mask[:, [self.arm]], at_work, np.arange(self.n_arms) == stand_in[:, None])
        if self._warm > 0:
            return Opening(contexts.mask.copy(), np.ones(len(contexts)))
        # With one arm allowed, probing and not probing are the same round.
        alone = contexts.mask.sum(axis=1) == 1
        chance = np.where(alone, 1.0, np.where(probed, self.probe, 1 - self.probe))
        return Opening(np.where(probed[:, None], contexts.mask, at_work), chance)

    def next(self, contexts: Contexts, attempts: Attempts) -> Bools:
        """All the others where the one answer looks anomalous; otherwise nothing."""
        alone = attempts.asked.sum(axis=1) == 1
        odd = alone & (self._looks_odd(attempts) & attempts.asked).any(axis=1)
        return np.asarray(contexts.mask & ~attempts.asked & odd[:, None], dtype=bool) | fallback(
            np.arange(self.n_arms) == self.arm, contexts, attempts
        )

    def answer(self, contexts: Contexts, attempts: Attempts) -> Ints:
        """The best by score where one is known, else by vote, where the arm at work has the casting vote."""
        return chosen(1.0 + 0.5 * (np.arange(self.n_arms) == self.arm), attempts)

    def update(self, contexts: Contexts, attempts: Attempts) -> None:
        """Learn from requests that are over, one after another: what is usual, and which arm is better."""
        reward = _reward(contexts, attempts)
        for row in range(len(contexts)):
            self._warm = max(self._warm - 1, 0)
            there = attempts.answered[row]
            for arm in np.flatnonzero(there & np.isfinite(attempts.logprob[row])):
                self._remember(int(arm), float(attempts.logprob[row, arm]))
            compared = there & np.isfinite(reward[row])
            if not compared[self.arm] or compared.sum() < 2:
                continue
            gain = np.clip(np.where(compared, reward[row] - reward[row, self.arm], 0), -1, 1)
            bet = np.maximum(self._wealth, 1) * (1 + gain[:, None] * _BETS)
            self._wealth = np.where(compared[:, None], bet, self._wealth)
            others = np.arange(self.n_arms) != self.arm
            mean = np.where(others, self._wealth.mean(axis=1), 0)
            if mean.max() >= self.patience * max(self.n_arms - 1, 1):
                self.arm = int(np.argmax(mean))
                self._wealth = np.ones_like(self._wealth)

    def _looks_odd(self, attempts: Attempts) -> Bools:
        """``(n, K)`` True for an answer that is blank or unusually unsure."""
        blank = np.array([[text is not None and not text.strip() for text in row] for row in attempts.response])
        count, mean, variance = self._usual
        low = mean - self.unusual * np.sqrt(variance)
        unsure = (count >= _ENOUGH) & (np.nan_to_num(attempts.logprob, nan=np.inf) < low)
        return np.asarray(attempts.answered & (blank.reshape(unsure.shape) | unsure), dtype=bool)

    def _remember(self, arm: int, logprob: float) -> None:
        count, mean, variance = self._usual[:, arm]
        share = 1 / min(count + 1, _MEMORY)
        off = logprob - mean
        self._usual[:, arm] = count + 1, mean + share * off, (1 - share) * (variance + share * off**2)

    def _arrays(self) -> dict[str, Array]:
        at = np.array([self.arm, self._warm], dtype=np.int64)
        return {"wealth": self._wealth.copy(), "usual": self._usual.copy(), "at_work_and_warm_up": at}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._wealth, self._usual = arrays["wealth"].copy(), arrays["usual"].copy()
        self.arm, self._warm = (int(value) for value in arrays["at_work_and_warm_up"])


def _reward(contexts: Contexts, attempts: Attempts) -> NDArray[np.float64]:
    """``(n, K)`` reward of every call; NaN where its score is not known. A cost not known counts as none."""
    dollars, seconds = np.nan_to_num(attempts.cost_usd), np.nan_to_num(attempts.latency_s)
    paid = contexts.cost_weight[:, None] * dollars + contexts.latency_weight[:, None] * seconds
    return np.asarray(attempts.score - paid, dtype=np.float64)
