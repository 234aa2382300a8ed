"""What a reader must know about a trace before believing numbers made from it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from env.errors import BadInput
from env.sources.public_sets import registry
from env.trace import Trace
from env.trace_io import REQUIRED, likely_meant
from experiments.money import per_thousand

_FEW_PROMPTS = 100
_SMALL_SLICE = 20


def caveats(trace: Trace) -> list[str]:
    """Gaps, constant arms, repeated prompts, missing columns, small tasks: each in one line; none is an error.

    Values that are impossible (a score of 1.7, a negative cost, a duplicate key) are errors, and never get this
    far: reading a trace refuses them.

    Example:
        >>> from env.trace_io import from_rows
        >>> caveats(from_rows([{"query_id": "q", "prompt": "2 + 2?", "model": "a", "score": 1.0, "cost_usd": 0.1}]))[0]
        'one model only: there is nothing to route between'
    """
    return list(_found(trace))


def _found(trace: Trace) -> Iterator[str]:
    yield from _unread(trace)
    if trace.n_arms == 1:
        yield "one model only: there is nothing to route between"
    yield from _gaps(trace)
    for column, arm in enumerate(trace.arms):
        seen = trace.score[trace.observed[:, column], column]
        if len(seen) > 1 and np.ptp(seen) == 0:
            yield f"{arm} is constant: its score is always {seen[0]:g}"
    if not trace.has_cost:
        yield "cost_usd is not recorded for every scored cell: comparisons are on quality alone"
    if not trace.has_latency:
        yield "latency_s is not recorded for every scored cell: latency cannot be weighed"
    prompts = len(np.unique(trace.groups))
    if prompts < len(trace):
        yield f"{len(trace) - prompts} queries repeat a prompt of another; they share a split and count as one draw"
    if prompts < _FEW_PROMPTS:
        yield f"{prompts} prompts are few: expect wide intervals"
    tasks, counts = np.unique([str(task) for task in trace.tasks if task is not None], return_counts=True)
    small = [str(task) for task, count in zip(tasks, counts, strict=True) if count < _SMALL_SLICE]
    if small:
        yield f"{len(small)} of {len(tasks)} tasks have fewer than {_SMALL_SLICE} queries, for example {small[0]}"
    if trace.skipped_attempts:
        yield f"{trace.skipped_attempts} later attempts (retries, fallbacks) are left out: they were no router's choice"
    if "imputed" in trace.cell_columns:
        filled = int((trace.cell_columns["imputed"] == True).sum())  # noqa: E712 - elementwise on an object array
        if filled:
            yield f"{filled} cells were filled in by whoever recorded the trace (column imputed)"


def _unread(trace: Trace) -> Iterator[str]:
    meant = likely_meant(trace.unread, [*REQUIRED, *trace.query_columns, *trace.cell_columns])
    for name, column in meant.items():
        yield (
            f"column {name} is not read; if {column} was meant, `pointsman trace import --map {name}={column}` "
            "renames it"
        )
    others = [name for name in trace.unread if name not in meant]
    if others:
        yield f"not part of a trace, and not read: {', '.join(others)}"


def _gaps(trace: Trace) -> Iterator[str]:
    observed = trace.observed
    if trace.is_log:
        yield "a log: only the chosen model was observed on each query, so fixed choices cannot be compared on it"
        return
    missing = int((~observed).sum())
    if missing:
        complete = int(np.all(observed, axis=1).sum())
        yield f"{missing} of {observed.size} scores are missing; {complete} of {len(trace)} queries have every model"
    silent = [arm for column, arm in enumerate(trace.arms) if not observed[:, column].any()]
    if silent:
        yield f"{', '.join(silent)}: no score at all"


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
