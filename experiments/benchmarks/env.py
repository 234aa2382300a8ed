"""Steps per second of ``pointsman/Routing-v0``, against looking a reward up in a NumPy array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from env.contexts import Contexts, Outcomes
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
from env.vector_env import RoutingVectorEnv
from experiments.benchmarks.clock import seconds

_ARMS, _FEATURES, _QUERIES = 4, 270, 2_000
_STEPS = 200
_SIDE_BY_SIDE = (16, 256)


def measure() -> list[dict[str, Any]]:
    """Queries answered per second, and ratios to the floor of the same width.

    Returns:
        Rows ``environment, queries_per_s, ratio``.
    """
    rng = np.random.default_rng(0)
    features = rng.uniform(-1, 1, size=(_QUERIES, _FEATURES)).astype(np.float32)
    rewards = rng.random((_QUERIES, _ARMS)).astype(np.float32)
    table = RoutingTable.of(Contexts.of(features, _ARMS), Outcomes.of(rewards))
    found = []
    for width in (1, *_SIDE_BY_SIDE):
        rows = rng.integers(_QUERIES, size=(_STEPS, width))
        arms = rng.integers(_ARMS, size=(_STEPS, width))

        def look_up(rows: Any = rows, arms: Any = arms) -> None:
            for row, arm in zip(rows, arms, strict=True):
                _ = features[row], rewards[row, arm]

        floor = seconds(look_up)
        act = _single(table, arms[:, 0]) if width == 1 else _vector(table, arms)
        taken = seconds(act)
        name = "RoutingEnv" if width == 1 else f"RoutingVectorEnv x {width}"
        found.append({"environment": name, "queries_per_s": _STEPS * width / taken, "ratio": taken / floor})
    return found


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, caption="x floor: time over that of two array look-ups a step")
    shown.add_column("environment", no_wrap=True)
    shown.add_column("queries/s", justify="right")
    shown.add_column("x floor", justify="right")
    for row in rows:
        shown.add_row(row["environment"], f"{row['queries_per_s']:,.0f}", f"{row['ratio']:.1f}")
    return shown


def _single(table: RoutingTable, arms: Any) -> Any:
    env = RoutingEnv(table)
    env.reset(seed=0)

    def act() -> None:
        for arm in arms:
            env.reset()
            env.step(int(arm))

    return act


def _vector(table: RoutingTable, arms: Any) -> Any:
    envs = RoutingVectorEnv(arms.shape[1], table)
    envs.reset(seed=0)

    def act() -> None:
        for chosen in arms:
            envs.step(chosen)

    return act
