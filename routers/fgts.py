"""Dueling bandit: learns which of two answers was preferred, and from scores where there are some."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from env.contexts import Contexts, Floats, Ints, Outcomes
from env.errors import BadInput
from routers.base import Decision
from routers.linear import LinearPosterior, stack, with_constant
from routers.thompson import LinearThompson


class DuelPosterior(LinearPosterior):
    """A :class:`~routers.linear.LinearPosterior` that also learns from preferences, and feels good where it is unsure.

    Args:
        n_arms: ``K``.
        n_inputs: ``D``, the constant (last) included.
        ridge: prior precision of every weight but the constant's.
        v: standard deviation of a score around its expectation: the weights' covariance is ``v^2 A^-1``.
        temperature: a lead of so many score points is preferred with odds of e.
        feel_good: score points of optimism for each unit of an arm's variance.
    """

    def __init__(
        self, n_arms: int, n_inputs: int, ridge: float, *, v: float, temperature: float, feel_good: float
    ) -> None:
        super().__init__(n_arms, n_inputs, ridge)
        self._variance, self._temperature = v * v, temperature
        self._optimism = np.float32(feel_good * v * v)

    def believe(self, contexts: Contexts) -> tuple[Floats, Floats]:
        """Mean utility with the optimism (``-inf`` where masked) and its standard deviation, each ``(n, K)``."""
        worth, width = super().believe(contexts)
        return worth + self._optimism * width**2, width

    def prefer(self, x: Floats, first: int, second: int, won: float, bills: Floats) -> None:
        """Learn one duel of two arms by one Newton step from the mean.

        With ``f`` the score and ``p = sigmoid((f_first - f_second) / temperature)``, the log-likelihood has the slope
        ``(won - p) / temperature`` and the curvature ``p (1 - p) / temperature^2`` in the difference. What the duel
        says of the two arms together (that their errors are now correlated) is dropped, each arm's own variance is
        kept: the duel against an arm of which little is known says little, as in Glicko's ratings.

        Args:
            x: ``(D,)``.
            first: an arm.
            second: another one.
            won: 1 where the first was preferred, 0 where the second was, between them where neither was.
            bills: ``(2, 2)`` cost and latency of the first, then of the second; NaN where not observed.
        """
        spreads = [self.inverse[arm] @ x for arm in (first, second)]
        variance = self._variance * float(x @ (spreads[0] + spreads[1]))
        lead = float(x @ (self.theta[0, first] - self.theta[0, second])) / self._temperature
        chance = 0.5 * (1 + math.tanh(0.5 * lead))  # the logistic function, without overflow
        curvature = chance * (1 - chance) / self._temperature**2
        step = self._variance * (won - chance) / self._temperature / (1 + curvature * variance)
        share = self._variance * curvature / (1 + curvature * variance)
        for arm, sign, spread, paid in zip((first, second), (1, -1), spreads, bills, strict=True):
            root = np.float32(np.sqrt(share)) * spread
            self.inverse[arm] -= np.multiply.outer(root, root)
            self.theta[0, arm] += np.float32(sign * step) * spread
            self.count[0, arm] += 1
            for row in 1 + np.flatnonzero(~np.isnan(paid)):
                theta, bill = self.theta[row, arm], paid[row - 1]
                if self.count[row, arm] == 0:
                    theta[-1] = bill
                theta += np.float32(share * (bill - x @ theta)) * spread
                self.count[row, arm] += 1
                self.total[row, arm] += bill


class FGTS(LinearThompson):
    """Feel-good Thompson sampling for contextual dueling bandits (Li, Zhao, Gu 2024, arXiv 2404.06013, algorithm 1).

    Two models are drawn from the posterior independently; each names its best arm, both arms answer, and somebody says
    which answer is better (:meth:`duel`, :meth:`prefer`). A preference is logistic in the difference of two linear
    scores (Bradley, Terry 1952). For its use between LLMs see Chiang, Ishida, Sugiyama 2025, arXiv 2510.00841.

    What differs from the paper. It draws by stochastic gradient Langevin dynamics from a posterior that is tilted by
    ``exp(mu * sum_s (max_a f_a(x_s) - f_other(x_s)))``, the feel-good term over all duels so far. Here the posterior is
    Gaussian, by one Newton step a duel, and independent between arms, so that a draw needs one normal number an arm,
    the law is exact and nothing of the past is kept; and the tilt is that of the query at hand, ``exp(mu * max_a
    f_a(x))``, to first order: where an arm is the best, it moves that arm's mean up by ``mu`` times its variance, and
    so each arm is credited. The paper's regret bound is not claimed for this.

    Scores (:meth:`update`, :meth:`fit`) are learned as :class:`~routers.thompson.LinearThompson` learns them, into the
    same posterior: a log of both kinds is no trouble. Preferences alone tell arms apart, not how good all of them are:
    :meth:`predict` is then right up to what is common to all arms.

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        v: standard deviation of a score around its expectation, as the draws believe it; above 0.
        ridge: prior precision of the weights, which are taken to be about ``1 / sqrt(ridge)`` in size.
        temperature: a lead of so many score points is preferred with odds of e. Where answers are right or wrong and
            two alike are a tie, a preference is ``(1 + lead) / 2`` in expectation, of which 0.5 has the slope.
        feel_good: ``mu``, score points for each unit of variance of an arm's score; 0 is plain Thompson sampling.
        prior_strength: how many observations an arm's rows of a ``fit`` count for at most; ``None`` for all of them.

    Example:
        >>> router, rng = FGTS(n_arms=2, n_features=1), np.random.default_rng(0)
        >>> contexts = Contexts.of(np.ones((200, 1)), n_arms=2)
        >>> first, second = router.duel(contexts, rng)
        >>> router.prefer(contexts, first.arms, second.arms, won=first.arms > second.arms)
        >>> router.act(contexts.take([0]), rng, explore=False).arms.tolist()
        [1]
    """

    name: ClassVar[str] = "fgts"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        v: float = 0.5,
        ridge: float = 10.0,
        temperature: float = 0.5,
        feel_good: float = 0.1,
        prior_strength: float | None = None,
    ) -> None:
        super().__init__(n_arms, n_features, v=v, ridge=ridge, prior_strength=prior_strength)
        for setting, value in (("v", v), ("temperature", temperature)):
            if not value > 0:
                raise BadInput(f"router `{self.name}`: {setting} is {value}; it must be above 0")
        if not feel_good >= 0:
            raise BadInput(f"router `{self.name}`: feel_good is {feel_good}; it must be 0 or more")
        self.settings |= {"temperature": temperature, "feel_good": feel_good}
        self._duels = DuelPosterior(n_arms, n_features + 1, ridge, v=v, temperature=temperature, feel_good=feel_good)
        self._posterior = self._duels

    def duel(self, contexts: Contexts, rng: np.random.Generator) -> tuple[Decision, Decision]:
        """Two arms for each row, each of a draw of its own; the same one twice where both draws agree.

        Both have the law :meth:`law`, independently of each other. Where the two are one arm there is nothing to
        compare, and one call is enough.

        Args:
            contexts: ``n`` rows.
            rng: the only source of randomness; ``2 K`` normal numbers a row.
        """
        both = self.act(contexts.take(np.repeat(np.arange(len(contexts)), 2)), rng)
        first, second = (Decision(both.arms[at::2], both.propensities[at::2], both.scores[at::2]) for at in (0, 1))
        return first, second

    def prefer(
        self,
        contexts: Contexts,
        first: Ints,
        second: Ints,
        won: NDArray[np.floating | np.bool_],
        outcomes: tuple[Outcomes, Outcomes] | None = None,
    ) -> None:
        """Learn duels, one row after another.

        Args:
            contexts: ``n`` rows, as they were decided on.
            first: ``(n,)`` arms, not necessarily chosen by :meth:`duel`.
            second: ``(n,)`` arms; an arm against itself teaches nothing.
            won: ``(n,)`` in [0, 1]: 1 where the first was preferred, 0 where the second was, a half for a tie; NaN
                where nobody said, which teaches nothing.
            outcomes: of the two arms, each ``(n,)``: what the calls cost and how long they took. Scores in them are not
                looked at.

        Raises:
            BadInput: ``won`` outside [0, 1].
        """
        said = np.asarray(won, dtype=np.float64)
        if ((said < 0) | (said > 1)).any():
            bad = int(np.flatnonzero((said < 0) | (said > 1))[0])
            raise BadInput(f"router `{self.name}`: won is {said[bad]:g} in row {bad}; it must be in [0, 1], or NaN")
        inputs = with_constant(contexts.features)
        unknown = np.full((3, len(contexts)), np.nan, dtype=np.float32)
        bills = np.stack([unknown, unknown] if outcomes is None else [stack(paid) for paid in outcomes])[:, 1:]
        for row in np.flatnonzero(~np.isnan(said) & (first != second)):
            self._duels.prefer(inputs[row], int(first[row]), int(second[row]), float(said[row]), bills[:, :, row])
