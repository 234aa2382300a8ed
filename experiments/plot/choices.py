"""The picture of what routers choose: the share of each model at every dial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from experiments.baselines import ORACLE, fixed_name
from experiments.compare import Report
from experiments.evaluate import DIALS
from experiments.plot.style import COLOURS, empty_figure, plain
from experiments.report import title
from experiments.report.selection import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3
_OTHERS = "0.75"


def choices(report: Report) -> Figure:
    """Shares of requests by dial, a panel for each router that is shown in colour and for the oracle.

    Models are stacked from the cheapest up, or from the weakest where costs are not known. Where there are more than
    colours, the least chosen are grey together.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    assert report.slices is not None  # a comparison makes them
    names = [*shown(report), ORACLE]
    shares = np.stack([report.slices.choices[name] for name in names])  # (R, D, K)
    order = by_cost(report)
    used = np.argsort(-shares.sum(axis=(0, 1)), kind="stable")[: len(COLOURS)]
    rows = -(-len(names) // _COLUMNS)
    figure = empty_figure(9.5, 0.7 + 2.1 * rows)
    panels = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, name, share in zip(panels, names, shares, strict=False):
        floor = np.zeros(len(DIALS))
        for number, arm in enumerate(arm for arm in order if arm in used):
            axes.bar(DIALS, share[:, arm], 0.05, floor, color=COLOURS[number], edgecolor="white", linewidth=0.3)
            floor += share[:, arm]
        axes.bar(DIALS, 1 - floor, 0.05, floor, color=_OTHERS)
        axes.set_title(plain(name), fontsize=9)
        axes.set_ylim(0, 1)
        axes.set_xlim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.tick_params(labelsize=7)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(names) - _COLUMNS) : len(names)]:
        axes.set_xlabel("dial (0: cheapest, 1: best)", fontsize=8)
        axes.tick_params(labelbottom=True)
    from matplotlib.patches import Patch

    listed = [arm for arm in order if arm in used]
    handles = [Patch(color=COLOURS[number]) for number in range(len(listed))]
    labels = [plain(report.slices.arms[arm].rpartition("/")[2]) for arm in listed]
    if len(order) > len(listed):
        handles, labels = [*handles, Patch(color=_OTHERS)], [*labels, f"{len(order) - len(listed)} other models"]
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.supylabel("share of test requests", fontsize=9)
    figure.suptitle(plain(title(report)), fontsize=11)
    return figure


def by_cost(report: Report) -> list[int]:
    """Arms from the cheapest to the dearest; from the weakest to the best where costs are not known."""
    assert report.slices is not None
    entries = [report.entry(fixed_name(arm)) for arm in report.slices.arms]
    found = [(float(entry.cost[0]), float(entry.score[0])) for entry in entries if entry is not None]
    known = all(np.isfinite(cost) for cost, _ in found)
    return sorted(range(len(found)), key=lambda arm: found[arm] if known else found[arm][1:])
