"""``pointsman/RoutingBudget-v0``: a window of queries and so much money for all of them. A sequential problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Space
from numpy.typing import NDArray

from env.answers import closed
from env.contexts import Bools, Floats, mean_observed
from env.errors import BadInput
from env.routing_table import RoutingTable
from env.scenarios import ScenarioLike
from env.stream import Batch, Order
from env.stream_env import Action, StreamEnv, check_window
from env.sync_vector_env import SharedTableVectorEnv
from env.trace import Trace
from env.trace_table import TableSettings, arguments_of, table_of

# A quarter of the way from the cheapest arm to the dearest: enough for the dearest now and then, never for all.
_DEFAULT_SHARE = 0.25


class RoutingBudgetEnv(StreamEnv):
    """Routing under a budget: an episode is a window of queries, and the money for all of them is given at its start.

    ``reset()`` opens the next window of the stream, with a fresh budget; ``step(arm)`` answers the query now asked and
    shows the next one. The stream is that of ``pointsman/Routing-v0`` and moves on by a whole window a reset, whatever
    was answered: queries, outcomes and events do not depend on the agent.

    **Why gamma matters here.** In ``Routing-v0`` an answer changes nothing that comes later, and every episode ends
    at once: gamma has nothing to act on. Here a dollar spent is gone for the rest of the window, so the worth of an
    arm is its score minus what the money would have brought later, and only the return tells. Count the window in
    full: ``gamma=1``, or close to it. With 0.99 an agent looks about a hundred queries ahead, and spends the money of
    the others.

    **What the agent sees.** The features of the query, then the share of the budget that is left and the share of
    the window that is left, both scaled to ``[-1, 1]``. After the last answer: the query just answered once more,
    with what was left.

    **Reward.** ``score - latency_weight * latency_s`` of the arm chosen; the budget is the price of money, so there is
    no cost weight.

    **Which arms are open.** Those that the query leaves open, and whose list price is no more than what is left. The
    list price of an arm is its mean recorded cost on the training part: public knowledge, where the cost of this very
    query would tell how long the answer is going to be. Events that change costs do not change the list. A call that
    costs more than what is left is paid in full, and ``overspent_usd`` states it. Free arms are always open.

    **Without money.** A query on which no open arm can be afforded goes unanswered: it brings nothing, and the
    next one is asked. When no query of the window can be answered any more, the episode ends with
    ``terminated=True``, and what remains of the window brings nothing; otherwise it ends so at the end of the window.
    It is never truncated: the end of the window is part of the problem, and is seen coming.

    **Info.** Of the query now asked (at the end: of the last one answered): ``step``, ``query_id``, ``task`` and
    ``action_mask``. Of the window: ``spent_usd``, ``left_usd``, ``overspent_usd``, ``queries_left`` (with the one now
    asked) and ``unanswered``. After ``step`` also what came of the answer, as in
    :class:`env.routing_env.RoutingEnv`: ``score``, ``cost_usd``, ``latency_s``, ``refused``, ``propensity``,
    ``judgements`` with delayed feedback, ``imputed`` with modelled outcomes. A refused query is over, too.

    Args:
        trace: see :class:`env.routing_env.RoutingEnv`.
        window: queries of an episode.
        budget: dollars for the window, as a share of the way from what it costs at list prices to always take
            the cheapest arm (0) to what it costs to always take the dearest (1). 0.25 where neither is given.
        budget_usd: the same in dollars, instead of ``budget``.
        order: see there.
        scenario: see there.
        render_mode: nothing is drawn; only ``None``.
        **settings: see there; without ``cost_weight`` and ``max_cost_weight``.

    Raises:
        BadInput: what is wrong with the trace or an argument, and the mend.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> outcomes = Outcomes.of(np.full((4, 2), [0.2, 0.9]), np.full((4, 2), [0.0, 0.25]))
        >>> table = RoutingTable.of(Contexts.of(np.zeros((4, 1)), 2), outcomes)
        >>> env = RoutingBudgetEnv(table, window=3, budget_usd=0.3)
        >>> observation, info = env.reset(seed=0)
        >>> observation.tolist(), info["action_mask"].tolist()
        ([0.0, 1.0, 1.0], [1, 1])
        >>> observation, reward, terminated, truncated, info = env.step(1)
        >>> round(info["left_usd"], 2), info["queries_left"], info["action_mask"].tolist(), terminated
        (0.05, 2, [1, 0], False)
    """

    one_step = False

    def __init__(
        self,
        trace: str | Path | Trace | RoutingTable = "bundled",
        *,
        window: int = 256,
        budget: float | None = None,
        budget_usd: float | None = None,
        order: Order = "shuffle",
        scenario: ScenarioLike = None,
        render_mode: None = None,
        **settings: Unpack[TableSettings],
    ) -> None:
        super().__init__(table_of(trace, settings, arguments_of(RoutingBudgetEnv)), order, scenario, render_mode)
        self.window = check_window(window)
        self.price_usd = _list_prices(self.table)
        self.budget_usd = _budget(self.table.name, self.price_usd * self.window, budget, budget_usd)
        if self.budget_usd < self.price_usd.min():
            raise BadInput(
                f"{self.table.name}: no call can be paid of a budget of ${self.budget_usd:g}: the cheapest arm costs "
                f"${self.price_usd.min():g}; give a larger `budget_usd`, or a `budget` of 0 to 1"
            )
        alone = self.table.observation_space()
        assert isinstance(alone, Box)
        bound, width = float(alone.high.max()), self.table.layout.width + 2
        box: Space[Any] = Box(-bound, bound, (width,), np.float32)
        self.observation_space: Space[Floats] = box
        self._queries: Batch | None = None
        self._over = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Open the next window, or with a seed the first one of its stream.

        Args:
            seed: begins the stream of this seed.
            options: none are known.

        Raises:
            BadInput: in a whole pass there is no query on which an arm can be afforded.
        """
        self._begin(seed, options)
        for _ in range(2 + len(self.table) // self.window):
            self._queries, self._spent, self._unanswered = self._stream.take(self.window), 0.0, 0
            if self._go_on(0):
                return self._observation(), self._info()
        raise BadInput(
            f"{self.table.name}: ${self.budget_usd:g} pays for no arm that is open on any query; give a larger budget"
        )

    def step(self, action: Action) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Answer the query with an arm, pay, and go on to the next one.

        Args:
            action: the arm, 0 to K - 1.

        Raises:
            ResetNeeded: the window is over, or none was opened yet.
            BadInput: no such arm.
        """
        asked = self._asked
        if asked is None or self._over:
            raise ResetNeeded("the window is over: call reset(), which opens the next one")
        arm = self._answers.arm(action)
        outcome = self._answers.outcome(asked, arm)
        self._spent += outcome["cost_usd"] or 0.0
        self._over = not self._go_on(self._at + 1)
        return self._observation(), float(asked.reward[0, arm]), self._over, False, self._info() | outcome

    def _go_on(self, start: int) -> bool:
        """Ask the first query from ``start`` on that can be answered; False where there is none."""
        assert self._queries is not None
        affordable = self.price_usd <= max(self.budget_usd - self._spent, 0.0)
        at = _first(self._queries.mask, affordable, start)
        self._unanswered += at - start
        self._left = self.window - at
        self._over = at == self.window
        if not self._over:
            asked = self._queries.part(slice(at, at + 1))
            self._asked = asked if affordable.all() else closed(asked, ~affordable, self.table.masked_reward)
            self._at = at
        return not self._over

    def _observation(self) -> Floats:
        assert self._asked is not None
        features = self.table.observations[self._asked.rows[0]]
        left = max(self.budget_usd - self._spent, 0.0)
        money = left / self.budget_usd if self.budget_usd else 0.0
        shares = np.array([2 * money - 1, 2 * self._left / self.window - 1], dtype=np.float32)
        return np.concatenate([features, shares])

    def _info(self) -> dict[str, Any]:
        assert self._asked is not None
        left = self.budget_usd - self._spent
        return self._answers.question(self._asked) | {
            "spent_usd": self._spent,
            "left_usd": max(left, 0.0),
            "overspent_usd": max(-left, 0.0),
            "queries_left": self._left,
            "unanswered": self._unanswered,
        }


class RoutingBudgetVectorEnv(SharedTableVectorEnv):
    """``num_envs`` windows side by side, each of a stream of its own; see :class:`SharedTableVectorEnv`."""

    env_class = RoutingBudgetEnv


def _first(mask: Bools, affordable: Bools, start: int) -> int:
    """The first row from ``start`` on with an arm that is open and affordable; the number of rows if none."""
    if start < len(mask) and not (mask[start] & affordable).any():
        found = np.flatnonzero((mask[start:] & affordable).any(axis=1))
        return start + int(found[0]) if len(found) else len(mask)
    return start


def _list_prices(table: RoutingTable) -> NDArray[np.float64]:
    if table.cost_weight is None or table.cost_weight.any():
        raise BadInput(f"{table.name}: under a budget the budget is the price of money; leave `cost_weight` out")
    prices = mean_observed(table.cost_usd) if table.price_usd is None else table.price_usd
    unknown = table.allowed & np.isnan(table.cost_usd)
    if unknown.any() or np.isnan(prices).any():
        arm = int(np.argmax(unknown.any(axis=0) | np.isnan(prices)))
        raise BadInput(
            f"{table.name}: arm `{table.arms[arm]}` has answers without a recorded cost, and a budget needs one for "
            "each; leave the arm out with trace.select_arms([...]), or model them with unobserved='model'"
        )
    return prices


def _budget(name: str, window_usd: NDArray[np.float64], share: float | None, usd: float | None) -> float:
    """Dollars for a window that costs ``window_usd`` ``(K,)`` with each arm alone."""
    if usd is not None:
        if share is not None:
            raise BadInput("give `budget` (a share) or `budget_usd` (dollars), not both")
        if not 0 <= usd < np.inf:
            raise BadInput(f"budget_usd is dollars for the window, finite and 0 or more, got {usd}")
        return float(usd)
    given = _DEFAULT_SHARE if share is None else share
    if not 0 <= given <= 1:
        raise BadInput(
            f"budget is a share, from always the cheapest arm (0) to always the dearest (1), got {given}; "
            "dollars are `budget_usd`"
        )
    if np.ptp(window_usd) == 0:
        raise BadInput(f"{name}: all arms cost the same, so that a share of their gap says nothing; give `budget_usd`")
    return float(window_usd.min() + given * np.ptp(window_usd))
