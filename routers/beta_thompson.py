"""Beta Thompson sampling: for each group of queries and each arm, a belief about how often the arm is right.

Groups are clusters of similar prompts (``beta_thompson``) or the caller's task labels (``beta_thompson_task``).
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from env.contexts import Contexts, Floats, Ints, Outcomes
from env.errors import BadInput
from routers.base import PRIOR_SCORE, Array, Capabilities, Decision, Estimator, utility
from routers.beta_law import beta_argmax_law
from routers.kmeans import fit_centres, nearest_centre, squared_distances
from routers.least_squares import Doubles
from routers.linear import stack


class _GroupedBeta(Estimator):
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


class BetaThompson(_GroupedBeta):
    """Thompson sampling with a beta belief for each cluster of prompts and each arm.

    ``theta_ck ~ Beta(prior / 2 + successes, prior / 2 + failures)``, and the arm of the highest draw minus weighted
    mean cost and latency is chosen (Thompson 1933; Agrawal, Goyal 2012, arXiv 1111.1797, algorithm 1, in every
    cluster by itself). ``fit`` forms the clusters by k-means on the training features; without it the first
    ``clusters`` different prompts found one each, and a centre moves to the mean of its prompts (MacQueen 1967, Some
    methods for classification and analysis of multivariate observations). Propensities are integrals
    (:func:`~routers.beta_law.beta_argmax_law`, error at most 1e-3).

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        clusters: how many at most; fewer know more of each arm, more know the prompt better.
        prior: pulls that the prior mean of one half is worth, 1 or more; 2 is the uniform prior.
        seed: of the clustering.

    Example:
        >>> contexts = Contexts.of(np.array([[-1.0], [1.0]]), n_arms=2)
        >>> table = Outcomes.of(np.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> router = BetaThompson(2, 1, clusters=2).fit(contexts, table)
        >>> router.act(contexts, np.random.default_rng(0), explore=False).arms
        array([0, 1])
        >>> router.law(contexts).round(2)  # one pull of each arm tells little
        array([[0.78, 0.22],
               [0.28, 0.72]])
    """

    name: ClassVar[str] = "beta_thompson"
    capabilities: ClassVar[Capabilities] = Capabilities(online=True, adds_arms=True, uses_load=True)

    def __init__(self, n_arms: int, n_features: int, *, clusters: int = 8, prior: float = 2.0, seed: int = 0) -> None:
        super().__init__(n_arms, n_features, prior=prior, clusters=clusters, seed=seed)
        if clusters < 1:
            raise BadInput(f"router `{self.name}`: clusters is {clusters}; it must be 1 or more")
        self._centres = np.zeros((0, n_features), dtype=np.float32)
        self._rows = np.zeros(0, dtype=np.int64)

    def _groups(self, contexts: Contexts) -> Ints:
        if len(self._centres) == 0:
            return np.full(len(contexts), -1, dtype=np.int64)
        return nearest_centre(contexts.features, self._centres)

    def _group(self, contexts: Contexts) -> None:
        self._centres = fit_centres(contexts.features, self.settings["clusters"], self.settings["seed"])
        self._rows = np.bincount(self._groups(contexts), minlength=len(self._centres)) if len(contexts) else self._rows
        for _ in self._centres:
            self._add_group()

    def _regroup(self, contexts: Contexts) -> Ints:
        x = contexts.features
        if len(self._centres) < self.settings["clusters"] and not (squared_distances(x, self._centres) < 1e-12).any():
            self._centres, self._rows = np.concatenate([self._centres, x]), np.append(self._rows, 0)
            self._add_group()
        group = self._groups(contexts)
        self._rows[group] += 1
        share = (1 / self._rows[group]).astype(np.float32)
        self._centres[group] += share * (x - self._centres[group])
        return group

    def _arrays(self) -> dict[str, Array]:
        return {**super()._arrays(), "centres": self._centres.copy(), "centre_rows": self._rows.copy()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        super()._restore(arrays)
        self._centres, self._rows = arrays["centres"].copy(), arrays["centre_rows"].copy()


class BetaThompsonTask(_GroupedBeta):
    """:class:`BetaThompson` by the caller's task label instead of clusters; prompts without one share a group.

    Args:
        n_arms: ``K``.
        n_features: ``d``, not used.
        prior: pulls that the prior mean of one half is worth, 1 or more.

    Example:
        >>> contexts = Contexts.of(np.zeros((2, 1)), n_arms=2, task=np.array(["sum", "spell"], dtype=object))
        >>> router = BetaThompsonTask(2, 1).fit(contexts, Outcomes.of(np.array([[0.9, 0.1], [0.2, 0.8]])))
        >>> router.act(contexts, np.random.default_rng(0), explore=False).arms
        array([0, 1])
    """

    name: ClassVar[str] = "beta_thompson_task"
    capabilities: ClassVar[Capabilities] = Capabilities(
        online=True, adds_arms=True, uses_features=False, uses_load=True
    )

    def __init__(self, n_arms: int, n_features: int, *, prior: float = 2.0) -> None:
        super().__init__(n_arms, n_features, prior=prior)
        self._row_of: dict[str | None, int] = {}

    def _groups(self, contexts: Contexts) -> Ints:
        return np.array([self._row_of.get(label, -1) for label in _labels(contexts)], dtype=np.int64)

    def _group(self, contexts: Contexts) -> None:
        self._row_of = {}
        self._regroup(contexts)

    def _regroup(self, contexts: Contexts) -> Ints:
        for label in _labels(contexts):
            if label not in self._row_of:
                self._row_of[label] = len(self._row_of)
                self._add_group()
        return self._groups(contexts)

    def _arrays(self) -> dict[str, Array]:
        labels = np.frombuffer(json.dumps(list(self._row_of)).encode(), dtype=np.uint8)
        return {**super()._arrays(), "task_labels": labels}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        super()._restore(arrays)
        self._row_of = {label: row for row, label in enumerate(json.loads(arrays["task_labels"].tobytes()))}


def _labels(contexts: Contexts) -> list[str | None]:
    if contexts.task is None:
        return [None] * len(contexts)
    return [None if task is None else str(task) for task in contexts.task]
