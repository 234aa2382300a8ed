"""LinUCB that notices change: it probes, watches its own errors, and starts an arm again that is not what it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from env.contexts import Contexts, Floats, Ints, Outcomes
from env.errors import BadInput
from routers.base import Array, Decision, Router, sample, uniform
from routers.discounted import DiscountedLinUCB
from routers.least_squares import Doubles
from routers.linear import stack, with_constant

# Their spread is that of about the last thirty; the first ten are an arm's learning, not its changing.
_REMEMBERED = 0.97
_SETTLED = (1 - _REMEMBERED**10) / (1 - _REMEMBERED) - 1e-6
# A score is never taken to be known better than this, nor a cost better than by this share (in logarithms).
_LEAST_SPREAD = np.array([0.05, 0.3])
# In standard deviations: what counts as no error at all, and the most that one outcome can say.
_ALLOWANCE, _MOST = 0.5, 8.0


class WatchfulLinUCB(DiscountedLinUCB):
    """:class:`~routers.discounted.DiscountedLinUCB` with uniform probes and a CUSUM test of every arm's errors.

    Page 1954 (doi:10.2307/2333009): of the standardised errors of an arm's scores ``z``, and of the logarithms of its
    costs, ``S <- max(0, S + z - 1/2)`` and the same of ``-z``; where one of the sums passes ``threshold``, the arm is
    no longer what was learned of it and goes back to the prior at once, where optimism tries it again; slow changes
    are left to the discount. An arm that is not asked shows no errors: the share ``epsilon`` of decisions is drawn
    uniformly, which finds a price cut that nobody told of.

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        alpha: width of the bonus in score points where nothing is known; 0 is greedy.
        ridge: prior precision of the weights.
        gamma: what an outcome is worth one outcome later; see the discounted router.
        refresh: outcomes between two solves.
        epsilon: share of decisions that probe, in [0, 1].
        threshold: standard deviations; lower notices sooner, and is alarmed for nothing more often.

    Example:
        >>> contexts, arms, sure = Contexts.of(np.zeros((40, 1)), 2), np.zeros(40, dtype=int), np.ones(40)
        >>> router = WatchfulLinUCB(2, 1)
        >>> router.update(contexts, arms, Outcomes.of(0.9 * sure), sure)
        >>> router.update(contexts.take(range(4)), arms[:4], Outcomes.of(np.zeros(4)), sure[:4])  # it is down
        >>> int(router.state().arrays["count"][0, 0]) < 4  # what was known of it is gone
        True
    """

    name: ClassVar[str] = "watchful_linucb"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        alpha: float = 1.0,
        ridge: float = 10.0,
        gamma: float = 0.997,
        refresh: int = 10,
        epsilon: float = 0.03,
        threshold: float = 12.0,
    ) -> None:
        super().__init__(n_arms, n_features, alpha=alpha, ridge=ridge, gamma=gamma, refresh=refresh)
        if not 0 <= epsilon <= 1:
            raise BadInput(f"router `{self.name}`: epsilon is {epsilon}; it must lie in [0, 1]")
        if not threshold > 0:
            raise BadInput(f"router `{self.name}`: threshold is {threshold}; it must be positive")
        self.settings |= {"epsilon": epsilon, "threshold": threshold}
        self.epsilon, self.threshold = epsilon, threshold
        # (2, K, 4) of scores and of costs: outcomes and squared errors, both fading, and the two sums of the test.
        self._watch = np.zeros((2, n_arms, 4))

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """LinUCB's arm, or with probability ``epsilon`` one drawn uniformly from those allowed."""
        best = super().act(contexts, rng, explore=explore)
        if not explore or self.epsilon == 0:
            return best
        return sample(self._mixed(best.arms, contexts), best.scores, rng)

    def law(self, contexts: Contexts, *, explore: bool = True) -> Doubles:
        """``(n, K)``: all but ``epsilon`` on LinUCB's arm."""
        certain = super().act(contexts, np.random.default_rng(0), explore=explore).arms
        return self._mixed(certain, contexts, self.epsilon if explore else 0.0)

    def replay(
        self, contexts: Contexts, outcomes: Outcomes, rng: np.random.Generator, *, propensities: bool = True
    ) -> Decision:
        """As :meth:`Router.replay`, row after row: the test looks at every error."""
        return Router.replay(self, contexts, outcomes, rng)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Warm start from a table; errors are watched afresh."""
        super().fit(contexts, outcomes)
        self._watch[:] = 0
        return self

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Learn the outcomes ``(n,)`` one after another, and start an arm again whose errors are too many."""
        inputs, targets = with_constant(contexts.features), stack(outcomes)
        for row in np.flatnonzero(~np.isnan(outcomes.score)):
            arm = int(arms[row])
            if self._changed(inputs[row], arm, targets[:, row]):
                self._posterior.forget(arm)
                self._watch[:, arm] = 0
            self._posterior.update(inputs[row], arm, targets[:, row])

    def add_arm(self) -> None:
        """One more arm, at the prior."""
        super().add_arm()
        self._watch = np.pad(self._watch, ((0, 0), (0, 1), (0, 0)))

    def _mixed(self, arms: Ints, contexts: Contexts, epsilon: float | None = None) -> Doubles:
        share = self.epsilon if epsilon is None else epsilon
        chosen = np.arange(self.n_arms) == arms[:, None]
        return np.asarray((1 - share) * chosen + share * uniform(contexts.mask), dtype=np.float64)

    def _changed(self, x: Floats, arm: int, targets: Floats) -> bool:
        """Take in the errors of one outcome; True where they are too many to be chance."""
        score, cost, _ = self._posterior.means(x[None, :-1])[:, 0, arm]
        errors = [targets[0] - score, np.nan]
        if targets[1] > 0 and cost > 0:
            errors[1] = np.log(targets[1] / cost)
        alarmed = False
        for watch, error, least in zip(self._watch[:, arm], errors, _LEAST_SPREAD, strict=True):
            if np.isnan(error):
                continue
            if watch[0] >= _SETTLED:
                z = np.clip(error / max(np.sqrt(watch[1] / watch[0]), least), -_MOST, _MOST)
                watch[2:] = np.maximum(0, watch[2:] + np.array([z, -z]) - _ALLOWANCE)
                alarmed |= bool(watch[2:].max() > self.threshold)
            watch[:2] = _REMEMBERED * watch[:2] + (1, error**2)
        return alarmed

    def _arrays(self) -> dict[str, Array]:
        return {**super()._arrays(), "watch": self._watch.copy()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        super()._restore(arrays)
        self._watch = arrays["watch"].copy()
