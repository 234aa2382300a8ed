"""The study of traffic on paper: its table, what it shows, and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from experiments.plot.style import COLOURS, empty_figure, save

Row: TypeAlias = Mapping[str, Any]

_AGAINST = "aware - blind"
_PER_THOUSAND = 1000
_BAR = ("p95_s", "score", "cost_usd", "answered_usd")
# metric -> heading, factor, format
_COLUMNS = {
    "p50_s": ("p50, s", 1, ".2f"),
    "p95_s": ("p95, s", 1, ".2f"),
    "p99_s": ("p99, s", 1, ".2f"),
    "failed": ("failed, %", 100, ".1f"),
    "score": ("mean score", 1, ".3f"),
    "cost_usd": ("$ per 1,000", _PER_THOUSAND, ".3g"),
    "answered_usd": ("$, failures free", _PER_THOUSAND, ".3g"),
}
_PANELS = {
    "p95_s": "95th percentile of latency (s)",
    "failed": "failed requests (%)",
    "score": "mean score (0 to 1)",
    "cost_usd": "cost (US dollars per 1,000)",
}
_STYLES: dict[str, dict[str, Any]] = {
    "aware": {"color": COLOURS[0], "marker": "o"},
    "blind": {"color": COLOURS[1], "marker": "s"},
    "best fixed arm": {"color": "black", "marker": "^", "linestyle": "--"},
    "shortest queue": {"color": "0.55", "marker": "v", "linestyle": ":"},
}


def markdown(rows: Sequence[Row]) -> str:
    """One table a trace, and under it whether the bar was met."""
    parts = []
    for trace in dict.fromkeys(row["trace"] for row in rows):
        here = [row for row in rows if row["trace"] == trace]
        heads = [heading for heading, _, _ in _COLUMNS.values()]
        parts.append(f"**`{trace}`**, arrivals `{here[0].get('arrivals', 'given')}`\n")
        parts.append("| utilisation | rule | " + " | ".join(heads) + " |")
        parts.append("|---" * (2 + len(heads)) + "|")
        for share, rule in dict.fromkeys((row["utilisation"], row["rule"]) for row in here):
            cells = [_cell(here, share, rule, metric) for metric in _COLUMNS]
            parts.append(
                f"| {share:g} | {'*aware - blind*' if rule == _AGAINST else rule} | " + " | ".join(cells) + " |"
            )
        parts += ["", *(f"- {line}" for line in verdicts(here)), ""]
    return "\n".join(parts).rstrip()


def verdicts(rows: Sequence[Row]) -> list[str]:
    """For each utilisation of one trace, whether seeing the load shortens the tail at no loss of score or money."""
    lines = []
    for share in dict.fromkeys(row["utilisation"] for row in rows):
        p95, score, cost, answers = (_row(rows, share, _AGAINST, metric) for metric in _BAR)
        shorter, worse = p95["high"] < 0, score["high"] < 0
        met = shorter and not worse and not cost["low"] > 0
        words = [
            f"p95 {'lower' if shorter else 'not lower'}",
            f"score {'lower' if worse else 'higher' if score['low'] > 0 else 'not lower'}",
            f"cost {_change(cost)}; were failures free: {_change(answers)}",
        ]
        lines.append(f"utilisation {share:g}: {'met' if met else '**not met**'} ({', '.join(words)})")
    return lines


def _change(cost: Row) -> str:
    return "higher" if cost["low"] > 0 else "lower" if cost["high"] < 0 else "not higher"


def picture(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Latency, failures, score and cost over utilisation, with 95 % intervals, a row of panels for each trace."""
    traces = list(dict.fromkeys(row["trace"] for row in rows))
    figure = empty_figure(11.5, 0.7 + 2.5 * len(traces))
    panels = figure.subplots(len(traces), len(_PANELS), squeeze=False, sharex=True)
    for line, trace in zip(panels, traces, strict=True):
        here = [row for row in rows if row["trace"] == trace]
        for axes, (metric, label) in zip(line, _PANELS.items(), strict=True):
            _draw(axes, here, metric, _COLUMNS[metric][1])
            axes.set_ylabel(f"{trace}\n{label}" if metric == "p95_s" else label, fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel("utilisation of the best fixed arm", fontsize=8)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(handles), fontsize=8, frameon=False)
    return save(figure, folder, "traffic")


def _draw(axes: Any, rows: Sequence[Row], metric: str, factor: float) -> None:
    shares = list(dict.fromkeys(row["utilisation"] for row in rows))
    for number, (rule, style) in enumerate(_STYLES.items()):
        found = [_row(rows, share, rule, metric) for share in shares]
        value, low, high = ([factor * row[key] for row in found] for key in ("value", "low", "high"))
        gaps = [[v - a for v, a in zip(value, low, strict=True)], [b - v for v, b in zip(value, high, strict=True)]]
        # Side by side, so that intervals do not cover each other.
        at = [share + 0.012 * (number - 1.5) for share in shares]
        lengths = [[max(gap, 0.0) for gap in side] for side in gaps]
        axes.errorbar(at, value, yerr=lengths, markersize=4, linewidth=1.3, capsize=2, label=rule, **style)
    axes.set_xticks(shares)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=7.5)
    axes.grid(alpha=0.25, linewidth=0.5)


def _row(rows: Sequence[Row], share: float, rule: str, metric: str) -> Row:
    key = (share, rule, metric)
    return next(row for row in rows if (row["utilisation"], row["rule"], row["metric"]) == key)


def _cell(rows: Sequence[Row], share: float, rule: str, metric: str) -> str:
    row, (_, factor, form) = _row(rows, share, rule, metric), _COLUMNS[metric]
    value, low, high = (factor * row[key] for key in ("value", "low", "high"))
    if rule != _AGAINST:
        return f"{value:{form}}"
    return f"{value:+{form}} [{low:+{form}}, {high:+{form}}]"
