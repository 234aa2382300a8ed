"""What bandit feedback alone is worth: one pass, against the ridge regression that is told every outcome.

python -m experiments.studies.bandit_shares --data FOLDER --out docs/bandits --document docs/bandits.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from env.contexts import Contexts, Floats, Ints
from env.errors import BadInput, PointsmanError
from env.features import Featuriser, default_featuriser
from env.files import write_json, write_text
from env.sources.named import load_trace
from env.trace import Trace
from experiments.bootstrap import Array, Bootstrap, estimate
from experiments.evaluate import DIALS
from experiments.folds import Fold, featurised, fold
from experiments.metrics import Frontier, mean_over
from experiments.studies.bandit_shares_report import markdown, picture, put
from routers import make
from routers.base import Estimator, greedy, utility
from routers.dial import cost_weights, fit_dial

COMPONENTS = 48
"""Principal components of the features, found on the training prompts without their outcomes, for bandits and ridge."""
WARM_SHARE = 0.1
"""Share of the training queries that a warm start is told every outcome of, before the pass over the others."""
SHARES = (0.1, 0.25, 0.5, 1.0)
"""Shares of the pass after which the learning curve is read."""
ABUNDANT, SCARCE = 1_000, 25
"""Pulls an arm from which a set counts as abundant, and up to which as scarce."""
SETS = ("routellm", "routerbench_5shot_subset", "mmlu_pro", "bfcl", "alpaca_eval2", "paretobandit_val")
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


CANDIDATES = tuple(
    Setting(router, exploration, ridge, price)
    for router, explorations in (("linucb", (1.0, 2.0, 3.0)), ("linear_thompson", (0.5, 1.0)))
    for exploration in explorations
    for ridge in (20.0, 50.0)
    for price in (1.0, 1_000.0)
)


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

    def learned(self, setting: Setting, *, warm: bool = False, share: float = 1.0) -> Estimator:
        """A router after a share of one pass with bandit feedback; ``warm``: all is told of the first queries."""
        train = self.part.train
        contexts, order = self.stream(setting)
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

    def tested(self, router: Estimator, draws: Bootstrap) -> Array:
        """AIQ ``(1 + B,)`` on test queries and on every replicate, the dial fitted on all validation queries."""
        counts = np.vstack([np.ones((1, len(self.part.test))), draws.prompts[:, self.part.test_index]])
        return self._aiq(router, self.part.validation, self.part.test, counts)

    def _aiq(self, router: Estimator, fitted_on: Trace, measured_on: Trace, counts: Any) -> Array:
        choose = _choices(router, fitted_on)
        dial_map, _ = fit_dial(choose, fitted_on.outcomes, cost_weights(fitted_on.outcomes))
        decide = _choices(router, measured_on)
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


def choose(problems: Sequence[Problem], candidates: Sequence[Setting], *, warm: bool) -> Setting:
    """The candidate of the highest sum of held-out AIQs: one for all sets, nothing tested on is looked at."""
    return max(candidates, key=lambda s: sum(problem.held_out(problem.learned(s, warm=warm)) for problem in problems))


def study(
    traces: Sequence[Trace],
    seeds: int,
    *,
    maker: Featuriser | None = None,
    candidates: Sequence[Setting] = CANDIDATES,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Choose one setting for a cold and one for a warm start, then measure them on the test queries of every seed.

    Args:
        traces: outcomes with a cost.
        seeds: divisions of each trace.
        maker: makes the features; the default featuriser when ``None``.
        candidates: to choose from.
        say: told how far it is.

    Returns:
        Rows ``sets, pulls, start, setting, share_of_pass, daiq, ridge_daiq, share, low, high``: one for each set, and
        pooled ones (ratios of sums) for all, those with :data:`ABUNDANT` pulls an arm and those with :data:`SCARCE`.

    Raises:
        BadInput: a trace without costs.
    """
    for trace in traces:
        if not trace.has_cost:
            raise BadInput(f"trace {trace.name}: shares of AIQ need the cost of every outcome")
    ready = [featurised(trace, maker or default_featuriser()) for trace in traces]
    problems = {trace.name: [Problem.of(trace, seed) for seed in range(seeds)] for trace in ready}
    flat = [problem for some in problems.values() for problem in some]
    chosen: dict[str, Setting] = {}
    for start in ("cold", "warm"):
        chosen[start] = choose(flat, candidates, warm=start == "warm")
        say(f"{start}: {chosen[start]}")
    pulls = {name: float(np.mean([p.part.train.observed.any(axis=1).sum() / p.part.train.n_arms for p in some]))
             for name, some in problems.items()}  # fmt: skip
    gains: dict[tuple[str, str, float], Array] = {}
    for trace in ready:
        draws = Bootstrap.draw(trace.groups, seeds)
        found: dict[tuple[str, float], list[Array]] = {}
        for problem in problems[trace.name]:
            zero = problem.tested(problem.fitted("zero"), draws)
            found.setdefault(("ridge", 1.0), []).append(problem.tested(problem.fitted("ridge"), draws) - zero)
            for start, setting in chosen.items():
                for share in SHARES:
                    router = problem.learned(setting, warm=start == "warm", share=share)
                    found.setdefault((start, share), []).append(problem.tested(router, draws) - zero)
        for key, values in found.items():
            per_seed = np.stack(values)
            gains[trace.name, *key] = np.concatenate([[per_seed[:, 0].mean()], draws.pooled(per_seed[:, 1:])])
        say(f"{trace.name}: measured")
    groups = {name: [name] for name in pulls} | {
        f"at least {ABUNDANT:,} pulls an arm": [name for name in pulls if pulls[name] >= ABUNDANT],
        f"at most {SCARCE} pulls an arm": [name for name in pulls if pulls[name] <= SCARCE],
        "all sets": list(pulls),
    }
    return [
        _row(group, names, pulls, gains, start, share, str(setting))
        for group, names in groups.items()
        if names
        for start, setting in chosen.items()
        for share in SHARES
    ]


def _row(
    group: str,
    names: list[str],
    pulls: dict[str, float],
    gains: dict[tuple[str, str, float], Array],
    start: str,
    share: float,
    setting: str,
) -> dict[str, Any]:
    own = np.sum([gains[name, start, share] for name in names], axis=0)
    ridge = np.sum([gains[name, "ridge", 1.0] for name in names], axis=0)
    # A denominator that may be 0 has no share: where ridge itself is not surely above the zero router.
    known = float(np.quantile(ridge[1:], 0.025)) > 0
    pooled = estimate((own / ridge)[:1], (own / ridge)[1:]) if known else None
    return {
        "sets": group,
        "pulls": round(float(np.mean([pulls[name] for name in names])), 1),
        "start": start,
        "setting": setting,
        "share_of_pass": share,
        "daiq": float(own[0]),
        "ridge_daiq": float(ridge[0]),
        "share": None if pooled is None else pooled.value,
        "low": None if pooled is None else pooled.low,
        "high": None if pooled is None else pooled.high,
    }


def _features(trace: Trace) -> Floats:
    assert trace.features is not None
    return trace.features


def _choices(router: Estimator, trace: Trace) -> Callable[[float], Ints]:
    contexts = Contexts.of(_features(trace), trace.n_arms)
    estimates = router.predict(contexts)

    def at(weight: float) -> Ints:
        priced = np.full(len(contexts), weight, dtype=np.float32)
        return greedy(utility(estimates, replace(contexts, cost_weight=priced))).arms

    return at


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.bandit_shares")
    parser.add_argument("--trace", action="append", help="a trace by name or path; again for more (six public sets)")
    parser.add_argument("--data", type=Path, help="folder of their Parquet files; names of public sets when left out")
    parser.add_argument("--seeds", type=int, default=8, help="divisions of each trace")
    parser.add_argument("--out", type=Path, help="folder for the rows and the picture")
    parser.add_argument("--document", type=Path, help="whose table to replace, e.g. docs/bandits.md")
    given = parser.parse_args(arguments)
    traces = []
    for name in given.trace or SETS:
        try:
            traces.append(load_trace(name if given.data is None else str(given.data / f"{name}.parquet")))
        except PointsmanError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    if not traces:
        raise BadInput("no trace was there to be studied")
    rows = study(traces, given.seeds, say=lambda line: print(line, file=sys.stderr, flush=True))
    print(markdown(rows))
    if given.out is not None:
        write_json(rows, given.out / "rows.json")
        picture(rows, given.out)
    if given.document is not None:
        write_text(put(rows, given.document.read_text(), str(given.document)), given.document)


if __name__ == "__main__":
    main()
