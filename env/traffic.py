"""Queues in front of the arms, driven by simulated time: who waits how long, who is served, who fails.

The queues are those of the live runtime: each arm has an :class:`env.scheduling.Scheduler` (the class behind
``instances/queue.py``) and a number of calls that it takes at once. Only the clock differs: here it jumps from event to
event, so that an hour of traffic is replayed in a second.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Ints
from env.errors import BadInput
from env.scheduling import Priority, QueueFull, Scheduler, Ticket, TicketState, TokenBucket
from env.trace import Trace

PerArm: TypeAlias = float | Sequence[float] | NDArray[np.floating]
"""One number for all arms, or one for each."""
Failure: TypeAlias = Literal["queue_full", "deadline"]

# What happens at one moment happens in this order: a deadline that falls on the end of another call has passed.
_DEADLINE, _DONE, _TOKEN = range(3)


class Completion(NamedTuple):
    """How a request ended; every request ends once.

    Attributes:
        ticket: its number.
        arm: where it was sent.
        wait_s: seconds in the queue.
        latency_s: seconds from submission to the end, the wait included.
        failure: ``None`` if it was answered; ``"queue_full"``: refused at once; ``"deadline"``: given up.
        called: False if it never left the queue, and so cost nothing.
    """

    ticket: int
    arm: int
    wait_s: float
    latency_s: float
    failure: Failure | None
    called: bool


@dataclass(slots=True, eq=False)
class _Request:
    number: int
    arm: int
    submitted: float
    service_s: float
    deadline: float | None
    started: float | None = None


_Event: TypeAlias = tuple[float, int, int, _Request | None, Ticket[_Request] | None]


class Fleet:
    """``K`` arms with a queue each.

    A request waits until its arm has a free slot (and, under a rate limit, a token), then holds the slot for its
    service time. As in the runtime a deadline ends it wherever it is: in the queue, unserved and free of charge,
    or in the middle of its call; a call that was cut short teaches the scheduler nothing about service times.

    Args:
        n_arms: ``K``.
        concurrency: calls that an arm takes at once, 1 or more.
        max_length: requests that may wait for an arm; one more fails at once.
        ageing_s: see :class:`env.scheduling.Scheduler`.
        requests_per_s: rate limit of each arm; ``None`` for none.
        burst: requests that a rate limit lets through at once after a rest.
        mean_service_s: what is known of each arm's service times beforehand; ``None`` where the queues are to learn
            it from their first calls, until when they expect no waits.

    Example:
        >>> fleet = Fleet(2)
        >>> [fleet.submit(0.0, arm=0, service_s=2.0) for _ in range(2)]
        [0, 1]
        >>> [(done.ticket, done.wait_s, done.latency_s) for done in fleet.advance(5.0)]
        [(0, 0.0, 2.0), (1, 2.0, 4.0)]
        >>> fleet.request_seconds
        6.0
    """

    def __init__(
        self,
        n_arms: int,
        *,
        concurrency: PerArm = 1,
        max_length: int = 256,
        ageing_s: float = 5.0,
        requests_per_s: PerArm | None = None,
        burst: float = 1.0,
        mean_service_s: PerArm | None = None,
    ) -> None:
        self.n_arms = n_arms
        self.concurrency = concurrencies(concurrency, n_arms)
        if max_length < 0 or not ageing_s > 0:
            raise BadInput(f"max_length is 0 or more and ageing_s above 0, got {max_length} and {ageing_s:g}")
        known = [None] * n_arms if mean_service_s is None else per_arm(mean_service_s, n_arms, "mean_service_s")
        self._queues = [
            Scheduler[_Request](max_length=max_length, ageing_s=ageing_s, mean_service_s=mean) for mean in known
        ]
        self._buckets: list[TokenBucket] | None = None
        if requests_per_s is not None:
            limits = per_arm(requests_per_s, n_arms, "requests_per_s")
            self._buckets = [TokenBucket(limit, burst) for limit in limits]
        self._busy = [0] * n_arms
        self._waking: list[float | None] = [None] * n_arms
        self._events: list[_Event] = []
        self._done: list[Completion] = []
        self._numbers = 0
        self._in_system = 0
        self.now = 0.0
        self.request_seconds = 0.0
        """Integral over time of the number of requests in the system: what all requests spent in it, to date."""

    def __len__(self) -> int:
        """Requests in the system, waiting or being answered."""
        return self._in_system

    def submit(
        self,
        now: float,
        arm: int,
        service_s: float,
        *,
        priority: Priority = Priority.NORMAL,
        deadline: float | None = None,
    ) -> int:
        """Send a request to an arm; what comes of it is told by :meth:`advance`.

        Args:
            now: time of arrival; what is due until then happens first.
            arm: 0 to ``K - 1``.
            service_s: how long the call will take, once it is let through.
            priority: class in the queue.
            deadline: time at which it fails, unless it has been answered.

        Returns:
            The number of its ticket, counted from 0.

        Raises:
            BadInput: a time that lies in the past, or a service time that is none.
        """
        self._run(now)
        if not 0 <= service_s < math.inf:
            raise BadInput(f"arm {arm}: a service time is 0 s or more, got {service_s}")
        request = _Request(self._numbers, arm, now, service_s, deadline)
        self._numbers += 1
        self._in_system += 1
        if deadline is not None and deadline <= now:
            self._end(request, "deadline")
        elif self._idle(arm):
            self._start(request)
        else:
            self._enqueue(request, priority)
        return request.number

    def advance(self, to: float) -> list[Completion]:
        """Let time pass, and tell what ended since the last call, in the order in which it did.

        Raises:
            BadInput: a time that lies in the past.
        """
        self._run(to)
        done, self._done = self._done, []
        return done

    def drain(self) -> list[Completion]:
        """Let time pass until the last request has ended, and tell what ended since the last call."""
        while self._in_system:
            self._run(self._events[0][0])
        done, self._done = self._done, []
        return done

    def load(self, now: float, priority: Priority = Priority.NORMAL) -> NDArray[np.float64]:
        """``(K,)`` seconds that a request would expect to wait if it were submitted now, by what the queues know."""
        self._run(now)
        waits = [
            queue.expected_wait(priority, busy, slots)
            for queue, busy, slots in zip(self._queues, self._busy, self.concurrency, strict=True)
        ]
        if self._buckets is not None:
            limits = zip(self._buckets, self._queues, strict=True)
            waits = [
                max(wait, bucket.wait(now, len(queue) + 1)) for wait, (bucket, queue) in zip(waits, limits, strict=True)
            ]
        return np.array(waits)

    def depth(self, now: float | None = None) -> Ints:
        """``(K,)`` requests at each arm, waiting or being answered; now, or as it was left."""
        if now is not None:
            self._run(now)
        return np.array([len(queue) + busy for queue, busy in zip(self._queues, self._busy, strict=True)])

    def full(self) -> Bools:
        """``(K,)`` True where a request would be refused now."""
        return np.array([len(q) >= q.max_length and not self._idle(arm) for arm, q in enumerate(self._queues)])

    def _idle(self, arm: int) -> bool:
        """True if a request would be let through at once, which is also when nobody waits before it."""
        if self._busy[arm] >= self.concurrency[arm] or self._queues[arm]:
            return False
        return self._buckets is None or self._buckets[arm].ready_at <= self.now

    def _enqueue(self, request: _Request, priority: Priority) -> None:
        arm = request.arm
        try:
            ticket = self._queues[arm].submit(
                request,
                self.now,
                priority=priority,
                deadline=request.deadline,
                concurrency=self.concurrency[arm],
            )
        except QueueFull:
            self._end(request, "queue_full")
            return
        if request.deadline is not None:
            self._later(request.deadline, _DEADLINE, request, ticket)
        self._serve(arm)  # the slot may be free, and only the token missing

    def _run(self, to: float) -> None:
        if not to >= self.now:
            raise BadInput(f"time runs forwards: it is {self.now:g} s already, {to:g} s is past")
        while self._events and self._events[0][0] <= to:
            time, kind, number, request, ticket = heapq.heappop(self._events)
            self._pass(time)
            if kind == _TOKEN:
                self._waking[number] = None
                self._serve(number)
            elif kind == _DONE:
                assert request is not None
                self._finish(request)
            elif ticket is not None and ticket.state is TicketState.WAITING:
                self._queues[ticket.item.arm].cancel(ticket)
                self._end(ticket.item, "deadline")
        self._pass(to)

    def _pass(self, to: float) -> None:
        if self._in_system:  # an endless rest of an empty system is no time at all
            self.request_seconds += self._in_system * (to - self.now)
        self.now = to

    def _later(self, time: float, kind: int, request: _Request, ticket: Ticket[_Request] | None = None) -> None:
        heapq.heappush(self._events, (time, kind, request.number, request, ticket))

    def _start(self, request: _Request) -> None:
        arm = request.arm
        if self._buckets is not None:
            self._buckets[arm].take(self.now)
        self._busy[arm] += 1
        request.started = self.now
        ends = self.now + request.service_s
        self._later(ends if request.deadline is None else min(ends, request.deadline), _DONE, request)

    def _serve(self, arm: int) -> None:
        """Let through whom slots and tokens allow; come back when the next token is there."""
        queue = self._queues[arm]
        while self._busy[arm] < self.concurrency[arm] and queue:
            if self._buckets is not None and (ready := self._buckets[arm].ready_at) > self.now:
                if self._waking[arm] is None:
                    self._waking[arm] = ready
                    heapq.heappush(self._events, (ready, _TOKEN, arm, None, None))
                return
            ticket = queue.pop(self.now)
            if ticket is None:
                return
            self._start(ticket.item)

    def _finish(self, request: _Request) -> None:
        assert request.started is not None
        arm = request.arm
        self._busy[arm] -= 1
        if request.deadline is not None and request.started + request.service_s > request.deadline:
            self._end(request, "deadline")
        else:
            self._queues[arm].served(request.service_s)
            self._end(request, None)
        self._serve(arm)

    def _end(self, request: _Request, failure: Failure | None) -> None:
        self._in_system -= 1
        called = request.started is not None
        until = self.now if request.started is None else request.started
        self._done.append(
            Completion(
                request.number, request.arm, until - request.submitted, self.now - request.submitted, failure, called
            )
        )


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """How long calls take where no latency was recorded: the time to the first token, and a time for each.

    Attributes:
        ttft_s: seconds to the first token.
        s_per_output_token: seconds for each token of the answer.

    Each is one number for all arms, or one for each.

    Example:
        >>> from env.trace_io import from_rows
        >>> trace = from_rows([{"query_id": "q", "prompt": "2 + 2?", "model": "a", "score": 1.0, "output_tokens": 50}])
        >>> ServiceTime(ttft_s=0.5, s_per_output_token=0.02).fill(trace).latency_s.tolist()
        [[1.5]]
    """

    ttft_s: PerArm
    s_per_output_token: PerArm

    def fill(self, trace: Trace) -> Trace:
        """The trace with a latency wherever none was recorded but the answer's tokens were counted.

        Raises:
            BadInput: a number of arms that is not the trace's, or a time below 0.
        """
        first = per_arm(self.ttft_s, trace.n_arms, "ttft_s", zero=True)
        each = per_arm(self.s_per_output_token, trace.n_arms, "s_per_output_token", zero=True)
        counted = np.asarray(first) + np.asarray(each) * trace.output_tokens
        latency = np.where(np.isnan(trace.latency_s), counted, trace.latency_s)
        return replace(trace, latency_s=latency.astype(np.float32))


def per_arm(given: PerArm, n_arms: int, what: str, *, zero: bool = False) -> list[float]:
    """One number for each arm.

    Raises:
        BadInput: another number of them, or one that is not above 0 (or, with ``zero``, below it).
    """
    values = np.asarray(given, dtype=np.float64)
    if values.shape not in ((), (n_arms,)):
        raise BadInput(f"{what} is one number, or one for each of {n_arms} arms; got {values.size}")
    if not (np.isfinite(values) & ((values >= 0) if zero else (values > 0))).all():
        raise BadInput(f"{what} is {'0 or more' if zero else 'above 0'}, got {values.min():g}")
    return [float(value) for value in np.broadcast_to(values, (n_arms,))]


def concurrencies(given: PerArm, n_arms: int) -> list[int]:
    """The calls that each arm takes at once.

    Raises:
        BadInput: another number of them, or one that is no whole number of 1 or more.
    """
    values = per_arm(given, n_arms, "concurrency")
    for value in values:
        if value != int(value):
            raise BadInput(f"concurrency is a whole number of calls, got {value:g}")
    return [int(value) for value in values]
