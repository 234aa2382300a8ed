"""The asynchronous queue: order, limits, cancellation, deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from env.scheduling import Priority
from instances.queue import DeadlineExpired, InstanceQueue, QueueFull


async def _hold(queue: InstanceQueue, gate: asyncio.Event) -> None:
    async with queue.slot():
        await gate.wait()


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def _occupied(queue: InstanceQueue) -> tuple[asyncio.Event, asyncio.Task[None]]:
    gate = asyncio.Event()
    holder = asyncio.create_task(_hold(queue, gate))
    await _settle()
    return gate, holder


def _recorder(queue: InstanceQueue, log: list[str]) -> Callable[[str, Priority], Coroutine[Any, Any, None]]:
    async def ask(name: str, priority: Priority) -> None:
        async with queue.slot(priority=priority):
            log.append(name)

    return ask


async def test_waiting_requests_are_served_by_priority() -> None:
    queue, log = InstanceQueue(concurrency=1), list[str]()
    gate, holder = await _occupied(queue)
    ask = _recorder(queue, log)
    async with asyncio.TaskGroup() as group:
        for name, priority in [("low", Priority.LOW), ("normal", Priority.NORMAL), ("high", Priority.HIGH)]:
            group.create_task(ask(name, priority))
        await _settle()
        gate.set()
    await holder
    assert log == ["high", "normal", "low"]


async def test_never_more_calls_at_once_than_the_limit() -> None:
    queue, most = InstanceQueue(concurrency=3), 0

    async def call() -> None:
        nonlocal most
        async with queue.slot():
            most = max(most, queue.busy)
            await asyncio.sleep(0)

    await asyncio.gather(*(call() for _ in range(20)))
    assert most == 3
    assert queue.busy == 0


async def test_cancelling_a_waiting_request_leaves_the_queue() -> None:
    queue = InstanceQueue(concurrency=1)
    gate, holder = await _occupied(queue)
    waiting = asyncio.create_task(_hold(queue, gate))
    await _settle()
    assert queue.waiting == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert queue.waiting == 0
    gate.set()
    await holder
    assert queue.busy == 0


async def test_cancelling_a_running_call_frees_the_slot_for_the_next() -> None:
    queue, log = InstanceQueue(concurrency=1), list[str]()
    _, holder = await _occupied(queue)
    next_one = asyncio.ensure_future(_recorder(queue, log)("next", Priority.NORMAL))
    await _settle()
    holder.cancel()
    await asyncio.gather(holder, return_exceptions=True)
    await next_one
    assert log == ["next"]
    assert queue.busy == 0


async def test_a_slot_granted_to_a_request_cancelled_in_the_same_moment_is_not_lost() -> None:
    queue = InstanceQueue(concurrency=1)
    gate, holder = await _occupied(queue)
    waiting = asyncio.create_task(_hold(queue, gate))
    await _settle()
    holder.cancel()
    await asyncio.sleep(0)  # the slot is granted to `waiting`, which has not run yet
    waiting.cancel()
    await asyncio.gather(holder, waiting, return_exceptions=True)
    assert queue.busy == 0
    assert queue.waiting == 0


async def test_a_deadline_drops_the_request_without_a_call() -> None:
    queue = InstanceQueue(concurrency=1)
    loop = asyncio.get_running_loop()
    gate, holder = await _occupied(queue)
    with pytest.raises(DeadlineExpired):
        async with queue.slot(deadline=loop.time() + 0.02):
            pytest.fail("served after its deadline")
    gate.set()
    await holder
    with pytest.raises(DeadlineExpired):
        async with queue.slot(deadline=loop.time() - 1):
            pytest.fail("served after its deadline")
    assert queue.busy == 0


async def test_a_full_queue_refuses() -> None:
    queue = InstanceQueue(concurrency=1, max_length=0)
    gate, holder = await _occupied(queue)
    assert queue.full
    with pytest.raises(QueueFull):
        async with queue.slot():
            pytest.fail("served beyond the bound")
    gate.set()
    await holder
    assert not queue.full


async def test_a_failed_call_does_not_make_the_instance_look_fast() -> None:
    now = 0.0
    queue = InstanceQueue(concurrency=1, clock=lambda: now)
    async with queue.slot():
        now += 2.0
    with pytest.raises(RuntimeError):
        async with queue.slot():
            raise RuntimeError("connection refused at once")
    gate, holder = await _occupied(queue)
    assert queue.expected_wait() == 2.0
    gate.set()
    await holder
