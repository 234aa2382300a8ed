"""The study of bandit feedback on paper: its table, whether the bars were met, and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from experiments.plot.style import COLOURS, empty_figure, save

Row: TypeAlias = Mapping[str, Any]

BARS = {"at least": {"cold": 0.85, "warm": 0.9}, "at most": {"cold": 0.45, "warm": 0.6}}
"""Shares asked for of sets with many pulls an arm and with few."""


def markdown(rows: Sequence[Row]) -> str:
    """The settings chosen, the shares after the whole pass, and the bars."""
    settings = {row["start"]: row["setting"] for row in rows}
    lines = [f"- {start} start: `{setting}`" for start, setting in settings.items()]
    lines += [
        "",
        "| sets | pulls an arm | start | over zero | ridge over zero | share [95 %] |",
        "|---|---|---|---|---|---|",
    ]
    for row in _whole(rows):
        lines.append(
            f"| {row['sets']} | {row['pulls']:,.0f} | {row['start']} | {row['daiq']:+.4f} | {row['ridge_daiq']:+.4f} "
            f"| {_share(row)} |"
        )
    return "\n".join([*lines, "", *(f"- {line}" for line in verdicts(rows))])


def verdicts(rows: Sequence[Row]) -> list[str]:
    """For each group that has a bar, whether its share reaches it."""
    lines = []
    for row in _whole(rows):
        bar = next((bars[row["start"]] for words, bars in BARS.items() if row["sets"].startswith(words)), None)
        if bar is not None:
            lines.append(f"{row['sets']}, {row['start']}: {_verdict(row, bar)}")
    return lines


def few_markdown(rows: Sequence[Row]) -> str:
    """A table for each number of pulls: gains set by set, and shares of the sums; then the bars."""
    blocks, bars = [], []
    for pulls in dict.fromkeys(row["pulls"] for row in rows):
        here = [row for row in rows if row["pulls"] == pulls]
        sets = list(dict.fromkeys(row["sets"] for row in here))
        lines = [
            f"Over the zero router after {pulls:,} pulls an arm:",
            "",
            f"| learner | {' | '.join(sets)} | share of ridge, all queries | share of ridge, the same queries |",
            "|---" * (len(sets) + 3) + "|",
        ]
        for learner in dict.fromkeys(row["learner"] for row in here):
            found = {(row["sets"], row["against"]): row for row in here if row["learner"] == learner}
            gains = " | ".join(f"{found[name, 'all']['daiq']:+.4f}" for name in sets)
            lines.append(
                f"| {learner} | {gains} | {_share(found[sets[-1], 'all'])} | {_share(found[sets[-1], 'same'])} |"
            )
            start = learner.removeprefix("bandit, ").removesuffix(" start")
            if start != learner:
                bar = BARS["at most" if pulls <= 25 else "at least"][start]
                bars.append(f"- {pulls:,} pulls an arm, {sets[-1]}, {start}: {_verdict(found[sets[-1], 'all'], bar)}")
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, "\n".join(bars)])


def picture(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Gain over the zero router along the pass, a panel for each set; ridge with every outcome as a line."""
    sets = [name for name in dict.fromkeys(row["sets"] for row in rows) if " " not in name]
    figure = empty_figure(10.5, 0.6 + 2.2 * -(-len(sets) // 3))
    panels = figure.subplots(-(-len(sets) // 3), min(3, len(sets)), squeeze=False)
    for axes, name in zip(panels.flat, sets, strict=False):
        here = [row for row in rows if row["sets"] == name]
        for start, colour, marker in (("cold", COLOURS[0], "o"), ("warm", COLOURS[1], "s")):
            curve = [row for row in here if row["start"] == start]
            axes.plot(
                [100 * row["share_of_pass"] for row in curve],
                [row["daiq"] for row in curve],
                color=colour,
                marker=marker,
                markersize=4,
                label=f"bandit feedback, {start} start",
            )
        axes.axhline(here[0]["ridge_daiq"], color="black", linestyle="--", linewidth=1, label="ridge, every outcome")
        axes.axhline(0, color="0.6", linewidth=0.8)
        axes.set_title(f"{name}, {here[0]['pulls']:,.0f} pulls an arm", fontsize=8)
        axes.set_xlabel("share of the pass (%)", fontsize=7.5)
        axes.set_ylabel("AIQ over zero router", fontsize=7.5)
        axes.tick_params(labelsize=7)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return save(figure, folder, "bandits")


def _whole(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["share_of_pass"] == 1]


def _share(row: Row) -> str:
    if row["share"] is None:
        return "none: ridge is not surely above zero"
    return f"{row['share']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _verdict(row: Row, bar: float) -> str:
    met = row["share"] is not None and row["share"] >= bar
    return f"{'met' if met else '**not met**'} ({_share(row)}, asked for {bar})"
