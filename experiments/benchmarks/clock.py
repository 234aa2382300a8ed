"""Timing: repeated rounds, so that one hiccup of the machine does not count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from importlib.util import find_spec

_ROUNDS = 7
_ROUND_S = 0.05


def seconds(act: Callable[[], object]) -> float:
    """Median time of one call.

    Args:
        act: what is measured; called until a round takes long enough for the clock.

    Example:
        >>> 0 < seconds(lambda: sum(range(100))) < 1
        True
    """
    started = time.perf_counter()
    act()
    once = time.perf_counter() - started
    times = max(1, round(_ROUND_S / max(once, 1e-7)))
    rounds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for _ in range(times):
            act()
        rounds.append((time.perf_counter() - started) / times)
    return statistics.median(rounds)


def cpu_seconds(act: Callable[[], object]) -> float:
    """Least CPU time of one call, of several: what it takes when the machine's other work is out of the way.

    Args:
        act: what is measured; long enough for the clock, milliseconds at least.

    Example:
        >>> 0 < cpu_seconds(lambda: sum(range(100_000))) < 1
        True
    """
    act()
    rounds = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        act()
        rounds.append(time.process_time() - started)
    return min(rounds)


def one_thread() -> AbstractContextManager[object]:
    """Linear algebra on one thread while this is entered, where it can be told so (`threadpoolctl`)."""
    if find_spec("threadpoolctl") is None:
        return nullcontext()
    limits: AbstractContextManager[object] = import_module("threadpoolctl").threadpool_limits(1)
    return limits
