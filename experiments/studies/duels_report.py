"""The study of duels on paper: its table and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from experiments.plot.style import COLOURS, empty_figure, save

Row: TypeAlias = Mapping[str, Any]

_TOLD = {
    "fgts": "which of two answers was preferred, models of its choice",
    "random duels": "the same, of two models drawn at random",
    "linear_thompson": "the score of one answer, model of its choice",
    "ridge": "the score of every model's answer",
    "zero": "the same; blind mixing, no prompt looked at",
}
_STYLES: dict[str, dict[str, Any]] = {
    "fgts": {"color": COLOURS[0], "marker": "o"},
    "random duels": {"color": COLOURS[1], "marker": "s"},
    "linear_thompson": {"color": COLOURS[2], "marker": "^"},
}


def markdown(rows: Sequence[Row]) -> str:
    """What each rule was told, the calls that took, and what it was worth after one pass."""
    lines = [
        "| rule | told of each prompt | calls | AIQ | over zero [95 %] | less ridge [95 %] | score, dial 1 |",
        "|---|---|---|---|---|---|---|",
    ]
    for rule, told in _TOLD.items():
        calls, aiq, score = (_row(rows, rule, metric)["value"] for metric in ("calls", "aiq", "score"))
        gains = " | ".join(_gain(rows, rule, other) for other in ("zero", "ridge"))
        lines.append(f"| {rule} | {told} | {calls:.2f} | {aiq:.3f} | {gains} | {score:.3f} |")
    shown = {rule: [row for row in rows if (row["rule"], row["metric"]) == (rule, "shown")] for rule in _TOLD}
    first, last = (_interval(shown["fgts"][at], ".3f") for at in (0, -1))
    uniform = sum(row["value"] for row in shown["random duels"]) / len(shown["random duels"])
    single = _row(rows, "best single", "shown")["value"]
    return "\n".join(
        [
            *lines,
            "",
            f"- `fgts` over random duels, after one pass: {_gain(rows, 'fgts', 'random duels')}",
            f"- mean score of the answers shown while learning, money without a price: {first} in the first eighth "
            f"of the pass, {last} in the last; two models at random {uniform:.3f}, the best single model {single:.3f}",
        ]
    )


def picture(rows: Sequence[Row], folder: Path) -> list[Path]:
    """The scores of what was shown along the pass, and what was learned by then; bands are 95 % intervals."""
    figure = empty_figure(9.5, 3.8)
    left, right = figure.subplots(1, 2)
    for rule in ("fgts", "random duels"):
        _line(left, [row for row in rows if (row["rule"], row["metric"]) == (rule, "shown")], rule)
    left.axhline(_row(rows, "best single", "shown")["value"], color="0.4", linestyle=":", label="best single model")
    left.set_ylabel("mean score of both answers shown")
    for rule in _STYLES:
        _line(right, [row for row in rows if (row["rule"], row["metric"]) == (rule, "over zero")], rule)
    right.axhline(
        _row(rows, "ridge", "over zero")["value"], color="black", linestyle="--", label="ridge, every outcome"
    )
    right.axhline(0, color="0.6", linewidth=0.8)
    right.set_ylabel("AIQ over the zero router")
    for axes in (left, right):
        axes.set_xlabel("share of the pass (%)")
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.legend(fontsize=7.5, frameon=False)
    return save(figure, folder, "duels")


def _line(axes: Any, rows: Sequence[Row], rule: str) -> None:
    style, along = _STYLES[rule], [100 * row["at"] for row in rows]
    axes.plot(along, [row["value"] for row in rows], markersize=3.5, linewidth=1.3, label=rule, **style)
    ends = [row["low"] for row in rows], [row["high"] for row in rows]
    axes.fill_between(along, *ends, color=style["color"], alpha=0.12, linewidth=0)


def _gain(rows: Sequence[Row], rule: str, other: str) -> str:
    found = [row for row in rows if (row["rule"], row["metric"], row["at"]) == (rule, f"over {other}", 1.0)]
    return _interval(found[0], "+.3f") if found else "-"


def _interval(row: Row, form: str) -> str:
    return f"{row['value']:{form}} [{row['low']:{form}}, {row['high']:{form}}]"


def _row(rows: Sequence[Row], rule: str, metric: str) -> Row:
    """After the whole pass."""
    return next(row for row in rows if (row["rule"], row["metric"], row["at"]) == (rule, metric, 1.0))
