"""Where trials are computed: in this process, or as tasks of Ray. What is tried next is decided elsewhere."""

from __future__ import annotations

import importlib
import logging
import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from env.errors import BadInput, MissingExtra, nearest
from experiments.sweep.objective import Objective

ENGINES = ("local", "ray")


class Engine(Protocol):
    """Computes what settings come to on a fold."""

    lanes: int
    """How many trials are computed at once."""

    def load(self, objective: Objective) -> None:
        """Take up an objective; what was submitted before is done."""

    def submit(self, trial: int, settings: Mapping[str, Any], at: int) -> None:
        """Have a trial's settings computed on one fold."""

    def next(self) -> tuple[int, float | str]:
        """Wait for one of those submitted: its trial, and the value or what was wrong."""


class Local:
    """One after another, in this process."""

    lanes = 1

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Mapping[str, Any], int]] = deque()

    def load(self, objective: Objective) -> None:
        """Take up an objective."""
        self._objective = objective
        self._waiting.clear()

    def submit(self, trial: int, settings: Mapping[str, Any], at: int) -> None:
        """Keep it for :meth:`next`."""
        self._waiting.append((trial, settings, at))

    def next(self) -> tuple[int, float | str]:
        """Compute the oldest."""
        trial, settings, at = self._waiting.popleft()
        return trial, self._objective.attempt(settings, at)


class Ray:
    """As tasks of Ray: one task for a trial's settings on one fold, so that bad trials are given up between folds.

    With one lane the trials are those of :class:`Local`. With more, what is tried next depends on which of them was
    done first. Ray sends data and functions to its workers as pickles, between processes of the one who runs it;
    nothing of that is read from a file.

    Args:
        ray: the module, after ``ray.init``.
        lanes: trials at once.
    """

    def __init__(self, ray: Any, lanes: int) -> None:
        self.lanes = lanes
        self._ray = ray
        self._attempt = ray.remote(Objective.attempt)
        self._waiting: dict[Any, int] = {}

    def load(self, objective: Objective) -> None:
        """Send it to the workers once, with the features of the settings that are held still."""
        for at in range(len(objective.folds)):
            objective.ready(at, objective.recipe)
        self._objective = self._ray.put(objective)

    def submit(self, trial: int, settings: Mapping[str, Any], at: int) -> None:
        """Start a task."""
        self._waiting[self._attempt.remote(self._objective, dict(settings), at)] = trial

    def next(self) -> tuple[int, float | str]:
        """Wait for the first that is done."""
        (done, *_), _ = self._ray.wait(list(self._waiting), num_returns=1)
        return self._waiting.pop(done), self._ray.get(done)

    def stop(self) -> None:
        """Call back what is not done."""
        for task in self._waiting:
            self._ray.cancel(task)


@contextmanager
def engine(name: str, jobs: int | None = None) -> Iterator[Engine]:
    """An engine for as long as the block lasts.

    ``ray`` joins the cluster that ``RAY_ADDRESS`` names or the process has joined, else it starts one on this machine
    and ends it with the block.

    Args:
        name: ``local`` or ``ray``.
        jobs: trials at once; by default one, on Ray as many as it has CPUs.

    Raises:
        BadInput: another name, or more jobs than the engine can do.
        MissingExtra: Ray is not installed.
    """
    if name not in ENGINES:
        raise BadInput(f"engine `{name}`{nearest(name, ENGINES)}")
    if jobs is not None and jobs < 1:
        raise BadInput(f"a sweep needs one job or more, got {jobs}")
    if name == "local":
        if jobs not in (None, 1):
            raise BadInput(f"engine `local` does one trial at a time, not {jobs}; use the engine `ray`")
        yield Local()
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report home
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # its coming default, without which it warns
    try:
        ray: Any = importlib.import_module("ray")  # typed in part, and by the name of it checkers would read all of it
    except ImportError as error:
        raise MissingExtra("the engine `ray`", "ray") from error
    joined = ray.is_initialized()
    if not joined:
        here = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": jobs, "include_dashboard": False}
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **here)
    made = Ray(ray, jobs or max(1, int(ray.cluster_resources().get("CPU", 1))))
    try:
        yield made
    finally:
        made.stop()
        if not joined:
            ray.shutdown()
