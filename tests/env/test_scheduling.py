"""The scheduler: order, ageing, bounds, deadlines, expected wait. The clock is a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.scheduling import Priority, QueueFull, Scheduler, Ticket, TicketState


def drain(queue: Scheduler[str], now: float) -> list[str]:
    items = []
    while (ticket := queue.pop(now)) is not None:
        items.append(ticket.item)
    return items


def test_classes_are_served_in_order_and_first_in_first_out_inside_one() -> None:
    queue = Scheduler[str]()
    for item, priority in [("l", 3), ("n1", 2), ("h", 1), ("n2", 2), ("c", 0)]:
        queue.submit(item, 0.0, priority=Priority(priority))
    assert drain(queue, 0.0) == ["c", "h", "n1", "n2", "l"]


def test_a_waiting_ticket_rises_one_class_per_ageing_time() -> None:
    queue = Scheduler[str](ageing_s=10.0)
    queue.submit("old low", 0.0, priority=Priority.LOW)
    queue.submit("new high", 9.0, priority=Priority.HIGH)
    assert queue.pop(19.0).item == "new high"  # type: ignore[union-attr]  # not None, or the test fails
    queue.submit("newer high", 20.0, priority=Priority.HIGH)
    assert queue.pop(20.0).item == "old low"  # type: ignore[union-attr]  # not None, or the test fails


def test_low_priority_does_not_starve_under_endless_high_priority_load() -> None:
    queue = Scheduler[str](ageing_s=1.0)
    queue.submit("low", 0.0, priority=Priority.LOW)
    for second in range(100):
        queue.submit("critical", float(second), priority=Priority.CRITICAL)
        ticket = queue.pop(float(second))
        assert ticket is not None
        if ticket.item == "low":
            break
    assert second <= 3 * 1.0 + 1  # three classes to rise, then only older tickets go first


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    queue = Scheduler[str](max_length=2)
    queue.served(4.0)
    queue.submit("a", 0.0)
    queue.submit("b", 0.0)
    with pytest.raises(QueueFull) as refused:
        queue.submit("c", 0.0, concurrency=2)
    assert refused.value.retry_after_s == 2.0
    assert len(queue) == 2


def test_an_expired_ticket_is_dropped_before_it_costs() -> None:
    dropped: list[Ticket[str]] = []
    queue = Scheduler[str](on_expired=dropped.append)
    late = queue.submit("late", 0.0, deadline=1.0)
    queue.submit("patient", 0.0, deadline=9.0)
    assert drain(queue, 2.0) == ["patient"]
    assert late.state is TicketState.EXPIRED
    assert dropped == [late]


def test_expired_tickets_do_not_hold_places() -> None:
    queue = Scheduler[str](max_length=1)
    queue.submit("late", 0.0, deadline=1.0)
    queue.submit("new", 2.0)
    assert drain(queue, 2.0) == ["new"]


def test_cancelling_frees_the_place_once() -> None:
    queue = Scheduler[str](max_length=1)
    ticket = queue.submit("a", 0.0)
    assert queue.cancel(ticket)
    assert not queue.cancel(ticket)
    queue.submit("b", 0.0)
    assert drain(queue, 0.0) == ["b"]


def test_expected_wait_counts_those_ahead_of_the_class() -> None:
    queue = Scheduler[str]()
    queue.served(2.0)
    assert queue.expected_wait(Priority.NORMAL, busy=0, concurrency=1) == 0.0
    assert queue.expected_wait(Priority.NORMAL, busy=1, concurrency=1) == 2.0
    queue.submit("low", 0.0, priority=Priority.LOW)
    assert queue.expected_wait(Priority.NORMAL, busy=1, concurrency=1) == 2.0
    assert queue.expected_wait(Priority.LOW, busy=1, concurrency=1) == 4.0
    assert queue.expected_wait(Priority.LOW, busy=2, concurrency=2) == 2.0


def test_an_unknown_priority_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean `critical`"):
        Priority.parse("criticla")


@given(
    st.lists(
        st.tuples(st.sampled_from(["submit", "pop", "cancel", "expire"]), st.integers(0, 3), st.integers(0, 9)),
        max_size=60,
    )
)
def test_every_ticket_ends_exactly_once(steps: list[tuple[str, int, int]]) -> None:
    """Whatever happens, tickets are neither lost nor served twice, and the length is what waits."""
    ended: list[int] = []
    queue = Scheduler[int](max_length=8, ageing_s=3.0, on_expired=lambda ticket: ended.append(ticket.item))
    tickets: list[Ticket[int]] = []
    now = 0.0
    for step, priority, amount in steps:
        now += amount / 4
        if step == "submit":
            try:
                deadline = now + amount if amount % 2 else None
                tickets.append(queue.submit(len(tickets), now, priority=Priority(priority), deadline=deadline))
            except QueueFull:
                assert len(queue) == 8
        elif step == "pop":
            if (ticket := queue.pop(now)) is not None:
                assert not ticket.overdue(now)
                ended.append(ticket.item)
        elif step == "cancel" and tickets:
            ticket = tickets[amount % len(tickets)]
            if queue.cancel(ticket):
                ended.append(ticket.item)
        elif step == "expire":
            queue.expire(now)
    while (ticket := queue.pop(now)) is not None:
        ended.append(ticket.item)
    assert sorted(ended) == list(range(len(tickets)))
    assert len(queue) == 0


def test_what_was_known_before_the_first_call_is_expected_until_calls_teach_better() -> None:
    queue = Scheduler[str](mean_service_s=4.0)
    assert queue.expected_wait(Priority.NORMAL, busy=1, concurrency=1) == 4.0
    queue.served(14.0)
    assert queue.mean_service_s == 5.0
