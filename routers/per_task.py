"""Best per task: a table of means, one row per task label. With true labels the toughest simple baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from env.contexts import Bools, Contexts, Floats, Ints, Outcomes
from env.errors import BadInput
from routers.base import Array, Capabilities, Estimator
from routers.costs import column_means


class BestPerTask(Estimator):
    """Mean score, cost and latency of each arm on each task, shrunk to its global mean.

    The mean of ``m`` observations counts with weight ``m / (m + tau)``, as under a normal prior worth ``tau``
    observations. A query without a label, or with a new one, gets the global means.

    Args:
        n_arms: ``K``.
        n_features: ``d``, not used.
        tau: observations that the global mean is worth, 0 or more.

    Example:
        >>> task = np.array(["sum", "sum", "spell", "spell"], dtype=object)
        >>> contexts = Contexts.of(np.zeros((4, 1)), n_arms=2, task=task)
        >>> outcomes = Outcomes.of(np.array([[1, 0], [1, 0], [0, 1], [0, 1]]))
        >>> BestPerTask(2, 1).fit(contexts, outcomes).act(contexts, np.random.default_rng(0)).arms.tolist()
        [0, 0, 1, 1]
    """

    name: ClassVar[str] = "best_per_task"
    capabilities: ClassVar[Capabilities] = Capabilities(uses_features=False, uses_load=True)

    def __init__(self, n_arms: int, n_features: int, *, tau: float = 20.0) -> None:
        super().__init__(n_arms, n_features, tau=tau)
        if not tau >= 0:
            raise BadInput(f"router `{self.name}`: tau is {tau}; it must be 0 or more")
        self.tau = tau
        self._row_of: dict[str, int] = {}
        # (tasks + 1, K) each; the last row is the global mean.
        self._means = {name: np.full((1, n_arms), np.nan, dtype=np.float32) for name in _FIELDS}

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Take the means; contexts without tasks leave only the global ones."""
        labels = [] if contexts.task is None else sorted({str(task) for task in contexts.task if task is not None})
        self._row_of = {label: row for row, label in enumerate(labels)}
        rows = self._rows(contexts)
        for name in _FIELDS:
            self._means[name] = shrunk_means(getattr(outcomes, name), rows, len(labels), self.tau)
        return self

    def predict(self, contexts: Contexts) -> Outcomes:
        """The means of each query's task, each ``(n, K)``."""
        rows = self._rows(contexts)
        score, cost, latency = (self._means[name][rows] for name in _FIELDS)
        return Outcomes(score, cost, latency)

    def knows(self, contexts: Contexts) -> Bools:
        """``(n,)`` True where a query has a label that was learned."""
        return np.asarray(self._rows(contexts) < len(self._row_of))

    def _rows(self, contexts: Contexts) -> Ints:
        unknown = len(self._row_of)
        if contexts.task is None:
            return np.full(len(contexts), unknown, dtype=np.int64)
        return np.array([self._row_of.get(str(task), unknown) for task in contexts.task], dtype=np.int64)

    def _arrays(self) -> dict[str, Array]:
        labels = np.frombuffer(json.dumps(list(self._row_of)).encode(), dtype=np.uint8)
        return {"task_labels": labels, **{f"task_{name}": self._means[name] for name in _FIELDS}}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        labels = json.loads(arrays["task_labels"].tobytes())
        self._row_of = {label: row for row, label in enumerate(labels)}
        self._means = {name: arrays[f"task_{name}"] for name in _FIELDS}


_FIELDS = ("score", "cost_usd", "latency_s")


def shrunk_means(values: Floats, rows: Ints, n_tasks: int, tau: float) -> Floats:
    """``(n_tasks + 1, K)`` mean per task, pulled to the global mean, which is the last row."""
    overall = column_means(values)
    table = np.empty((n_tasks + 1, values.shape[1]), dtype=np.float32)
    table[n_tasks] = overall
    for task in range(n_tasks):
        own = values[rows == task]
        count = (~np.isnan(own)).sum(axis=0)
        weight = np.divide(count, count + tau, out=np.zeros(len(count)), where=count > 0)
        table[task] = np.where(count > 0, weight * np.nan_to_num(column_means(own)) + (1 - weight) * overall, overall)
    return table
