"""The native vector environment of ``pointsman/Routing-v0``: many queries a step, no wasted ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from env.contexts import Bools, Floats
from env.errors import BadInput
from env.pending import PendingFeedback
from env.routing_env import VIEWS, View
from env.routing_table import RoutingTable, check_choice
from env.scenarios import ScenarioLike
from env.stream import Batch, Order, QueryStream
from env.stream_env import check_options, check_render_mode
from env.trace import Trace
from env.trace_table import TableSettings, table_of


class RoutingVectorEnv(VectorEnv[Floats, NDArray[np.integer[Any]], NDArray[Any]]):
    """``num_envs`` routing bandits side by side, on one stream of queries.

    Each step answers ``num_envs`` queries and shows the next ``num_envs`` (autoreset in the same step): every step
    is a decision, where Gymnasium's next-step autoreset would waste every other one. In (step, sub-environment)
    order the queries are those that one :class:`env.routing_env.RoutingEnv` serves with the same seed, whatever
    ``num_envs``. All sub-environments share that one stream, so ``reset(seed=...)`` takes one seed.

    What an agent sees, the reward and the infos are as there. In the infos, arrays carry Gymnasium's ``_key`` masks,
    and what was not recorded is NaN with its mask False. ``step``, ``query_id``, ``task``, ``cost_weight`` and
    ``action_mask`` are those of the query now asked; those of the query just answered are in ``final_info``, with its
    outcomes.

    Args:
        num_envs: number of sub-environments.
        trace: see :class:`env.routing_env.RoutingEnv`.
        view: see there.
        order: see there.
        scenario: see there.
        render_mode: nothing is drawn; only ``None``.
        **settings: see there.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> table = RoutingTable.of(Contexts.of(np.zeros((5, 3)), 2), Outcomes.of(np.full((5, 2), 0.5)))
        >>> envs = RoutingVectorEnv(2, table)
        >>> observations, infos = envs.reset(seed=0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([0, 1]))
        >>> rewards.tolist(), terminations.tolist(), observations.shape
        ([0.5, 0.5], [True, True], (2, 3))
        >>> infos["final_info"]["score"].tolist()
        [0.5, 0.5]
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - as in Gymnasium

    def __init__(
        self,
        num_envs: int = 1,
        trace: str | Path | Trace | RoutingTable = "bundled",
        *,
        view: View = "bandit",
        order: Order = "shuffle",
        scenario: ScenarioLike = None,
        render_mode: None = None,
        **settings: Unpack[TableSettings],
    ) -> None:
        if num_envs < 1:
            raise BadInput(f"num_envs is 1 or more, got {num_envs}")
        check_choice("view", view, VIEWS)
        check_render_mode(render_mode)
        self.table = table_of(trace, settings)
        self.num_envs = num_envs
        self.view = view
        self.render_mode = render_mode
        self.single_observation_space = self.table.observation_space()
        self.single_action_space = Discrete(self.table.n_arms)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._stream = QueryStream(self.table, order, scenario)
        self._pending = PendingFeedback()
        self._asked: Batch | None = None
        self._shown: Floats | None = None
        self._propensities: NDArray[np.float64] | None = None
        self._names: dict[str, Any] = {}
        self._first_cells = np.arange(num_envs) * self.table.n_arms
        self._true, self._false = _fixed(True, num_envs), _fixed(False, num_envs)

    @property
    def stream_hash(self) -> str:
        """SHA-256 (hex) of the exogenous stream since the last seeding, see :attr:`QueryStream.hash`."""
        return self._stream.hash

    @property
    def n_queries(self) -> int:
        """Number of queries: after as many answers one pass is over."""
        return len(self.table)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Go on to the next ``num_envs`` queries, or with a seed back to the first ones of its stream."""
        check_options(options)
        if seed is not None and not isinstance(seed, int | np.integer):
            raise BadInput("reset takes one seed: the sub-environments share one stream of queries")
        super().reset(seed=None if seed is None else int(seed))
        if seed is not None or not self._stream.started:
            self._stream.rewind(self.np_random)
            self._pending = PendingFeedback()
        return self._ask()

    def step(
        self, actions: NDArray[np.integer[Any]]
    ) -> tuple[Floats, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """Answer the queries, and show the next ones.

        Args:
            actions: ``(num_envs,)`` arms.

        Returns:
            The next observations, the rewards ``(num_envs,)`` of the answers, all terminated, none truncated, and
            the infos with ``final_obs`` and ``final_info`` of the queries answered. An episode of one step ends
            with what it began with, so ``final_obs`` is the very array that was handed out before: whoever writes
            to observations in place finds it written to.

        Raises:
            ResetNeeded: not reset yet.
            BadInput: a wrong number of arms, or an arm that does not exist.
        """
        answered, shown = self._asked, self._shown
        if answered is None or shown is None:
            raise ResetNeeded("call reset() before step()")
        arms = check_arms(actions, self.num_envs, self.table.n_arms)
        cells = self._first_cells + arms
        rewards = answered.reward.reshape(-1).take(cells)
        final_info = self._answer(answered, arms, cells)
        observations, infos = self._ask()
        infos["final_obs"], infos["_final_obs"] = shown, self._true
        infos["final_info"], infos["_final_info"] = final_info, self._true
        return observations, rewards, self._true.copy(), self._false.copy(), infos

    def truth(self, n: int) -> Batch:
        """What every arm truly brings on the first ``n`` queries, see :meth:`env.stream_env.StreamEnv.truth`."""
        return self._stream.truth(n)

    def action_masks(self) -> Bools:
        """``(num_envs, K)`` True where the arm may be chosen on the query now asked."""
        if self._asked is None:
            raise ResetNeeded("call reset() first: a mask belongs to a query")
        return self._asked.mask.copy()

    def declare_propensities(self, propensities: NDArray[np.float64]) -> None:
        """State the ``(num_envs,)`` probabilities of the coming choices, see ``RoutingEnv.declare_propensity``."""
        stated = np.array(propensities, dtype=np.float64)
        if stated.shape != (self.num_envs,) or not ((stated > 0) & (stated <= 1)).all():
            raise BadInput(f"propensities are ({self.num_envs},) numbers in (0, 1]")
        self._propensities = stated

    def _ask(self) -> tuple[Floats, dict[str, Any]]:
        self._asked, self._propensities = self._stream.take(self.num_envs), None
        self._shown = self.table.observe(self._asked.rows, self._asked.seen)
        return self._shown, self._question(self._asked)

    def _question(self, batch: Batch) -> dict[str, Any]:
        names = {"query_id": self.table.query_ids.take(batch.rows), "task": self.table.tasks.take(batch.rows)}
        for values in names.values():
            # Handed out twice, now and in `final_info`: so nobody may write to them.
            values.flags.writeable = False
        self._names = {**names, **{f"_{key}": self._true for key in names}}
        return self._names | self._numbers(batch)

    def _numbers(self, batch: Batch) -> dict[str, Any]:
        return {
            "step": batch.steps.copy(),
            "_step": self._true,
            "cost_weight": batch.cost_weight.copy(),
            "_cost_weight": self._true,
            "action_mask": batch.mask.astype(np.int8),
            "_action_mask": self._true,
        }

    def _answer(self, batch: Batch, arms: NDArray[np.int64], cells: NDArray[np.int64]) -> dict[str, Any]:
        infos = self._names | self._numbers(batch)
        infos["refused"], infos["_refused"] = ~batch.mask.reshape(-1).take(cells), self._true
        infos["propensity"] = np.full(self.num_envs, np.nan) if self._propensities is None else self._propensities
        infos["_propensity"] = self._false if self._propensities is None else self._true
        if self.table.imputed is not None:
            modelled = batch.mask & self.table.imputed.take(batch.rows, axis=0)
            infos["imputed"], infos["_imputed"] = modelled.reshape(-1).take(cells), self._true
        at_once = batch.told
        if self._stream.scenario.delays:
            at_once = np.where(batch.delay[:, None] > 0, np.float32(np.nan), batch.told)
            infos["judgements"] = np.empty(self.num_envs, dtype=object)
            infos["judgements"][:] = self._pending.exchange(batch, arms, self._names["query_id"])
            infos["_judgements"] = self._true
        for key, values in (("score", at_once), ("cost_usd", batch.cost_usd), ("latency_s", batch.latency_s)):
            chosen = values.reshape(-1).take(cells).astype(np.float64)
            infos[key], infos[f"_{key}"] = chosen, ~np.isnan(chosen)
            if self.view == "full":
                infos[f"all_{key}"], infos[f"_all_{key}"] = values.copy(), self._true
        return infos


def _fixed(value: bool, n: int) -> Bools:
    """A mask that is the same in every info: one array, which nobody can write to."""
    mask = np.full(n, value)
    mask.flags.writeable = False
    return mask


def check_arms(actions: NDArray[np.integer[Any]], num_envs: int, n_arms: int) -> NDArray[np.int64]:
    """The arms as ``(num_envs,)`` int64, if all of them exist."""
    arms = np.asarray(actions)
    if arms.shape != (num_envs,) or arms.dtype.kind not in "iu":
        raise BadInput(f"actions are ({num_envs},) whole numbers, got {arms.shape} of {arms.dtype}")
    if arms.min() < 0 or arms.max() >= n_arms:
        wrong = int(arms[(arms < 0) | (arms >= n_arms)][0])
        raise BadInput(f"arm {wrong} does not exist; the arms are 0 to {n_arms - 1}")
    return arms.astype(np.int64, copy=False)
