"""What the environments over a stream of queries share: the stream and its seed, masks, propensities."""

from __future__ import annotations

from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Discrete, Space
from numpy.typing import NDArray

from env.answers import Answers
from env.contexts import Floats
from env.errors import BadInput, NoRendering
from env.routing_table import RoutingTable
from env.scenarios import ScenarioLike
from env.stream import Batch, Order, QueryStream

Action: TypeAlias = int | np.integer[Any]


class StreamEnv(gym.Env[Floats, Action]):
    """One query at a time, of a stream that no agent influences. What an episode is, its children say.

    Attributes:
        table: the queries, and what each arm brings.
        one_step: True where every answer ends an episode.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium declares it so
    one_step = True

    def __init__(self, table: RoutingTable, order: Order, scenario: ScenarioLike, render_mode: None) -> None:
        check_render_mode(render_mode)
        self.table = table
        self.render_mode = render_mode
        self.action_space: Space[Action] = Discrete(table.n_arms)
        self._stream = QueryStream(table, order, scenario)
        self._answers = Answers(table, self._stream.scenario.delays)
        self._asked: Batch | None = None

    @property
    def stream_hash(self) -> str:
        """SHA-256 (hex) of the exogenous stream since the last seeding, see :attr:`QueryStream.hash`."""
        return self._stream.hash

    @property
    def n_queries(self) -> int:
        """Number of queries of the table: after as many one pass is over."""
        return len(self.table)

    def truth(self, n: int) -> Batch:
        """What every arm truly brings on the first ``n`` queries of the stream: for evaluation, no agent may look.

        Row ``i`` is the query whose info says ``step`` ``i``. True scores, also where the judge is late, silent or
        wrong; NaN where an arm was closed. ``reward`` is what agents are *given*, with the judge's errors in it.
        """
        return self._stream.truth(n)

    def action_masks(self) -> NDArray[np.bool_]:
        """``(K,)`` True where the arm may be chosen, as sb3-contrib's MaskablePPO asks for it."""
        if self._asked is None:
            raise ResetNeeded("call reset() first: the mask belongs to a query")
        return np.array(self._asked.mask[0])

    def declare_propensity(self, propensity: float) -> None:
        """State the probability with which the coming choice was made; it appears in the ``info`` of that step.

        Worth doing wherever the steps are logged: without propensities no other policy can be evaluated on the log.

        Raises:
            BadInput: not in (0, 1].
        """
        self._answers.declare_propensity(propensity)

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> bool:
        """What every ``reset`` begins with; True where a stream begins, with a seed or for the first time."""
        check_options(options)
        super().reset(seed=seed)
        self._answers.propensity = None
        begins = seed is not None or not self._stream.started
        if begins:
            self._stream.rewind(self.np_random)
            self._answers.rewind()
        return begins


def check_render_mode(render_mode: object) -> None:
    """Refuse to draw: there is nothing to see."""
    if render_mode is not None:
        raise NoRendering(f"render_mode `{render_mode}` is unknown: nothing is drawn; leave it out")


def check_options(options: dict[str, Any] | None) -> None:
    """Refuse options of ``reset``: there are none, and one that is ignored would mislead."""
    if options:
        raise BadInput(f"reset knows no options, got `{next(iter(options))}`")


def check_window(window: object) -> int:
    """The number of queries of an episode."""
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 1:
        raise BadInput(f"window is a number of queries, 1 or more, got {window}")
    return int(window)
