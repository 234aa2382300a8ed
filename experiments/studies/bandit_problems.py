"""One pass of bandit feedback over a recorded trace, and what it was worth: AIQ over the zero router."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from env.contexts import Bools, Contexts, Floats, Ints
from env.errors import BadInput
from env.features import Featuriser, default_featuriser
from env.trace import Trace
from experiments.bootstrap import Array, Bootstrap, estimate
from experiments.evaluate import DIALS
from experiments.folds import Fold, featurised, fold
from experiments.metrics import Frontier, mean_over
from routers import make
from routers.base import Estimator, greedy, utility
from routers.dial import cost_weights, fit_dial

COMPONENTS = 48
"""Principal components of the features, found on the training prompts without their outcomes, for bandits and ridge."""
WARM_SHARE = 0.1
"""Share of the training queries that a warm start is told every outcome of, before the pass over the others."""
_LOWEST_PRICE = 1e-3


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to learn from a stream.

    Attributes:
        router: its name.
        exploration: ``alpha`` of LinUCB, ``v`` of Thompson sampling.
        ridge: prior precision of the weights.
        highest_price: of the prices of money drawn for the queries, in score points per mean cost of a call.
    """

    router: str
    exploration: float
    ridge: float
    highest_price: float

    def made(self, n_arms: int, n_features: int) -> Estimator:
        """A fresh router."""
        name = {"linucb": "alpha", "linear_thompson": "v"}[self.router]
        found = make(self.router, n_arms, n_features, ridge=self.ridge, **{name: self.exploration})
        assert isinstance(found, Estimator)
        return found

    def __str__(self) -> str:
        return f"{self.router}, exploration {self.exploration:g}, ridge {self.ridge:g}, price to {self.highest_price:g}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One seed of a trace, features reduced.

    Attributes:
        part: the fold; its traces hold the reduced features.
        halves: of the validation queries, each to fit the dial on while the other measures.
    """

    part: Fold
    halves: tuple[Ints, Ints]

    @classmethod
    def of(cls, ready: Trace, seed: int) -> Problem:
        """Divide and reduce a featurised trace."""
        part = fold(ready, seed, resample=True)
        center, axes = principal_axes(_features(part.train), COMPONENTS)
        train, validation, test = (
            replace(trace, features=np.asarray((_features(trace) - center) @ axes, dtype=np.float32))
            for trace in (part.train, part.validation, part.test)
        )
        order = np.random.default_rng(seed).permutation(len(validation))
        middle = len(order) // 2
        return cls(
            replace(part, train=train, validation=validation, test=test),
            (np.sort(order[:middle]), np.sort(order[middle:])),
        )

    def fitted(self, name: str) -> Estimator:
        """A router that was told every outcome of the training queries."""
        train = self.part.train
        router = make(name, train.n_arms, _features(train).shape[1])
        assert isinstance(router, Estimator)
        return router.fit(Contexts.of(_features(train), train.n_arms), train.outcomes)

    def stream(self, setting: Setting) -> tuple[Contexts, Ints]:
        """Contexts of the training queries, money priced anew for each (log-uniformly), and their order."""
        train = self.part.train
        rng = np.random.default_rng([self.part.seed, len(train)])
        order = rng.permutation(np.flatnonzero(train.observed.any(axis=1)))
        decades = rng.uniform(np.log10(_LOWEST_PRICE), np.log10(setting.highest_price), len(train))
        price = 10**decades / float(np.nanmean(train.cost_usd, dtype=np.float64))
        return Contexts.of(_features(train), train.n_arms, cost_weight=price, mask=train.observed), order

    def learned(
        self, setting: Setting, *, warm: bool = False, share: float = 1.0, rows: int | None = None
    ) -> Estimator:
        """A router after a share of one pass with bandit feedback; ``warm``: all is told of the first queries.

        The pass ends after ``rows`` queries, where they are given.
        """
        train = self.part.train
        contexts, order = self.stream(setting)
        order = order[:rows]
        router = setting.made(train.n_arms, contexts.features.shape[1])
        told = round(WARM_SHARE * len(order)) if warm else 0
        if told:
            router.fit(contexts.take(order[:told]), train.outcomes.take(order[:told]))
        rest = order[told : max(told, round(share * len(order)))]
        router.replay(contexts.take(rest), train.outcomes.take(rest), np.random.default_rng(self.part.seed))
        return router

    def held_out(self, router: Estimator) -> float:
        """AIQ on validation queries: the dial fitted on each half, the other measured."""
        validation, (one, other) = self.part.validation, self.halves
        ones = np.ones((1, len(validation)))
        values = [
            self._aiq(router, validation.take(a), validation.take(b), ones[:, : len(b)])
            for a, b in ((one, other), (other, one))
        ]
        return float(np.mean(values))

    def tested(self, router: Estimator, draws: Bootstrap, among: Bools | None = None) -> Array:
        """AIQ ``(1 + B,)`` on test queries and on every replicate, the dial fitted on all validation queries.

        Only arms ``among`` ``(K,)`` are chosen, where it is given.
        """
        counts = np.vstack([np.ones((1, len(self.part.test))), draws.prompts[:, self.part.test_index]])
        return self._aiq(router, self.part.validation, self.part.test, counts, among)

    def _aiq(
        self, router: Estimator, fitted_on: Trace, measured_on: Trace, counts: Any, among: Bools | None = None
    ) -> Array:
        choose = _choices(router, fitted_on, among)
        dial_map, _ = fit_dial(choose, fitted_on.outcomes, cost_weights(fitted_on.outcomes))
        decide = _choices(router, measured_on, among)
        arms = np.stack([decide(float(dial_map(dial))) for dial in DIALS])
        rows = np.arange(len(measured_on))
        left, right = self.part.cheapest, self.part.best_single
        cost, score = measured_on.cost_usd, measured_on.score
        return Frontier(
            mean_over(counts, cost[rows, arms]),
            mean_over(counts, score[rows, arms]),
            mean_over(counts, cost[:, left][None])[:, 0],
            mean_over(counts, score[:, left][None])[:, 0],
            mean_over(counts, cost[:, right][None])[:, 0],
        ).aiq


Learner: TypeAlias = Callable[[Problem], tuple[Estimator, Bools | None]]
"""What learns a problem: the router, and the arms ``(K,)`` that it may choose (``None`` for all)."""


def principal_axes(features: Floats, n_axes: int) -> tuple[Floats, Floats]:
    """Mean ``(d,)`` and first axes ``(d, m)`` of features ``(n, d)``, ``m <= n_axes``.

    Example:
        >>> center, axes = principal_axes(np.array([[1.0, 5.0], [3.0, 5.0]], dtype=np.float32), 1)
        >>> center.tolist(), np.abs(axes).round(3).tolist()
        ([2.0, 5.0], [[1.0], [0.0]])
    """
    center = features.mean(axis=0)
    _, _, axes = np.linalg.svd((features - center).astype(np.float64), full_matrices=False)
    return center, axes[:n_axes].T.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Divided:
    """A featurised trace and its problems, one for each seed."""

    trace: Trace
    problems: list[Problem]

    @property
    def pulls(self) -> float:
        """Pulls an arm of one pass, if they were shared out equally; the mean over the seeds."""
        return float(np.mean([p.part.train.observed.any(axis=1).sum() / p.part.train.n_arms for p in self.problems]))

    def gains(self, learners: Mapping[str, Learner]) -> dict[str, Array]:
        """AIQ over the zero router ``(1 + B,)`` of each learner: on the data, then on every replicate."""
        draws = Bootstrap.draw(self.trace.groups, len(self.problems))
        found: dict[str, list[Array]] = {name: [] for name in learners}
        for problem in self.problems:
            zero = problem.tested(problem.fitted("zero"), draws)
            for name, learner in learners.items():
                router, among = learner(problem)
                found[name].append(problem.tested(router, draws, among) - zero)
        per_seed = {name: np.stack(values) for name, values in found.items()}
        return {
            name: np.concatenate([[values[:, 0].mean()], draws.pooled(values[:, 1:])])
            for name, values in per_seed.items()
        }


def divide(traces: Sequence[Trace], seeds: int, maker: Featuriser | None = None) -> list[Divided]:
    """Featurise each trace and divide it once for every seed.

    Raises:
        BadInput: a trace without costs.
    """
    for trace in traces:
        if not trace.has_cost:
            raise BadInput(f"trace {trace.name}: shares of AIQ need the cost of every outcome")
    ready = [featurised(trace, maker or default_featuriser()) for trace in traces]
    return [Divided(trace, [Problem.of(trace, seed) for seed in range(seeds)]) for trace in ready]


def compared(own: Sequence[Array], ridge: Sequence[Array]) -> dict[str, Any]:
    """``daiq, ridge_daiq, share, low, high`` of the sums over sets of gains, each ``(1 + B,)``.

    Example:
        >>> compared([np.array([0.01, 0.01, 0.01])], [np.array([0.02, 0.02, 0.02])])["share"]
        0.5
    """
    above, asked = np.sum(own, axis=0), np.sum(ridge, axis=0)
    # A denominator that may be 0 has no share: where ridge itself is not surely above the zero router.
    known = float(np.quantile(asked[1:], 0.025)) > 0
    share = estimate((above / asked)[:1], (above / asked)[1:]) if known else None
    return {
        "daiq": float(above[0]),
        "ridge_daiq": float(asked[0]),
        "share": None if share is None else share.value,
        "low": None if share is None else share.low,
        "high": None if share is None else share.high,
    }


def told(name: str) -> Learner:
    """A learner that is told every outcome of the training queries."""
    return lambda problem: (problem.fitted(name), None)


def _features(trace: Trace) -> Floats:
    assert trace.features is not None
    return trace.features


def _choices(router: Estimator, trace: Trace, among: Bools | None) -> Callable[[float], Ints]:
    mask = None if among is None else np.tile(among, (len(trace), 1))
    contexts = Contexts.of(_features(trace), trace.n_arms, mask=mask)
    estimates = router.predict(contexts)

    def at(weight: float) -> Ints:
        priced = np.full(len(contexts), weight, dtype=np.float32)
        return greedy(utility(estimates, replace(contexts, cost_weight=priced))).arms

    return at
