"""What a comparison says as a table for a terminal, and as JSON rows for programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from experiments.baselines import BEST_SINGLE, CHEAPEST, ORACLE, fixed_name
from experiments.bootstrap import Estimate
from experiments.compare import FIT_TIME, PLACEBO, ZERO, Entry, Report
from experiments.money import per_thousand
from experiments.report.words import gain, is_sure, verdict

# Terminals narrower than these leave out what is said in more detail elsewhere.
_MEDIUM, _WIDE = 112, 142


def table(report: Report, *, width: int = 160) -> Table:
    """The comparison of one trace as a table: routers by AIQ, then the fixed arms, then the ceiling.

    Args:
        report: of one trace.
        width: columns of the terminal; a narrow one leaves out columns.
    """
    with_cost = has_aiq(report)
    columns = [column for column in _columns(report, report.against) if width >= column.from_width]
    shown = Table(
        title=title(report),
        title_justify="left",
        caption=_caption(report, with_cost),
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in columns:
        head = column.head if with_cost else column.head.replace("AIQ", "score")
        shown.add_column(head, justify="right" if column.number else "left", no_wrap=True, max_width=30)
    for section in _sections(report):
        for entry in section:
            shown.add_row(*(column.cell(entry) for column in columns))
        shown.add_section()
    return shown


def has_aiq(report: Report) -> bool:
    """Whether routers are ranked by AIQ; by the score at dial 1 where costs, or a range of them, are missing."""
    return any("aiq" in entry.pooled for entry in report.entries)


def has_cost(report: Report) -> bool:
    """Whether costs are known, so that routers can be told what they cost."""
    return any("cost_usd_at_dial_1" in entry.pooled for entry in report.entries)


def figures(report: Report) -> tuple[list[str], list[list[list[str]]]]:
    """The table for paper: its heads, and for each of its sections the rows.

    No times are in it, and differences from the best simple rule are.
    """
    told = dict.fromkeys([*report.against, *([report.simple] if report.simple else [])])
    first, *rest = [column for column in _columns(report, [*told]) if column.cell is not _fit_time]
    columns = [first, rest.pop(), *rest]  # the verdict where it is seen without scrolling
    names = [column.head.replace("\n", " ") for column in columns]
    heads = names if has_aiq(report) else [name.replace("AIQ", "score, dial 1") for name in names]
    rows = [[[str(column.cell(entry)) for column in columns] for entry in section] for section in _sections(report)]
    return heads, rows


def _columns(report: Report, against: Sequence[str]) -> list[_Column]:
    """The columns, with the differences from those of some routers that are not among them yet."""
    told = [name for name in against if name not in (ZERO, PLACEBO) and report.entry(name) is not None]
    after = 1 + [column.cell for column in _COLUMNS].index(_over_zero)
    return [*_COLUMNS[:after], *(_Column(f"over\n{name}", _over(name)) for name in told), *_COLUMNS[after:]]


def title(report: Report) -> str:
    """One line about the data behind a report."""
    size = f"{report.summary['queries']} queries x {report.summary['arms']} models"
    seeds = "1 seed" if len(report.seeds) == 1 else f"{len(report.seeds)} seeds"
    return f"{report.trace}: {size}, {seeds}, {report.n_test[0]} test queries each"


def _sections(report: Report) -> list[list[Entry]]:
    def height(entry: Entry) -> float:
        found = entry.pooled.get("aiq", entry.pooled["score_at_dial_1"])
        return -found.value

    routers = [entry for entry in report.entries if entry.feedback is not None]
    fixed = [entry for entry in report.entries if entry.feedback is None and entry.router != ORACLE]
    ends = (BEST_SINGLE, CHEAPEST)
    fixed.sort(key=lambda entry: (entry.router not in ends, height(entry)))
    oracle = [entry for entry in report.entries if entry.router == ORACLE]
    return [part for part in (sorted(routers, key=height), fixed, oracle) if part]


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    cell: Callable[[Entry], str | Text]
    number: bool = True
    from_width: int = 0


def _name(entry: Entry) -> str:
    """The name; of a model, what follows its vendor."""
    prefix = fixed_name("")
    is_arm = entry.router.startswith(prefix)
    return prefix + entry.router.removeprefix(prefix).rpartition("/")[2] if is_arm else entry.router


def _height(entry: Entry) -> str:
    return _figure(entry.pooled.get("aiq", entry.pooled["score_at_dial_1"]), "")


def _over(name: str) -> Callable[[Entry], str]:
    return lambda entry: "-" if entry.router == name else _figure(gain(entry, name), "+")


def _over_zero(entry: Entry) -> str:
    return "-" if entry.router == ZERO else _figure(gain(entry, ZERO), "+")


def _said(entry: Entry) -> Text:
    said = verdict(entry) + ("" if is_sure(entry) else "*")
    style = "green" if said.startswith("beats") else "yellow" if said else "dim"
    return Text("ceiling" if entry.router == ORACLE else said, style=style)


def _pooled(metric: str, form: str) -> Callable[[Entry], str]:
    def cell(entry: Entry) -> str:
        found = entry.pooled.get(metric)
        return "-" if found is None else short(found.value, form)

    return cell


def _dollars(metric: str) -> Callable[[Entry], str]:
    def cell(entry: Entry) -> str:
        found = entry.pooled.get(metric)
        return per_thousand(None if found is None else found.value)

    return cell


def _figure(found: Estimate | None, sign: str) -> str:
    if found is None:
        return "-"
    shown = short(found.value, f"{sign}.4f")
    if found.low is None or found.high is None:
        return shown
    return f"{shown} [{short(found.low, f'{sign}.3f')}, {short(found.high, f'{sign}.3f')}]"


def short(value: float, form: str) -> str:
    """A number without the zero before its point: scores are at most 1, and width is scarce.

    Example:
        >>> short(0.8559, ".3f"), short(-0.02, "+.3f"), short(1.0, ".3f")
        ('.856', '-.020', '1.000')
    """
    return re.sub(r"^([+-]?)0\.", r"\1.", format(value, form))


_fit_time = _pooled(FIT_TIME, ".2f")
_COLUMNS = (
    _Column("router", _name, number=False),
    _Column("told", lambda entry: "-" if entry.feedback is None else entry.feedback.value, False, _WIDE),
    _Column("AIQ", _height, from_width=_MEDIUM),
    _Column("over zero", _over_zero),
    _Column("score\ndial .5", _pooled("score_at_dial_0.5", ".3f"), from_width=_WIDE),
    _Column("$/1k\ndial .5", _dollars("cost_usd_at_dial_0.5"), from_width=_WIDE),
    _Column("score\ndial 1", _pooled("score_at_dial_1", ".3f")),
    _Column("$/1k\ndial 1", _dollars("cost_usd_at_dial_1")),
    _Column("fit\ns", _fit_time, from_width=_MEDIUM),
    _Column("verdict", _said, number=False),
)


def told(with_cost: bool) -> list[str]:
    """What the columns mean."""
    return [
        "AIQ: mean score over the range of costs from the cheapest arm to the best single arm, of one model that of "
        "the line from the cheapest arm to it, flat beyond; [95 % interval], over prompts and seeds."
        if with_cost else "score at dial 1; [95 % interval], over prompts and seeds.",
        "told: full = every model's outcome on the training queries; bandit = only that of the model it chose.",
        "verdict: whether the interval of the paired difference from zero (and from the placebo) is above 0; "
        "* = not when all verdicts of the table are to hold together.",
    ]  # fmt: skip


def _caption(report: Report, with_cost: bool) -> str:
    hashes = f"trace hash {report.trace_hash[:12]}, of the queries evaluated {report.stream_hash[:12]}"
    return "\n".join([*told(with_cost), *report.notes, hashes])


def json_rows(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Rows ``trace, router, seed, metric, value, low, high`` of all traces."""
    return [row for report in reports for row in report.rows()]
