"""``pointsman sweep``: search a router's settings, and judge what was found on queries that were never tuned on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.options import (
    Settings,
    SplitWord,
    TraceSource,
    Track,
    feedback_of,
    settings_of,
    split_of,
    wants_tracking,
)
from experiments.cli.output import JsonTarget, Output

if TYPE_CHECKING:
    from experiments.sweep import Sweep


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(sweep)


def sweep(
    source: TraceSource,
    router: Annotated[str, typer.Option("--router", help="Whose settings to search.")] = "ridge",
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="NAME=RANGE",
            help="LOW:HIGH, LOW:HIGH:log or VALUE,VALUE; may be repeated. Default: the router's own space.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Of each seed, those kept included.")] = 50,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Divisions, each searched anew.")] = 1,
    folds: Annotated[int, typer.Option("--folds", min=3, help="Inner divisions that a trial is judged on.")] = 5,
    setting: Settings = None,
    feedback: Annotated[
        str | None, typer.Option("--feedback", help="`full` or `bandit`: what is told; default: as in `compare`.")
    ] = None,
    split_by: SplitWord = "prompt",
    engine: Annotated[str, typer.Option("--engine", metavar="local|ray", help="Where trials are computed.")] = "local",
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Trials at once on Ray; default: all CPUs.")] = None,
    storage: Annotated[
        str, typer.Option("--storage", metavar="FILE", help="SQLite file or SQL address that keeps the trials.")
    ] = "sweeps.db",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="BUNDLE", help="Folder for the tuned policy of the first seed.")
    ] = None,
    track: Track = None,
    json: JsonTarget = None,
) -> None:
    """Search a router's settings; an interrupted search goes on. The table is of queries never tuned on."""
    from env.sources.named import load_trace
    from experiments.report import table
    from experiments.sweep import steps
    from experiments.sweep import sweep as run
    from experiments.sweep.space import parse_pairs

    started, shown = time.time(), Output(json)
    asked, held = parse_pairs(space or []), settings_of(setting or [])
    total = steps(router, trials, seeds, asked, held)
    by, told = split_of(split_by), feedback_of(feedback)
    trace = load_trace(source)
    with shown.progress(f"sweeping {router}", total) as advance:
        found = run(
            trace,
            router,
            asked,
            trials,
            storage=storage,
            out=out,
            engine=engine,
            jobs=jobs,
            seeds=seeds,
            folds=folds,
            settings=held,
            feedback=told,
            split_by=by,
            step=lambda seed, what: advance(f"seed {seed}: {what}"),
        )
    shown.say(table(found.report, width=shown.width))
    for line in _told(found):
        shown.say(line)
    shown.say(f"{time.time() - started:.0f} s; trials kept in {_address(storage)}")
    if out is not None:
        shown.say(f"tuned policy of seed 0: {out}")
    run_id = None
    if wants_tracking(track):
        from experiments.sweep.record import log
        from experiments.tracking import Tracker

        run_id = log(Tracker(), found, started=started)
        shown.say(f"logged to MLflow, run {run_id}")
    shown.result({**found.to_json(), "mlflow_run": run_id})


def _told(found: Sweep) -> list[str]:
    """A line for each seed: what was chosen, and what the trials came to."""
    from experiments.sweep.search import shown

    lines = []
    for one in found.tuned:
        states = [trial.state for trial in one.trials]
        chosen = shown(one.searched) or "no settings were better than the router's own"
        counts = f"{len(states)} trials, {states.count('pruned')} given up"
        if "failed" in states:
            why = next(trial.error for trial in one.trials if trial.error is not None)
            counts += f", {states.count('failed')} failed ({why})"
        values = f"{found.metric} {one.value:.4f} on the inner folds, the router's own {one.default:.4f}"
        lines.append(f"seed {one.seed}: {chosen}; {values}; {counts}")
    return lines


def _address(storage: str) -> str:
    from env.uris import shown_uri

    return shown_uri(storage)
