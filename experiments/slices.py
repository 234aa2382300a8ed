"""Parts of a comparison: how every router does on each task, and which arms it chose.

Shapes: ``T`` tasks, ``R`` rows of the comparison, ``D`` dials, ``K`` arms, ``B`` replicates of the bootstrap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from env.contexts import Ints, known
from env.trace import Trace
from experiments.bootstrap import Array, Bootstrap, Estimate, estimate
from experiments.evaluate import DIALS, Evaluation
from experiments.folds import Fold

SHOWN_DIALS = (0.5, 1.0)
"""The dials that tasks are told of: the middle and the best."""
ENOUGH_PROMPTS = 20
"""Different test prompts that a task needs before an interval of it is worth showing."""
_MOST_TASKS = 60  # a task for every query is an id, and no table for people
_AT = [DIALS.index(dial) for dial in SHOWN_DIALS]


@dataclass(frozen=True, slots=True)
class Part:
    """One router on one task at one dial.

    Attributes:
        score: mean score; with an interval where the task has enough prompts.
        cost_usd: mean dollars a query, ``None`` where not recorded.
        shares: ``(K,)`` how often each arm was chosen.
    """

    score: Estimate
    cost_usd: float | None
    shares: Array


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    Attributes:
        name: as the trace labels it.
        prompts: different test prompts over all seeds.
        parts: for each router, its part at each of :data:`SHOWN_DIALS`.
    """

    name: str
    prompts: int
    parts: Mapping[str, tuple[Part, ...]]

    @property
    def is_tiny(self) -> bool:
        """True where there are too few prompts to read the figures alone."""
        return self.prompts < ENOUGH_PROMPTS


@dataclass(frozen=True, slots=True)
class Slices:
    """What was chosen, and how that went on each task.

    Attributes:
        arms: names of the ``K`` arms.
        choices: for each router, ``(D, K)`` how often each arm was chosen at each dial.
        tasks: the tasks, by name; none where the trace labels none.
    """

    arms: tuple[str, ...]
    choices: Mapping[str, Array]
    tasks: tuple[Task, ...]

    def is_constant(self, router: str) -> bool:
        """True where the router chose alike at every dial."""
        shares = self.choices[router]
        return bool(np.abs(shares - shares[0]).max() < 1e-9)


class Slicer:
    """Collects the slices of a comparison, one seed after another.

    Args:
        trace: what is compared on.
        draws: the replicates that the whole comparison shares.
    """

    def __init__(self, trace: Trace, draws: Bootstrap) -> None:
        self._arms, self._draws, self._groups = trace.arms, draws, trace.groups
        self._tasks, self._task_of = _numbered(trace)
        self._routers: list[str] = []
        self._prompts: list[set[int]] = [set() for _ in self._tasks]
        self._seeds = 0
        # Sums over seeds of means: (1 + B, T, R, dials, 2) and how much of a seed went into each; row 0 is the data.
        self._means: Array = np.zeros(0)
        self._weight: Array = np.zeros(0)
        self._chosen: Array = np.zeros(0)
        self._by_task: Array = np.zeros(0)
        self._task_seeds: Array = np.zeros(len(self._tasks))

    def add(self, part: Fold, made: Sequence[Evaluation]) -> None:
        """Take in the decisions of the next seed; every seed has the same routers."""
        n_arms, n_tasks, shape = len(self._arms), len(self._tasks), (len(made), len(_AT))
        if not self._routers:
            self._routers = [one.router for one in made]
            self._means = np.zeros((1 + len(self._draws.seeds), n_tasks, *shape, 2))
            self._weight = np.zeros(self._means.shape[:2])
            self._chosen = np.zeros((len(made), len(DIALS), n_arms))
            self._by_task = np.zeros((n_tasks, *shape, n_arms))
        arms = np.stack([one.arms for one in made])  # (R, D, n)
        for arm in range(n_arms):
            self._chosen[..., arm] += (arms == arm).mean(axis=-1)
        values = np.stack([[one.outcomes.score[_AT], one.outcomes.cost_usd[_AT]] for one in made]).astype(np.float64)
        values = values.transpose(3, 0, 2, 1)  # (n, R, dials, 2)
        of_seed = np.concatenate([[1.0], self._draws.seeds[:, self._seeds]])
        tasks = self._task_of[part.test_index]
        for task in range(n_tasks):
            rows = np.flatnonzero(tasks == task)
            if not len(rows):
                continue
            at = part.test_index[rows]
            self._prompts[task] |= set(self._groups[at].tolist())
            self._task_seeds[task] += 1
            for arm in range(n_arms):
                self._by_task[task, ..., arm] += (arms[:, _AT][..., rows] == arm).mean(axis=-1)
            weights = np.concatenate([np.ones((1, len(rows))), self._draws.prompts[:, at]])
            total = weights.sum(axis=1)
            share = np.where(total > 0, of_seed, 0)  # a replicate may hold no query of the task
            sums = weights @ values[rows].reshape(len(rows), -1)
            scale = np.divide(share, total, out=np.zeros(len(total)), where=total > 0)
            self._means[:, task] += (sums * scale[:, None]).reshape(self._means[:, task].shape)
            self._weight[:, task] += share
        self._seeds += 1

    def slices(self) -> Slices:
        """What was collected."""
        choices = dict(zip(self._routers, self._chosen / max(self._seeds, 1), strict=True))
        tested = [task for task in range(len(self._tasks)) if self._task_seeds[task]]
        return Slices(self._arms, choices, tuple(self._task(task) for task in tested))

    def _task(self, task: int) -> Task:
        weight = self._weight[:, task, None, None, None]
        empty = np.full(self._means[:, task].shape, np.nan)
        means = np.divide(self._means[:, task], weight, out=empty, where=weight > 0)
        shares = self._by_task[task] / self._task_seeds[task]
        enough = len(self._prompts[task]) >= ENOUGH_PROMPTS
        parts = {}
        for at, router in enumerate(self._routers):
            found = []
            for dial in range(len(_AT)):
                score = estimate(means[:1, at, dial, 0], means[1:, at, dial, 0] if enough else np.zeros(0))
                assert score is not None  # the test queries of a comparison are scored
                if score.low is not None and score.high is not None:
                    # Centred on the mean, an interval of a small task may reach beyond what a score can be.
                    score = Estimate(score.value, max(score.low, 0.0), min(score.high, 1.0))
                found.append(Part(score, known(float(means[0, at, dial, 1])), shares[at, dial]))
            parts[router] = tuple(found)
        return Task(self._tasks[task], len(self._prompts[task]), parts)


def _numbered(trace: Trace) -> tuple[list[str], Ints]:
    """Names of the tasks and the number of each query's; beyond the most frequent ones, all others are one."""
    labels = ["(no task)" if task is None else str(task) for task in trace.tasks]
    if all(task is None for task in trace.tasks):
        return [], np.full(len(labels), -1)
    counts = Counter(labels)
    kept = sorted(sorted(counts, key=lambda name: -counts[name])[:_MOST_TASKS])
    number = {name: at for at, name in enumerate(kept)}
    rest = len(counts) - len(kept)
    names = [*kept, f"{rest} other tasks"] if rest else kept
    return names, np.array([number.get(label, len(kept)) for label in labels], dtype=np.int64)
