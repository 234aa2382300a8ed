"""A comparison as nested runs: the comparison, its routers on each trace, their seeds.

Figures go in batches: a seed's run is three calls, however many figures it has. Tables are CSV artifacts of the
router's run.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from env.files import write_json
from experiments.compare import Entry, Report
from experiments.evaluate import DIALS
from experiments.prequential import Course, Prequential, band
from experiments.report import json_rows
from experiments.slices import SHOWN_DIALS

if TYPE_CHECKING:
    from experiments.tracking.tracker import Tracker

Online = Mapping[str, Prequential | str]
"""By the name of a trace: how routers fared that learn as they go, or why that cannot be said."""

OF_COMPARISON = "comparison_run"
"""Tag of everything below a comparison's run, with the id of that."""
_POINTS = 100  # of a learning curve, of which thousands of rounds are known


def log_comparison(
    tracker: Tracker, run_id: str, reports: Sequence[Report], files: Sequence[Path], online: Online
) -> None:
    """Log a comparison into its run, which is open; what an interrupted attempt left below it is removed.

    Args:
        tracker: writes.
        run_id: of the comparison.
        reports: of the traces.
        files: written with it (the page, its pictures), kept as artifacts.
        online: see :data:`Online`.
    """
    for left in tracker.find(f"tags.{OF_COMPARISON} = '{run_id}'"):
        tracker.client.delete_run(left)
    hashes = ",".join(report.trace_hash for report in reports)
    tracker.log(
        run_id,
        params={
            "traces": ", ".join(report.trace for report in reports),
            "routers": ", ".join(dict.fromkeys(entry.router for report in reports for entry in _routers(report))),
            "seeds": len(reports[0].seeds) if reports else 0,
            "split_by": reports[0].split_by if reports else "prompt",
        },
        tags={"trace_hash": hashes, "stream_hash": ",".join(report.stream_hash for report in reports)},
    )
    tracker.inputs(run_id, [(report.trace, report.trace_hash, report.summary) for report in reports], "comparison")
    with tempfile.TemporaryDirectory() as scratch:
        rows = write_json(json_rows(reports), Path(scratch) / "rows.json")
        for file in (rows, *(file for file in files if file.name != rows.name)):
            tracker.client.log_artifact(run_id, str(file))
    for report in reports:
        for entry in _routers(report):
            _log_router(tracker, run_id, report, entry, online.get(report.trace, ""))


def _routers(report: Report) -> list[Entry]:
    return [entry for entry in report.entries if entry.feedback is not None]


def _log_router(tracker: Tracker, top: str, report: Report, entry: Entry, online: Prequential | str) -> None:
    assert entry.feedback is not None
    marks = {"trace_hash": report.trace_hash, OF_COMPARISON: top}
    name = f"{entry.router} on {report.trace}"
    course = next((one for one in _courses(online) if one.router == entry.router), None)
    with tracker.run(name, parent=top, tags={"kind": "router", **marks}) as run_id:
        bounds = {
            f"{metric}_{side}": bound
            for metric, found in entry.pooled.items()
            for side, bound in (("low", found.low), ("high", found.high))
            if bound is not None
        }
        curves: dict[str, Iterable[tuple[int, float]]] = {
            f"{name}_by_dial_percent": [(round(100 * dial), value) for dial, value in zip(DIALS, values, strict=True)]
            for name, values in (("score", entry.score), ("cost_usd", entry.cost))
        }
        if course is not None and isinstance(online, Prequential):
            curves["online_regret"] = _thinned(online.regret(course.reward).mean(axis=0))
        tracker.log(
            run_id,
            params={"router": entry.router, "trace": report.trace, "feedback": entry.feedback.value},
            metrics={**{metric: found.value for metric, found in entry.pooled.items()}, **bounds},
            series=curves,
        )
        tracker.inputs(run_id, [(report.trace, report.trace_hash, report.summary)], "comparison")
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            _write(folder / "frontier.csv", _frontier(entry))
            if report.slices is not None and report.slices.tasks:
                _write(folder / "tasks.csv", _tasks(report, entry.router))
            if course is not None and isinstance(online, Prequential):
                _write(folder / "learning.csv", _learning(online, course))
            tracker.client.log_artifacts(run_id, str(folder), "tables")
        if entry.router in report.policies:
            tracker.policy(run_id, report.policies[entry.router])
        for at, seed in enumerate(report.seeds):
            tags = {"kind": "seed", **marks}
            with tracker.run(f"{name}, seed {seed}", parent=run_id, tags=tags) as seed_run:
                tracker.log(
                    seed_run,
                    params={"router": entry.router, "trace": report.trace, "seed": seed},
                    metrics={metric: values[at] for metric, values in entry.per_seed.items()},
                    series=training_series(report.curves.get(entry.router, {}).get(seed, ())),
                )


def training_series(curve: Iterable[tuple[int, Mapping[str, float]]]) -> dict[str, list[tuple[int, float]]]:
    """How a training went, one series for each figure.

    Example:
        >>> training_series([(0, {"verdict": 0.5}), (256, {"verdict": 0.75, "train/loss": 1.0})])
        {'training/verdict': [(0, 0.5), (256, 0.75)], 'training/loss': [(256, 1.0)]}
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for step, figures in curve:
        for name, value in figures.items():
            found.setdefault(f"training/{name.removeprefix('train/')}", []).append((step, value))
    return found


def _courses(online: Prequential | str) -> Sequence[Course]:
    return online.courses if isinstance(online, Prequential) else ()


def _thinned(values: Any) -> list[tuple[int, float]]:
    at = np.unique(np.linspace(0, len(values) - 1, min(_POINTS, len(values))).round().astype(int))
    return [(int(step), float(values[step])) for step in at]


def _frontier(entry: Entry) -> Iterable[Sequence[Any]]:
    yield "dial", "cost_usd", "score", "score_low", "score_high"
    yield from zip(DIALS, entry.cost, entry.score, *entry.band, strict=True)


def _tasks(report: Report, router: str) -> Iterable[Sequence[Any]]:
    assert report.slices is not None
    yield "task", "prompts", "dial", "score", "score_low", "score_high", "cost_usd", *report.slices.arms
    for task in report.slices.tasks:
        for dial, part in zip(SHOWN_DIALS, task.parts[router], strict=True):
            score = part.score
            yield task.name, task.prompts, dial, score.value, score.low, score.high, part.cost_usd, *part.shares


def _learning(online: Prequential, course: Course) -> Iterable[Sequence[Any]]:
    yield "round", "reward", "regret", "regret_low", "regret_high"
    reward, regret = course.reward.mean(axis=0), band(online.regret(course.reward))
    yield from zip(range(len(reward)), reward, *regret, strict=True)


def _write(file: Path, rows: Iterable[Sequence[Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as target:
        csv.writer(target).writerows(rows)
