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

from env.contexts import Outcomes
from env.errors import BadInput
from env.features import Featuriser
from env.files import write_json
from env.sources.named import load_trace
from env.trace import Trace
from experiments.bootstrap import Array, Bootstrap, estimate
from experiments.documents import put
from experiments.evaluate import DIALS, decide_at_every_dial
from experiments.folds import Fold, fold, prepared
from experiments.metrics import Frontier, mean_over
from experiments.plans import follow_at_every_dial, learn_plan
from experiments.studies.cascade_report import markdown, picture
from experiments.train import learn
from routers import router_class
from routers.attempts import Attempts
from routers.cascade import Cascade
from routers.plan_policy import PlanPolicy

PROMPT_ONLY = ("auto", "recipe", "tfidf_ridge", "best_per_task", "ridge", "knn", "linucb")
CASCADE, WITHOUT_LABEL, ONE_CALL = "cascade", "cascade, no task label", "cascade, one call"
CASCADES: Mapping[str, Mapping[str, Any]] = {CASCADE: {}, WITHOUT_LABEL: {}, ONE_CALL: {"max_calls": 1}}
REFERENCES = (*PROMPT_ONLY, WITHOUT_LABEL, ONE_CALL)
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


def with_plan(policy: PlanPolicy, part: Fold) -> Result:
    """A trained plan on the test queries, at every dial."""
    got = follow_at_every_dial(policy, part.test, seed=part.seed)
    assert got.calls is not None
    return Result(*_columns(got.outcomes), got.calls.astype(np.float64))


def with_router(name: str, part: Fold, maker: Featuriser) -> Result:
    """A router that sees the prompt alone, told every outcome, on the test queries."""
    got = decide_at_every_dial(learn(part, name, maker), part.test, router=name, seed=part.seed).outcomes
    return Result(*_columns(got), np.ones(got.score.shape))


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
        maker: makes the features; what each rule was made for when ``None``.
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
    draws = Bootstrap.draw(trace.groups, len(seeds))
    found: dict[tuple[str, str, float | None], list[Array]] = {}
    for seed in seeds:
        part = fold(trace, seed)
        counts = np.vstack([np.ones((1, len(part.test))), draws.prompts[:, part.test_index]])
        by_rule = {
            name: with_router(name, *prepared(part, router_class(name).featuriser, maker)) for name in PROMPT_ONLY
        }
        own, featuriser = prepared(part, Cascade.featuriser, maker)
        for name, settings in CASCADES.items():
            seen = _unlabelled(own) if name == WITHOUT_LABEL else own
            by_rule[name] = with_plan(learn_plan(seen, "cascade", featuriser, settings=settings), seen)
        areas = {name: _aiq(result, part, counts) for name, result in by_rule.items()}
        for name, result in by_rule.items():
            found.setdefault((name, "aiq", None), []).append(areas[name])
            for reference in REFERENCES if name in CASCADES else ():
                if reference != name:
                    found.setdefault((name, f"over {reference}", None), []).append(areas[name] - areas[reference])
            for metric in _MEANS:
                means = mean_over(counts, getattr(result, metric))
                for at, dial in enumerate(DIALS):
                    found.setdefault((name, metric, dial), []).append(means[:, at])
        say(f"{trace.name}, seed {seed}: " + ", ".join(f"{name} {area[0]:.4f}" for name, area in areas.items()))
    return [_row(trace.name, *key, np.stack(values), draws) for key, values in found.items()]


def _aiq(result: Result, part: Fold, counts: Array) -> Array:
    """``(B,)`` the area under a rule's curve, between the cheapest and the best single arm, in each replicate."""

    def single(values: Any, arm: int) -> Array:
        return mean_over(counts, values[:, arm][None])[:, 0]

    return Frontier(
        mean_over(counts, result.cost_usd),
        mean_over(counts, result.score),
        single(part.test.cost_usd, part.cheapest),
        single(part.test.score, part.cheapest),
        single(part.test.cost_usd, part.best_single),
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
        put("cascade", markdown(rows), given.document)


if __name__ == "__main__":
    main()
