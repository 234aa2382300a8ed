"""Linear bandits that credit an arm with a multiple of how unsure they are of it: LinUCB and linear Thompson."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from env.contexts import Contexts, Floats, Ints, Outcomes
from routers.base import Decision
from routers.least_squares import Doubles
from routers.linear import LinearBandit, stack


class WidthBandit(LinearBandit):
    """Chooses the arm of the highest ``mean utility + bonus * standard deviation``.

    Subclasses say what the bonus is (:meth:`_bonus`), fixed or drawn, and with what probability that chose an arm.

    Attributes:
        exact_widths: the propensity needs the width of every arm, not just of those that may be chosen.
    """

    exact_widths: ClassVar[bool] = True

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """The arm of the highest mean utility and :meth:`_bonus`; without ``explore``, of the highest mean."""
        if not explore:
            return super().act(contexts, rng, explore=False)
        bonus = self._bonus(len(contexts), rng)
        worth, width = self._posterior.believe(contexts)
        # Masked arms stay at -inf: their mean is.
        scores = worth + bonus * width
        arms = scores.argmax(axis=1)
        return Decision(arms, self._propensities(worth, width, arms), scores)

    def replay(
        self, contexts: Contexts, outcomes: Outcomes, rng: np.random.Generator, *, propensities: bool = True
    ) -> Decision:
        """As :meth:`Router.replay`, without leaving the posterior between rows.

        Without ``propensities``, which are for a log, those of drawn decisions are NaN. Then, and where
        :attr:`exact_widths` is False, the score of an arm that cannot be the best may be an upper bound.
        """
        bonus = self._bonus(len(contexts), rng)
        skip = not (self.exact_widths and propensities)
        worth, width, arms = self._posterior.replay(contexts, bonus, stack(outcomes), skip=skip)
        law = np.full(len(arms), np.nan) if self.exact_widths and skip else self._propensities(worth, width, arms)
        return Decision(arms, law, worth + bonus * width)

    @abstractmethod
    def _bonus(self, n: int, rng: np.random.Generator) -> Floats:
        """``(n, K)`` how many standard deviations of its utility each arm is credited with."""

    def _propensities(self, worth: Floats, width: Floats, arms: Ints) -> Doubles:
        """``(n,)`` probability of the arms chosen, given beliefs ``(n, K)``; 1 for a deterministic rule."""
        return np.ones(len(arms))
