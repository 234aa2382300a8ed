"""What an environment tells of one query: before an arm is chosen, and after. The same in every single environment."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from env.contexts import Bools
from env.errors import BadInput
from env.pending import PendingFeedback
from env.routing_table import RoutingTable
from env.stream import Batch


class Answers:
    """Infos of a table's queries, one at a time; it keeps the judgements that are still on their way.

    Args:
        table: where the queries are.
        delays: True where judgements may come late, so that every answer carries those that have arrived.

    Attributes:
        propensity: stated for the coming choice, or ``None``; see :meth:`declare_propensity`.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> from env.stream import QueryStream
        >>> table = RoutingTable.of(Contexts.of(np.zeros((1, 1)), 2), Outcomes.of(np.array([[0.25, 0.75]])))
        >>> stream, answers = QueryStream(table), Answers(table)
        >>> stream.rewind(np.random.default_rng(0))
        >>> answers.outcome(stream.take(1), 1)["score"]
        0.75
    """

    def __init__(self, table: RoutingTable, delays: bool = False) -> None:
        self.table = table
        self.delays = delays
        self.rewind()

    def rewind(self) -> None:
        """Forget the judgements on their way: another stream begins."""
        self.propensity: float | None = None
        self._pending = PendingFeedback() if self.delays else None

    def question(self, asked: Batch) -> dict[str, Any]:
        """``step``, ``query_id``, ``task``, ``action_mask`` of a batch of one query."""
        row = asked.rows[0]
        return {
            "step": int(asked.steps[0]),
            "query_id": str(self.table.query_ids[row]),
            "task": self.table.tasks[row],
            "action_mask": asked.mask[0].astype(np.int8),
        }

    def outcome(self, asked: Batch, arm: int) -> dict[str, Any]:
        """What is told of the arm chosen on a batch of one query; ends what was stated about that choice.

        ``score``, ``cost_usd`` and ``latency_s`` (``None`` where not recorded, or not judged yet), ``refused``,
        ``propensity``; ``judgements`` where they may come late; ``imputed`` where the table has modelled cells.
        """
        info: dict[str, Any] = {
            "score": None if asked.delay[0] else _recorded(asked.told[0, arm]),
            "cost_usd": _recorded(asked.cost_usd[0, arm]),
            "latency_s": _recorded(asked.latency_s[0, arm]),
            "refused": not asked.mask[0, arm],
            "propensity": self.propensity,
        }
        self.propensity = None
        if self._pending is not None:
            ids = self.table.query_ids.take(asked.rows)
            info["judgements"] = self._pending.exchange(asked, np.array([arm]), ids)[0]
        if self.table.imputed is not None:
            info["imputed"] = bool(asked.mask[0, arm] and self.table.imputed[asked.rows[0], arm])
        return info

    def declare_propensity(self, propensity: float) -> None:
        """State the probability with which the coming choice was made.

        Raises:
            BadInput: not in (0, 1].
        """
        if not 0 < propensity <= 1:
            raise BadInput(f"a propensity is in (0, 1], got {propensity}")
        self.propensity = float(propensity)

    def arm(self, action: int | np.integer[Any]) -> int:
        """The action as an arm.

        Raises:
            BadInput: no such arm.
        """
        try:
            arm = operator.index(action)
        except TypeError:
            last = self.table.n_arms - 1
            raise BadInput(f"an action is an arm, a whole number of 0 to {last}, got {action!r}") from None
        if not 0 <= arm < self.table.n_arms:
            raise BadInput(f"arm {arm} does not exist; the arms are 0 to {self.table.n_arms - 1}")
        return arm


def closed(asked: Batch, shut: Bools, masked_reward: float) -> Batch:
    """A batch of queries with some more arms closed: whoever chooses them anyway learns nothing.

    Args:
        asked: ``n`` queries.
        shut: ``(n, K)`` True where the arm must not be chosen, or ``(K,)`` for all of them.
        masked_reward: the reward of choosing it.
    """
    gone = np.broadcast_to(shut, asked.mask.shape)
    unknown = np.float32(np.nan)
    return asked._replace(
        mask=asked.mask & ~gone,
        score=np.where(gone, unknown, asked.score),
        cost_usd=np.where(gone, unknown, asked.cost_usd),
        latency_s=np.where(gone, unknown, asked.latency_s),
        told=np.where(gone, unknown, asked.told),
        reward=np.where(gone, masked_reward, asked.reward),
    )


def _recorded(value: np.float32) -> float | None:
    number = float(value)
    return number if number == number else None
