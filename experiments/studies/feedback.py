"""What a router reaches by the feedback it is given: PPO against LinUCB and ridge regression with the same information.

python -m experiments.studies.feedback bundled --json docs/planning/feedback.json --document docs/planning.md

One price of money, as in :mod:`experiments.studies.agents`. The figure is the mean reward of test queries, which nobody
learned of. Settings are the routers' own defaults but for those that are stated in ``LEARNERS``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from env.contexts import Contexts, Outcomes
from env.reward import Reward
from env.sources.named import load_trace
from env.trace import Trace
from experiments.bootstrap import Array, Bootstrap
from experiments.documents import put
from experiments.folds import Fold, contexts_of, featurised, fold
from experiments.studies.agents import cell, cost_weight_of, interval, table_head
from routers import make
from routers.base import Router

Learner: TypeAlias = Callable[[Contexts, Outcomes, int], Router]
"""A trained router, from contexts with their price of money, outcomes ``(n, K)`` and a seed."""

PASSES = 10
REFERENCE = "linucb, one pass"


def _replayed(name: str, passes: int) -> Learner:
    def learn(contexts: Contexts, outcomes: Outcomes, seed: int) -> Router:
        router, rng = make(name, contexts.n_arms, contexts.features.shape[1]), np.random.default_rng(seed)
        for _ in range(passes):
            order = rng.permutation(len(contexts))
            router.replay(contexts.take(order), outcomes.take(order), rng)
        return router

    return learn


def _fitted(name: str, passes: int | None = None, **settings: Any) -> Learner:
    def learn(contexts: Contexts, outcomes: Outcomes, seed: int) -> Router:
        own = {"preference": False, "seed": seed, **settings} if name == "ppo" else settings
        if passes is not None:
            own["total_steps"] = passes * len(contexts)
        router = make(name, contexts.n_arms, contexts.features.shape[1], **own)
        return router.fit(contexts, outcomes)

    return learn


def _logged(name: str) -> Learner:
    def learn(contexts: Contexts, outcomes: Outcomes, seed: int) -> Router:
        arms = np.random.default_rng(seed).integers(contexts.n_arms, size=len(contexts))
        told = np.arange(contexts.n_arms) == arms[:, None]
        log = [np.where(told, column, np.float32(np.nan)) for column in (outcomes.score, outcomes.cost_usd)]
        return make(name, contexts.n_arms, contexts.features.shape[1]).fit(contexts, Outcomes.of(*log))

    return learn


# A pass is short: it is learned from in small batches, as many as there can be.
_SMALL = {"n_envs": 32, "n_steps": 4, "batch_size": 32}
LEARNERS: Mapping[str, Learner] = {
    "best single": _fitted("zero"),
    REFERENCE: _replayed("linucb", 1),
    "ridge, one pass of random choices": _logged("ridge"),
    "ppo, one pass": _fitted("ppo", 1, **_SMALL, patience=1_000),
    f"linucb, {PASSES} passes": _replayed("linucb", PASSES),
    f"ppo, {PASSES} passes": _fitted("ppo", PASSES, **_SMALL, patience=1_000),
    "ppo, until it no longer gains": _fitted("ppo"),
    "ridge, every outcome": _fitted("ridge"),
}


def study(traces: Sequence[Trace], *, seeds: int, learners: Mapping[str, Learner] = LEARNERS) -> list[dict[str, Any]]:
    """Train and evaluate all of them.

    Returns:
        A row for each trace and learner: mean ``reward`` of a test query and ``gain``, that above :data:`REFERENCE` on
        the same queries, each with ``_low`` and ``_high`` (95 %, over prompts and seeds).
    """
    found = []
    for trace in traces:
        weight = cost_weight_of(trace)
        ready, draws = featurised(trace), Bootstrap.draw(trace.groups, seeds)
        rewards: dict[str, list[Array]] = {}
        parts = [fold(ready, seed, resample=True) for seed in range(seeds)]
        for part in parts:
            for name, learner in learners.items():
                rewards.setdefault(name, []).append(_rewards(part, learner, weight))
                print(f"{trace.name}, seed {part.seed}: {name} {rewards[name][-1].mean():.4f}", file=sys.stderr)
        where = [part.test_index for part in parts]
        for name, values in rewards.items():
            above = [own - other for own, other in zip(values, rewards[REFERENCE], strict=True)]
            row: dict[str, Any] = {"trace": trace.name, "who": name, "seeds": seeds, "cost_weight": weight}
            row["prompts"] = len(parts[0].train)
            row |= interval("reward", list(zip(values, where, strict=True)), draws)
            row |= interval("gain", list(zip(above, where, strict=True)), draws)
            found.append(row)
    return found


def _rewards(part: Fold, learner: Learner, weight: float) -> Array:
    """``(m,)`` of the test queries, chosen without exploring."""
    priced = [
        replace(contexts, cost_weight=np.full(len(contexts), weight, dtype=np.float32))
        for contexts in (contexts_of(part.train), contexts_of(part.test))
    ]
    router = learner(priced[0], part.train.outcomes, part.seed)
    arms = router.act(priced[1], np.random.default_rng(part.seed), explore=False).arms
    got = part.test.outcomes.at(arms)
    return np.asarray(Reward()(got, priced[1].cost_weight, priced[1].latency_weight), dtype=np.float64)


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown tables, one for each trace."""
    tables = []
    for trace in dict.fromkeys(row["trace"] for row in rows):
        here = [row for row in rows if row["trace"] == trace]
        lines = table_head(
            [f"{trace} ({here[0]['prompts']:,} training queries)", "reward [95 %]", f"above {REFERENCE}"]
        )
        for row in here:
            gain = f"{row['gain']:+.3f} [{row['gain_low']:+.3f}, {row['gain_high']:+.3f}]"
            lines.append(f"| {row['who']} | {cell(row, 'reward')} | {'-' if row['who'] == REFERENCE else gain} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.feedback", description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="+", help="`bundled`, or paths of traces with costs")
    parser.add_argument("--seeds", type=int, default=5, help="splits of the prompts, and runs of each router")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    parser.add_argument("--document", type=Path, help="whose tables to replace, e.g. docs/planning.md")
    given = parser.parse_args(arguments)
    rows = study([load_trace(name) for name in given.traces], seeds=given.seeds)
    print(markdown(rows))
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    if given.document is not None:
        put("feedback", markdown(rows), given.document)


if __name__ == "__main__":
    main()
