"""The picture of a scenario: what the world does over one pass, whoever routes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from env.contexts import Bools
from env.routing_table import RoutingTable
from env.scenarios import ScenarioLike
from env.stream import QueryStream
from env.trace import Trace
from env.trace_table import TableSettings, table_of
from experiments.plot.style import COLOURS, empty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PER_THOUSAND = 1000
_WINDOWS = 25
"""Means are over a 25th of the pass: short enough to see an event, long enough for a mean of 0s and 1s."""
_FEW = 8
"""A window of which an eighth or less was recorded has no mean."""


def scenario(
    what: ScenarioLike,
    trace: str | Path | Trace | RoutingTable = "bundled",
    *,
    seed: int = 0,
    **settings: Unpack[TableSettings],
) -> Figure:
    """True quality, quality as told, cost and availability of each arm over the first pass of a stream.

    With the arguments of an environment this is the world that the environment serves with that seed (in its default
    order). Lines are means over the queries up to each; dotted lines are where something begins or ends.

    Args:
        what: a scenario, see ``env.scenarios``.
        trace: whose queries; as for the environments.
        seed: as given to ``reset``.
        **settings: as for the environments.

    Raises:
        BadInput: the scenario does not fit the trace.
        MissingExtra: matplotlib is not installed.
    """
    table = table_of(trace, settings)
    stream = QueryStream(table, scenario=what)
    stream.rewind(seeding.np_random(seed)[0])
    now = stream.take(len(table))
    costs = bool(np.isfinite(now.cost_usd).any())
    figure = empty_figure(8.0, 6.4 if costs else 5.0)
    heights = [3, 3, 3, 0.35 * table.n_arms + 0.4] if costs else [3, 3, 0.35 * table.n_arms + 0.4]
    axes = figure.subplots(len(heights), sharex=True, height_ratios=heights)
    told = np.where(now.delay[:, None] > 0, np.nan, now.told)
    _lines(axes[0], now.steps, now.score, table.arms, now.mask)
    axes[0].set_ylabel("true score")
    _lines(axes[1], now.steps, _arriving(told, now.told, now.delay), table.arms)
    axes[1].set_ylabel("score as told")
    if costs:
        _lines(axes[2], now.steps, now.cost_usd * _PER_THOUSAND, table.arms, now.mask)
        axes[2].set_ylabel("US dollars\nper 1,000")
        # A tenth of a price and the price itself are both to be read.
        axes[2].set_yscale("symlog", linthresh=_smallest(now.cost_usd) * _PER_THOUSAND)
        axes[2].yaxis.set_major_formatter(lambda usd, _: np.format_float_positional(usd, precision=12, trim="-"))
    _availability(axes[-1], now.mask, table.arms)
    for panel in axes:
        for step in stream.scenario.times:
            panel.axvline(step, color="0.3", linestyle=":", linewidth=0.9, zorder=0)
    axes[-1].set_xlabel(f"query of the stream (means over the last {_width(len(table))} queries)")
    axes[0].set_title(f"{stream.scenario.scenario.name} on {table.name}", fontsize=11)
    axes[0].legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False)
    return figure


def _width(n: int) -> int:
    return max(1, n // _WINDOWS)


def _lines(
    axes: Any, steps: NDArray[Any], values: NDArray[Any], arms: tuple[str, ...], shown: Bools | None = None
) -> None:
    for arm, name in enumerate(arms):
        style = ("-", "--", "-.")[arm // len(COLOURS) % 3]
        mean = _moving_mean(values[:, arm])
        if shown is not None:
            mean[~shown[:, arm]] = np.nan
        axes.plot(steps, mean, style, color=COLOURS[arm % len(COLOURS)], linewidth=1.4, label=name.rpartition("/")[2])
    axes.grid(alpha=0.25, linewidth=0.5)


def _moving_mean(values: NDArray[Any]) -> NDArray[np.float64]:
    """Means of the recorded values of a window up to each; NaN where it holds too few for a mean."""
    window, n = np.ones(_width(len(values))), len(values)
    seen = np.isfinite(values)
    sums = np.convolve(np.where(seen, values, 0), window)[:n]
    counts = np.convolve(seen, window)[:n]
    few = len(window) / _FEW
    means: NDArray[np.float64] = np.full(len(values), np.nan)
    np.divide(sums, counts, out=means, where=counts > few)
    return means


def _arriving(at_once: NDArray[Any], told: NDArray[Any], delay: NDArray[Any]) -> NDArray[Any]:
    """Judgements at the step at which they are told; of two at one step the later answer's."""
    arrived = at_once.copy()
    late = np.flatnonzero(delay > 0)
    due = late + delay[late]
    inside = due < len(delay)
    arrived[due[inside]] = told[late[inside]]
    return arrived


def _availability(axes: Any, mask: NDArray[np.bool_], arms: tuple[str, ...]) -> None:
    for arm, _ in enumerate(arms):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask[:, arm], [False]])))
        spans = [(first, last - first) for first, last in edges.reshape(-1, 2).tolist()]
        axes.broken_barh(spans, (arm - 0.35, 0.7), color=COLOURS[arm % len(COLOURS)])
    axes.set_yticks(range(len(arms)), [name.rpartition("/")[2] for name in arms], fontsize=7)
    axes.set_ylabel("may be\nchosen")
    axes.invert_yaxis()


def _smallest(costs: NDArray[Any]) -> float:
    priced = costs[np.isfinite(costs) & (costs > 0)]
    return float(priced.min()) if len(priced) else 1.0
