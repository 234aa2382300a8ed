"""Epsilon-greedy: mostly the arm that looks best, now and then any of them. The plainest law that logs well."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from env.contexts import Contexts, Floats
from env.errors import BadInput
from routers.base import Decision, certain, sample, uniform, utility
from routers.least_squares import Doubles
from routers.linear import LinearBandit


class EpsilonGreedy(LinearBandit):
    """The best arm by a linear model of each, and with probability ``epsilon_t`` any allowed arm instead.

    ``P(k) = (1 - epsilon_t) [k is best] + epsilon_t / (arms allowed)``: exact, and never below
    ``epsilon_t / K``, so that its log supports the evaluation of every other policy. The rate is
    ``epsilon_t = epsilon / (1 + decay * t)`` after ``t`` scored outcomes, those of a warm start included; it falls
    as ``1 / t`` as in epsilon_n-greedy (Auer, Cesa-Bianchi, Fischer 2002, Finite-time analysis of the multiarmed
    bandit problem, figure 3). With the default ``decay=0`` it stays, which new arms and drift call for.

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        epsilon: share of decisions drawn uniformly at the start, in [0, 1].
        decay: how fast the share falls, per scored outcome; ``epsilon`` is halved after ``1 / decay`` of them.
        ridge: prior precision of the weights, which are taken to be about ``1 / sqrt(ridge)`` in size.

    Example:
        >>> from env.contexts import Outcomes
        >>> router, contexts = EpsilonGreedy(2, 1, epsilon=0.2), Contexts.of(np.zeros((1, 1)), n_arms=2)
        >>> router.update(contexts, np.array([1]), Outcomes.of(np.array([0.9])), np.ones(1))
        >>> router.law(contexts)
        array([[0.1, 0.9]])
    """

    name: ClassVar[str] = "epsilon_greedy"

    def __init__(
        self, n_arms: int, n_features: int, *, epsilon: float = 0.1, decay: float = 0.0, ridge: float = 10.0
    ) -> None:
        super().__init__(n_arms, n_features, epsilon=epsilon, decay=decay, ridge=ridge)
        if epsilon > 1:
            raise BadInput(f"router `{self.name}`: epsilon is {epsilon}; it is a share, 0 to 1")
        self._start, self._decay = epsilon, decay

    @property
    def epsilon(self) -> float:
        """``epsilon_t``, the share of the next decisions that is drawn uniformly."""
        return self._start / (1 + self._decay * float(self._posterior.count[0].sum()))

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """A draw from the law, one uniform number a row; the arm of the highest mean without ``explore``."""
        if not explore:
            return super().act(contexts, rng, explore=False)
        scores = self._scores(contexts)
        return sample(self._mixture(scores, contexts), scores, rng)

    def law(self, contexts: Contexts, *, explore: bool = True) -> Doubles:
        """``(n, K)`` the probability of each arm, exactly."""
        if not explore:
            return super().law(contexts, explore=False)
        return self._mixture(self._scores(contexts), contexts)

    def _scores(self, contexts: Contexts) -> Floats:
        return utility(self._worth_trying(contexts.features), contexts)

    def _mixture(self, scores: Floats, contexts: Contexts) -> Doubles:
        epsilon = self.epsilon
        return (1 - epsilon) * certain(scores.argmax(axis=1), self.n_arms) + epsilon * uniform(contexts.mask)
