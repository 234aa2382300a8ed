"""The comparison on public sets on paper: who is above whom, what was asked, and the tables behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from experiments.documents import markdown_table
from experiments.plot.style import COLOURS, empty_figure, save

Row: TypeAlias = Mapping[str, Any]

OWN, REFERENCE = "auto", "recipe"
BASELINES = ("zero", "zero_cost", "placebo", "knn", "tfidf_ridge")
"""To be significantly above on four sets or more, and below nowhere."""
EASIER_BAR = {
    "routellm": 0.034,
    "routerbench_5shot_subset": 0.036,
    "mmlu_pro": 0.028,
    "bfcl": 0.018,
    "alpaca_eval2": 0.053,
    "paretobandit_val": 0.007,
}
"""Gains over the zero router asked for where dials are read off the test queries (bfcl: with the task's label)."""
_OVER_REFERENCE, _OVER_BASELINES, _FIT_S = 2, 4, 60


def markdown(rows: Sequence[Row]) -> str:
    """Differences of `auto` from the others on every set, whether the bars are met, and each set's whole table."""
    sets = list(dict.fromkeys(row["trace"] for row in rows))
    others = ("zero", REFERENCE, *(name for name in BASELINES if name != "zero"), "best_per_task")
    parts = [
        "**AIQ of `auto`, less that of ...** (bold: the 95 % interval leaves 0 out)",
        "",
        "| set | " + " | ".join(f"`{name}`" for name in others) + " | fit, s |",
        "|---" * (len(others) + 2) + "|",
    ]
    for name in sets:
        cells = [_signed(_figure(rows, name, OWN, f"delta_aiq_{other}")) for other in others]
        parts.append(f"| {name} | " + " | ".join(cells) + f" | {_figure(rows, name, OWN, 'fit_s')['value']:.0f} |")
    parts += ["", *(f"- {line}" for line in verdicts(rows))]
    parts += [
        "",
        "**Over the zero router if dials were read off the test queries** (the easier protocol; the placebo, which "
        "knows nothing, shows how much of it is luck)",
        "",
        "| set | `auto` | `recipe` | `knn` | `tfidf_ridge` | `placebo` | asked for |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in sets:
        zero = _figure(rows, name, "zero", "easier_aiq")["value"]
        gains = [
            f"{_figure(rows, name, router, 'easier_aiq')['value'] - zero:+.4f}"
            for router in (OWN, REFERENCE, "knn", "tfidf_ridge", "placebo")
        ]
        bar = f"{EASIER_BAR[name]:.3f}" if name in EASIER_BAR else "-"
        parts.append(f"| {name} | " + " | ".join(gains) + f" | {bar} |")
    for name in sets:
        here = [row for row in rows if row["trace"] == name and not str(row["router"]).startswith("fixed:")]
        parts += ["", f"<details><summary>{name}: every router</summary>", "", markdown_table(here), "", "</details>"]
    return "\n".join(parts)


def verdicts(rows: Sequence[Row]) -> list[str]:
    """Whether what was asked of `auto` is met."""
    sets = list(dict.fromkeys(row["trace"] for row in rows))
    lines = []
    found = {name: _figure(rows, name, OWN, f"delta_aiq_{REFERENCE}") for name in sets}
    below, above = _signs(found)
    lower = [name for name, row in found.items() if row["value"] <= 0]
    lines.append(
        f"`{REFERENCE}`: above it in the mean on {len(sets) - len(lower)} of {len(sets)} sets"
        + (f" (not on {', '.join(lower)})" if lower else "")
        + f", significantly on {_named(above)}; significantly below on {_named(below)}: "
        + _met(not lower and not below and len(above) >= _OVER_REFERENCE)
        + f" (asked: above on every set, significantly on {_OVER_REFERENCE}, below nowhere)"
    )
    for baseline in BASELINES:
        below, above = _signs({name: _figure(rows, name, OWN, f"delta_aiq_{baseline}") for name in sets})
        lines.append(
            f"`{baseline}`: significantly above on {_named(above)}; significantly below on {_named(below)}: "
            + _met(len(above) >= _OVER_BASELINES and not below)
            + f" (asked: {_OVER_BASELINES} sets, below nowhere)"
        )
    slowest = max(sets, key=lambda name: float(_figure(rows, name, OWN, "fit_s")["value"]))
    seconds = _figure(rows, slowest, OWN, "fit_s")["value"]
    lines.append(f"fit: {seconds:.0f} s on {slowest}, the slowest: {_met(seconds < _FIT_S)} (asked: under {_FIT_S} s)")
    return lines


def picture(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Gain over the zero router with its interval, a panel for each set."""
    sets = list(dict.fromkeys(row["trace"] for row in rows))
    routers = (OWN, REFERENCE, "best_per_task", "knn", "tfidf_ridge", "zero_cost", "placebo")
    columns = min(3, len(sets))
    figure = empty_figure(10.5, 0.4 + 2.1 * -(-len(sets) // columns))
    panels = figure.subplots(-(-len(sets) // columns), columns, squeeze=False)
    for axes, name in zip(panels.flat, sets, strict=False):
        for place, router in enumerate(reversed(routers)):
            gain = _figure(rows, name, router, "delta_aiq_zero")
            sides = [[gain["value"] - gain["low"]], [gain["high"] - gain["value"]]]
            colour = COLOURS[0] if router == OWN else COLOURS[1] if router == REFERENCE else "0.45"
            axes.errorbar(gain["value"], place, xerr=sides, color=colour, marker="o", markersize=4, capsize=2)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(routers)), reversed(routers), fontsize=7.5)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("AIQ over the zero router (score points)", fontsize=7.5)
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(labelsize=7.5)
        axes.grid(axis="x", alpha=0.25, linewidth=0.5)
    for axes in panels.flat[len(sets) :]:
        axes.set_axis_off()
    return save(figure, folder, "public-sets")


def _figure(rows: Sequence[Row], trace: str, router: str, metric: str) -> Row:
    wanted = (trace, router, metric)
    return next(row for row in rows if (row["trace"], row["router"], row["metric"]) == wanted)


def _signs(found: Mapping[str, Row]) -> tuple[list[str], list[str]]:
    """Sets whose whole interval lies below 0, and those whose whole interval lies above."""
    return [n for n, row in found.items() if row["high"] < 0], [n for n, row in found.items() if row["low"] > 0]


def _named(sets: Sequence[str]) -> str:
    return f"{len(sets)} ({', '.join(sets)})" if sets else "none"


def _signed(row: Row) -> str:
    text = f"{row['value']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
    return f"**{text}**" if row["low"] > 0 or row["high"] < 0 else text


def _met(true: bool) -> str:
    return "met" if true else "**not met**"
