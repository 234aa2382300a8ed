"""Training, validation and test parts of a trace: by prompt, by whole tasks, or by time. Never by row."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from env.contexts import Ints, Objects
from env.errors import BadInput, nearest
from env.moments import moment_of

if TYPE_CHECKING:
    from env.trace import Trace

SplitBy: TypeAlias = Literal["prompt", "task", "time"]
Fractions: TypeAlias = tuple[float, float, float]

PARTS = ("train", "validation", "test")
PART_NAMES = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""What a ``split`` column may hold, and the part that is meant."""
_MENDS = {
    "prompt": "it needs more prompts",
    "given": "mark some in the column `split`, which no other part has too, or leave the column out",
    "task": "too many prompts stand in several tasks; split by prompt",
    "time": "it needs more prompts, of more than one moment; or split by prompt",
}
_FEWEST_TASKS = len(PARTS)
_NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Split:
    """Query indices of the three parts; no normalised prompt is in two of them."""

    train: Ints
    validation: Ints
    test: Ints


def split(trace: Trace, seed: int = 0, fractions: Fractions = (0.6, 0.2, 0.2), by: SplitBy = "prompt") -> Split:
    """Divide a trace; see :meth:`env.trace.Trace.split`.

    Example:
        >>> from env.trace_io import from_rows
        >>> rows = [{"query_id": str(n), "prompt": str(n), "model": "a", "timestamp": 9 - n} for n in range(10)]
        >>> split(from_rows(rows), by="time").test.tolist()
        [0, 1]
    """
    if by not in _WAYS:
        raise BadInput(f"a split is by prompt, task or time, not by {by!r}{nearest(str(by), get_args(SplitBy))}")
    if len(fractions) != len(PARTS) or not all(0 < share < math.inf for share in fractions):
        raise BadInput(f"fractions are three shares above 0, for training, validation and test, got {fractions}")
    train, validation, test = (share / sum(fractions) for share in fractions)
    parts = _in_one_part(_WAYS[by](trace, seed, (train, validation, test)), trace.groups)
    made = Split(*(np.flatnonzero(parts == part).astype(np.int64) for part in range(len(PARTS))))
    for name, index in (("training", made.train), ("validation", made.validation), ("test", made.test)):
        if not len(index):
            mend = _MENDS["given" if by == "prompt" and "split" in trace.query_columns else by]
            raise BadInput(f"trace {trace.name}: no {name} prompts after the split by {by}; {mend}")
    return made


def times(trace: Trace) -> NDArray[np.float64]:
    """``(n,)`` when each query came, as numbers that sort: those recorded, or seconds since 1970 for dates.

    A date without a time zone counts as UTC.

    Raises:
        BadInput: a query has no time, or times are of two kinds.
    """
    column = trace.query_columns.get("timestamp")
    if column is None:
        raise BadInput(f"trace {trace.name}: no column `timestamp`; record when each query came, or split by prompt")
    found = np.empty(len(trace), dtype=np.float64)
    first: type | None = None
    for row, value in enumerate(column):
        moment = moment_of(value)
        if moment is None:
            held = "no timestamp" if value is None else f"timestamp {value!r}, which is no ISO date and no number"
            raise BadInput(
                f"trace {trace.name}: query {trace.query_ids[row]} has {held}; fill it in, or leave the query out"
            )
        found[row], kind = moment
        first = first or kind
        if kind is not first:
            raise BadInput(
                f"trace {trace.name}: query {trace.query_ids[row]} has timestamp {value!r}, and query "
                f"{trace.query_ids[0]} {column[0]!r}; write all as dates, or all as numbers"
            )
    return found


def _in_one_part(parts: Ints, groups: Ints) -> Ints:
    """Parts in which no prompt is in two: one that was given to several stays in the last, test before validation."""
    parts = parts.copy()
    for later in (2, 1):
        parts[(parts < later) & np.isin(groups, groups[parts == later])] = _NOWHERE
    return parts


def _by_prompt(trace: Trace, seed: int, fractions: Fractions) -> Ints:
    groups, rng = trace.groups, np.random.default_rng(seed)
    given = trace.query_columns.get("split")
    if given is not None:
        return _given(trace, given, rng, fractions)
    order = rng.permutation(groups.max() + 1 if len(groups) else 0)
    edges = np.round(np.cumsum(fractions)[:2] * len(order)).astype(int)
    part_of = np.empty(len(order), dtype=np.int64)
    part_of[order] = np.searchsorted(edges, np.arange(len(order)), side="right")
    parts: Ints = part_of[groups]
    return parts


def _given(trace: Trace, given: Objects, rng: np.random.Generator, fractions: Fractions) -> Ints:
    parts = np.full(len(trace), _NOWHERE, dtype=np.int64)
    for row, name in enumerate(given):
        if name not in PART_NAMES:
            raise BadInput(
                f"trace {trace.name}: query {trace.query_ids[row]}: split is {name!r}; "
                "it must be train, validation or test"
            )
        parts[row] = PARTS.index(PART_NAMES[name])
    if not (parts == 1).any():
        groups = trace.groups
        free = np.unique(groups[parts == 0])
        share = fractions[1] / (fractions[0] + fractions[1])
        held = rng.permutation(free)[: round(share * len(free))]
        parts[(parts == 0) & np.isin(groups, held)] = 1
    return parts


def _by_task(trace: Trace, seed: int, fractions: Fractions) -> Ints:
    """Whole tasks, at least one to each part; ``fractions`` are of the tasks."""
    unnamed = [row for row, task in enumerate(trace.tasks) if task is None]
    if unnamed:
        raise BadInput(
            f"trace {trace.name}: query {trace.query_ids[unnamed[0]]} has no task, so whole tasks cannot be held out; "
            "name the tasks, or split by prompt"
        )
    tasks, code = np.unique(trace.tasks.astype(str), return_inverse=True)
    if len(tasks) < _FEWEST_TASKS:
        raise BadInput(
            f"trace {trace.name}: a split by task holds whole tasks out for validation and for test, and needs "
            f"{_FEWEST_TASKS} or more; it has {len(tasks)}; split by prompt"
        )
    test = int(np.clip(round(fractions[2] * len(tasks)), 1, len(tasks) - 2))
    validation = int(np.clip(round(fractions[1] * len(tasks)), 1, len(tasks) - test - 1))
    order = np.random.default_rng(seed).permutation(len(tasks))
    part_of = np.zeros(len(tasks), dtype=np.int64)
    part_of[order[:test]], part_of[order[test : test + validation]] = 2, 1
    parts: Ints = part_of[code]
    return parts


def _by_time(trace: Trace, seed: int, fractions: Fractions) -> Ints:
    """Oldest to training, newest to test; queries of one moment stay together. There is nothing for a seed to draw."""
    moments = times(trace)
    older = np.searchsorted(np.sort(moments), moments, side="left")
    edges = np.round(np.cumsum(fractions)[:2] * len(moments)).astype(int)
    return np.searchsorted(edges, older, side="right").astype(np.int64)


_WAYS: dict[str, Callable[[Trace, int, Fractions], Ints]] = {"prompt": _by_prompt, "task": _by_task, "time": _by_time}
