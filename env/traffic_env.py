"""``pointsman/RoutingTraffic-v0``: requests arrive over time, arms have queues, waiting costs. A sequential problem."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Space
from numpy.typing import NDArray

from env.answers import closed
from env.arrivals import ArrivalsLike, ArrivalStream
from env.contexts import Floats, mean_observed
from env.errors import BadInput
from env.pending import Judgement
from env.routing_table import RoutingTable
from env.scenarios import ScenarioLike
from env.stream import Batch, Order
from env.stream_env import Action, StreamEnv, check_window
from env.sync_vector_env import SharedTableVectorEnv
from env.trace import Trace
from env.trace_table import KEPT_TABLES, SameTrace, TableSettings, arguments_of, table_of, trace_of
from env.traffic import Completion, Fleet, PerArm, ServiceTime, concurrencies, per_arm

DEFAULT_LATENCY_WEIGHT = 0.02
"""Score points per second: where nothing is said, a minute of waiting is worth more than any answer."""
DEFAULT_UTILISATION = 0.9
_SERVICE_TIME = '{"ttft_s": ..., "s_per_output_token": ...}'


class RoutingTrafficEnv(StreamEnv):
    """Routing under load: an episode is a window of requests, which arrive over time and wait in the arms' queues.

    ``reset()`` opens the next window with empty queues; ``step(arm)`` sends the request now asked to an arm, lets time
    pass until the next one arrives, and shows it. At the end of the window the last step lasts until every request has
    ended. Queries, outcomes and arrival times do not depend on the agent: each reset moves on by a whole window,
    whatever was answered. The queues are the runtime's (:class:`env.traffic.Fleet`), in simulated time: a call takes
    the latency that was recorded for it.

    **Why gamma matters here.** In ``Routing-v0`` an answer changes nothing that comes later, and gamma has nothing to
    act on. Here a request sent to a busy arm makes all that follow it there wait, until the queue has run empty: the
    worth of an arm is its reward minus the waits it causes later, and only the return tells. Discounting counts steps,
    not seconds, so in a burst, where steps follow each other closely, a small gamma forgets the queue before it was
    felt. Use ``gamma=1``, or so that ``1 / (1 - gamma)`` is several times the requests that a burst brings; 0.99 looks
    about a hundred requests ahead.

    **What the agent sees.** The features of the query and, with ``cost_weight="observe"``, the cost weight; then for
    each arm the wait ``w`` that its queue expects, as ``w / (w + wait_scale_s)``; then for each arm the ``n`` requests
    that are there, waiting or being answered, as ``n / (n + concurrency)``: a half is every slot taken. The queues
    learn service times from the calls that ended, so that before the first of an episode they expect no wait. After the
    last answer: its query once more, with empty queues.

    **Reward.** ``score - cost_weight * cost_usd`` of the arm chosen, minus ``latency_weight`` times the integral, until
    the next arrival, of the number of requests in the system. Each second that a request spends waiting or being
    answered is so charged when it passes, and over an episode the rewards add up to
    ``sum(score - cost_weight * cost_usd) - latency_weight * sum(latencies, waits included)``.

    **Failures.** A request whose deadline passes in the queue scores 0 and costs nothing; one whose call is cut short
    scores 0 and is paid for. What the step of its choice had granted is taken back in the reward of the step in which
    it fails. A request sent to a full queue is worth 0 at once. Full queues are masked, unless all are full: then every
    choice fails. A choice that the mask forbids is ``refused``; where the query itself forbade the arm, it is not
    called and brings ``masked_reward``.

    **Info.** Of the query now asked (at the end: of the last one): ``step``, ``query_id``, ``task``, ``cost_weight``,
    ``action_mask``, ``now_s`` since the window began, and ``expected_wait_s``, a tuple of K. After ``step`` also
    ``refused``, ``propensity`` and ``imputed`` of the choice, as in :class:`env.routing_env.RoutingEnv`, and
    ``completed``: for each request that ended since, in that order, a dict of ``step``, ``arm``, ``wait_s``,
    ``latency_s`` with the wait, ``failed``, ``score`` (0 where it failed; ``None`` where it is judged later, or never)
    and ``cost_usd``, what was really paid (``None`` where not recorded). Nobody knows what a request brings before it
    has ended: so the ``score``, ``cost_usd`` and ``latency_s`` of a step's own info are always ``None``, and averages
    are taken over ``completed``. A refused choice of an arm that the query itself forbade is no request.

    With delayed feedback ``judgements`` come no earlier than the request has ended, in a later window where need be;
    of a request that failed, or was still on its way when its window was left early, none comes.

    Args:
        trace: see :class:`env.routing_env.RoutingEnv`; every outcome needs a latency.
        arrivals: ``"poisson"``, ``"bursty"`` (gaps with a standard deviation of 4 means, a cv of 4;
            ``{"kind": "bursty", "cv": ...}`` for another), the name or path of recorded ones, and more: see
            :class:`env.arrivals.ArrivalStream`.
        utilisation: how busy the arm with the best mean score would be if it answered everything: 1 is all it
            can do. 0.9 where neither this nor ``rate`` is given.
        rate: requests per second, instead of ``utilisation``.
        window: requests of an episode.
        concurrency: calls that an arm takes at once; one number, or one for each arm.
        max_length: requests that may wait for an arm.
        deadline_s: seconds after its arrival at which a request fails; ``None`` for never.
        requests_per_s: rate limit of each arm, likewise; ``None`` for none.
        burst: requests that a rate limit lets through at once after a rest.
        wait_scale_s: the expected wait that is shown as a half.
        service_time: ``{"ttft_s": ..., "s_per_output_token": ...}`` for calls without a recorded latency, see
            :class:`env.traffic.ServiceTime`.
        order: see :class:`env.routing_env.RoutingEnv`.
        scenario: see there; an arm that slows down fills its queue.
        render_mode: nothing is drawn; only ``None``.
        **settings: see there; ``latency_weight`` is 0.02 where it is not given.

    Raises:
        BadInput: what is wrong with the trace or an argument, and the mend.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> outcomes = Outcomes.of(np.full((4, 2), [0.5, 0.75]), latency_s=np.full((4, 2), [1.0, 2.0]))
        >>> table = RoutingTable.of(Contexts.of(np.zeros((4, 1)), 2, latency_weight=0.125), outcomes)
        >>> env = RoutingTrafficEnv(table, rate=1.0, window=2)
        >>> observation, info = env.reset(seed=0)
        >>> observation.tolist(), info["action_mask"].tolist()
        ([0.0, 0.0, 0.0, 0.0, 0.0], [1, 1])
        >>> _, first, _, _, info = env.step(1)
        >>> _, last, terminated, _, info = env.step(1)
        >>> sojourn_s = sum(request["latency_s"] for request in info["completed"])
        >>> terminated, round(first + last, 6) == round(2 * 0.75 - 0.125 * sojourn_s, 6)
        (True, True)
    """

    one_step = False

    def __init__(
        self,
        trace: str | Path | Trace | RoutingTable = "bundled",
        *,
        arrivals: ArrivalsLike = "poisson",
        utilisation: float | None = None,
        rate: float | None = None,
        window: int = 256,
        concurrency: int | Sequence[int] = 1,
        max_length: int = 256,
        deadline_s: float | None = None,
        requests_per_s: PerArm | None = None,
        burst: float = 1.0,
        wait_scale_s: float = 1.0,
        service_time: Mapping[str, PerArm] | ServiceTime | None = None,
        order: Order = "shuffle",
        scenario: ScenarioLike = None,
        render_mode: None = None,
        **settings: Unpack[TableSettings],
    ) -> None:
        for name, value in (("deadline_s", deadline_s), ("wait_scale_s", wait_scale_s)):
            if value is not None and not 0 < value < np.inf:
                raise BadInput(f"{name} is above 0 seconds, got {value}")
        super().__init__(traffic_table(trace, service_time, settings), order, scenario, render_mode)
        self.window = check_window(window)
        self.deadline_s = deadline_s
        self.latency_weight = _check_latencies(self.table)
        self._fleet_settings: dict[str, Any] = {
            "concurrency": concurrency,
            "max_length": max_length,
            "requests_per_s": requests_per_s,
            "burst": burst,
        }
        self._slots = np.array(concurrencies(concurrency, self.table.n_arms))
        self._scale_s = wait_scale_s
        if rate is not None and utilisation is not None:
            raise BadInput("give `rate` (requests per second) or `utilisation` (of the best arm), not both")
        if rate is None:
            share = DEFAULT_UTILISATION if utilisation is None else utilisation
            rate = rate_of(self.table, share, concurrency=concurrency, requests_per_s=requests_per_s)
        self.rate = float(rate)
        self._arrivals = ArrivalStream(arrivals, self.rate)
        alone = self.table.observation_space()
        assert isinstance(alone, Box)
        bound, width = float(alone.high.max()), self.table.layout.width + 2 * self.table.n_arms
        box: Space[Any] = Box(-bound, bound, (width,), np.float32)
        self.observation_space: Space[Floats] = box
        self._fleet = self._new_fleet()
        self._queries: Batch | None = None
        self._over = True

    @property
    def stream_hash(self) -> str:
        """SHA-256 (hex) of the exogenous stream since the last seeding: queries, outcomes, events and arrivals."""
        queries = bytes.fromhex(self._stream.hash)
        return hashlib.sha256(queries + self._arrivals.digest(self.window)).hexdigest()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Open the next window with empty queues, or with a seed the first window of its stream.

        Args:
            seed: begins the stream of this seed.
            options: none are known.
        """
        if self._begin(seed, options):
            self._arrivals.rewind(int(self.np_random.integers(2**63)))
            self._sent: dict[int, _Sent] = {}
            self._given_up: set[int] = set()
            self._early: list[Judgement] = []
        # Of a window that is left early, what is still on its way never ends.
        self._give_up(*self._sent.values())
        self._sent.clear()
        self._queries, self._times = self._stream.take(self.window), self._arrivals.take(self.window)
        self._fleet = self._new_fleet()
        self._charged, self._over = 0.0, False
        self._ask(0)
        return self._observation(), self._info()

    def step(self, action: Action) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Send the request to an arm, and let time pass until the next one arrives.

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
        reward = self._send(asked, arm, outcome)
        outcome |= dict.fromkeys(("score", "cost_usd", "latency_s"))
        self._over = self._at == self.window - 1
        done = self._fleet.drain() if self._over else self._fleet.advance(float(self._times[self._at + 1]))
        reward -= self.latency_weight * (self._fleet.request_seconds - self._charged)
        self._charged = self._fleet.request_seconds
        reward -= sum(self._taken_back(end) for end in done)
        outcome["completed"] = tuple(self._told(end) for end in done)
        if "judgements" in outcome:
            outcome["judgements"] = self._of_ended(outcome["judgements"])
        if not self._over:
            self._ask(self._at + 1)
        return self._observation(), float(reward), self._over, False, self._info() | outcome

    def _new_fleet(self) -> Fleet:
        return Fleet(self.table.n_arms, **self._fleet_settings)

    def _ask(self, at: int) -> None:
        assert self._queries is not None
        self._at = at
        # Whom the query itself forbids, whatever the queues say.
        self._open = self._queries.part(slice(at, at + 1))
        self._full = self._fleet.full()
        self._asked = self._open
        if self._full.any():
            shut = closed(self._open, self._full, masked_reward=0.0)
            # Someone must be chosen: where all are full, none is masked for it, and whoever is chosen fails.
            self._asked = shut if shut.mask.any() else shut._replace(mask=self._open.mask)

    def _send(self, asked: Batch, arm: int, outcome: Mapping[str, Any]) -> float:
        """Submit the request if it can be called at all; the reward of its choice, without the time it takes."""
        if not self._open.mask[0, arm]:
            return self.table.masked_reward
        step, now = int(asked.steps[0]), float(self._times[self._at])
        if self._full[arm]:
            ticket = self._fleet.submit(now, arm, 0.0)
            self._sent[ticket] = _Sent(step, 0.0, 0.0, None, None)
            return 0.0
        service_s = float(asked.latency_s[0, arm])
        deadline = None if self.deadline_s is None else now + self.deadline_s
        ticket = self._fleet.submit(now, arm, service_s, deadline=deadline)
        weight = float(asked.cost_weight[0])
        cost = weight * float(asked.cost_usd[0, arm]) if weight else 0.0
        # The reward of the stream charges the call's latency at once; here it is charged as it passes.
        granted = float(asked.reward[0, arm]) + self.latency_weight * service_s
        self._sent[ticket] = _Sent(step, granted + cost, cost, outcome["score"], outcome["cost_usd"])
        return granted

    def _taken_back(self, end: Completion) -> float:
        """What a request that failed had been granted; a call that was made stays paid for."""
        if end.failure is None:
            return 0.0
        sent = self._sent[end.ticket]
        self._give_up(sent)
        return sent.granted if end.called else sent.granted - sent.charged

    def _give_up(self, *requests: _Sent) -> None:
        if self._answers.delays:
            self._given_up.update(sent.step for sent in requests)

    def _told(self, end: Completion) -> dict[str, Any]:
        sent, failed = self._sent.pop(end.ticket), end.failure is not None
        return {
            "step": sent.step,
            "arm": end.arm,
            "wait_s": end.wait_s,
            "latency_s": end.latency_s,
            "failed": failed,
            "score": 0.0 if failed else sent.score,
            "cost_usd": sent.cost_usd if end.called else 0.0,
        }

    def _of_ended(self, due: tuple[Judgement, ...]) -> tuple[Judgement, ...]:
        """Judgements that can be told by now: of requests that have ended, and not of those that failed."""
        running = {sent.step for sent in self._sent.values()}
        judged = [judgement for judgement in (*self._early, *due) if judgement["step"] not in self._given_up]
        self._given_up.difference_update(judgement["step"] for judgement in due)
        self._early = [judgement for judgement in judged if judgement["step"] in running]
        return tuple(judgement for judgement in judged if judgement["step"] not in running)

    def _observation(self) -> Floats:
        assert self._asked is not None
        query = self.table.observe(self._asked.rows, self._asked.seen)[0]
        waits, there = self._waits(), self._fleet.depth()
        queues = np.concatenate([waits / (waits + self._scale_s), there / (there + self._slots)])
        return np.concatenate([query, queues.astype(np.float32)])

    def _info(self) -> dict[str, Any]:
        assert self._asked is not None
        return self._answers.question(self._asked) | {
            "cost_weight": float(self._asked.cost_weight[0]),
            "now_s": self._fleet.now,
            "expected_wait_s": tuple(self._waits().tolist()),
        }

    def _waits(self) -> NDArray[np.float64]:
        return self._fleet.load(self._fleet.now if self._over else float(self._times[self._at]))


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request in the system: what its choice was granted and charged at once, and what is told when it ends.

    Attributes:
        step: of its query.
        granted: the score in its reward.
        charged: the weighted cost in its reward.
        score: as judged; ``None`` where that is not known by its end.
        cost_usd: what the call costs; ``None`` where not recorded.
    """

    step: int
    granted: float
    charged: float
    score: float | None
    cost_usd: float | None


class RoutingTrafficVectorEnv(SharedTableVectorEnv):
    """``num_envs`` windows side by side, each with queues and a stream of its own; see the base class."""

    env_class = RoutingTrafficEnv

    def __init__(
        self,
        num_envs: int = 1,
        trace: str | Path | Trace | RoutingTable = "bundled",
        *,
        service_time: Mapping[str, PerArm] | ServiceTime | None = None,
        **settings: Any,
    ) -> None:
        of_table: Any = {key: settings.pop(key) for key in TableSettings.__annotations__ if key in settings}
        super().__init__(num_envs, traffic_table(trace, service_time, of_table), **settings)


def traffic_table(
    trace: str | Path | Trace | RoutingTable,
    service_time: Mapping[str, PerArm] | ServiceTime | None,
    settings: TableSettings,
) -> RoutingTable:
    """The table of an environment with traffic: latencies filled in, and a price of time unless one was given."""
    own = arguments_of(RoutingTrafficEnv)
    if isinstance(trace, RoutingTable):
        if service_time is not None:
            raise BadInput("a RoutingTable is ready as it is; `service_time` belongs where it was made")
        return table_of(trace, settings, own)
    recorded = trace_of(trace)
    if service_time is not None:
        times = service_time if isinstance(service_time, ServiceTime) else _service_time(service_time)
        recorded = _timed(SameTrace(recorded), _hashable(times.ttft_s), _hashable(times.s_per_output_token))
    if not np.isfinite(recorded.latency_s).any():
        mend = (
            f"give service_time={_SERVICE_TIME}, which makes one of the tokens of each answer"
            if service_time is None
            else "`service_time` makes one of `output_tokens`, and the trace has none"
        )
        raise BadInput(f"trace {recorded.name}: no answer has a `latency_s`, and traffic needs one for each; {mend}")
    return table_of(recorded, {"latency_weight": DEFAULT_LATENCY_WEIGHT, **settings}, own)


def rate_of(
    table: RoutingTable,
    utilisation: float,
    *,
    concurrency: int | Sequence[int] = 1,
    requests_per_s: PerArm | None = None,
) -> float:
    """Requests per second that keep the arm of the best mean score busy for a share of the time, if it takes them all.

    Raises:
        BadInput: a utilisation that is not above 0, or an arm that takes no time.
    """
    if not 0 < utilisation < np.inf:
        raise BadInput(f"utilisation is above 0 (1 is all that the best arm can do), got {utilisation}")
    best = int(np.nanargmax(mean_observed(table.score)))
    mean_s = float(mean_observed(table.latency_s[:, best]))
    if not mean_s > 0:
        raise BadInput(f"{table.name}: the best arm `{table.arms[best]}` takes no time, so nothing queues; give `rate`")
    capacity = concurrencies(concurrency, table.n_arms)[best] / mean_s
    if requests_per_s is not None:
        capacity = min(capacity, per_arm(requests_per_s, table.n_arms, "requests_per_s")[best])
    return utilisation * capacity


@functools.lru_cache(maxsize=KEPT_TABLES)
def _timed(same: SameTrace, ttft_s: float | tuple[float, ...], s_per_output_token: float | tuple[float, ...]) -> Trace:
    """One trace for equal times, so that what is made of it is made once for sixteen environments."""
    return ServiceTime(ttft_s, s_per_output_token).fill(same.trace)


def _hashable(given: PerArm) -> float | tuple[float, ...]:
    values = np.asarray(given, dtype=np.float64)
    return tuple(values.ravel().tolist()) if values.ndim else float(values)


def _service_time(given: Mapping[str, PerArm]) -> ServiceTime:
    try:
        return ServiceTime(**given)
    except TypeError as error:
        raise BadInput(f"service_time is {_SERVICE_TIME}, got {dict(given)!r}") from error


def _check_latencies(table: RoutingTable) -> float:
    unknown = table.allowed & ~np.isfinite(table.latency_s)
    if unknown.any():
        arm = int(np.argmax(unknown.any(axis=0)))
        raise BadInput(
            f"{table.name}: arm `{table.arms[arm]}` has answers without a recorded latency, and traffic needs one for "
            f"each; give service_time={_SERVICE_TIME}, which makes one of the tokens, or leave the arm out"
        )
    if np.ptp(table.latency_weight):
        raise BadInput(f"{table.name}: with traffic one `latency_weight` holds for all queries")
    return float(table.latency_weight[0])
