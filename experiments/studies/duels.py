"""What preferences alone are worth: one pass of duels, against scores and against every outcome told.

python -m experiments.studies.duels --out docs/duels --document docs/duels.md
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from env.contexts import Contexts, Floats, Outcomes
from env.errors import BadInput
from env.features import Featuriser, default_featuriser
from env.files import write_json
from env.sources.named import load_trace
from env.trace import Trace
from experiments.bootstrap import Array, Bootstrap, estimate
from experiments.documents import put
from experiments.evaluate import DIALS, realised
from experiments.folds import Fold, contexts_of, featurised, fold
from experiments.metrics import Frontier, mean_over
from experiments.studies.duels_report import markdown, picture
from routers import make
from routers.base import Estimator, greedy, utility
from routers.dial import choices_at, cost_weights, fit_dial
from routers.fgts import FGTS

CHOSEN, RANDOM, SCORES, FULL, BLIND = "fgts", "random duels", "linear_thompson", "ridge", "zero"
"""Duels of the router's choice; of two models drawn; the score of one answer; of every model's; no prompt looked at."""
SHARES = (0.1, 0.25, 0.5, 1.0)
"""Shares of the pass after which duels and scores are measured."""
PARTS = 8
"""Parts of the pass over which the scores of what was shown are averaged."""


def stream(train: Trace, seed: int, *, priced: bool) -> tuple[Contexts, Outcomes, np.random.Generator]:
    """The training queries in random order, and the generator to go on with.

    With ``priced`` the price of a dollar is drawn anew for each query, up to a score point for the mean cost of a call:
    above that, next to all queries would go to the cheapest model (docs/bandits.md). Without, it is 0.
    """
    rng = np.random.default_rng([seed, len(train)])
    prices = cost_weights(train.outcomes)
    prices = prices[prices * float(train.cost_usd.mean(dtype=np.float64)) <= 1] if priced else np.zeros(1)
    order, base = rng.permutation(len(train)), contexts_of(train)
    contexts = Contexts.of(base.features, base.n_arms, cost_weight=rng.choice(prices, len(train)))
    return contexts.take(order), train.outcomes.take(order), rng


def duels(train: Trace, seed: int, *, uniform: bool = False, priced: bool = True) -> tuple[FGTS, Array, Array]:
    """One pass in random order: two models answer, the higher recorded score is preferred, equal ones are a tie.

    Args:
        train: every model on every query.
        seed: of the order, the prices and the duels.
        uniform: two different models drawn uniformly, instead of those that the router names.
        priced: see :func:`stream`.

    Returns:
        The router, and for each duel the mean score of both answers and how many models were called, each ``(n,)``.
    """
    contexts, outcomes, rng = stream(train, seed, priced=priced)
    router = FGTS(train.n_arms, contexts.features.shape[1])
    shown, calls = np.empty((2, len(train)))
    for row in range(len(train)):
        asked, told = contexts.take([row]), outcomes.take([row])
        if uniform:
            first, second = rng.choice(train.n_arms, 2, replace=False)[:, None]
        else:
            first, second = (decision.arms for decision in router.duel(asked, rng))
        got = told.at(first), told.at(second)
        won = (1 + np.sign(got[0].score - got[1].score)) / 2
        router.prefer(asked, first, second, won, got)
        shown[row], calls[row] = (got[0].score[0] + got[1].score[0]) / 2, len({int(first[0]), int(second[0])})
    return router, shown, calls


def learned(rule: str, train: Trace, seed: int) -> tuple[Estimator, float]:
    """The router of a rule after the training queries, and how many models it had called for each."""
    if rule in (CHOSEN, RANDOM):
        router, _, calls = duels(train, seed, uniform=rule == RANDOM)
        return router, float(calls.mean())
    made = make(rule, train.n_arms, contexts_of(train).features.shape[1])
    assert isinstance(made, Estimator)
    if rule == SCORES:
        made.replay(*stream(train, seed, priced=True))
        return made, 1.0
    return made.fit(contexts_of(train), train.outcomes), float(train.n_arms)


def study(
    trace: Trace,
    seeds: Sequence[int],
    *,
    maker: Featuriser | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Every rule on the test queries of every seed; its dial is fitted on validation queries.

    Args:
        trace: outcomes with a cost; training queries that lack a model are left out.
        seeds: each a split and a pass.
        maker: makes the features; the default featuriser when ``None``.
        say: told of each seed.

    Returns:
        Rows ``rule, metric, at, value, low, high``. ``aiq``, its difference ``over RULE`` and ``score`` (at dial 1)
        have the share of the pass as ``at``; so has ``shown``, the mean score of the answers shown in the part of a
        pass that ends there, in which money had no price. ``calls`` is a mean a query.

    Raises:
        BadInput: a trace without costs.
    """
    if not trace.has_cost:
        raise BadInput(f"trace {trace.name}: the study needs the cost of every outcome")
    ready = featurised(trace, maker or default_featuriser())
    draws = Bootstrap.draw(ready.groups, len(seeds))
    found: dict[tuple[str, str, float], list[Array]] = {}
    for seed in seeds:
        part = fold(ready, seed, resample=True)
        train = part.train.take(np.flatnonzero(part.train.observed.all(axis=1)))
        order = np.random.default_rng(seed).permutation(len(train))
        counts = np.vstack([np.ones((1, len(part.test))), draws.prompts[:, part.test_index]])
        areas: dict[tuple[str, float], Array] = {}
        for rule in (BLIND, FULL, SCORES, RANDOM, CHOSEN):
            for share in SHARES if rule in (SCORES, RANDOM, CHOSEN) else (1.0,):
                router, calls = learned(rule, train.take(order[: round(share * len(train))]), seed)
                areas[rule, share], best = _tested(router, part, counts)
                found.setdefault((rule, "aiq", share), []).append(areas[rule, share])
                found.setdefault((rule, "score", share), []).append(best)
                found.setdefault((rule, "calls", share), []).append(np.full(len(counts), calls))
                for other in (BLIND, FULL, RANDOM):
                    against = areas.get((other, 1.0 if other in (BLIND, FULL) else share))
                    if against is not None and rule not in (BLIND, other):
                        found.setdefault((rule, f"over {other}", share), []).append(areas[rule, share] - against)
        for rule in (CHOSEN, RANDOM):
            _, shown, _ = duels(train, seed, uniform=rule == RANDOM, priced=False)
            for number, some in enumerate(np.array_split(shown, PARTS)):
                # Of a pass there is nothing to resample but the seeds.
                mean = np.full(len(counts), some.mean())
                found.setdefault((rule, "shown", (number + 1) / PARTS), []).append(mean)
        single = float(train.score[:, part.best_single].mean())
        found.setdefault(("best single", "shown", 1.0), []).append(np.full(len(counts), single))
        say(f"seed {seed}: " + ", ".join(f"{rule} {areas[rule, 1.0][0]:.4f}" for rule, at in areas if at == 1.0))
    return [_row(*key, np.stack(values), draws) for key, values in found.items()]


def _tested(router: Estimator, part: Fold, counts: Array) -> tuple[Array, Array]:
    """AIQ on the test queries and mean score at dial 1, each ``(B,)``, for every replicate."""
    validation, test = part.validation, part.test
    dial_map, _ = fit_dial(_choices(router, validation), validation.outcomes, cost_weights(validation.outcomes))
    choose = _choices(router, test)
    got = realised(test, np.stack([choose(float(dial_map(dial))) for dial in DIALS]))
    score = mean_over(counts, got.score)

    def single(values: Floats, arm: int) -> Array:
        return mean_over(counts, values[:, arm][None])[:, 0]

    left, right = part.cheapest, part.best_single
    ends = single(test.cost_usd, left), single(test.score, left), single(test.cost_usd, right)
    return Frontier(mean_over(counts, got.cost_usd), score, *ends).aiq, score[:, DIALS.index(1.0)]


def _choices(router: Estimator, trace: Trace) -> Callable[[float], Any]:
    expected = router.predict(contexts_of(trace))
    return choices_at(lambda asked: greedy(utility(expected, asked)).arms, contexts_of(trace))


def _row(rule: str, metric: str, at: float, values: Array, draws: Bootstrap) -> dict[str, Any]:
    pooled = estimate(values[:, 0], draws.pooled(values[:, 1:]))
    assert pooled is not None
    return {"rule": rule, "metric": metric, "at": at, "value": pooled.value, "low": pooled.low, "high": pooled.high}


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.duels", description=__doc__.splitlines()[0])
    parser.add_argument("--trace", default="bundled", help="a trace by name or path (bundled)")
    parser.add_argument("--seeds", type=int, default=10, help="splits and passes")
    parser.add_argument("--rows", type=Path, help="rows of an earlier run, to write the document again")
    parser.add_argument("--out", type=Path, help="folder for the rows and the picture")
    parser.add_argument("--document", type=Path, help="whose table to replace, e.g. docs/duels.md")
    given = parser.parse_args(arguments)
    if given.rows is not None:
        rows = json.loads(given.rows.read_text())
    else:
        rows = study(load_trace(given.trace), range(given.seeds), say=lambda line: print(line, file=sys.stderr))
    print(markdown(rows))
    if given.out is not None:
        write_json(rows, given.out / "rows.json")
        picture(rows, given.out)
    if given.document is not None:
        put("duels", markdown(rows), given.document)


if __name__ == "__main__":
    main()
