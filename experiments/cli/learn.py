"""``pointsman record | train | compare | evaluate``."""

from __future__ import annotations

import platform
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.logbook import Logbook
from experiments.cli.options import (
    Settings,
    SplitWord,
    TraceSource,
    Track,
    feedback_of,
    settings_of,
    split_of,
)
from experiments.cli.output import JsonTarget, Output

if TYPE_CHECKING:
    from experiments.cells import Cells

_Decisions = Annotated[
    Path | None, typer.Option("--decisions", metavar="FILE.parquet", help="Write every decision on the test queries.")
]
_Latency = Annotated[float, typer.Option("--latency-weight", min=0, help="Score points that a second is worth.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(record)
    app.command()(train)
    app.command()(compare)
    app.command()(evaluate)


def record(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="YAML with the models to ask.")],
    prompts: Annotated[
        Path, typer.Option("--prompts", metavar="FILE.jsonl", help="Lines with query_id, task, prompt and check.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="TRACE", help="Parquet file to write.")],
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="Ask this model only.")] = None,
    json: JsonTarget = None,
) -> None:
    """Ask every model every prompt and judge the answers; an interrupted recording goes on where it stopped."""
    from dataclasses import asdict

    from experiments.record import record as run

    shown = Output(json)
    done = run(config, prompts, out, only=only or ())
    state = f"{done.missing_shards} shards still to record" if done.missing_shards else f"written: {out}"
    shown.say(f"{done.rows} rows recorded, {done.failed} calls failed; {state}")
    shown.result({**asdict(done), "out": str(out)})


def train(
    source: TraceSource,
    router: Annotated[
        str, typer.Option("--router", help="Router or plan; `pointsman bench routers` lists the routers.")
    ] = "ridge",
    out: Annotated[Path, typer.Option("--out", metavar="BUNDLE", help="Folder for the policy.")] = Path("policy"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Salts the split and the algorithm.")] = 0,
    split_by: SplitWord = "prompt",
    feedback: Annotated[
        str | None,
        typer.Option("--feedback", help="`full`, `bandit` or, of a log, `dr`: what is told; default: all it can use."),
    ] = None,
    setting: Settings = None,
    latency_weight: _Latency = 0.0,
    track: Track = None,
    json: JsonTarget = None,
) -> None:
    """Train a router on a trace and write the policy that `route` and `serve` use; or a plan, to drive from Python."""
    from env.errors import BadInput
    from env.sources.named import load_trace
    from experiments.plans import train_plan
    from experiments.train import train as run
    from routers.plan import plan_names
    from routers.policy import Bundled

    started, shown, is_plan = time.time(), Output(json), router in plan_names()
    if is_plan and feedback is not None:
        raise BadInput(f"--feedback {feedback}: the plan `{router}` learns from answers as it can; leave it out")
    trace = load_trace(source)
    by, settings = split_of(split_by), settings_of(setting or [])
    book, curve = Logbook(shown, track), list[tuple[int, Mapping[str, float]]]()
    policy: Bundled
    with shown.busy(f"training {router} on {trace.name}"):
        if is_plan:
            policy = train_plan(
                trace, router, out, seed=seed, split_by=by, latency_weight=latency_weight, settings=settings
            )
        else:
            policy = run(
                trace,
                router,
                out,
                seed=seed,
                split_by=by,
                feedback=feedback_of(feedback),
                latency_weight=latency_weight,
                settings=settings,
                progress=lambda *said: curve.append(said),
            )
    reached = policy.metrics["validation"]
    shown.say(f"{out}: {router} {policy.version}, trained in {time.time() - started:.1f} s on {trace!r}")
    shown.say(
        f"validation, dial 0.5: score {_number(reached['score'])} at {_dollars(reached['cost_usd'])} "
        f"(best single model: {policy.metrics['best_single']})"
    )
    run_id = book.log(lambda tracker: tracker.training(policy, trace, started=started, curve=tuple(curve)))
    if is_plan:
        shown.say(f'next: pointsman evaluate {out} {source} · pointsman.load_policy("{out}").run(PROMPT, CALL)')
    else:
        shown.say(f'next: pointsman route "PROMPT" --policy {out} · pointsman promote {out}')
    about = {name: value for name, value in policy.metrics.items() if name != "trained_on"}  # thousands of keys
    shown.result({"bundle": str(out), "version": policy.version, "router": router, **about, "mlflow_run": run_id})
    book.close(run_id)


def compare(
    sources: Annotated[list[str], typer.Argument(metavar="TRACE...", help="Files, or `bundled`.")],
    routers: Annotated[
        str | None,
        typer.Option("--routers", help="Routers and plans, by commas; default: all that train in seconds."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Number of seeds.")] = 10,
    split_by: SplitWord = "prompt",
    against: Annotated[
        str | None, typer.Option("--against", help="Routers, by commas, to tell every row's difference from.")
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", help="What happens while routers learn online, e.g. `quality_drop`."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the report: index.html, report.md, rows, pictures.")
    ] = Path("report"),
    decisions: _Decisions = None,
    track: Track = None,
    json: JsonTarget = None,
) -> None:
    """Compare routers with fixed models and honest baselines; one that was interrupted goes on where it stopped."""
    from env.scenarios import Scenario
    from env.sources.named import load_trace
    from experiments.cells import Cells, key
    from experiments.compare import DEFAULT_ROUTERS, steps
    from experiments.compare import compare as run
    from experiments.report import json_rows, table
    from experiments.report.page import learn_online, online_routers, write_report

    started, shown, what = time.time(), Output(json), Scenario.of(scenario)
    names = tuple(routers.split(",")) if routers else DEFAULT_ROUTERS
    held_to = tuple(against.split(",")) if against else ()
    traces = [load_trace(source) for source in sources]
    options = [("--routers", routers), ("--seeds", str(seeds)), ("--split-by", split_by), ("--against", against)]
    given = [part for name, value in [*options, ("--scenario", scenario)] if value for part in (name, value)]
    command = shlex.join(["pointsman", "compare", *sources, *given])
    book, cells = Logbook(shown, track), Cells(out / "cells")
    # Which comparison this is: one that was interrupted here goes on in its own run.
    this = key(traces=[trace.hash for trace in traces], options=given, host=platform.node(), out=str(out.resolve()))
    with _kept(cells, shown), book.comparison([trace.name for trace in traces], this, started) as begin:

        def step(trace: str, seed: int, router: str) -> None:
            if cells.used:  # what is interrupted before anything came of it leaves nothing behind
                begin()
            advance(f"{trace}, seed {seed}: {router}")

        with shown.progress("comparing", steps(traces, (*names, *held_to), seeds)) as advance:
            reports = run(
                traces,
                names,
                seeds=seeds,
                decisions=decisions,
                split_by=split_of(split_by),
                against=held_to,
                step=step,
                resume=cells,
            )
        for report in reports:
            shown.say(table(report, width=shown.width))
        learning = sum(len(online_routers(report)) for report in reports) * seeds
        with shown.progress("learning online", learning) as advance:
            online = {
                report.trace: learn_online(
                    report,
                    trace,
                    scenario=what,
                    step=lambda seed, router: advance(f"online, seed {seed}: {router}"),
                )
                for report, trace in zip(reports, traces, strict=True)
            }
        files = write_report(reports, out, traces=traces, online=online, command=command)
        shown.say(f"{time.time() - started:.0f} s; the report: {files[0]}")
        if decisions is not None:
            shown.say(f"decisions in {decisions}")
        with shown.busy("logging to MLflow"):
            run_id = book.log(lambda tracker: tracker.comparison(reports, files, online=online, run_id=begin()))
    cells.discard()
    shown.result(json_rows(reports))
    book.close(run_id)


@contextmanager
def _kept(cells: Cells, shown: Output) -> Iterator[None]:
    """Say what is kept of work that is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        if cells.used:
            shown.warn(
                f"{cells.used} finished trainings are kept in {cells.folder}; the same command goes on from there"
            )
        raise


def evaluate(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Policy folder, or models:/NAME@ALIAS.")],
    source: TraceSource,
    decisions: _Decisions = None,
    json: JsonTarget = None,
) -> None:
    """Evaluate a trained policy on the queries of a trace whose prompts it was not trained on."""
    from env.sources.named import load_trace
    from experiments.deploy import load_any
    from experiments.judge import evaluate as run
    from experiments.judge import table

    shown = Output(json)
    policy, trace = load_any(bundle), load_trace(source)
    with shown.busy(f"evaluating on {trace.name}"):
        judged = run(policy, trace, decisions=decisions)
    shown.say(table(judged))
    if decisions is not None:
        shown.say(f"decisions in {decisions}")
    shown.result(judged.rows())


def _number(value: float | None) -> str:
    return "not recorded" if value is None else f"{value:.3f}"


def _dollars(value: float | None) -> str:
    from experiments.money import per_thousand

    return "an unknown cost" if value is None else f"${per_thousand(value)} per 1,000 requests"
