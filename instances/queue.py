"""The queue in front of one instance: ``env.scheduling`` driven by asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from env.errors import PointsmanError
from env.scheduling import Priority, QueueFull, Scheduler, Ticket

_Grant: TypeAlias = asyncio.Future[None]


class DeadlineExpired(PointsmanError):
    """The request's deadline passed while it waited; it was dropped before it cost anything."""


class InstanceQueue:
    """Lets ``concurrency`` calls through at once and makes the others wait in the scheduler's order.

    A slot is held by an ``async with`` block, so that a cancelled, failed or abandoned call, plain or
    streamed, gives it back in one place.

    Example:
        >>> async def call(queue: InstanceQueue) -> str:
        ...     async with queue.slot() as waited_s:
        ...         return f"waited {waited_s:.0f} s"
        >>> asyncio.run(call(InstanceQueue(concurrency=1)))
        'waited 0 s'
    """

    def __init__(
        self,
        *,
        concurrency: int,
        max_length: int = 256,
        ageing_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.concurrency = concurrency
        self.busy = 0
        self._clock = clock
        self._scheduler = Scheduler[_Grant](max_length=max_length, ageing_s=ageing_s, on_expired=_refuse)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._scheduler)

    @property
    def full(self) -> bool:
        """True when a request would be refused now."""
        return self.busy >= self.concurrency and self.waiting >= self._scheduler.max_length

    def expected_wait(self, priority: Priority = Priority.NORMAL) -> float:
        """Seconds that a request of this class would wait now, by the running mean of the service time."""
        return self._scheduler.expected_wait(priority, self.busy, self.concurrency)

    @asynccontextmanager
    async def slot(
        self, *, priority: Priority = Priority.NORMAL, agent: str = "", deadline: float | None = None
    ) -> AsyncIterator[float]:
        """Wait for a turn, hold it for the block, and learn from its length how long calls take.

        Args:
            priority: class of the request.
            agent: who asks.
            deadline: on this queue's clock; a request still waiting then is dropped.

        Yields:
            Seconds waited.

        Raises:
            QueueFull: too many wait already.
            DeadlineExpired: the deadline passed first.
        """
        submitted = self._clock()
        await self._acquire(submitted, priority, agent, deadline)
        granted = self._clock()
        try:
            yield granted - submitted
        except BaseException:
            # A failure is often quick: counted as a service time, it would make a broken instance look fast.
            self._release()
            raise
        self._scheduler.served(self._clock() - granted)
        self._release()

    async def _acquire(self, now: float, priority: Priority, agent: str, deadline: float | None) -> None:
        if deadline is not None and now >= deadline:
            raise DeadlineExpired("the deadline passed before the request was queued")
        if self.busy < self.concurrency and not self._scheduler:
            self.busy += 1
            return
        loop = asyncio.get_running_loop()
        grant: _Grant = loop.create_future()
        ticket = self._scheduler.submit(
            grant, now, priority=priority, agent=agent, deadline=deadline, concurrency=self.concurrency
        )
        timer = None if deadline is None else loop.call_later(deadline - now, self._expire, ticket)
        try:
            await grant
        except asyncio.CancelledError:
            self._scheduler.cancel(ticket)
            if grant.done() and not grant.cancelled() and grant.exception() is None:
                self._release()  # granted and cancelled in the same turn of the loop
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _expire(self, ticket: Ticket[_Grant]) -> None:
        if self._scheduler.cancel(ticket):
            _refuse(ticket)

    def _release(self) -> None:
        self.busy -= 1
        while self.busy < self.concurrency and (ticket := self._scheduler.pop(self._clock())) is not None:
            if not ticket.item.done():  # done: its caller was cancelled and has not run since
                self.busy += 1
                ticket.item.set_result(None)


def _refuse(ticket: Ticket[_Grant]) -> None:
    if not ticket.item.done():
        ticket.item.set_exception(DeadlineExpired("the deadline passed while the request waited"))


__all__ = ["DeadlineExpired", "InstanceQueue", "QueueFull"]
