"""What an answer reveals: a cascade with a learned stop rule beside routers that see the prompt alone.

python -m experiments.studies.cascade --out docs/cascade --document docs/cascade.md
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.features import Featuriser, default_featuriser
from env.files import write_json, write_text
from env.sources.named import load_trace
from env.trace import Trace
from experiments.bootstrap import Array, Bootstrap, estimate
from experiments.evaluate import DIALS, decide_at_every_dial
from experiments.folds import Fold, contexts_of, featurised, fold
from experiments.metrics import Frontier, mean_over
from experiments.studies.cascade_report import markdown, picture, put
from experiments.train import learn
from routers.attempts import Attempts
from routers.cascade import Cascade
from routers.dial import cost_weights, fit_dial
from routers.plan import Plan, follow

PROMPT_ONLY = ("ridge", "knn", "best_per_task", "linucb")
CHOSEN = "best prompt-only"
"""Of the four, the one with the highest AIQ on validation queries, seed by seed."""
CASCADE = "cascade"
CASCADES: Mapping[str, Mapping[str, Any]] = {
    CASCADE: {},
    "cascade, no task label": {},
    "cascade, two calls at most": {"max_calls": 2},
    "cascade, one call": {"max_calls": 1},
}
WITHOUT_LABEL = "cascade, no task label"
ONE_CALL = "cascade, one call"
REFERENCES = (*PROMPT_ONLY, CHOSEN, ONE_CALL)
_MEANS = ("score", "cost_usd", "latency_s", "calls")


@dataclass(frozen=True, slots=True)
class Result:
    """What a rule got for each query at every dial, each ``(D, n)``.

    Attributes:
        score: of the answer returned.
        cost_usd: of all calls.
        latency_s: from end to end.
        calls: how many.
    """

    score: Array
    cost_usd: Array
    latency_s: Array
    calls: Array


def with_plan(plan: Plan, part: Fold) -> Result:
    """A plan on the test queries, its dial fitted on validation queries as that of every router is."""
    validation, weights = part.validation, cost_weights(part.validation.outcomes)
    tried = [_outcomes(plan, validation, float(weight), part.seed)[0] for weight in weights]
    # One column a weight: what the plan got there. "Choosing" a weight is then choosing a column.
    got = Outcomes(*(np.stack(column, axis=1) for column in zip(*map(_columns, tried), strict=True)))
    column = {float(weight): at for at, weight in enumerate(weights)}
    dial_map, _ = fit_dial(lambda weight: np.full(len(validation), column[weight]), got, weights)
    reached = [_outcomes(plan, part.test, float(dial_map(dial)), part.seed) for dial in DIALS]
    score, cost, latency = (np.stack(values) for values in zip(*(_columns(got) for got, _ in reached), strict=True))
    return Result(score, cost, latency, np.stack([calls for _, calls in reached]))


def with_router(name: str, part: Fold, maker: Featuriser) -> tuple[Result, float]:
    """A router that sees the prompt alone, told every outcome; and its AIQ on validation queries."""
    policy = learn(part, name, maker)
    found = []
    for queries in (part.test, part.validation):
        got = decide_at_every_dial(policy, queries, router=name, seed=part.seed).outcomes
        found.append(Result(*_columns(got), np.ones(got.score.shape)))
    one = np.ones((1, len(part.validation)))
    return found[0], float(_aiq(found[1], part, part.validation, one)[0])


def study(
    trace: Trace,
    seeds: Sequence[int],
    *,
    maker: Featuriser | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Every rule on the test queries of every seed.

    Args:
        trace: every outcome with its response, cost and latency.
        seeds: each a split and a training.
        maker: makes the features; the default featuriser when ``None``.
        say: told of each seed.

    Returns:
        Rows ``trace, rule, metric, dial, value, low, high``. ``aiq`` and the differences ``over RULE`` have no dial;
        the means of score, cost, latency and calls have one.

    Raises:
        BadInput: the trace keeps no responses, or lacks outcomes.
    """
    Attempts.recorded(trace)  # refuses a trace without responses before it is embedded
    if not (trace.has_latency and trace.has_cost):
        raise BadInput(f"trace {trace.name}: the study needs a latency and a cost of every outcome")
    maker = maker or default_featuriser()
    ready = featurised(trace, maker)
    draws = Bootstrap.draw(ready.groups, len(seeds))
    found: dict[tuple[str, str, float | None], list[Array]] = {}
    for seed in seeds:
        part = fold(ready, seed)
        counts = np.vstack([np.ones((1, len(part.test))), draws.prompts[:, part.test_index]])
        by_rule: dict[str, Result] = {}
        on_validation: dict[str, float] = {}
        for name in PROMPT_ONLY:
            by_rule[name], on_validation[name] = with_router(name, part, maker)
        chosen = max(on_validation, key=on_validation.__getitem__)
        by_rule[CHOSEN] = by_rule[chosen]
        for name, settings in CASCADES.items():
            seen = _unlabelled(part) if name == WITHOUT_LABEL else part
            plan = Cascade(trace.n_arms, maker.d, seed=seed, **settings)
            plan.fit(contexts_of(seen.train), Attempts.recorded(seen.train))
            by_rule[name] = with_plan(plan, seen)
        areas = {name: _aiq(result, part, part.test, counts) for name, result in by_rule.items()}
        for name, result in by_rule.items():
            found.setdefault((name, "aiq", None), []).append(areas[name])
            for reference in REFERENCES if name in CASCADES else ():
                found.setdefault((name, f"over {reference}", None), []).append(areas[name] - areas[reference])
            for metric in _MEANS:
                means = mean_over(counts, getattr(result, metric))
                for at, dial in enumerate(DIALS):
                    found.setdefault((name, metric, dial), []).append(means[:, at])
        say(
            f"{trace.name}, seed {seed}: {chosen} {areas[CHOSEN][0]:.4f}, "
            + ", ".join(f"{name} {areas[name][0]:.4f}" for name in CASCADES)
        )
    return [_row(trace.name, *key, np.stack(values), draws) for key, values in found.items()]


def _outcomes(plan: Plan, trace: Trace, weight: float, seed: int) -> tuple[Outcomes, Array]:
    """What a plan got on a trace at a cost weight, and the number of calls, each ``(n,)``."""
    base = contexts_of(trace)
    contexts = Contexts.of(base.features, base.n_arms, cost_weight=weight, task=base.task)
    followed = follow(plan, contexts, Attempts.recorded(trace), np.random.default_rng(seed))
    return followed.outcomes, followed.attempts.asked.sum(axis=1).astype(np.float64)


def _aiq(result: Result, part: Fold, of: Trace, counts: Array) -> Array:
    """``(B,)`` the area under a rule's curve, between the cheapest and the best single arm, in each replicate."""

    def single(values: Any, arm: int) -> Array:
        return mean_over(counts, values[:, arm][None])[:, 0]

    return Frontier(
        mean_over(counts, result.cost_usd),
        mean_over(counts, result.score),
        single(of.cost_usd, part.cheapest),
        single(of.score, part.cheapest),
        single(of.cost_usd, part.best_single),
    ).aiq


def _columns(outcomes: Outcomes) -> tuple[Any, Any, Any]:
    return outcomes.score, outcomes.cost_usd, outcomes.latency_s


def _unlabelled(part: Fold) -> Fold:
    parts = ("train", "validation", "test")
    bare = {name: getattr(part, name) for name in parts}
    nothing = {name: np.full(len(trace), None, dtype=object) for name, trace in bare.items()}
    return replace(part, **{name: replace(trace, tasks=nothing[name]) for name, trace in bare.items()})


def _row(trace: str, rule: str, metric: str, dial: float | None, values: Array, draws: Bootstrap) -> dict[str, Any]:
    pooled = estimate(values[:, 0], draws.pooled(values[:, 1:]))
    assert pooled is not None
    named = {"trace": trace, "rule": rule, "metric": metric, "dial": dial}
    return named | {"value": pooled.value, "low": pooled.low, "high": pooled.high}


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.cascade", description=__doc__.splitlines()[0])
    parser.add_argument("--trace", default="bundled", help="a trace that keeps responses, by name or path (bundled)")
    parser.add_argument("--seeds", type=int, default=10, help="splits and trainings")
    parser.add_argument("--rows", type=Path, help="rows of an earlier run, to write the document again")
    parser.add_argument("--out", type=Path, help="folder for the rows and the picture")
    parser.add_argument("--document", type=Path, help="whose table to replace, e.g. docs/cascade.md")
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
        write_text(put(rows, given.document.read_text(), str(given.document)), given.document)


if __name__ == "__main__":
    main()
