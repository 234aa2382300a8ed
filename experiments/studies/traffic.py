"""What knowing the queues brings: one policy decides twice on the same requests, once seeing the load and once blind.

python -m experiments.studies.traffic --out docs/traffic --document docs/traffic.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.arrivals import Arrivals, recorded_arrivals
from env.contexts import Contexts, Ints, mean_observed
from env.errors import BadInput, PointsmanError
from env.features import Featuriser, default_featuriser
from env.files import write_json
from env.sources.named import load_trace
from env.trace import Trace
from env.traffic import Fleet
from experiments.bootstrap import Array, Bootstrap, estimate
from experiments.documents import put
from experiments.folds import Fold, contexts_of, featurised, fold
from experiments.studies.traffic_report import markdown, picture
from experiments.train import learn
from routers.base import Estimator, greedy, utility
from routers.policy import Policy

Choose: TypeAlias = Callable[[int, float, Fleet], int]
"""The arm for a row of the part, at a time, in front of the queues as they are then."""

UTILISATIONS = (0.6, 0.9, 1.2)
CHOSEN_AT = (0.9, 1.2)
"""Utilisations at which the weights are chosen, on validation queries."""
CONCURRENCY = 4
"""Calls that an arm takes at once; with the latencies of `bfcl` the recorded hour then passes at about its own pace."""
PATIENCE = 10.0
"""A request fails after so many mean service times of the best arm."""
RULES = ("aware", "blind", "best fixed arm", "shortest queue")
DIFFERENCE = "aware - blind"
# Weights that are tried: score points per dollar, in units of one point per mean cost of a call, and per second.
_COST_WEIGHTS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
_LATENCY_WEIGHTS = (0.003, 0.01, 0.03)
# What the choice asks for on validation queries: they are few, so that no loss there may be a loss elsewhere.
_MARGIN = 0.01
_QUANTILES = {"p50_s": 0.50, "p95_s": 0.95, "p99_s": 0.99}
_MEANS = ("score", "cost_usd", "answered_usd", "failed")
METRICS = (*_QUANTILES, *_MEANS)
_ARRIVALS = "azure2023_code"
_DRAWN = 8_819
# Arrivals are divided by blocks of time, one in three for validation: neighbouring minutes are alike, whole thirds of
# an hour are not. Of the recorded hour a block is not quite five minutes.
_BLOCKS, _PARTS = 12, 3


@dataclass(frozen=True, slots=True)
class Weights:
    """What a dollar and a second are worth to the policy; the same whether it sees the load or not."""

    cost_weight: float
    latency_weight: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of one part of a trace: which query comes when, and what waits for it.

    Attributes:
        part: queries with all outcomes.
        rows: ``(n,)`` the query of each request.
        timestamp_s: ``(n,)`` when it arrives.
        deadline_s: seconds after which it fails.
        known_s: ``(K,)`` mean service times on training queries, which the queues expect at first.
    """

    part: Trace
    rows: Ints
    timestamp_s: Array
    deadline_s: float
    known_s: Array


@dataclass(frozen=True, slots=True)
class Served:
    """What came of the requests of one rule, each ``(n,)``.

    Attributes:
        latency_s: from arrival to the end, be it an answer or a failure.
        score: 0 where it failed.
        cost_usd: of every call, cut short or not; 0 where none was made.
        failed: 1 or 0.
    """

    latency_s: Array
    score: Array
    cost_usd: Array
    failed: Array

    @property
    def answered_usd(self) -> Array:
        """Cost of the requests that were answered, as if what failed were free."""
        return np.where(self.failed == 1, 0.0, self.cost_usd)


def serve(traffic: Traffic, choose: Choose) -> Served:
    """Let a rule route all requests, one after the other, in front of queues of its own."""
    part = traffic.part
    fleet = Fleet(part.n_arms, concurrency=CONCURRENCY, max_length=len(traffic.rows), mean_service_s=traffic.known_s)
    arms = np.empty(len(traffic.rows), dtype=np.int64)
    for at, (now, row) in enumerate(zip(traffic.timestamp_s.tolist(), traffic.rows.tolist(), strict=True)):
        arm = arms[at] = choose(row, now, fleet)
        fleet.submit(now, arm, float(part.latency_s[row, arm]), deadline=now + traffic.deadline_s)
    ended = sorted(fleet.drain())
    failed = np.array([end.failure is not None for end in ended])
    called = np.array([end.called for end in ended])
    return Served(
        np.array([end.latency_s for end in ended]),
        np.where(failed, 0.0, part.score[traffic.rows, arms]),
        np.where(called, part.cost_usd[traffic.rows, arms], 0.0),
        failed.astype(np.float64),
    )


def rules(policy: Policy, part: Trace, weights: Weights, best: int, quality: Array) -> dict[str, Choose]:
    """The four rules on a part.

    ``aware`` and ``blind`` are what ``policy.decide`` chooses with and without ``load``; the estimates behind it
    do not depend on the load, so they are made once.
    """
    assert isinstance(policy.router, Estimator)
    contexts = _at_weights(contexts_of(part), weights)
    estimates = policy.router.predict(contexts)
    settled = greedy(utility(estimates, contexts)).arms

    def aware(row: int, now: float, fleet: Fleet) -> int:
        one = slice(row, row + 1)
        load = fleet.load(now).astype(np.float32)[None]
        return int(greedy(utility(estimates.take(one), replace(contexts.take(one), load=load))).arms[0])

    def shortest(row: int, now: float, fleet: Fleet) -> int:
        there = fleet.depth(now)
        return int(np.argmax(np.where(there == there.min(), quality, -np.inf)))

    return {
        "aware": aware,
        "blind": lambda row, now, fleet: int(settled[row]),
        "best fixed arm": lambda row, now, fleet: best,
        "shortest queue": shortest,
    }


def requests(part: Fold, of: Trace, arrivals: Arrivals, utilisation: float, seed: int) -> Traffic:
    """Requests at a utilisation of the best arm: passes over the queries, each in a fresh order, for all arrivals."""
    rng = np.random.default_rng([seed, len(of)])
    passes = [rng.permutation(len(of)) for _ in range(1 + len(arrivals) // len(of))]
    known = np.maximum(mean_observed(part.train.latency_s), 1e-6)
    mean_s = float(known[part.best_single])
    times = arrivals.at_rate(utilisation * CONCURRENCY / mean_s).timestamp_s
    return Traffic(of, np.concatenate(passes)[: len(arrivals)], times, PATIENCE * mean_s, known)


def divided(arrivals: Arrivals) -> tuple[Arrivals, Arrivals]:
    """Arrivals for validation and for the test: of each block of time all gaps, put one after the other."""
    block = (arrivals.timestamp_s / arrivals.timestamp_s[-1] * _BLOCKS).astype(np.int64)
    gaps = np.diff(arrivals.timestamp_s, prepend=0.0)
    held = block % _PARTS == 1
    return Arrivals.of(np.cumsum(gaps[held])), Arrivals.of(np.cumsum(gaps[~held]))


def choose_weights(policy: Policy, part: Fold, arrivals: Arrivals) -> Weights:
    """The weights for both, from validation queries and arrivals that the test does not use.

    Of those with which seeing the load costs nothing there (mean score 1 % higher and mean cost 1 % lower at least, at
    both utilisations) the ones that shorten the 95th percentile of the latency most; where there are none, those that
    come nearest to it. Costs are compared as if failures were free, the harder way: the blind policy fails more.
    """
    unit = 1 / float(mean_observed(part.validation.cost_usd).mean())
    quality = mean_observed(part.train.score)
    traffics = [requests(part, part.validation, arrivals, share, part.seed) for share in CHOSEN_AT]
    found: list[tuple[float, float, Weights]] = []
    for cost_weight in _COST_WEIGHTS:
        for latency_weight in _LATENCY_WEIGHTS:
            weights = Weights(cost_weight * unit, latency_weight)
            by_rule = rules(policy, part.validation, weights, part.best_single, quality)
            short, shortened = 0.0, 0.0
            for traffic in traffics:
                aware, blind = serve(traffic, by_rule["aware"]), serve(traffic, by_rule["blind"])
                short += max(0.0, _MARGIN + 1 - float(aware.score.mean() / blind.score.mean()))
                short += max(0.0, _MARGIN - 1 + float(aware.answered_usd.mean() / blind.answered_usd.mean()))
                shortened += float(np.quantile(aware.latency_s, 0.95) / np.quantile(blind.latency_s, 0.95))
            found.append((short, shortened, weights))
    return min(found, key=lambda entry: entry[:2])[2]


def study(
    trace: Trace,
    arrivals: Arrivals,
    seeds: Sequence[int],
    *,
    maker: Featuriser | None = None,
    utilisations: Sequence[float] = UTILISATIONS,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Run all rules on the test requests of every seed.

    Args:
        trace: every outcome with a cost and a latency.
        arrivals: one in three of twelve blocks of time is for validation, the rest for the test.
        seeds: each a split, a training, and an order of the queries.
        maker: makes the features; the default featuriser when ``None``.
        utilisations: of the best arm.
        say: told of each seed's choice of weights.

    Returns:
        Rows ``trace, utilisation, rule, metric, value, low, high``; the rule ``aware - blind`` is their paired
        difference.

    Raises:
        BadInput: outcomes without a latency or cost.
    """
    if not (trace.has_latency and trace.has_cost):
        raise BadInput(f"trace {trace.name}: traffic needs a latency and a cost of every outcome")
    maker = maker or default_featuriser()
    ready = featurised(trace, maker)
    for_validation, for_test = divided(arrivals)
    draws = Bootstrap.draw(ready.groups, len(seeds))
    found: dict[tuple[float, str, str], list[Array]] = {}
    for seed in seeds:
        part = fold(ready, seed)
        policy = learn(part, "ridge", maker)
        weights = choose_weights(policy, part, for_validation)
        say(f"{trace.name}, seed {seed}: {weights.cost_weight:.4g} points/$, {weights.latency_weight:g} points/s")
        by_rule = rules(policy, part.test, weights, part.best_single, mean_observed(part.train.score))
        for share in utilisations:
            traffic = requests(part, part.test, for_test, share, seed)
            drawn = draws.prompts[:, part.test_index][:, traffic.rows]
            counts = np.vstack([np.ones((1, len(traffic.rows)), dtype=np.float32), drawn])
            for rule in RULES:
                for metric, values in figures(serve(traffic, by_rule[rule]), counts).items():
                    found.setdefault((share, rule, metric), []).append(values)
            for metric in METRICS:
                aware, blind = (found[share, rule, metric][-1] for rule in ("aware", "blind"))
                found.setdefault((share, DIFFERENCE, metric), []).append(aware - blind)
    return [_row(trace.name, *key, np.stack(values), draws) for key, values in found.items()]


def figures(served: Served, counts: NDArray[np.float32]) -> dict[str, Array]:
    """Every metric ``(B,)`` where request ``i`` counts ``counts[b, i]`` times in replicate ``b``.

    Example:
        >>> served = Served(np.array([3.0, 1.0]), np.array([1.0, 0.0]), np.array([0.5, 0.0]), np.array([0.0, 1.0]))
        >>> found = figures(served, np.array([[1.0, 1.0], [0.0, 2.0]], dtype=np.float32))
        >>> found["score"].tolist(), found["p95_s"].tolist()
        ([0.5, 0.0], [3.0, 1.0])
    """
    total = counts.sum(axis=1, dtype=np.float64)
    means = {name: counts @ getattr(served, name) / total for name in _MEANS}
    order = np.argsort(served.latency_s, kind="stable")
    reached = np.cumsum(counts[:, order], axis=1, dtype=np.float64)
    ranked = served.latency_s[order]
    quantiles = {
        name: ranked[np.argmax(reached >= share * total[:, None], axis=1)] for name, share in _QUANTILES.items()
    }
    return {**quantiles, **means}


def _row(trace: str, share: float, rule: str, metric: str, values: Array, draws: Bootstrap) -> dict[str, Any]:
    pooled = estimate(values[:, 0], draws.pooled(values[:, 1:]))
    assert pooled is not None
    named = {"trace": trace, "utilisation": share, "rule": rule, "metric": metric}
    return named | {"value": pooled.value, "low": pooled.low, "high": pooled.high}


def _at_weights(contexts: Contexts, weights: Weights) -> Contexts:
    return Contexts.of(
        contexts.features,
        contexts.n_arms,
        cost_weight=weights.cost_weight,
        latency_weight=weights.latency_weight,
        mask=contexts.mask,
        task=contexts.task,
    )


def arrivals_of(name: str) -> tuple[Arrivals, str]:
    """Recorded arrivals and how to call them; drawn bursts where they are not to be had."""
    try:
        return recorded_arrivals(name), name
    except PointsmanError as error:
        print(f"arrivals are drawn in bursts instead: {error}", file=sys.stderr)
        return Arrivals.bursty(1.0, _DRAWN, np.random.default_rng(0)), "bursty"


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.traffic", description=__doc__.splitlines()[0])
    parser.add_argument("--trace", action="append", help="a trace by name or path; again for more (bfcl and bundled)")
    parser.add_argument("--arrivals", default=_ARRIVALS, help=f"recorded arrivals by name or path ({_ARRIVALS})")
    parser.add_argument("--seeds", type=int, default=10, help="splits, trainings and orders of the queries")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    parser.add_argument("--out", type=Path, help="folder for the rows and the picture")
    parser.add_argument("--document", type=Path, help="whose table to replace, e.g. docs/traffic.md")
    given = parser.parse_args(arguments)
    arrivals, called = arrivals_of(given.arrivals)
    rows: list[dict[str, Any]] = []
    for name in given.trace or ("bfcl", "bundled"):
        try:
            trace = load_trace(name)
        except PointsmanError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        found = study(trace, arrivals, range(given.seeds), say=lambda line: print(line, file=sys.stderr))
        rows += [{"arrivals": called, **row} for row in found]
    if not rows:
        raise BadInput("no trace was there to be studied")
    print(markdown(rows))
    for path in (given.json, None if given.out is None else given.out / "rows.json"):
        if path is not None:
            write_json(rows, path)
    if given.out is not None:
        picture(rows, given.out)
    if given.document is not None:
        put("traffic", markdown(rows), given.document)


if __name__ == "__main__":
    main()
