"""How long a decision takes, alone and in a batch, against one matrix product and an argmax in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

import routers
from env.contexts import Contexts, Outcomes
from env.errors import MissingExtra
from experiments.benchmarks.clock import seconds
from routers.base import Router

# The size of the problem in a deployment: default features, a handful of models, a few thousand recorded queries.
_ARMS, _FEATURES, _TRAINING, _BATCH = 4, 270, 2_000, 1_000
_TRAINED_SLOWLY = ("a2c", "dqn", "ppo")  # they decide as fast untrained


def measure(names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Microseconds a decision for every router, and ratios to the floor.

    Args:
        names: routers; all when not given.

    Returns:
        Rows ``router, can, one_us, one_ratio, batch_us, batch_ratio``; the floor first.
    """
    rng = np.random.default_rng(0)
    features = rng.normal(size=(_TRAINING, _FEATURES)).astype(np.float32)
    table = Contexts.of(features, _ARMS, cost_weight=1.0)
    outcomes = Outcomes.of(
        rng.random((_TRAINING, _ARMS)), rng.random((_TRAINING, _ARMS)), rng.random((_TRAINING, _ARMS))
    )
    one, batch = table.take(slice(0, 1)), table.take(slice(0, _BATCH))
    weights = rng.normal(size=(_FEATURES, _ARMS)).astype(np.float32)
    floor_one = seconds(lambda: np.argmax(one.features @ weights, axis=1))
    floor_batch = seconds(lambda: np.argmax(batch.features @ weights, axis=1))
    rows: list[dict[str, Any]] = [
        _row("floor: one product, argmax", "-", floor_one, floor_batch, floor_one, floor_batch)
    ]
    for name in names or routers.names():
        try:
            router = routers.make(name, _ARMS, _FEATURES)
        except MissingExtra as error:
            rows.append({"router": name, "can": str(error), "one_us": None, "one_ratio": None,
                         "batch_us": None, "batch_ratio": None})  # fmt: skip
            continue
        if router.capabilities.offline and name not in _TRAINED_SLOWLY:
            router.fit(table, outcomes)
        acts = [seconds(_deciding(router, contexts)) for contexts in (one, batch)]
        rows.append(_row(name, _abilities(router), acts[0], acts[1], floor_one, floor_batch))
    return rows


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table."""
    shown = Table(
        title=f"{_ARMS} arms, {_FEATURES} features, {_TRAINING} training rows; medians, microseconds a decision",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    shown.add_column("router", no_wrap=True)
    shown.add_column("can", no_wrap=True)
    for head in ("alone", "x floor", f"batch of {_BATCH}", "x floor"):
        shown.add_column(head, justify="right")
    for row in rows:
        numbers = (row[key] for key in ("one_us", "one_ratio", "batch_us", "batch_ratio"))
        shown.add_row(row["router"], row["can"], *("-" if number is None else f"{number:.3g}" for number in numbers))
    return shown


def _deciding(router: Router, contexts: Contexts) -> Any:
    rng = np.random.default_rng(0)
    return lambda: router.act(contexts, rng, explore=False)


def _abilities(router: Router) -> str:
    able = router.capabilities
    words = {"offline": able.offline, "online": able.online, "new arms": able.adds_arms, "queues": able.uses_load}
    return ", ".join(word for word, can in words.items() if can) or "-"


def _row(name: str, can: str, one: float, batch: float, floor_one: float, floor_batch: float) -> dict[str, Any]:
    return {
        "router": name,
        "can": can,
        "one_us": one * 1e6,
        "one_ratio": one / floor_one,
        "batch_us": batch / _BATCH * 1e6,
        "batch_ratio": batch / floor_batch,
    }
