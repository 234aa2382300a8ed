"""The study of the cascade on paper: its tables, whether the bar was met, and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from experiments.plot.style import COLOURS, empty_figure, save

Row: TypeAlias = Mapping[str, Any]

_RULE = "cascade"
_HALF, _UNLABELLED = "cascade, one call", "cascade, no task label"
_SHOWN_DIALS = (0.5, 1.0)
_STYLES: dict[str, dict[str, Any]] = {
    "cascade": {"color": COLOURS[0], "marker": "o"},
    "cascade, no task label": {"color": COLOURS[0], "marker": "o", "linestyle": ":", "markerfacecolor": "white"},
    "cascade, one call": {"color": COLOURS[1], "marker": "s"},
    "auto": {"color": "black", "marker": "^", "linestyle": "--"},
    "tfidf_ridge": {"color": "0.55", "marker": "v", "linestyle": "--"},
}


def markdown(rows: Sequence[Row]) -> str:
    """The table of rules, and under it whether the bar was met."""
    rules = sorted(dict.fromkeys(row["rule"] for row in rows), key=lambda rule: -_row(rows, rule, "aiq")["value"])
    heads = ["rule", "AIQ", "the cascade's lead over it [95 %]"]
    for dial in _SHOWN_DIALS:
        heads += [f"score, dial {dial:g}", "$ per 1,000", "latency, s", "calls"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for rule in rules:
        cells = [rule, f"{_row(rows, rule, 'aiq')['value']:.3f}", _gain(rows, _RULE, f"over {rule}")]
        for dial in _SHOWN_DIALS:
            for metric, factor, form in (
                ("score", 1, ".3f"), ("cost_usd", 1000, ".3g"), ("latency_s", 1, ".2f"), ("calls", 1, ".2f")
            ):  # fmt: skip
                cells.append(f"{factor * _row(rows, rule, metric, dial)['value']:{form}}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [*lines, "", *(f"- {rule}: {verdict(rows, rule)}" for rule in (_RULE, _UNLABELLED) if rule in rules)]
    )


def verdict(rows: Sequence[Row], rule: str = _RULE) -> str:
    """Whether a cascade beats every router that sees the prompt alone, significantly; and its own half."""
    gains = {row["metric"].removeprefix("over "): row for row in rows
             if row["rule"] == rule and row["metric"].startswith("over ")}  # fmt: skip
    missed = [name for name, row in gains.items() if name not in (_HALF, _UNLABELLED, _RULE) and not row["low"] > 0]
    said = "met" if not missed else f"**not met** ({', '.join(missed)})"
    half = gains[_HALF]["low"] > 0
    own = "significantly better" if half else "**not significantly** better"
    return (
        f"the bar, an interval above 0 over each of the routers: {said}; than its own half, one call: {own} "
        f"({_gain(rows, rule, f'over {_HALF}')})"
    )


def picture(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Score over cost, and seconds over cost, as the dial turns; bands are 95 % intervals of the score."""
    figure = empty_figure(10.5, 4.2)
    left, right = figure.subplots(1, 2)
    for rule, style in _STYLES.items():
        cost, score, latency = (_along(rows, rule, metric) for metric in ("cost_usd", "score", "latency_s"))
        dollars = [1000 * row["value"] for row in cost]
        left.plot(dollars, [row["value"] for row in score], markersize=3.5, linewidth=1.3, label=rule, **style)
        if rule in ("cascade", "auto"):
            ends = [row["low"] for row in score], [row["high"] for row in score]
            left.fill_between(dollars, *ends, color=style["color"], alpha=0.12, linewidth=0)
        right.plot(dollars, [row["value"] for row in latency], markersize=3.5, linewidth=1.3, **style)
    left.set_ylabel("mean score (0 to 1)")
    right.set_ylabel("mean latency, all calls (s)")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xlabel("cost of all calls (US dollars per 1,000 requests)")
        axes.grid(alpha=0.25, linewidth=0.5)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=8, frameon=False)
    return save(figure, folder, "cascade")


def _gain(rows: Sequence[Row], rule: str, metric: str) -> str:
    found = [row for row in rows if (row["rule"], row["metric"]) == (rule, metric)]
    return "-" if not found else f"{found[0]['value']:+.3f} [{found[0]['low']:+.3f}, {found[0]['high']:+.3f}]"


def _along(rows: Sequence[Row], rule: str, metric: str) -> list[Row]:
    return sorted((row for row in rows if (row["rule"], row["metric"]) == (rule, metric)), key=lambda row: row["dial"])


def _row(rows: Sequence[Row], rule: str, metric: str, dial: float | None = None) -> Row:
    return next(row for row in rows if (row["rule"], row["metric"], row["dial"]) == (rule, metric, dial))
