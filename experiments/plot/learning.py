"""The picture of routers that learn as they go: what they lost so far, and how good they are by now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from env.contexts import Ints
from experiments.bootstrap import Array
from experiments.plot.style import COLOURS, empty_figure, plain
from experiments.prequential import Prequential, band

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DASHES = ("-", "--", "-.")
_POINTS = 120  # of a curve: more cannot be told apart
_BLOCKS = 15


def learning(found: Prequential) -> Figure:
    """Cumulative regret against the best single model in hindsight, and the mean reward of the latest requests.

    Lines are means over streams, bands 95 % intervals by bootstrap over streams; where there is one stream there are
    no bands. Dotted vertical lines are where the world changes.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure = empty_figure(9.5, 4.2)
    regret, reward = figure.subplots(1, 2)
    n = found.best_arm.shape[1]
    at = np.unique(np.linspace(0, n - 1, min(n, _POINTS)).astype(np.int64))
    block = max(1, n // _BLOCKS)
    ends = np.arange(block, n + 1, block)
    for number, course in enumerate(found.courses):
        turn, colour = divmod(number, len(COLOURS))
        style = {"color": COLOURS[colour], "linestyle": _DASHES[turn % len(_DASHES)], "linewidth": 1.4}
        _draw(regret, at + 1, found.regret(course.reward)[:, at], style, plain(course.router))
        _draw(reward, ends, _blocks(course.reward, block), style, None)
    grey = {"color": "0.5", "linestyle": ":", "linewidth": 1.4}
    _draw(regret, at + 1, found.regret(found.chance)[:, at], grey, "choosing at random")
    _draw(reward, ends, _blocks(found.chance, block), grey, None)
    black = {"color": "black", "linestyle": (0, (4, 2)), "linewidth": 1.4}
    regret.axhline(0, **black, label="best single model in hindsight")
    reward.plot(ends, _blocks(found.best_arm, block).mean(axis=0), **black)
    for axes in (regret, reward):
        for change in found.changes:
            axes.axvline(change, color="0.3", linestyle=":", linewidth=0.9, zorder=0)
        axes.set_xlabel("requests of the stream", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.set_xlim(0, n)
    regret.set_ylabel("cumulative regret (score points)", fontsize=9)
    reward.set_ylabel(f"reward, mean of {block} requests (score points)", fontsize=9)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    streams = "1 stream" if len(found.seeds) == 1 else f"{len(found.seeds)} streams"
    figure.suptitle(plain(f"{found.trace}, {found.scenario}: {streams} of {n} training queries"), fontsize=11)
    return figure


def _draw(axes: Any, x: Ints, values: Array, style: dict[str, Any], label: str | None) -> None:
    mean, low, high = band(values)
    if len(values) > 1:
        axes.fill_between(x, low, high, color=style["color"], alpha=0.12, lw=0)
    axes.plot(x, mean, **style, label=label)


def _blocks(values: Array, block: int) -> Array:
    """``(S, T // block)`` means of each block of rounds."""
    n = values.shape[1] // block
    means: Array = values[:, : n * block].reshape(len(values), n, block).mean(axis=2)
    return means
