"""What a reader must know about a trace before believing numbers made from it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from env.errors import BadInput
from env.problem import Problem
from env.sources.public_sets import registry
from env.trace import Trace
from env.trace_problems import problems
from experiments.money import per_thousand


def caveats(trace: Trace) -> list[str]:
    """What :func:`env.trace_problems.problems` finds at once, each in one line.

    Values that are impossible (a score of 1.7, a negative cost, a duplicate key) never get this far: reading a trace
    refuses them.

    Example:
        >>> from env.trace_io import from_rows
        >>> caveats(from_rows([{"query_id": "q", "prompt": "2 + 2?", "model": "a", "score": 1.0, "cost_usd": 0.1}]))[0]
        'one model only: there is nothing to route between'
    """
    return [problem.what for problem in problems(trace, near=False)]


def problems_table(found: Sequence[Problem]) -> Table:
    """One row a problem: how bad, how many, what, where, and what to do."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("", no_wrap=True)
    shown.add_column("count", justify="right", no_wrap=True)
    for head, share in (("what", 3), ("where", 2), ("mend", 3)):
        shown.add_column(head, overflow="fold", ratio=share)
    for problem in found:
        shown.add_row(problem.severity, str(problem.count), problem.what, problem.where, problem.mend)
    return shown


def table(trace: Trace) -> Table:
    """Per model: how often it was observed, and its means."""
    summary = trace.summary()
    title = f"{trace.name}: {summary['queries']} queries ({summary['prompts']} prompts) x {summary['arms']} models"
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("model", no_wrap=True)
    for head in ("scored", "mean score", "$/1k requests", "latency s"):
        shown.add_column(head, justify="right")
    for arm in summary["per_arm"]:
        cells = [_cell(arm["score"]), per_thousand(arm["cost_usd"]), _cell(arm["latency_s"])]
        shown.add_row(arm["model"], str(arm["observed"]), *cells)
    if summary["tasks"]:
        shown.caption = f"tasks: {', '.join(summary['tasks'])}"
        shown.caption_justify = "left"
    return shown


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:#.3g}"


def same_arms(trace: Trace, arms: tuple[str, ...]) -> Trace:
    """The trace with the arms of a policy, in its order.

    Raises:
        BadInput: one is missing.
    """
    absent = [arm for arm in arms if arm not in trace.arms]
    if absent:
        raise BadInput(
            f"trace {trace.name}: no outcomes of these arms of the policy: {', '.join(absent)}; it has "
            f"{', '.join(trace.arms)}; record the missing ones (`pointsman record`), or train a policy on this trace"
        )
    return trace.select_arms(arms)


def about(name: str) -> dict[str, str]:
    """What is known of a public set: home, licence, how it was made; nothing for other traces.

    Example:
        >>> about("routellm")["licence"], about("mine.parquet")
        ('Apache-2.0', {})
    """
    found = registry().get(name)
    if found is None:
        return {}
    get = f"{found.size / 1e6:.1f} MB" if found.files else "by hand"
    fields = {"name": name, "kind": found.kind, "what": found.what, "home": found.home}
    return {**fields, "licence": found.licence, "note": found.note, "download": get}


def public_sets() -> Table:
    """The public sets that have a name, with their homes and licences."""
    shown = Table(title="Public sets", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for head in ("name", "kind", "what", "home", "licence", "download"):
        shown.add_column(head, no_wrap=head == "name", overflow="fold")
    for name in registry():
        known = about(name)
        shown.add_row(*(known[column] for column in ("name", "kind", "what", "home", "licence", "download")))
    return shown
