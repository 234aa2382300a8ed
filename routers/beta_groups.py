"""What Beta Thompson sampling keeps for each group of queries and each arm, and how it decides; not what a group is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from env.contexts import Contexts, Floats, Ints, Outcomes
from env.errors import BadInput
from routers.base import PRIOR_SCORE, Array, Decision, Estimator, utility
from routers.beta_law import beta_argmax_law
from routers.least_squares import Doubles
from routers.linear import stack


class GroupedBeta(Estimator):
    """Sums and counts ``(3, G + 1, K)`` of score, cost and latency by group; the last group is one never seen.

    Subclasses say which group a query is in. A fractional score ``s`` counts as ``s`` of a success and ``1 - s`` of
    a failure, which is wider than the truth where scores vary less than coin tosses: more exploration, no bias
    (Agrawal, Goyal 2012, arXiv 1111.1797, algorithm 2, toss a coin of probability ``s`` instead, with the same mean).
    """

    def __init__(self, n_arms: int, n_features: int, *, prior: float, **settings: Any) -> None:
        super().__init__(n_arms, n_features, prior=prior, **settings)
        if not prior >= 1:
            raise BadInput(f"router `{self.name}`: prior is {prior}; it must be 1 or more")
        self.prior = prior
        self._sum: Doubles = np.zeros((3, 1, n_arms))
        self._count: Ints = np.zeros((3, 1, n_arms), dtype=np.int64)

    @abstractmethod
    def _groups(self, contexts: Contexts) -> Ints:
        """``(n,)`` the group of each query, -1 for one never seen."""

    @abstractmethod
    def _group(self, contexts: Contexts) -> None:
        """Forget the groups, and form those of a table."""

    @abstractmethod
    def _regroup(self, contexts: Contexts) -> Ints:
        """``(n,)`` the group of each query that an outcome has come of; may found new ones, before the last."""

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """The arm of the highest drawn utility; one beta draw for each row and arm."""
        if not explore:
            return super().act(contexts, rng, explore=False)
        a, b = self._beliefs(contexts)
        price = self._price(contexts)
        scores = (rng.beta(a, b) - price).astype(np.float32)
        arms = np.argmax(scores, axis=1)
        law = beta_argmax_law(a, b, price)[np.arange(len(arms)), arms]
        # An arm that was drawn is never said to be impossible.
        return Decision(arms, np.maximum(law, 1e-12), scores)

    def law(self, contexts: Contexts, *, explore: bool = True) -> Doubles:
        """``(n, K)`` probability of each arm; error at most 1e-3."""
        if not explore:
            return super().law(contexts, explore=False)
        return beta_argmax_law(*self._beliefs(contexts), self._price(contexts))

    def predict(self, contexts: Contexts) -> Outcomes:
        """Means of each query's group, each ``(n, K)``: the belief's, and costs pulled to the arm's mean."""
        group = self._groups(contexts)
        total, count = self._sum.sum(axis=1), self._count.sum(axis=1)
        overall = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        overall[0] = PRIOR_SCORE
        means = (self._sum + self.prior * overall[:, None]) / (self._count + self.prior)
        score, cost, latency = means[:, group].astype(np.float32)
        return Outcomes(score, cost, latency)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Forget, group the queries, and count every scored outcome ``(n, K)`` as one pull."""
        self._sum, self._count = np.zeros((3, 1, self.n_arms)), np.zeros((3, 1, self.n_arms), dtype=np.int64)
        self._group(contexts)
        rows, arms = np.nonzero(outcomes.observed)
        self._learn(self._groups(contexts)[rows], arms, stack(outcomes)[:, rows, arms])
        return self

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Count the outcomes ``(n,)`` of the arms chosen; rows without a score are skipped."""
        values = stack(outcomes)
        for row in np.flatnonzero(outcomes.observed):
            self._learn(self._regroup(contexts.take([int(row)])), arms[[row]], values[:, [row]])

    def add_arm(self) -> None:
        """One more arm, at the prior in every group."""
        self.n_arms += 1
        self._sum = np.pad(self._sum, ((0, 0), (0, 0), (0, 1)))
        self._count = np.pad(self._count, ((0, 0), (0, 0), (0, 1)))

    def _add_group(self) -> None:
        self._sum, self._count = np.insert(self._sum, -1, 0, axis=1), np.insert(self._count, -1, 0, axis=1)

    def _learn(self, groups: Ints, arms: Ints, values: Floats) -> None:
        seen = ~np.isnan(values)
        known = np.where(seen, values, 0).astype(np.float64)
        known[0] = np.clip(known[0], 0, 1)
        for row in range(3):
            np.add.at(self._sum[row], (groups, arms), known[row])
            np.add.at(self._count[row], (groups, arms), seen[row])

    def _beliefs(self, contexts: Contexts) -> tuple[Doubles, Doubles]:
        """Parameters ``(n, K)`` of the beta distribution of each arm's expected score."""
        group = self._groups(contexts)
        successes = self._sum[0, group]
        a = PRIOR_SCORE * self.prior + successes
        b = (1 - PRIOR_SCORE) * self.prior + np.maximum(self._count[0, group] - successes, 0)
        return a, b

    def _price(self, contexts: Contexts) -> Doubles:
        """``(n, K)`` what cost and latency take off a score; infinite where masked."""
        expected = self.predict(contexts)
        free = Outcomes(np.zeros_like(expected.score), expected.cost_usd, expected.latency_s)
        return -utility(free, contexts).astype(np.float64)

    def _arrays(self) -> dict[str, Array]:
        return {"sum": self._sum.copy(), "count": self._count.copy()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._sum, self._count = arrays["sum"].copy(), arrays["count"].copy()
