"""Queries per CPU-second of the environments, against reading the same rows and against a loop of single ones.

The floor of a width is ``np.take`` of as many observations: nobody can show a query without it. Stable-Baselines3's
``DummyVecEnv`` over ``pointsman/Routing-v0`` is what one gets without a native vector environment. Windows with a
budget or with queues have no native one: their rows say what a step of a single environment takes. All is measured in
turn, in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from env.budget_env import RoutingBudgetEnv
from env.contexts import Contexts, Outcomes
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
from env.stream_env import StreamEnv
from env.traffic_env import RoutingTrafficEnv
from env.vector_env import RoutingVectorEnv
from experiments.benchmarks.clock import cpu_seconds

# 384 numbers are what a MiniLM embedding has; the default featuriser has 270.
_ARMS, _FEATURES, _QUERIES = 4, 384, 20_000
_WIDTHS = (16, 256, 1024)
_DUMMIES = 16
_WINDOW = 256
# Long enough that the passes of the stream, which are made one at a time, are in it.
_QUERIES_A_ROUND = 40_960
_CAPTION = """\
at once: how many queries one step answers
per CPU-second: queries answered, resets included, with arms drawn beforehand (no agent)
x floor: how many times as long as only copying the observations of these queries (np.take, as many at once): 1 is best
x loop: how many times as fast as Stable-Baselines3's DummyVecEnv over RoutingEnv: above 1 is faster"""


def measure() -> list[dict[str, Any]]:
    """Queries answered per CPU-second, and what they cost beside the floor and beside ``DummyVecEnv``.

    Returns:
        Rows ``environment, side_by_side, queries_per_cpu_s, times_floor`` (time over that of ``np.take`` at the same
        width) and ``times_loop`` (speed over that of ``DummyVecEnv``; None without the ``train`` extra).
    """
    rng = np.random.default_rng(0)
    features = rng.uniform(-1, 1, size=(_QUERIES, _FEATURES)).astype(np.float32)
    outcomes = Outcomes.of(*rng.random((3, _QUERIES, _ARMS)))
    table = RoutingTable.of(Contexts.of(features, _ARMS), outcomes)
    # A budget for all of it, so that a window is as long as it says and no step goes to a query that cannot be paid.
    budget = RoutingBudgetEnv(table, budget_usd=float(_WINDOW), window=_WINDOW)
    traffic = RoutingTrafficEnv(table, window=_WINDOW)
    floors = {width: cpu_seconds(_take(features, width, rng)) / _rounded(width) for width in (1, *_WIDTHS)}
    acts: list[tuple[str, int, Callable[[], None]]] = [("RoutingEnv", 1, _single(RoutingEnv(table), rng))]
    acts += [("RoutingBudgetEnv", 1, _single(budget, rng)), ("RoutingTrafficEnv", 1, _single(traffic, rng))]
    acts += [("RoutingVectorEnv", width, _vector(table, width, rng)) for width in _WIDTHS]
    acts += _with_sb3(table, rng)
    found = [(name, width, cpu_seconds(act) / _rounded(width)) for name, width, act in acts]
    dummy = next((taken for name, _, taken in found if name.startswith("DummyVecEnv")), None)
    return [
        {
            "environment": name,
            "side_by_side": width,
            "queries_per_cpu_s": 1 / taken,
            "times_floor": taken / floors[width],
            "times_loop": None if dummy is None else dummy / taken,
            "useful_steps": 1.0,
        }
        for name, width, taken in found
    ]


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table."""
    shown = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        title=f"{_ARMS} arms, {_FEATURES} features, {_QUERIES:,} queries",
        caption=_CAPTION,
        caption_justify="left",
    )
    shown.add_column("environment", no_wrap=True)
    shown.add_column("at once", justify="right")
    shown.add_column("per CPU-second", justify="right")
    shown.add_column("x floor", justify="right")
    shown.add_column("x loop", justify="right")
    for row in rows:
        times = "" if row["times_loop"] is None else f"{row['times_loop']:.1f}"
        speed = f"{row['queries_per_cpu_s']:,.0f}"
        shown.add_row(row["environment"], f"{row['side_by_side']:,}", speed, f"{row['times_floor']:.1f}", times)
    return shown


def _steps(width: int) -> int:
    return max(1, _QUERIES_A_ROUND // width)


def _rounded(width: int) -> int:
    return _steps(width) * width


def _take(features: Any, width: int, rng: np.random.Generator) -> Callable[[], None]:
    rows = rng.integers(_QUERIES, size=(_steps(width), width))

    def act() -> None:
        for some in rows:
            features.take(some, axis=0)

    return act


def _single(env: StreamEnv, rng: np.random.Generator) -> Callable[[], None]:
    env.reset(seed=0)
    arms = rng.integers(_ARMS, size=_steps(1)).tolist()

    def act() -> None:
        for arm in arms:
            if env.step(arm)[2]:
                env.reset()

    return act


def _vector(table: RoutingTable, width: int, rng: np.random.Generator) -> Callable[[], None]:
    envs = RoutingVectorEnv(width, table)
    envs.reset(seed=0)
    arms = rng.integers(_ARMS, size=(_steps(width), width))

    def act() -> None:
        for chosen in arms:
            envs.step(chosen)

    return act


def _with_sb3(table: RoutingTable, rng: np.random.Generator) -> list[tuple[str, int, Callable[[], None]]]:
    try:
        from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

        from env.sb3_vec_env import RoutingSB3VecEnv
    except ImportError:
        return []

    def act_on(envs: VecEnv, width: int) -> Callable[[], None]:
        envs.seed(0)
        envs.reset()
        arms = rng.integers(_ARMS, size=(_steps(width), width))

        def act() -> None:
            for chosen in arms:
                envs.step(chosen)

        return act

    loop = DummyVecEnv([lambda: RoutingEnv(table)] * _DUMMIES)
    native = [("RoutingSB3VecEnv", width, act_on(RoutingSB3VecEnv(width, table), width)) for width in _WIDTHS]
    return [*native, ("DummyVecEnv (the loop)", _DUMMIES, act_on(loop, _DUMMIES))]
