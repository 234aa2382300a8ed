"""Does anything that an agent is given tell what other arms would have brought? Found by playing each arm in turn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.checkers.rules import OUTCOMES, leaves, require

Channels: TypeAlias = dict[str, list[float]]

_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
# Part of every answer by right, or the same whatever the arms bring.
_OWN = {*OUTCOMES, "propensity", "refused", "step", "query_id", "task", "cost_weight", "imputed"}
_FEW = 12
"""Fewer queries on which arms differ prove nothing."""
_ALWAYS = 0.9
"""A number that agrees with an outcome so often is one."""


@dataclass(slots=True)
class Replay:
    """A stream answered by one arm all along.

    Attributes:
        told: per query the outcome by its name; NaN where it was not told.
        channels: per query every other number that the agent was given, by where it stood.
    """

    told: list[dict[str, float]]
    channels: list[dict[str, float]]


def check_replays(replays: Sequence[Replay]) -> None:
    """Compare what was given under each arm with what the others brought on the same queries.

    Args:
        replays: one for each arm, of the same queries.

    Raises:
        AssertionError: a number that agrees with another arm's outcome, with the best one, or names the best arm.
    """
    told = {key: np.array([[query[key] for query in replay.told] for replay in replays]) for key in OUTCOMES}
    for arm, replay in enumerate(replays):
        for name, values in _columns(replay.channels).items():
            for key, outcomes in told.items():
                for what, secret in _secrets(outcomes, arm):
                    if _agrees(values, secret, outcomes[arm]):
                        require(False, f"{name} tells the {key} of {what}, with arm {arm} chosen")


def channels(observation: NDArray[Any], *infos: Mapping[str, Any]) -> dict[str, float]:
    """Every number that is given with one query, but the outcome itself, by where it stands."""
    found = {f"observation[{index}]": float(value) for index, value in enumerate(observation.ravel().tolist())}
    for place, info in zip(("reset", "step"), infos, strict=False):
        for name, value in leaves(info):
            if name.partition(".")[0] not in _OWN:
                found |= {f"info[{name!r}] of {place}{part}": number for part, number in _numbers(value)}
    return found


def _numbers(value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, bool | int | float | np.number):
        yield "", float(value)
    elif isinstance(value, str):
        for index, number in enumerate(_NUMBER.findall(value)):
            yield f", number {index}", float(number)


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, NDArray[np.float64]]:
    names = {name for row in rows for name in row}
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in sorted(names)}


def _secrets(outcomes: NDArray[np.float64], arm: int) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """What must not be known of the ``(K, n)`` outcomes by who chose ``arm``."""
    for other, values in enumerate(outcomes):
        if other != arm:
            yield f"arm {other}", values
    known = np.isfinite(outcomes)
    some = known.any(axis=0)
    best = np.where(some, np.where(known, outcomes, -np.inf).max(axis=0), np.nan)
    yield "the best arm", best
    yield "the best arm by its number", np.where(some, np.where(known, outcomes, -np.inf).argmax(axis=0), np.nan)


def _agrees(values: NDArray[np.float64], secret: NDArray[np.float64], own: NDArray[np.float64]) -> bool:
    # Where the own outcome says as much, nothing is given away.
    telling = np.isfinite(values) & np.isfinite(secret) & ~np.isclose(secret, own)
    if telling.sum() < _FEW or len(np.unique(np.round(secret[telling], 6))) < 2 or np.ptp(values[telling]) == 0:
        return False
    return bool(np.isclose(values[telling], secret[telling], rtol=1e-5, atol=1e-7).mean() >= _ALWAYS)


def replay(visit: Callable[[int, int], tuple[dict[str, float], dict[str, float]]], arm: int, steps: int) -> Replay:
    """Answer ``steps`` queries with one arm; ``visit(step, arm)`` answers one."""
    rows = [visit(step, arm) for step in range(steps)]
    return Replay([told for told, _ in rows], [given for _, given in rows])
