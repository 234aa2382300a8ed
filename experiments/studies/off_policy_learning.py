"""What a log is worth to learn from: doubly robust targets beside the cells that were observed, and the whole table.

python -m experiments.studies.off_policy_learning --data bundled
python -m experiments.studies.off_policy_learning --data FOLDER --out docs/off_policy --document docs/off-policy.md

A router that was shown a few prompts logs its greedy choice on every training prompt, with a little exploration: what
it likes is observed often, and where it likes it. Other routers learn from that log, and choose on test prompts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from env.contexts import Floats, Outcomes
from env.files import write_json
from env.trace import Trace
from experiments.bootstrap import Array, Bootstrap, estimate
from experiments.documents import put
from experiments.folds import Fold, contexts_of, featurised, fold
from experiments.ope.learning import targets
from experiments.ope.logs import BanditLog, Doubles
from experiments.ope.models import cross_fitted
from experiments.studies.off_policy import recorded_tables
from experiments.studies.off_policy_report import learning_table
from routers import make
from routers.base import uniform

ROUTERS = ("best_per_task", "knn", "ridge", "boosting")
EPSILON = 0.1
PILOT = 200
"""Prompts of the training part of which the router that logs was told every outcome."""
SEEDS = 10
OBSERVED, MODEL, UNCAPPED, DR, FULL = "observed cells", "model alone", "uncapped", "doubly robust", "whole table"
WAYS = (OBSERVED, MODEL, UNCAPPED, DR, FULL)
"""What a router is fitted on; the last is what no log can tell."""


def study(
    traces: Sequence[Trace],
    *,
    seeds: int = SEEDS,
    routers: Sequence[str] = ROUTERS,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Mean test score of every router by what it learned from.

    Args:
        traces: recorded tables.
        seeds: divisions of each trace, and logs.
        routers: that learn.
        say: told how far it is.

    Returns:
        Rows ``trace, router, way, score, over_observed, low, high``: the difference from fitting on observed cells,
        with a 95 % interval over prompts and seeds, paired.
    """
    rows = []
    for trace in traces:
        ready = featurised(trace.complete())
        draws = Bootstrap.draw(ready.groups, seeds)
        found: dict[tuple[str, str], list[Array]] = {}
        for seed in range(seeds):
            part = fold(ready, seed, resample=True)
            counts = np.vstack([np.ones((1, len(part.test))), draws.prompts[:, part.test_index]])
            for way, table in _tables(part, seed).items():
                for name in routers:
                    score = _chosen(part, name, table)
                    found.setdefault((name, way), []).append(counts @ score / counts.sum(axis=1))
            say(f"{trace.name}: seed {seed}")
        rows += [_row(trace.name, name, way, found, draws) for name in routers for way in WAYS]
    return rows


def logging_law(part: Fold) -> Doubles:
    """``(n, K)`` the law that logs the training prompts."""
    contexts = contexts_of(part.train)
    told = np.arange(min(PILOT, len(contexts)))
    pilot = make("ridge", contexts.n_arms, contexts.features.shape[1])
    pilot.fit(contexts.take(told), part.train.outcomes.take(told))
    return (1 - EPSILON) * pilot.law(contexts, explore=False) + EPSILON * uniform(contexts.mask)


def _tables(part: Fold, seed: int) -> dict[str, Floats]:
    """``(n, K)`` scores to learn from, by way."""
    train, law = part.train, logging_law(part)
    rng = np.random.default_rng([seed, len(train)])
    rows = np.arange(len(train))
    arms = (rng.random((len(train), 1)) < np.cumsum(law, axis=1)).argmax(axis=1)
    log = BanditLog.of(
        train.arms,
        actions=arms,
        rewards=train.score[rows, arms],
        propensities=law[rows, arms],
        groups=train.groups,
        name=train.name,
    )
    assert train.features is not None
    expected = cross_fitted(log, train.features)
    chosen = np.arange(train.n_arms) == arms[:, None]
    made = {
        OBSERVED: np.where(chosen, train.score, np.nan),
        MODEL: expected,
        UNCAPPED: targets(log, expected, cap=np.inf),
        DR: targets(log, expected),
    }
    return {way: values.astype(np.float32) for way, values in made.items()} | {FULL: train.score}


def _chosen(part: Fold, name: str, table: Floats) -> Array:
    """``(n,)`` recorded score of what a router chooses on test prompts when money does not matter."""
    contexts, asked = contexts_of(part.train), contexts_of(part.test)
    router = make(name, contexts.n_arms, contexts.features.shape[1])
    # A row of which nothing was told is as good as none, and not every router takes one.
    told = np.flatnonzero(~np.isnan(table).all(axis=1))
    router.fit(contexts.take(told), Outcomes.of(table[told]))
    decision = router.act(asked, np.random.default_rng(0), explore=False)
    return part.test.score[np.arange(len(asked)), decision.arms].astype(np.float64)


def _row(
    trace: str, router: str, way: str, found: dict[tuple[str, str], list[Array]], draws: Bootstrap
) -> dict[str, Any]:
    own, observed = np.stack(found[router, way]), np.stack(found[router, OBSERVED])
    row: dict[str, Any] = {"trace": trace, "router": router, "way": way, "score": float(own[:, 0].mean())}
    gain = estimate((own - observed)[:, 0], draws.pooled((own - observed)[:, 1:]))
    if gain is None or way == OBSERVED:
        return {**row, "over_observed": None, "low": None, "high": None}
    return {**row, "over_observed": gain.value, "low": gain.low, "high": gain.high}


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.off_policy_learning")
    parser.add_argument(
        "--data", default="bundled", help="`bundled`; `public` for two public sets too, or their folder"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="divisions of each table")
    parser.add_argument("--out", type=Path, help="folder for the rows")
    parser.add_argument("--document", type=Path, help="whose table to replace, e.g. docs/off-policy.md")
    given = parser.parse_args(arguments)
    rows = study(
        recorded_tables(given.data), seeds=given.seeds, say=lambda line: print(line, file=sys.stderr, flush=True)
    )
    print(learning_table(rows))
    if given.out is not None:
        write_json(rows, given.out / "learning.json")
    if given.document is not None:
        put("off-policy:learning", learning_table(rows), given.document)


if __name__ == "__main__":
    main()
