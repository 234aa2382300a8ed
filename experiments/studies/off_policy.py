"""Whether off-policy estimates and their intervals can be believed: tried on recorded tables, where the truth is known.

python -m experiments.studies.off_policy --data bundled
python -m experiments.studies.off_policy --data FOLDER --out docs/off_policy --document docs/off-policy.md

A log is as many prompts as it takes, drawn with replacement from a table in which every model's score is recorded; on
each the logging policy chooses, and only that outcome is kept. The truth is the target's mean score over the table.
What a log is worth to learn from is the other half: :mod:`experiments.studies.off_policy_learning`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from env.contexts import Floats, Ints
from env.files import write_json
from env.sources.named import load_trace
from env.trace import Trace
from experiments.documents import put
from experiments.folds import featurised
from experiments.ope.estimators import ESTIMATORS, Case, Parts
from experiments.ope.evaluation import estimated_parts
from experiments.ope.intervals import Interval, bootstrap, confidence_sequence, empirical_bernstein
from experiments.ope.logs import BanditLog, Doubles
from experiments.ope.overlap import effective_sample_size
from experiments.studies.bandit_problems import principal_axes
from experiments.studies.off_policy_report import coverage_table
from experiments.train import train
from routers.base import uniform

LOGS = 1_000
COMPONENTS = 32
"""Principal components of the prompts' features that the reward is modelled by."""
REPLICATES = 400
DATA = ("paretobandit_val", "mmlu_pro")
"""Public sets that are used beside the bundled trace."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Who logs, who is judged, and how much a log can tell.

    Attributes:
        logging: router whose greedy choice at dial 0.5 is logged, with a share spread over all arms.
        epsilon: that share; 1 for uniform choices.
        target: router whose greedy choice at dial 1 is judged.
        spread: share of its decisions that are uniform.
        ess: effective sample size of a log, which says how many decisions it takes.
    """

    logging: str
    epsilon: float
    target: str
    spread: float
    ess: int

    def __str__(self) -> str:
        by = "uniform" if self.epsilon == 1 else f"{self.logging}, epsilon {self.epsilon:g}"
        return f"{by} -> {self.target}" + (f", {self.spread:g} uniform" if self.spread else "")


CONDITIONS = (
    Condition("linucb", 1.0, "ridge", 0.0, 300),
    Condition("linucb", 0.3, "knn", 0.0, 300),
    Condition("linucb", 0.3, "ridge", 0.5, 300),
    Condition("linucb", 0.1, "knn", 0.0, 30),
)
"""Three of which intervals must hold, and a log that tells too little, to show what becomes of them then."""


@dataclass(frozen=True, slots=True)
class Table:
    """A recorded table that logs are drawn from.

    Attributes:
        trace: every arm observed, featurised.
        features: ``(n, m)`` what the reward is modelled by.
        groups: ``(n,)`` a number per prompt.
    """

    trace: Trace
    features: Floats
    groups: Ints

    @classmethod
    def of(cls, trace: Trace) -> Table:
        """Its complete queries, and the principal components of their features."""
        ready = featurised(trace.complete())
        assert ready.features is not None
        center, axes = principal_axes(ready.features, COMPONENTS)
        return cls(ready, np.asarray((ready.features - center) @ axes, dtype=np.float32), ready.groups)

    def law(self, router: str, share: float, *, dial: float) -> Doubles:
        """``(n, K)`` a trained router's greedy law with a share of uniform choices."""
        even = uniform(np.ones(self.trace.score.shape, dtype=np.bool_))
        policy = train(self.trace, router)
        greedy = policy.router.law(policy.contexts(self.trace.queries, dial=dial), explore=False)
        return (1 - share) * greedy + share * even

    def drawn(self, law: Doubles, n: int, rng: np.random.Generator) -> tuple[BanditLog, Ints]:
        """A log of ``n`` prompts drawn with replacement, and their rows in the table."""
        rows = rng.integers(len(self.trace), size=n)
        chances = law[rows]
        arms = (rng.random((n, 1)) < np.cumsum(chances, axis=1)).argmax(axis=1)
        log = BanditLog.of(
            self.trace.arms,
            actions=arms,
            rewards=self.trace.score[rows, arms],
            propensities=chances[np.arange(n), arms],
            groups=self.groups[rows],
            name=self.trace.name,
        )
        return log, rows


def tried(
    table: Table, condition: Condition, logs: int, *, seed: int = 0, replicates: int = REPLICATES
) -> list[dict[str, Any]]:
    """Every estimator on many logs of one condition.

    Args:
        table: to draw from.
        condition: of the logs.
        logs: how many.
        seed: of the draws.
        replicates: of each bootstrap.

    Returns:
        Rows ``trace, condition, n, ess, estimator, truth, bias, rmse`` and for each kind of interval ``coverage``,
        ``width``.
    """
    logging = table.law(condition.logging, condition.epsilon, dial=0.5)
    target = table.law(condition.target, condition.spread, dial=1.0)
    truth = float((target * table.trace.score).sum(axis=1).mean())
    # A decision is worth 1 / E[w^2] of the target's own.
    n = round(condition.ess * float((target**2 / logging).sum(axis=1).mean()))
    found: dict[str, list[tuple[float, dict[str, Interval]]]] = {name: [] for name in ESTIMATORS}
    sizes = []
    for number in range(logs):
        rng = np.random.default_rng([seed, number])
        log, rows = table.drawn(logging, n, rng)
        law = target[rows]
        parts = estimated_parts(log, law, [*ESTIMATORS], table.features[rows])
        weights = Case.of(log, law).weights
        sizes.append(effective_sample_size(weights))
        intervals = _intervals(parts, weights, log, float(1 / logging[logging > 0].min()), replicates, rng)
        for name, part in parts.items():
            found[name].append((part.value, intervals[name]))
    about = {"trace": table.trace.name, "condition": str(condition), "n": n, "logs": logs}
    about |= {"ess": float(np.mean(sizes)), "ess_least": float(np.min(sizes)), "truth": truth}
    return [{**about, "estimator": name, **_scored(values, truth)} for name, values in found.items()]


def _intervals(
    parts: Mapping[str, Parts],
    weights: Doubles,
    log: BanditLog,
    most: float,
    replicates: int,
    rng: np.random.Generator,
) -> dict[str, dict[str, Interval]]:
    # Every draw is one of its own, whichever prompt it drew: rows are the clusters here.
    found = bootstrap(parts, np.arange(len(log)), replicates=replicates, rng=rng)
    kinds = {name: {"bootstrap": interval} for name, interval in found.items()}
    for name in ("ips", "dr", "switch_dr"):
        bounds = (0.0, most) if name == "ips" else (-most, 1 + most)
        wide = empirical_bernstein(parts[name].numerator, bounds)
        kinds[name]["bernstein"] = Interval(max(0.0, wide.low), min(1.0, wide.high))
    low, high = confidence_sequence(weights, log.rewards)
    kinds["ips"]["anytime"] = Interval(float(low[-1]), float(high[-1]))
    return kinds


def _scored(values: Sequence[tuple[float, dict[str, Interval]]], truth: float) -> dict[str, Any]:
    errors = np.array([value for value, _ in values]) - truth
    row: dict[str, Any] = {"bias": float(errors.mean()), "rmse": float(np.sqrt((errors**2).mean()))}
    for kind in ("bootstrap", "bernstein", "anytime"):
        ends = [intervals[kind] for _, intervals in values if kind in intervals]
        row[f"{kind}_coverage"] = float(np.mean([one.holds(truth) for one in ends])) if ends else None
        row[f"{kind}_width"] = float(np.mean([one.high - one.low for one in ends])) if ends else None
    return row


def study(
    traces: Sequence[Trace],
    *,
    logs: int = LOGS,
    conditions: Sequence[Condition] = CONDITIONS,
    done: Sequence[dict[str, Any]] = (),
    keep: Callable[[list[dict[str, Any]]], object] = lambda rows: None,
) -> list[dict[str, Any]]:
    """Every condition on every table; rows as of :func:`tried`.

    Args:
        traces: recorded tables.
        logs: a condition.
        conditions: to be tried.
        done: rows of an earlier run, which are not made again.
        keep: given all rows so far after every condition.
    """
    rows = [*done]
    for trace in traces:
        table = Table.of(trace)
        for condition in conditions:
            if any((row["trace"], row["condition"], row["logs"]) == (trace.name, str(condition), logs) for row in rows):
                continue
            rows += tried(table, condition, logs)
            keep(rows)
    return rows


def recorded_tables(data: str) -> list[Trace]:
    """The bundled trace and, unless ``data`` is ``bundled``, :data:`DATA`: ``public`` or of a folder.

    Raises:
        BadInput: one is not there.
    """
    if data == "bundled":
        others = []
    else:
        others = [name if data == "public" else str(Path(data) / f"{name}.parquet") for name in DATA]
    return [load_trace(source) for source in ["bundled", *others]]


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.off_policy")
    parser.add_argument(
        "--data", default="bundled", help="`bundled`; `public` for two public sets too, or their folder"
    )
    parser.add_argument("--logs", type=int, default=LOGS, help="logs a condition")
    parser.add_argument("--out", type=Path, help="folder for the rows, written after every condition")
    parser.add_argument("--resume", action="store_true", help="keep the conditions that are there, run the others")
    parser.add_argument("--document", type=Path, help="whose table to replace, e.g. docs/off-policy.md")
    given = parser.parse_args(arguments)
    traces = recorded_tables(given.data)
    file = None if given.out is None else given.out / "rows.json"
    done = json.loads(file.read_text()) if given.resume and file is not None and file.exists() else []

    def keep(rows: list[dict[str, Any]]) -> None:
        print(f"{rows[-1]['trace']}, {rows[-1]['condition']}: {rows[-1]['logs']} logs", file=sys.stderr, flush=True)
        if file is not None:
            write_json(rows, file)

    rows = study(traces, logs=given.logs, done=done, keep=keep)
    print(coverage_table(rows))
    if given.document is not None:
        put("off-policy:coverage", coverage_table(rows), given.document)


if __name__ == "__main__":
    main()
