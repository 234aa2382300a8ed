"""Prequential evaluation: routers that learn as they go, judged on each query before its outcome is known to them.

Every router meets the same streams: one for each seed, of training queries in an order of its own, in any world of
``env.scenarios``. What is told of an answer may be late, wrong or missing there; what counts here is what the answer
was truly worth. (Dawid 1984, "Present position and potential developments: the prequential approach".)

Shapes: ``S`` streams, ``T`` rounds, ``K`` arms.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from env.contexts import Contexts, Floats, Ints, Outcomes, mean_observed
from env.errors import BadInput
from env.features import Featuriser
from env.routing_table import RoutingTable
from env.scenarios import Scenario, ScenarioLike
from env.splits import SplitBy
from env.stream import Batch, QueryStream
from env.trace import Trace
from experiments.bootstrap import LEVEL, Array, Estimate
from experiments.folds import Fold, best_single, cheapest, featurised, fold, is_blind, prepared, without_text
from experiments.metrics import cumulative_regret, reference_rewards
from routers import make, router_class
from routers.base import Router

ROUNDS = 2_000
"""Rounds of a stream at most, where nothing else is asked for."""
WINDOW = 20
"""Rounds of the trailing mean that recovery is read off."""
REGAINED = 0.5
"""Share of what a change cost that counts as recovery."""
_FEWEST = 50  # queries that make a stream
_REPLICATES = 400
_CLOSED = -10.0  # the reward of an arm that may not be chosen: below all others

Says = Callable[[int, str], None]
"""Called before each router with the seed and the router's name."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How soon a router came to terms with a change.

    Attributes:
        at: the round at which the world changed.
        loss: mean reward lost in a round by going on with the arm that was best before.
        rounds: until half of it was regained, with an interval over streams; from :data:`WINDOW`, which is at once.
        within: rounds that were watched: as many, and it did not recover in this time.
    """

    at: int
    loss: float
    rounds: Estimate
    within: int


@dataclass(frozen=True, slots=True)
class Course:
    """How one router fared.

    Attributes:
        router: its name.
        arms: ``(S, T)`` that it chose.
        score: ``(S, T)`` the true scores of its answers.
        cost_usd: ``(S, T)``; NaN where not recorded.
        reward: ``(S, T)`` true score minus what cost weighs.
        recoveries: one for each change after which another arm is best.
    """

    router: str
    arms: Ints
    score: Array
    cost_usd: Array
    reward: Array
    recoveries: tuple[Recovery, ...]


@dataclass(frozen=True, slots=True)
class Prequential:
    """Online routers on the same streams.

    Attributes:
        trace: whose queries.
        scenario: what happened.
        seeds: one stream each.
        cost_weight: the price of money, in score points per dollar.
        changes: rounds at which something begins or ends.
        best_arm: ``(S, T)`` reward of the reference: the one arm that did best between two changes, in hindsight.
        best_recorded: ``(S, T)`` best recorded reward of each round, luck included.
        chance: ``(S, T)`` expected reward of choosing at random.
        courses: the routers, in the order asked for.
    """

    trace: str
    scenario: str
    seeds: tuple[int, ...]
    cost_weight: float
    changes: tuple[int, ...]
    best_arm: Array
    best_recorded: Array
    chance: Array
    courses: tuple[Course, ...]

    def regret(self, reward: Array) -> Array:
        """``(S, T)`` cumulative regret of some rewards ``(S, T)`` against :attr:`best_arm`."""
        return cumulative_regret(reward, self.best_arm)


def prequential(
    trace: Trace,
    routers: Sequence[str],
    *,
    scenario: ScenarioLike = None,
    seeds: int = 10,
    rounds: int | None = None,
    cost_weight: float | None = None,
    split_by: SplitBy = "prompt",
    featuriser: Featuriser | None = None,
    step: Says | None = None,
) -> Prequential:
    """Replay routers that learn online, with the outcomes of their own choices alone.

    Args:
        trace: recorded outcomes. A stream is the training part of a seed, as comparisons divide it, less the queries
            on which some arm was not observed.
        routers: names of routers that learn online.
        scenario: what happens to the streams, see :meth:`env.scenarios.Scenario.of`; nothing when not given.
        seeds: number of streams.
        rounds: of a stream; when not given, all there are, up to :data:`ROUNDS`.
        cost_weight: score points per dollar; when not given, :func:`even_price` of the first stream.
        split_by: as in comparisons.
        featuriser: what routers see; when not given, what each was made for.
        step: told what comes next.

    Raises:
        BadInput: a router that does not learn online, too few queries, or a scenario that does not fit.

    Example:
        >>> from env.features import Hashing
        >>> from env.trace_io import from_rows
        >>> rows = [{"query_id": str(n), "prompt": f"question {n}", "model": m, "score": float(m == "good")}
        ...         for n in range(100) for m in ("bad", "good")]
        >>> found = prequential(from_rows(rows), ["ucb1"], seeds=2, featuriser=Hashing(4))
        >>> regret = found.regret(found.courses[0].reward)
        >>> regret.shape, bool(regret[:, -1].max() < 10)
        ((2, 60), True)
    """
    for name in routers:
        if not router_class(name).capabilities.online:
            raise BadInput(f"router `{name}` does not learn online; prequential evaluation is of routers that do")
    if seeds < 1:
        raise BadInput(f"prequential evaluation needs one stream or more, got {seeds} seeds")
    ready = trace if is_blind(trace) else featurised(trace, featuriser)
    parts = [fold(ready, seed, resample=True, split_by=split_by) for seed in range(seeds)]
    n = min(int(part.train.observed.all(axis=1).sum()) for part in parts)
    n = min(n, ROUNDS if rounds is None else rounds)
    if n < _FEWEST:
        raise BadInput(
            f"trace {trace.name}: a stream of {n} complete training queries is too short to learn from; "
            f"it takes {_FEWEST}"
        )
    parts = [_shortened(part, n) for part in parts]
    price = even_price(parts[0].train) if cost_weight is None else cost_weight
    what = Scenario.of(scenario)
    batches, changes = [], []
    for part in parts:
        contexts = Contexts.of(np.zeros((n, 1)), trace.n_arms, cost_weight=price, task=part.train.tasks)
        table = RoutingTable.of(contexts, part.train.outcomes, arms=trace.arms, name=trace.name)
        stream = QueryStream(table, scenario=what)
        stream.rewind(np.random.default_rng(part.seed))
        batches.append(stream.take(n))
        changes = [at for at in stream.scenario.times if at < n]
    worth = np.stack([rewards(batch, price) for batch in batches])
    known = [dict[str, Floats]() for _ in parts]
    courses = []
    for name in routers:
        recipe, arms = router_class(name).featuriser, []
        for part, batch, seen in zip(parts, batches, known, strict=True):
            if step is not None:
                step(part.seed, name)
            if recipe not in seen:
                seen[recipe] = _features(part, recipe, featuriser)
            router = _fresh(name, trace.n_arms, seen[recipe].shape[1], part.seed)
            arms.append(replayed(router, seen[recipe], batch, price, part.seed))
        courses.append(_course(name, np.stack(arms), batches, worth, changes))
    open_arms = worth > _CLOSED
    return Prequential(
        trace.name,
        what.name,
        tuple(part.seed for part in parts),
        price,
        tuple(changes),
        np.concatenate([reference_rewards(worth[:, a:b], "best_arm") for a, b in _stretches(changes, n)], axis=1),
        reference_rewards(worth, "best_recorded"),
        np.where(open_arms, worth, 0).sum(axis=-1) / open_arms.sum(axis=-1),
        tuple(courses),
    )


def even_price(trace: Trace) -> float:
    """The price of money at which the best single arm and the cheapest are worth the same, in score points per dollar.

    There mixing the two blindly is worth no more than either, and all that is gained is gained by routing. 0 where the
    best is the cheapest, or costs are not recorded.
    """
    if not trace.has_cost:
        return 0.0
    score, cost = mean_observed(trace.score), mean_observed(trace.cost_usd)
    best, cheap = best_single(trace), cheapest(trace)
    return float((score[best] - score[cheap]) / (cost[best] - cost[cheap])) if cost[best] > cost[cheap] else 0.0


def rewards(batch: Batch, cost_weight: float) -> Array:
    """``(n, K)`` true score minus weighted cost; far below all where an arm is closed."""
    cost = np.nan_to_num(batch.cost_usd.astype(np.float64))
    worth: Array = np.nan_to_num(batch.score.astype(np.float64)) - cost_weight * cost
    return np.where(batch.mask, worth, _CLOSED)


def replayed(router: Router, features: Floats, batch: Batch, cost_weight: float, seed: int) -> Ints:
    """The arms ``(n,)`` that a router chooses on a stream, learning what it is told, when it is told.

    Args:
        router: one that has learned nothing of the stream.
        features: ``(N, d)`` of the table's queries.
        batch: the stream.
        cost_weight: score points per dollar.
        seed: of the router's draws.
    """
    contexts = Contexts.of(features[batch.rows], router.n_arms, cost_weight=cost_weight, mask=batch.mask)
    told, rng = Outcomes(batch.told, batch.cost_usd, batch.latency_s), np.random.default_rng(seed)
    if not batch.delay.any():
        return router.replay(contexts, told, rng).arms
    arms = np.empty(len(batch.rows), dtype=np.int64)
    due: dict[int, list[int]] = {}
    propensities = np.empty(len(arms))
    for step in range(len(arms)):
        decision = router.act(contexts.take(slice(step, step + 1)), rng)
        arms[step], propensities[step] = decision.arms[0], decision.propensities[0]
        due.setdefault(step + int(batch.delay[step]), []).append(step)
        for row in due.pop(step, []):
            at = slice(row, row + 1)
            router.update(contexts.take(at), arms[at], told.take(at).at(arms[at]), propensities[at])
    return arms


def recovery(gaps: Array, loss: float) -> Estimate:
    """Rounds until half of the loss is regained, with an interval by bootstrap over streams.

    Args:
        gaps: ``(S, n)`` as :func:`rounds_to_recover` takes them.
        loss: likewise.
    """
    streams = len(gaps)
    draws = np.random.default_rng(0).integers(streams, size=(_REPLICATES, streams))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile([rounds_to_recover(gaps[drawn], loss) for drawn in draws], [tail, 1 - tail])
    return Estimate(rounds_to_recover(gaps, loss), float(low), float(high))


def rounds_to_recover(gaps: Array, loss: float) -> int:
    """Rounds until the trailing mean of the gap, over all streams, is at most half of the loss.

    Args:
        gaps: ``(S, n)`` reward of the arm that is best after the change minus that of the arm chosen, on one query.
        loss: mean gap of going on with the arm that was best before.

    Returns:
        From :data:`WINDOW` (at once) to ``n`` (not in this time).

    Example:
        >>> rounds_to_recover(np.repeat([[0.4, 0.1]], 50, axis=1).reshape(1, -1), 0.4)
        64
    """
    trailing = np.convolve(gaps.mean(axis=0), np.ones(WINDOW) / WINDOW, "valid")
    there = np.flatnonzero(trailing <= (1 - REGAINED) * loss + 1e-9)
    return int(there[0]) + WINDOW if len(there) else gaps.shape[1]


def band(values: Array) -> tuple[Array, Array, Array]:
    """Mean over streams of curves ``(S, T)``, and the bounds of its interval; by bootstrap over streams.

    Example:
        >>> [bound.tolist() for bound in band(np.array([[1.0, 2.0], [1.0, 2.0]]))]
        [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]
    """
    streams = len(values)
    drawn = np.random.default_rng(0).multinomial(streams, np.full(streams, 1 / streams), size=_REPLICATES)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn / streams @ values, [tail, 1 - tail], axis=0)
    return values.mean(axis=0), low, high


def _shortened(part: Fold, n: int) -> Fold:
    """The fold with ``n`` of its complete training queries, drawn at random."""
    complete = np.flatnonzero(part.train.observed.all(axis=1))
    kept = np.sort(np.random.default_rng([part.seed, n]).permutation(complete)[:n])
    return replace(part, train=part.train.take(kept))


def _features(part: Fold, recipe: str, maker: Featuriser | None) -> Floats:
    ready, _ = without_text(part) if is_blind(part.train) else prepared(part, recipe, maker)
    assert ready.train.features is not None
    return ready.train.features


def _fresh(name: str, n_arms: int, n_features: int, seed: int) -> Router:
    seeded = {"seed": seed} if "seed" in inspect.signature(router_class(name)).parameters else {}
    return make(name, n_arms, n_features, **seeded)


def _course(name: str, arms: Ints, batches: Sequence[Batch], worth: Array, changes: Sequence[int]) -> Course:
    def of(table: Array) -> Array:
        return np.take_along_axis(table, arms[..., None], axis=-1)[..., 0]

    score, cost = (np.stack([getattr(batch, column) for batch in batches]) for column in ("score", "cost_usd"))
    got = of(worth)
    stretches = _stretches(changes, arms.shape[1])
    pairs = itertools.pairwise(stretches)
    found = [_recovered(worth[:, was:at], worth[:, at:to], got[:, at:to], at) for (was, at), (_, to) in pairs]
    recoveries = tuple(one for one in found if one is not None)
    return Course(name, arms, of(score.astype(np.float64)), of(cost.astype(np.float64)), got, recoveries)


def _recovered(before: Array, after: Array, got: Array, at: int) -> Recovery | None:
    """``None`` where what was best before the change is best after it: there is nothing to come to terms with."""
    if after.shape[1] <= WINDOW:
        return None
    was, now = (part.mean(axis=1).argmax(axis=-1)[:, None, None] for part in (before, after))
    old, new = (np.take_along_axis(after, best, axis=-1)[..., 0] for best in (was, now))
    loss = float((new - old).mean())
    return Recovery(at, loss, recovery(new - got, loss), after.shape[1]) if loss > 0 else None


def _stretches(changes: Sequence[int], n: int) -> list[tuple[int, int]]:
    """First and last round of the stretches between changes."""
    edges = [0, *changes, n]
    return list(itertools.pairwise(edges))
