"""The task of a prompt, guessed, and the arms' means on the tasks it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from env.contexts import Bools, Contexts, Floats, Ints, Objects, Outcomes
from env.errors import MissingExtra
from routers.base import Array, Estimator
from routers.boosting import Forest
from routers.costs import CostModel
from routers.least_squares import Doubles
from routers.per_task import shrunk_means

_COLUMNS = 48
_DEPTH = 4
# Trees of all tasks together, and of one task at least and at most.
_TREES, _FEWEST, _MOST = 1_200, 20, 60
_FEWEST_ROWS = 20  # of a leaf


class TaskPosterior(Estimator):
    """``sum_t P(t | prompt) mean score of each arm on task t``, the means shrunk to the global ones.

    Learns from task labels and decides without them. ``P`` is gradient boosting's on the columns that tell the tasks
    apart best (the largest F statistics of a one-way analysis of variance): trees see counts and brackets, which
    linear models make little of. Where training queries have no label it knows the global means alone.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        tau: observations that the global mean is worth, 0 or more.
        predict_cost: predict cost and latency of each query; False for each arm's mean.

    Raises:
        MissingExtra: on :meth:`fit`, without the ``train`` extra. Deciding needs numpy alone.

    Example:
        >>> task = np.repeat(np.array(["sum", "spell"], dtype=object), 50)
        >>> x = np.repeat(np.array([[0.0], [1.0]], dtype=np.float32), 50, axis=0)
        >>> outcomes = Outcomes.of(np.repeat(np.array([[1.0, 0.0], [0.0, 1.0]]), 50, axis=0))
        >>> router = TaskPosterior(2, 1).fit(Contexts.of(x, n_arms=2, task=task), outcomes)
        >>> router.act(Contexts.of(x[[0, -1]], n_arms=2), np.random.default_rng(0)).arms.tolist()
        [0, 1]
    """

    name: ClassVar[str] = "task_posterior"
    featuriser: ClassVar[str] = "rich"

    def __init__(self, n_arms: int, n_features: int, *, tau: float = 10.0, predict_cost: bool = True) -> None:
        super().__init__(n_arms, n_features, tau=tau, predict_cost=predict_cost)
        self._columns = np.zeros(0, dtype=np.int64)
        self._forest = Forest.empty(0, _DEPTH)
        self._means = np.full((1, n_arms), np.nan, dtype=np.float32)  # (tasks + 1, K), the last row of all tasks
        self._costs = CostModel(n_arms, n_features, per_query=predict_cost)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Learn tasks and means; rows without a label count in the global means alone.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        labels, task = _numbered(contexts.task, len(contexts))
        self._means = shrunk_means(outcomes.score, np.where(task < 0, len(labels), task), len(labels), self.tau)
        told = task >= 0
        self._columns = _telling(contexts.features[told], task[told], len(labels))
        self._forest = _grown(contexts.features[told][:, self._columns].astype(np.float64), task[told], len(labels))
        self._costs.fit(contexts.features, outcomes)
        return self

    @property
    def tau(self) -> float:
        """Observations that the global mean is worth."""
        return float(self.settings["tau"])

    def predict(self, contexts: Contexts) -> Outcomes:
        """Expected score, cost and latency, each ``(n, K)``."""
        if len(self._means) == 1:
            score = np.broadcast_to(self._means[0], (len(contexts), self.n_arms))
        else:
            score = np.asarray(self.posterior(contexts) @ self._means[:-1], dtype=np.float32)
        return Outcomes(score, *self._costs.predict(contexts.features))

    def posterior(self, contexts: Contexts) -> Doubles:
        """``(n, tasks)`` probabilities of the tasks, in the order of their labels."""
        raw = self._forest(contexts.features[:, self._columns].astype(np.float64))
        grown = np.exp(raw - raw.max(axis=1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=1, keepdims=True))

    def _arrays(self) -> dict[str, Array]:
        return {"columns": self._columns, "task_means": self._means, **self._forest.arrays(), **self._costs.arrays()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._columns, self._means = arrays["columns"], arrays["task_means"]
        self._forest = Forest.restored(arrays)
        self._costs.restore(arrays)


def _numbered(task: Objects | None, n: int) -> tuple[list[str], Ints]:
    """The labels, and of each row its label's number or -1."""
    if task is None:
        return [], np.full(n, -1, dtype=np.int64)
    labels = sorted({str(label) for label in task if label is not None})
    number = {label: at for at, label in enumerate(labels)}
    return labels, np.array([-1 if label is None else number[str(label)] for label in task], dtype=np.int64)


def _telling(rows: Floats, task: Ints, n_tasks: int) -> Ints:
    """Columns with the largest share of variance between tasks, ascending."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    x = rows - rows.mean(axis=0)
    belongs: Bools = task == np.arange(n_tasks)[:, None]
    sizes = np.maximum(belongs.sum(axis=1), 1)
    between = (sizes[:, None] * np.square((belongs @ x) / sizes[:, None])).sum(axis=0)
    share = between / np.maximum(np.square(x).sum(axis=0), 1e-12)
    return np.sort(np.argsort(-share, kind="stable")[:_COLUMNS])


def _grown(x: Doubles, task: Ints, n_tasks: int) -> Forest:
    """Trees whose sums are the log-odds of each task, up to a constant of the row."""
    if n_tasks < 2:
        return Forest.empty(n_tasks, _DEPTH, base=np.zeros(n_tasks))
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise MissingExtra("training `task_posterior`", "train") from error
    rounds = int(np.clip(_TREES // n_tasks, _FEWEST, _MOST))
    model: Any = HistGradientBoostingClassifier(
        max_depth=_DEPTH,
        max_iter=rounds,
        learning_rate=min(0.1 * _MOST / rounds, 0.2),
        min_samples_leaf=_FEWEST_ROWS,
        early_stopping=False,
        random_state=0,
    ).fit(x, task)
    forest = Forest.empty(n_tasks, _DEPTH, base=np.zeros(n_tasks))
    # Of two tasks scikit-learn keeps the log-odds of the second one alone; the first one's are then 0.
    outputs = range(1) if n_tasks == 2 else range(n_tasks)
    for output in outputs:
        forest = forest.with_arm(output + (n_tasks == 2), model, output)
    return forest
