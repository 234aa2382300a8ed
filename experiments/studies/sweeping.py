"""Does tuning pay? Three routers swept on the bundled trace, on queries that were never tuned on.

python -m experiments.studies.sweeping --out docs/sweeps --document docs/sweeps.md
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from env.files import write_json
from env.sources.named import load_trace
from experiments.documents import put
from experiments.report.table import short
from experiments.sweep import Sweep, sweep
from experiments.sweep.judge import tuned_name

ROUTERS = ("ridge", "knn", "linucb")
SEEDS, TRIALS = 5, 30


def row(found: Sweep) -> dict[str, Any]:
    """What a sweep promised on its inner folds, and what came of it."""
    tuned, own = found.report.entry(tuned_name(found.router)), found.report.entry(found.router)
    assert tuned is not None and own is not None
    gain = tuned.pooled[f"delta_{found.metric}_{found.router}"]
    promised = [one.value - one.default for one in found.tuned]
    return {
        "router": found.router,
        "trials": len(found.tuned[0].trials),
        "seeds": len(found.tuned),
        "given_up": int(np.sum([trial.state == "pruned" for one in found.tuned for trial in one.trials])),
        "chosen": [dict(one.searched) for one in found.tuned],
        "promised": float(np.mean(promised)),
        "own": own.pooled[found.metric].value,
        "tuned": tuned.pooled[found.metric].value,
        "gain": gain.value,
        "low": gain.low,
        "high": gain.high,
        "stream_hash": found.report.stream_hash,
    }


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of the page."""
    lines = [
        "| router | own settings | tuned | gain on test queries [95 %] | gain on the inner folds | given up early |",
        "|---|---|---|---|---|---|",
    ]
    for one in rows:
        figures = [short(one[name], ".4f") for name in ("own", "tuned")]
        gain, low, high, promised = (short(one[name], "+.4f") for name in ("gain", "low", "high", "promised"))
        share = f"{one['given_up']} of {one['trials'] * one['seeds']}"
        lines.append(f"| {one['router']} | {' | '.join(figures)} | {gain} [{low}, {high}] | {promised} | {share} |")
    return "\n".join(lines)


def main() -> None:
    """Run the sweeps, or go on with those that ``--storage`` keeps, and put the table into the page."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--out", type=Path, required=True, help="folder for the figures")
    given.add_argument("--document", type=Path, help="page that shows them")
    given.add_argument("--storage", help="keeps the trials")
    asked = given.parse_args()
    trace = load_trace("bundled")
    rows = [row(sweep(trace, name, trials=TRIALS, seeds=SEEDS, storage=asked.storage)) for name in ROUTERS]
    asked.out.mkdir(parents=True, exist_ok=True)
    write_json(rows, asked.out / "rows.json")
    if asked.document is not None:
        put("sweeps", markdown(rows), asked.document)


if __name__ == "__main__":
    main()
