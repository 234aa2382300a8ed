"""The scheduler in front of a model: who goes next, who is refused, how long it will take.

No I/O and no clock of its own: ``now`` is passed in, so that simulated traffic and the live queues run the
same code. Strict priority classes with ageing: a waiting ticket rises by one class every ``ageing_s``, and
inside a class the oldest goes first. A ticket of class ``c`` is therefore in the first class after
``c * ageing_s`` at the latest, where only tickets older than itself go before it: none starves.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Generic, TypeVar

from env.errors import BadInput, PointsmanError, nearest

T = TypeVar("T")

_SERVICE_MEMORY = 0.1
"""Weight of the newest service time in the running mean: about the last twenty calls count."""


class Priority(IntEnum):
    """Who goes first; a class is served only when the ones before it are empty (but see ageing)."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3

    @classmethod
    def parse(cls, text: str | int) -> Priority:
        """The class of a name or a number.

        Raises:
            ValueError: neither a class's name nor its number.

        Example:
            >>> Priority.parse("high"), Priority.parse("3")
            (<Priority.HIGH: 1>, <Priority.LOW: 3>)
        """
        word = str(text).strip().lower()
        for priority in cls:
            if word in (priority.name.lower(), str(priority.value)):
                return priority
        raise ValueError(f"unknown priority `{word}`{nearest(word, (p.name.lower() for p in cls))}")


class TicketState(StrEnum):
    """Where a ticket is in its life; every ticket ends in exactly one of the last three."""

    WAITING = "waiting"
    SERVED = "served"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class QueueFull(PointsmanError):
    """The queue takes no more; ``retry_after_s`` is when a place is expected."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """A request in the queue.

    Attributes:
        item: what the caller queued.
        priority: class at submission, 0 first.
        agent: who asks.
        submitted: time of submission, in seconds of the caller's clock.
        deadline: after this time it is worth nothing and is dropped; ``None`` waits for ever.
    """

    item: T
    priority: int
    agent: str
    submitted: float
    deadline: float | None
    number: int
    state: TicketState = TicketState.WAITING

    def overdue(self, now: float) -> bool:
        """True once the deadline has passed."""
        return self.deadline is not None and now >= self.deadline


class Scheduler(Generic[T]):
    """A bounded queue with priority classes, ageing and deadlines.

    Example:
        >>> queue = Scheduler[str](ageing_s=10.0)
        >>> _ = queue.submit("report", now=0.0, priority=Priority.LOW)
        >>> _ = queue.submit("chat", now=1.0, priority=Priority.HIGH)
        >>> queue.pop(now=2.0).item
        'chat'
    """

    def __init__(
        self,
        *,
        max_length: int = 256,
        ageing_s: float = 5.0,
        mean_service_s: float | None = None,
        on_expired: Callable[[Ticket[T]], None] | None = None,
    ) -> None:
        """An empty queue.

        Args:
            max_length: tickets that may wait; one more raises ``QueueFull``.
            ageing_s: waiting time that lifts a ticket by one class.
            mean_service_s: how long calls took before this queue began, where that is known.
            on_expired: called with each ticket that is dropped past its deadline.
        """
        self.max_length = max_length
        self.ageing_s = ageing_s
        self._on_expired = on_expired
        self._classes: list[OrderedDict[int, Ticket[T]]] = [OrderedDict() for _ in Priority]
        self._numbers = 0
        self._length = 0
        self._mean_service_s = mean_service_s

    def __len__(self) -> int:
        return self._length

    @property
    def mean_service_s(self) -> float:
        """Running mean of the service time in seconds; 0 while nothing is known."""
        return self._mean_service_s or 0.0

    def submit(
        self,
        item: T,
        now: float,
        *,
        priority: Priority = Priority.NORMAL,
        agent: str = "",
        deadline: float | None = None,
        concurrency: int = 1,
    ) -> Ticket[T]:
        """Queue ``item``.

        Args:
            item: anything.
            now: the caller's clock, in seconds.
            priority: class, 0 first.
            agent: who asks.
            deadline: time after which the ticket is dropped unserved.
            concurrency: servers behind the queue, for the ``retry_after_s`` of a refusal.

        Raises:
            QueueFull: ``max_length`` tickets wait, none of them overdue.
        """
        if self._length >= self.max_length:
            self.expire(now)
        if self._length >= self.max_length:
            # A place is free when the next ticket leaves, not when the whole queue has drained.
            raise QueueFull(f"{self._length} requests wait already", self.mean_service_s / concurrency)
        self._numbers += 1
        ticket = Ticket(item, int(priority), agent, now, deadline, self._numbers)
        self._classes[ticket.priority][ticket.number] = ticket
        self._length += 1
        return ticket

    def pop(self, now: float) -> Ticket[T] | None:
        """The ticket to serve now, or ``None``; overdue tickets in its way are dropped."""
        while (ticket := self._first(now)) is not None:
            if not ticket.overdue(now):
                self._remove(ticket, TicketState.SERVED)
                return ticket
            self._drop(ticket)
        return None

    def cancel(self, ticket: Ticket[T]) -> bool:
        """Take a waiting ticket out; False when it has been served, dropped or cancelled before."""
        if ticket.state is not TicketState.WAITING:
            return False
        self._remove(ticket, TicketState.CANCELLED)
        return True

    def expire(self, now: float) -> list[Ticket[T]]:
        """Drop and return every overdue ticket."""
        overdue = [ticket for waiting in self._classes for ticket in waiting.values() if ticket.overdue(now)]
        for ticket in overdue:
            self._drop(ticket)
        return overdue

    def served(self, service_s: float) -> None:
        """Learn how long a call took, from the moment its ticket was popped."""
        mean = self._mean_service_s
        self._mean_service_s = service_s if mean is None else mean + _SERVICE_MEMORY * (service_s - mean)

    def expected_wait(self, priority: Priority, busy: int, concurrency: int) -> float:
        """Seconds that a ticket submitted now would wait.

        Args:
            priority: its class.
            busy: calls in flight.
            concurrency: calls that may be in flight.

        Returns:
            0 with a free server and nobody ahead. Otherwise every ticket of its class or one before it, and
            the call that frees the first server, each take the mean service time; the latter because what
            is left of a call is as long as a new one when call lengths are memoryless.
        """
        ahead = sum(len(waiting) for waiting in self._classes[: priority + 1])
        if busy + ahead < concurrency:
            return 0.0
        return (ahead + 1) * self.mean_service_s / concurrency

    def _first(self, now: float) -> Ticket[T] | None:
        """Inside a class the head is the oldest, so it has aged the most: only heads compete."""
        best: Ticket[T] | None = None
        best_class = len(self._classes)
        for waiting in self._classes:
            if not waiting:
                continue
            head = next(iter(waiting.values()))
            aged = max(0, head.priority - int((now - head.submitted) / self.ageing_s))
            if best is None or aged < best_class or (aged == best_class and head.number < best.number):
                best, best_class = head, aged
        return best

    def _drop(self, ticket: Ticket[T]) -> None:
        self._remove(ticket, TicketState.EXPIRED)
        if self._on_expired is not None:
            self._on_expired(ticket)

    def _remove(self, ticket: Ticket[T], state: TicketState) -> None:
        del self._classes[ticket.priority][ticket.number]
        ticket.state = state
        self._length -= 1


class TokenBucket:
    """A rate limit: ``rate`` requests a second in the long run, and ``burst`` of them at once.

    Kept as the one time at which the bucket would be full again (the generic cell rate algorithm), not as a level
    that is topped up: so a request held back until :attr:`ready_at` is let through then, whatever was rounded.

    Example:
        >>> bucket = TokenBucket(rate=2.0, burst=2)
        >>> [bucket.take(0.0), bucket.take(0.0), bucket.take(0.0)]
        [True, True, False]
        >>> bucket.ready_at, bucket.take(0.5)
        (0.5, True)
    """

    def __init__(self, rate: float, burst: float = 1.0) -> None:
        """A full bucket.

        Args:
            rate: requests per second, above 0.
            burst: requests that may come at once after a rest, 1 or more.
        """
        if not 0 < rate < math.inf or not 1 <= burst < math.inf:
            raise BadInput(f"a rate limit is above 0 and its burst 1 or more, got {rate:g} and {burst:g}")
        self.rate = rate
        self.burst = burst
        self._full_at = -math.inf

    @property
    def ready_at(self) -> float:
        """When the next request is let through; it may lie in the past."""
        return self._full_at - (self.burst - 1) / self.rate

    def take(self, now: float) -> bool:
        """Let a request through, or say that the limit is reached."""
        if now < self.ready_at:
            return False
        self._full_at = max(self._full_at, now) + 1 / self.rate
        return True

    def wait(self, now: float, requests: int = 1) -> float:
        """Seconds until the last of so many requests is let through, all of which wait for nothing else."""
        return max(0.0, max(self._full_at - now, 0.0) + (requests - self.burst) / self.rate)
