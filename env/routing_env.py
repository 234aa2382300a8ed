"""``pointsman/Routing-v0``: one query, one choice of a model, one reward. A contextual bandit for Gymnasium."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias, Unpack

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Space

from env.contexts import Floats
from env.routing_table import RoutingTable, check_choice
from env.scenarios import ScenarioLike
from env.stream import Batch, Order
from env.stream_env import Action, StreamEnv
from env.trace import Trace
from env.trace_table import TableSettings, table_of

View: TypeAlias = Literal["bandit", "full"]

VIEWS = ("bandit", "full")


class RoutingEnv(StreamEnv):
    """Routing as a contextual bandit: each query is an episode of one step.

    ``reset()`` shows the next query, ``step(arm)`` answers it and ends the episode with ``terminated=True``, never
    ``truncated``: there is no next state to bootstrap from, and gamma has nothing to act on. ``reset(seed=s)`` goes
    back to the first query of the stream of seed ``s``; ``reset()`` goes on.

    **What the agent sees.** A float32 row in ``[-1, 1]``: the features of the prompt and, with
    ``cost_weight="observe"``, the normalised cost weight as its last number. The observation after the step is
    the query just answered, once more: a bandit has no next state, and the next query must not be known early.

    **Reward.** ``score - cost_weight * cost_usd - latency_weight * latency_s`` of the arm chosen.

    **Info.** After ``reset``: ``step`` (the number of the query in the stream), ``query_id``, ``task``, ``cost_weight``
    and ``action_mask`` (int8, 1 = may be chosen). After ``step`` these, and

    - ``score``, ``cost_usd``, ``latency_s`` of the arm chosen, ``None`` where not recorded, or not judged yet;
    - ``refused``: True if the arm was masked. Nothing was called, and the reward is ``masked_reward``;
    - ``imputed``, where ``unobserved="model"``: True if the outcome was modelled and not recorded;
    - ``propensity``: the probability with which the agent's own law chose the arm. The environment sees a choice and
      not a law, so this is ``None`` unless the agent stated it, see :meth:`declare_propensity`.

    - with delayed feedback ``judgements``: a tuple of what arrived with this step about earlier answers, see
      :class:`env.pending.Judgement`. The reward of an answer that is judged later, or never, has the mean score of
      the table in place of its own, so that an agent which reads only rewards is not misled.

    What the other arms would have brought is in neither, unless ``view="full"`` asks for it: then ``all_score``,
    ``all_cost_usd`` and ``all_latency_s`` ``(K,)`` come with each step, NaN where masked or not recorded.

    Gaps in a table are masked by default. An agent that cannot use masks learns from ``masked_reward`` to avoid arms
    with gaps, which is not what one wants of it: give it ``trace.complete()``.

    Args:
        trace: a trace, the path of one, ``"bundled"``, or a :class:`RoutingTable` (which takes no ``settings``).
        view: ``"bandit"``, or ``"full"`` to be told the outcomes of all arms after each step.
        order: ``"shuffle"`` passes over all queries in a fresh order each, ``"resample"`` draws with replacement.
        scenario: what happens to the world: a name of ``env.scenarios.names()``, a scenario, its JSON, or a list.
        render_mode: nothing is drawn; only ``None``.
        **settings: ``part``, ``split_seed``, ``featuriser``, ``cost_weight``, ``max_cost_weight``,
            ``latency_weight``, ``unobserved`` and ``masked_reward``, as in :func:`env.trace_table.trace_table`.

    Raises:
        BadInput: what is wrong with the trace or an argument, and the mend.

    Example:
        >>> from env.trace_io import from_rows
        >>> ask = {"query_id": "q1", "prompt": "2 + 2?", "latency_s": None}
        >>> trace = from_rows([{**ask, "model": "small", "score": 0.6, "cost_usd": 0.001},
        ...                    {**ask, "model": "large", "score": 0.9, "cost_usd": 0.010}])
        >>> env = RoutingEnv(trace, part="all", cost_weight=10.0)
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(1)
        >>> round(reward, 3), terminated, round(info["score"], 3), info["latency_s"]
        (0.8, True, 0.9, None)
    """

    def __init__(
        self,
        trace: str | Path | Trace | RoutingTable = "bundled",
        *,
        view: View = "bandit",
        order: Order = "shuffle",
        scenario: ScenarioLike = None,
        render_mode: None = None,
        **settings: Unpack[TableSettings],
    ) -> None:
        check_choice("view", view, VIEWS)
        super().__init__(table_of(trace, settings), order, scenario, render_mode)
        self.view = view
        self.observation_space: Space[Floats] = self.table.observation_space()
        self._answered = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Go on to the next query, or with a seed back to the first one of its stream.

        Args:
            seed: begins the stream of this seed.
            options: none are known.
        """
        self._begin(seed, options)
        self._asked, self._answered = self._stream.take(1), False
        return self._observation(self._asked), self._question(self._asked)

    def step(self, action: Action) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Answer the query with an arm.

        Args:
            action: the arm, 0 to K - 1.

        Raises:
            ResetNeeded: the query was answered already, or none was asked yet.
            BadInput: no such arm.
        """
        asked = self._asked
        if asked is None or self._answered:
            raise ResetNeeded("one query is one step: call reset(), which goes on to the next query")
        arm = self._answers.arm(action)
        self._answered = True
        info = self._question(asked) | self._answers.outcome(asked, arm)
        if self.view == "full":
            info["all_score"] = np.full_like(asked.told[0], np.nan) if asked.delay[0] else asked.told[0].copy()
            info["all_cost_usd"] = asked.cost_usd[0].copy()
            info["all_latency_s"] = asked.latency_s[0].copy()
        return self._observation(asked), float(asked.reward[0, arm]), True, False, info

    def _observation(self, asked: Batch) -> Floats:
        observation: Floats = self.table.observations[asked.rows[0]].copy()
        if asked.seen is not None:
            observation[-1] = asked.seen[0]
        return observation

    def _question(self, asked: Batch) -> dict[str, Any]:
        return self._answers.question(asked) | {"cost_weight": float(asked.cost_weight[0])}
