"""A sweep in the MLflow record: one run, with what was chosen, the tuned policy and a table of all trials."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from env.files import write_json
from experiments.sweep.judge import tuned_name
from experiments.sweep.search import Sweep
from experiments.tracking import Tracker


def log(tracker: Tracker, found: Sweep, *, started: float | None = None) -> str:
    """Log a sweep; the figures called ``test_`` are of queries that were never tuned on.

    Args:
        tracker: writes it.
        found: what the sweep came to.
        started: seconds since the epoch; now when not given.

    Returns:
        The id of the run.
    """
    report, first = found.report, found.tuned[0]
    entry = report.entry(tuned_name(found.router))
    assert entry is not None
    tags = {"kind": "sweep", "trace_hash": report.trace_hash}
    with tracker.run(f"sweep {found.router} on {report.trace}", started=started, tags=tags) as run_id:
        tracker.inputs(run_id, [(report.trace, report.trace_hash, report.summary)], "sweep")
        params: dict[str, Any] = {"metric": found.metric, "seeds": len(found.tuned), "trials": len(first.trials)}
        figures = {"tuned_value": first.value, "default_value": first.default}
        for metric, estimate in entry.pooled.items():
            sides = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
            figures |= {f"test_{metric}{side}": value for side, value in sides.items() if value is not None}
        chosen = {f"best.{name}": value for name, value in first.searched.items()}
        tracker.log(run_id, params={**params, **chosen}, metrics=figures)
        tracker.policy(run_id, found.policy)
        tracker.client.log_table(run_id, _table(found), "trials.json")
        with tempfile.TemporaryDirectory() as scratch:
            tracker.client.log_artifact(run_id, str(write_json(found.to_json(), Path(scratch) / "sweep.json")))
    return run_id


def _table(found: Sweep) -> dict[str, list[Any]]:
    """The trials of all seeds by columns, a setting in each."""
    rows = [
        {"seed": one.seed, "trial": trial.number, "state": trial.state, "value": trial.value,
         **{name: trial.settings.get(name) for name in found.space}}
        for one in found.tuned
        for trial in one.trials
    ]  # fmt: skip
    return {name: [row[name] for row in rows] for name in rows[0]}
