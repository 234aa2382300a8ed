"""The study of budgets on paper: its tables, what they show, and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from experiments.plot.style import COLOURS, empty_figure, save
from routers.dial import upper_hull

Row: TypeAlias = Mapping[str, Any]

_OURS, _PEER, _BLIND = "pointsman", "paretobandit", "zero, paced"
_PER_THOUSAND = 1000
# The bars: mean spend and that of the worst order, in budgets; at how many budgets to beat the zero router.
_MEAN_SPEND, _WORST_SPEND, _ABOVE = 1.01, 1.05, 3
_STYLES: dict[str, dict[str, Any]] = {
    _OURS: {"color": COLOURS[0], "marker": "o"},
    _PEER: {"color": COLOURS[1], "marker": "s"},
    _BLIND: {"color": "0.45", "marker": "v"},
}


def markdown(rows: Sequence[Row]) -> str:
    """A table of Pointsman, one against the peer where it was run, and under each what it shows."""
    heads = [
        "budget",
        "$ per 1,000",
        "spent",
        "worst order",
        "score",
        "above zero",
        "zero, paced: above zero",
        "inside",
    ]
    parts = ["**Pointsman** (`budget`)\n", _line(heads), _line(["---"] * len(heads))]
    for usd in _budgets(rows):
        ours, blind = _of(rows, usd, _OURS), _of(rows, usd, _BLIND)
        margins = [_signed(found["above_zero"]) for found in (ours, blind)]
        parts.append(_line([*_spend(rows, usd, ours), *margins, _inside(ours)]))
    parts += ["", *(f"- {line}" for line in verdicts(rows))]
    if not _has(rows, _PEER):
        return "\n".join([*parts, "- ParetoBandit was not installed: not compared."])
    heads = [*heads[:6], "Pointsman above it", "adds more over zero"]
    parts += ["", "**ParetoBandit**, the same data in the same orders\n", _line(heads), _line(["---"] * len(heads))]
    for usd in _budgets(rows):
        peer = _of(rows, usd, _PEER)
        cells = [_signed(peer[metric]) for metric in ("above_zero", "behind", "adds_less")]
        parts.append(_line([*_spend(rows, usd, peer), *cells]))
    return "\n".join([*parts, "", *(f"- {line}" for line in peer_verdicts(rows))])


def verdicts(rows: Sequence[Row]) -> list[str]:
    """Whether the bars of spend and of the zero router are met."""
    ours = [_of(rows, usd, _OURS) for usd in _budgets(rows)]
    mean, worst = (max(found[metric]["value"] for found in ours) for metric in ("spent", "most_spent"))
    below, above = _signs(ours, "above_zero")
    return [
        f"spend, mean of the orders: at most {mean:.3f} budgets ({_met(mean <= _MEAN_SPEND)}: {_MEAN_SPEND})",
        f"spend, worst order: at most {worst:.3f} budgets ({_met(worst <= _WORST_SPEND)}: {_WORST_SPEND})",
        f"above the zero router at the realised spend: significantly at {above} of {len(ours)} budgets, significantly "
        f"below at {below} ({_met(above >= _ABOVE and below == 0)}: {_ABOVE} or more, and none)",
    ]


def peer_verdicts(rows: Sequence[Row]) -> list[str]:
    """How Pointsman compares with the peer."""
    peer = [_of(rows, usd, _PEER) for usd in _budgets(rows)]
    over = sum(found["spent"]["value"] > _MEAN_SPEND for found in peer)
    lines = []
    for metric, words in (("behind", "score at the same budget"), ("adds_less", "score above the zero router")):
        below, above = _signs(peer, metric)
        mean = next(row for row in rows if row["budget_usd"] is None and row["metric"] == metric)
        lines.append(
            f"{words}: Pointsman is significantly above ParetoBandit at {above} of {len(peer)} budgets, significantly "
            f"below at {below}; {_signed(mean)} in the mean over budgets ({_met(below == 0 and mean['low'] > 0)})"
        )
    return [*lines, f"ParetoBandit spends more than {_MEAN_SPEND} budgets at {over} of {len(peer)}"]


def picture(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Left: score over realised spend, with the zero router. Right: score above the zero router at each budget."""
    figure = empty_figure(10.5, 4.0)
    left, right = figure.subplots(1, 2, width_ratios=[1.0, 1.15])
    _draw_hull(left, rows)
    for number, (rule, style) in enumerate(_STYLES.items()):
        if not _has(rows, rule):
            continue
        found = [_of(rows, usd, rule) for usd in _budgets(rows)]
        if rule != _BLIND:
            spent = [_PER_THOUSAND * one["cost_usd"]["value"] for one in found]
            _points(left, spent, [one["score"] for one in found], style, rule)
        # Side by side, so that intervals do not cover each other.
        at = [place + 0.18 * (number - 1) for place in range(len(found))]
        _points(right, at, [one["above_zero"] for one in found], style, rule)
    left.set_xscale("log")
    left.set_xlabel("realised spend (US dollars per 1,000 requests)", fontsize=8)
    left.set_ylabel("mean score (0 to 1)", fontsize=8)
    left.legend(fontsize=7.5, frameon=False, loc="lower right")
    right.axhline(0, color="black", linewidth=0.8)
    right.set_xticks(range(len(_budgets(rows))), [_called(rows, usd) for usd in _budgets(rows)])
    right.set_xlabel("budget (mean costs of the cheapest model)", fontsize=8)
    right.set_ylabel("score points above the zero router at the same spend", fontsize=8)
    right.legend(fontsize=7.5, frameon=False)
    for axes in (left, right):
        axes.tick_params(labelsize=7.5)
        axes.grid(alpha=0.25, linewidth=0.5)
    return save(figure, folder, "budgets")


def _draw_hull(axes: Any, rows: Sequence[Row]) -> None:
    arms = [row["rule"] for row in rows if row["rule"].startswith("always ") and row["metric"] == "score"]
    cost, score = (np.array([_value(rows, arm, metric) for arm in arms]) for metric in ("cost_usd", "score"))
    hull = upper_hull(cost, score)
    grid = np.geomspace(cost[hull[0]], cost[hull[-1]], 300)
    line = np.interp(grid, cost[hull], score[hull])
    axes.plot(_PER_THOUSAND * grid, line, color="black", linewidth=1.2, linestyle="--", label="zero router")
    axes.plot(_PER_THOUSAND * cost, score, color="black", marker="D", markersize=4, linestyle="none")
    for arm, x, y in zip(arms, cost, score, strict=True):
        name = arm.removeprefix("always ").split("/")[-1]
        # Where no curve runs: the cheapest below its point, the others above theirs.
        place: dict[str, Any] = {"xytext": (4, -10)} if x == cost.min() else {"xytext": (-5, 6), "ha": "right"}
        axes.annotate(name, (_PER_THOUSAND * x, y), textcoords="offset points", fontsize=6.5, **place)


def _points(axes: Any, x: Sequence[float], found: Sequence[Row], style: Mapping[str, Any], label: str) -> None:
    value = [one["value"] for one in found]
    sides = [[one["value"] - one["low"] for one in found], [one["high"] - one["value"] for one in found]]
    axes.errorbar(
        x, value, yerr=sides, markersize=4.5, linestyle="none", linewidth=1.2, capsize=2, label=label, **style
    )


def _spend(rows: Sequence[Row], usd: float, found: Mapping[str, Row]) -> list[str]:
    return [
        _called(rows, usd),
        f"{_PER_THOUSAND * usd:.3g}",
        f"{found['spent']['value']:.3f}",
        f"{found['most_spent']['value']:.3f}",
        f"{found['score']['value']:.4f}",
    ]


def _inside(found: Mapping[str, Row]) -> str:
    """The router inside with its settings, and the step of the price, as they were chosen."""
    chosen = found["score"]["settings"]
    settings = [f"{name} {value:g}" for name, value in chosen.get("settings", {}).items()]
    return ", ".join([f"`{chosen['router']}`", *settings, f"step {chosen['step']:g}"])


def _called(rows: Sequence[Row], usd: float) -> str:
    multiple = next(row["multiple"] for row in rows if row["budget_usd"] == usd)
    return "dearest" if multiple is None else f"{multiple:g} x"


def _budgets(rows: Sequence[Row]) -> list[float]:
    return list(dict.fromkeys(row["budget_usd"] for row in rows if row["budget_usd"] is not None))


def _of(rows: Sequence[Row], usd: float, rule: str) -> dict[str, Row]:
    return {row["metric"]: row for row in rows if row["budget_usd"] == usd and row["rule"] == rule}


def _value(rows: Sequence[Row], rule: str, metric: str) -> float:
    return float(next(row["value"] for row in rows if (row["rule"], row["metric"]) == (rule, metric)))


def _has(rows: Sequence[Row], rule: str) -> bool:
    return any(row["rule"] == rule for row in rows)


def _signs(found: Sequence[Mapping[str, Row]], metric: str) -> tuple[int, int]:
    """At how many budgets the whole interval lies below 0, and at how many above."""
    return sum(one[metric]["high"] < 0 for one in found), sum(one[metric]["low"] > 0 for one in found)


def _signed(row: Row) -> str:
    text = f"{row['value']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
    return f"**{text}**" if row["low"] > 0 or row["high"] < 0 else text


def _met(true: bool) -> str:
    return "met" if true else "**not met**"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
