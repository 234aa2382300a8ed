"""Scoring many queries at once, against the matrix products that it cannot do without.

A linear bandit's expectations of ``n`` rows are one product, ``(n, d) (d, 3 K)``; its widths are one for each arm,
``(n, d) (d, d)``. Doing just those, in float32, is the floor, measured before every call of every pass.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

import routers
from env.contexts import Floats
from experiments.benchmarks.rounds import ARMS, Problem
from routers.base import Estimator

ROWS = 10_000
_TRAINING, _PASSES = 1_000, 7


def measure(sizes: Sequence[int] = (384, 64), n: int = ROWS, passes: int = _PASSES) -> list[dict[str, Any]]:
    """CPU milliseconds of ``predict`` and ``act`` on ``n`` rows, for each number of features.

    Returns:
        Rows ``features, router, call, ms, of_products``: medians over passes; ``of_products`` is the time over that
        of the bare products in the same pass.
    """
    return [
        row
        for n_features in sizes
        for name in ("linucb", "linear_thompson")
        for row in _calls(name, n_features, n, passes)
    ]


def _calls(name: str, n_features: int, n: int, passes: int) -> Iterator[dict[str, Any]]:
    problem = Problem.drawn(n_features, n)
    router = routers.make(name, ARMS, n_features)
    assert isinstance(router, Estimator)
    router.fit(problem.contexts.take(slice(0, _TRAINING)), problem.outcomes.take(slice(0, _TRAINING)))
    few, square = (np.ones((n_features, width), dtype=np.float32) for width in (3 * ARMS, n_features))
    means: tuple[Floats, ...] = (few,)
    rng = np.random.default_rng(0)
    for call, matrices, scored in (
        ("predict", means, partial(router.predict, problem.contexts)),
        ("act", (*means, *[square] * ARMS), partial(router.act, problem.contexts, rng)),
    ):
        floor = partial(_products, problem.contexts.features, matrices)
        pairs = [(_taken(floor), _taken(scored)) for _ in range(passes + 1)][1:]  # the first one warms up
        yield {
            "features": n_features,
            "router": name,
            "call": call,
            "ms": 1e3 * statistics.median(own for _, own in pairs),
            "of_products": statistics.median(own / least for least, own in pairs),
        }


def _products(features: Floats, matrices: Sequence[Floats]) -> None:
    for matrix in matrices:
        features @ matrix


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table."""
    shown = Table(
        title=f"scoring {ROWS:,} queries at once, {ARMS} arms; CPU time",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for head in ("features", "router", "call", "ms", "x bare products"):
        shown.add_column(head, justify="left" if head in ("router", "call") else "right")
    for row in rows:
        shown.add_row(str(row["features"]), row["router"], row["call"], f"{row['ms']:.3g}", f"{row['of_products']:.2f}")
    return shown


def _taken(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return max(time.process_time() - began, 1e-9)
