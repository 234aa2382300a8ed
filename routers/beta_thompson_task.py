"""Beta Thompson sampling by task: for each of the caller's task labels and each arm, a belief about its score."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from env.contexts import Contexts, Ints
from routers.base import Array, Capabilities
from routers.beta_groups import GroupedBeta


class BetaThompsonTask(GroupedBeta):
    """:class:`~routers.beta_thompson.BetaThompson` by the caller's task label instead of clusters.

    Prompts without a label share a group; a label never seen is at the prior until its first outcome.

    Args:
        n_arms: ``K``.
        n_features: ``d``, not used.
        prior: pulls that the prior mean of one half is worth, 1 or more.

    Example:
        >>> from env.contexts import Outcomes
        >>> contexts = Contexts.of(np.zeros((2, 1)), n_arms=2, task=np.array(["sum", "spell"], dtype=object))
        >>> router = BetaThompsonTask(2, 1).fit(contexts, Outcomes.of(np.array([[0.9, 0.1], [0.2, 0.8]])))
        >>> router.act(contexts, np.random.default_rng(0), explore=False).arms
        array([0, 1])
    """

    name: ClassVar[str] = "beta_thompson_task"
    capabilities: ClassVar[Capabilities] = Capabilities(
        online=True, adds_arms=True, uses_features=False, uses_load=True
    )

    def __init__(self, n_arms: int, n_features: int, *, prior: float = 2.0) -> None:
        super().__init__(n_arms, n_features, prior=prior)
        self._row_of: dict[str | None, int] = {}

    def _groups(self, contexts: Contexts) -> Ints:
        return np.array([self._row_of.get(label, -1) for label in _labels(contexts)], dtype=np.int64)

    def _group(self, contexts: Contexts) -> None:
        self._row_of = {}
        self._regroup(contexts)

    def _regroup(self, contexts: Contexts) -> Ints:
        for label in _labels(contexts):
            if label not in self._row_of:
                self._row_of[label] = len(self._row_of)
                self._add_group()
        return self._groups(contexts)

    def _arrays(self) -> dict[str, Array]:
        labels = np.frombuffer(json.dumps(list(self._row_of)).encode(), dtype=np.uint8)
        return {**super()._arrays(), "task_labels": labels}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        super()._restore(arrays)
        self._row_of = {label: row for row, label in enumerate(json.loads(arrays["task_labels"].tobytes()))}


def _labels(contexts: Contexts) -> list[str | None]:
    if contexts.task is None:
        return [None] * len(contexts)
    return [None if task is None else str(task) for task in contexts.task]
