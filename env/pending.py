"""Judgements that are on their way: what was said of an answer, and when the agent gets to know."""

from __future__ import annotations

import heapq
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from env.stream import Batch


class Judgement(TypedDict):
    """A judgement that arrived late, about one of the agent's own answers.

    Attributes:
        step: the ``step`` of the query that was answered.
        query_id: its id.
        arm: the arm that answered it.
        score: how good the answer was said to be.
    """

    step: int
    query_id: str
    arm: int
    score: float


class PendingFeedback:
    """Judgements in the order in which they are due."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Judgement]] = []

    def exchange(
        self, answered: Batch, arms: NDArray[np.integer[Any]], query_ids: NDArray[Any]
    ) -> list[tuple[Judgement, ...]]:
        """Send off what will be said of some answers, and hand over what has arrived about earlier ones.

        Args:
            answered: ``n`` queries, in the order of the stream.
            arms: ``(n,)`` the arms that answered them.
            query_ids: ``(n,)``.

        Returns:
            For each query the judgements that arrive with its answer, the earliest first. One that is due at a query
            which nobody answers arrives with the next one answered.
        """
        told = answered.told[np.arange(len(arms)), arms]
        columns = (answered.steps, answered.delay, arms, told, query_ids)
        return [self._exchange(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def _exchange(self, step: int, delay: int, arm: int, score: float, query_id: str) -> tuple[Judgement, ...]:
        if delay and not np.isnan(score):
            judgement: Judgement = {"step": step, "query_id": str(query_id), "arm": arm, "score": score}
            heapq.heappush(self._waiting, (step + delay, step, judgement))
        arrived = []
        while self._waiting and self._waiting[0][0] <= step:
            arrived.append(heapq.heappop(self._waiting)[2])
        return tuple(arrived)
