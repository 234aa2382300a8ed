"""The study of the cascade on paper: its tables, whether the bar was met, and its picture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from env.errors import BadInput
from experiments.plot.style import COLOURS, empty_figure, save

Row: TypeAlias = Mapping[str, Any]

_RULE, _BEST = "cascade", "best prompt-only"
_OVER = f"over {_BEST}"
_HALF = "cascade, one call"
_SHOWN_DIALS = (0.5, 1.0)
_STYLES: dict[str, dict[str, Any]] = {
    "cascade": {"color": COLOURS[0], "marker": "o"},
    "cascade, no task label": {"color": COLOURS[0], "marker": "o", "linestyle": ":", "markerfacecolor": "white"},
    "cascade, one call": {"color": COLOURS[1], "marker": "s"},
    "best_per_task": {"color": "black", "marker": "^", "linestyle": "--"},
    "ridge": {"color": "0.55", "marker": "v", "linestyle": "--"},
}


def markdown(rows: Sequence[Row]) -> str:
    """The table of rules, and under it whether the bar was met."""
    rules = sorted(dict.fromkeys(row["rule"] for row in rows), key=lambda rule: -_row(rows, rule, "aiq")["value"])
    heads = ["rule", "AIQ", _OVER + " [95 %]"]
    for dial in _SHOWN_DIALS:
        heads += [f"score, dial {dial:g}", "$ per 1,000", "latency, s", "calls"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for rule in rules:
        cells = [rule, f"{_row(rows, rule, 'aiq')['value']:.3f}", _gain(rows, rule, _OVER)]
        for dial in _SHOWN_DIALS:
            for metric, factor, form in (
                ("score", 1, ".3f"), ("cost_usd", 1000, ".3g"), ("latency_s", 1, ".2f"), ("calls", 1, ".2f")
            ):  # fmt: skip
                cells.append(f"{factor * _row(rows, rule, metric, dial)['value']:{form}}")
        lines.append("| " + " | ".join(cells) + " |")
    against = sorted({row["metric"] for row in rows if row["rule"] == _RULE and row["metric"].startswith("over ")})
    lines += ["", *(f"- {_RULE} {metric}: {_gain(rows, _RULE, metric)}" for metric in against), f"- {verdict(rows)}"]
    return "\n".join(lines)


def verdict(rows: Sequence[Row]) -> str:
    """Whether the cascade beats every router that sees the prompt alone, significantly; and its own half."""
    gains = [row for row in rows if row["rule"] == _RULE and row["metric"].startswith("over ")]
    missed = [name for row in gains if (name := row["metric"].removeprefix("over ")) != _HALF and not row["low"] > 0]
    said = "met" if not missed else f"**not met** ({', '.join(missed)})"
    half = any(row["low"] > 0 for row in gains if row["metric"] == f"over {_HALF}")
    own = "significantly better" if half else "better, but **not significantly**"
    return f"the bar, an interval above 0 over each of these routers: {said}; than its own half, one call: {own}"


def put(rows: Sequence[Row], text: str, where: str) -> str:
    """A document's text with the table between its markers.

    Raises:
        BadInput: the document has no such markers.
    """
    block = re.compile(r"(<!-- cascade -->\n).*?(<!-- /cascade -->)", re.DOTALL)
    if not block.search(text):
        raise BadInput(f"{where}: no `<!-- cascade -->` ... `<!-- /cascade -->`")
    return block.sub(lambda match: f"{match[1]}\n{markdown(rows)}\n\n{match[2]}", text)


def picture(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Score over cost, and seconds over cost, as the dial turns; bands are 95 % intervals of the score."""
    figure = empty_figure(10.5, 4.2)
    left, right = figure.subplots(1, 2)
    for rule, style in _STYLES.items():
        cost, score, latency = (_along(rows, rule, metric) for metric in ("cost_usd", "score", "latency_s"))
        dollars = [1000 * row["value"] for row in cost]
        left.plot(dollars, [row["value"] for row in score], markersize=3.5, linewidth=1.3, label=rule, **style)
        if rule in ("cascade", "best_per_task"):
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
