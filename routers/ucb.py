"""UCB1: the classic bandit that does not look at the prompt. What a contextual one has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from env.contexts import Contexts, Floats, Ints, Outcomes
from env.errors import BadInput
from routers.base import PRIOR_SCORE, Array, Capabilities, Decision, Estimator, greedy, utility
from routers.linear import stack

# "Play each arm once" is an infinite bonus; this finite one outbids every utility and can be written to a log.
_UNTRIED_BONUS = np.float32(1e6)


class UCB1(Estimator):
    """Mean score plus ``alpha * sqrt(2 ln t / n)`` for an arm scored ``n`` times out of ``t``.

    Weighted means of cost and latency are taken off, and arms never tried come first (Auer, Cesa-Bianchi, Fischer
    2002, Finite-time analysis of the multiarmed bandit problem, figure 1).

    Args:
        n_arms: ``K``.
        n_features: ``d``, not used.
        alpha: width of the bonus; 1 is the bound of the paper for scores in [0, 1].

    Example:
        >>> router, contexts = UCB1(2, 1), Contexts.of(np.zeros((1, 1)), n_arms=2)
        >>> for score in (0.2, 0.9):
        ...     arms = router.act(contexts, np.random.default_rng(0)).arms
        ...     router.update(contexts, arms, Outcomes.of(np.array([score])), np.ones(1))
        >>> router.act(contexts, np.random.default_rng(0)).arms
        array([1])
    """

    name: ClassVar[str] = "ucb1"
    capabilities: ClassVar[Capabilities] = Capabilities(
        online=True, adds_arms=True, uses_features=False, uses_load=True
    )

    def __init__(self, n_arms: int, n_features: int, *, alpha: float = 1.0) -> None:
        super().__init__(n_arms, n_features, alpha=alpha)
        if not alpha >= 0:
            raise BadInput(f"router `{self.name}`: alpha is {alpha}; it must be 0 or more")
        self.alpha = alpha
        # Rows: score, cost, latency; float64, so that long sums of small costs stay exact enough.
        self._sum = np.zeros((3, n_arms))
        self._count = np.zeros((3, n_arms), dtype=np.int64)

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """The arm of the highest upper confidence bound; deterministic."""
        scores = utility(self.predict(contexts), contexts)
        return greedy(scores + self._bonus() if explore else scores)

    def predict(self, contexts: Contexts) -> Outcomes:
        """The running means, the same for every query; each ``(n, K)``."""
        means = np.divide(self._sum, self._count, out=np.full(self._sum.shape, np.nan), where=self._count > 0)
        means[0] = np.nan_to_num(means[0], nan=PRIOR_SCORE)
        score, cost, latency = np.broadcast_to(means.astype(np.float32)[:, None], (3, len(contexts), self.n_arms))
        return Outcomes(score, cost, latency)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Forget, then count every observed outcome of a table as one pull."""
        values = stack(outcomes).astype(np.float64)
        seen = ~np.isnan(values)
        self._count = seen.sum(axis=1)
        self._sum = np.where(seen, values, 0).sum(axis=1)
        return self

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Add the outcomes ``(n,)`` of the arms chosen."""
        for row, values in enumerate(stack(outcomes).astype(np.float64)):
            seen = ~np.isnan(values)
            np.add.at(self._sum[row], arms[seen], values[seen])
            np.add.at(self._count[row], arms[seen], 1)

    def add_arm(self) -> None:
        """One more arm, not tried yet."""
        self.n_arms += 1
        self._sum = np.pad(self._sum, ((0, 0), (0, 1)))
        self._count = np.pad(self._count, ((0, 0), (0, 1)))

    def _bonus(self) -> Floats:
        pulls = self._count[0]
        width = self.alpha * np.sqrt(2 * np.log(max(int(pulls.sum()), 1)) / np.maximum(pulls, 1))
        return np.where(pulls > 0, width, _UNTRIED_BONUS).astype(np.float32)

    def _arrays(self) -> dict[str, Array]:
        return {"sum": self._sum.copy(), "count": self._count.copy()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._sum, self._count = arrays["sum"].copy(), arrays["count"].copy()
