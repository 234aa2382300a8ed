"""The picture of a comparison: what a request costs against how good the answers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.baselines import ORACLE, fixed_name
from experiments.bootstrap import Array
from experiments.compare import PLACEBO, ZERO, Entry, Report
from experiments.plot.style import COLOURS, empty_figure, plain
from experiments.report import title
from experiments.report.selection import shown
from experiments.train import Feedback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_ZERO_STYLE = {
    "color": "black",
    "linewidth": 1.4,
    "linestyle": (0, (4, 2)),
    "zorder": 5,
    "label": "zero (blind mixing)",
}
_PER_THOUSAND = 1000
_LABEL_SPOTS = ((5, -9, "left"), (5, 4, "left"), (-5, 4, "right"), (-5, -9, "right"))  # offsets in points


def frontier(report: Report) -> Figure:
    """Cost (US dollars per 1,000 requests, logarithmic) against mean score of everything in a report.

    Fixed arms are points, labelled as far as names fit without covering each other (the better arm's first); the
    zero router is a dashed black line, routers are curves through their dials, the oracle is a dotted grey line,
    routers that are told nothing are crosses. A few routers are in colour, with the 95 % interval of the score as a
    band: the best, those that were asked for and the best simple rules; the others are grey.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure = empty_figure(9.5, 5.4)
    axes = figure.add_subplot()
    with_cost = any(np.isfinite(entry.cost).all() and entry.cost.max() > 0 for entry in report.entries)
    if with_cost:
        _draw_curves(axes, report)
    else:
        _draw_scores(axes, report)
    axes.set_title(plain(title(report)), fontsize=11)
    if with_cost:
        _label_arms(figure, axes, report)
    return figure


def _draw_curves(axes: Any, report: Report) -> None:
    arms = _arms(report)
    if min(entry.cost[0] for entry in arms) > 0:
        axes.set_xscale("log")
    else:  # a free model has no place on a logarithmic axis
        priced = [entry.cost[0] for entry in arms if entry.cost[0] > 0]
        axes.set_xscale("symlog", linthresh=min(priced) * _PER_THOUSAND)
    for entry in arms:
        axes.plot(*_place(entry), marker="o", color="0.35", markersize=5.5, linestyle="none", zorder=6)
    zero, oracle = report.entry(ZERO), report.entry(ORACLE)
    if oracle is not None:
        axes.plot(*_smooth(oracle.cost, oracle.score), ":", color="0.55", linewidth=1.4, label="oracle (ceiling)")
    if zero is not None:
        axes.plot(*_smooth(zero.cost, zero.score), **_ZERO_STYLE)
    named = shown(report)
    coloured = sorted((entry for entry in report.entries if entry.router in named), key=lambda e: named.index(e.router))
    for number, entry in enumerate(coloured):
        colour, marker = COLOURS[number % len(COLOURS)], _MARKERS[number % len(_MARKERS)]
        cost, low = _smooth(entry.cost, entry.band[0])
        axes.fill_between(cost, low, _smooth(entry.cost, entry.band[1])[1], color=colour, alpha=0.12, lw=0)
        axes.plot(*_smooth(entry.cost, entry.score), color=colour, linewidth=1.4, zorder=4)
        points = {"marker": marker, "markersize": 3.5, "linestyle": "none", "color": colour}
        axes.plot(entry.cost * _PER_THOUSAND, entry.score, **points, zorder=5)
        axes.plot([], [], **{**points, "linestyle": "-", "linewidth": 1.4}, label=entry.router)
    learned = [entry for entry in report.entries if entry.feedback not in (None, Feedback.NONE)]
    others = [entry for entry in learned if entry.router not in (ZERO, PLACEBO, *named)]
    for number, entry in enumerate(others):
        label = "" if number else "other routers"
        axes.plot(*_smooth(entry.cost, entry.score), color="0.7", linewidth=0.9, zorder=2, label=label)
    for entry in report.entries:
        if entry.feedback is Feedback.NONE:
            cost, score = entry.cost.mean() * _PER_THOUSAND, entry.score.mean()
            axes.plot([cost], [score], "x", color="black", markersize=7, label=entry.router, zorder=5)
    left, right = axes.get_xlim()
    axes.set_xlim(left, right * 1.6)  # room for the label of the dearest arm
    axes.xaxis.set_major_formatter(lambda dollars, _: np.format_float_positional(dollars, precision=12, trim="-"))
    scale = "log scale" if axes.get_xscale() == "log" else "log scale above the cheapest model that is not free"
    axes.set_xlabel(f"mean cost (US dollars per 1,000 requests, {scale})")
    axes.set_ylabel("mean score on test queries (0 to 1)")
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False)


def _arms(report: Report) -> list[Entry]:
    return [entry for entry in report.entries if entry.router.startswith(fixed_name(""))]


def _place(entry: Entry) -> tuple[float, float]:
    return float(entry.cost[0]) * _PER_THOUSAND, float(entry.score[0])


def _label_arms(figure: Figure, axes: Any, report: Report) -> None:
    """Write each arm's name at the first free spot beside its point; one that finds none stays a point."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2, foreground="white", alpha=0.8)]  # names stay readable across curves
    figure.draw_without_rendering()  # the layout must stand before texts can be measured
    frame = axes.get_window_extent()
    placed: list[Any] = []
    for entry in sorted(_arms(report), key=lambda entry: -entry.score[0]):
        name = plain(entry.router.removeprefix(fixed_name("")).rpartition("/")[2])
        for right, up, side in _LABEL_SPOTS:
            label = axes.annotate(
                name, _place(entry), xytext=(right, up), textcoords="offset points", ha=side, fontsize=6.5, color="0.2",
                zorder=7, path_effects=halo,
            )  # fmt: skip
            box = label.get_window_extent()
            inside = frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)
            if inside and not box.count_overlaps(placed):
                placed.append(box)
                break
            label.remove()


def _smooth(cost: Array, height: Array) -> tuple[Array, Array]:
    """A curve in dollars per 1,000, with points added between the dials.

    Between two dials one can mix, and a mixture is a straight line in dollars, so a bent one on this axis. It is
    also what AIQ measures.
    """
    order = np.argsort(cost, kind="stable")
    cost, height = cost[order], height[order]
    if cost[-1] <= 0:
        return cost * _PER_THOUSAND, height
    between = np.geomspace(max(cost[0], cost[-1] / 1000), cost[-1], 80)
    at = np.union1d(between, cost)
    return at * _PER_THOUSAND, np.interp(at, cost, height)


def _draw_scores(axes: Any, report: Report) -> None:
    """Without costs there is no frontier: the scores at dial 1 with their intervals."""
    entries = sorted(report.entries, key=lambda entry: entry.score[-1])
    heights = np.arange(len(entries))
    score = np.array([entry.score[-1] for entry in entries])
    low, high = (np.array([entry.band[side, -1] for entry in entries]) for side in (0, 1))
    axes.errorbar(score, heights, xerr=[score - low, high - score], fmt="o", color=COLOURS[0], markersize=4, capsize=2)
    axes.set_yticks(heights, [plain(entry.router) for entry in entries], fontsize=7)
    axes.set_xlabel("mean score on test queries (0 to 1), 95 % interval; the trace has no costs")
    axes.grid(alpha=0.25, linewidth=0.5)
