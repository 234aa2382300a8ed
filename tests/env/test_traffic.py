"""Arrivals and queues in simulated time: nothing is lost, time adds up, and the formulas of queueing theory hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env.arrivals import Arrivals, ArrivalStream, recorded_arrivals
from env.errors import BadInput
from env.scheduling import Priority, TokenBucket
from env.trace import Trace
from env.traffic import Completion, Fleet, ServiceTime
from tests.conftest import make_trace

REQUESTS = st.lists(
    st.tuples(
        st.floats(0, 5),  # gap before it
        st.integers(0, 2),  # arm
        st.floats(0, 10),  # service time
        st.sampled_from(list(Priority)),
        st.one_of(st.none(), st.floats(-1, 15)),  # deadline after arrival
    ),
    max_size=60,
)
FLEETS = st.fixed_dictionaries(
    {
        "concurrency": st.sampled_from([1, 2, [1, 2, 3]]),
        "max_length": st.integers(0, 5),
        "requests_per_s": st.sampled_from([None, 0.4, [0.3, 2.0, 9.0]]),
        "burst": st.sampled_from([1.0, 3.0]),
        "ageing_s": st.sampled_from([0.5, 5.0]),
    }
)


def play(requests: list[Any], **fleet: Any) -> tuple[Fleet, list[Completion], float]:
    """All completions, and the seconds that the requests spent in the system, counted one by one."""
    arms = Fleet(3, **fleet)
    done, now = [], 0.0
    for number, (gap, arm, service_s, priority, deadline) in enumerate(requests):
        now += gap
        done += arms.advance(now)
        in_time = None if deadline is None else now + deadline
        assert arms.submit(now, arm, service_s, priority=priority, deadline=in_time) == number
        assert arms.depth().sum() == len(arms)
    done += arms.drain()
    return arms, done, sum(end.latency_s for end in done)


@given(REQUESTS, FLEETS)
@settings(max_examples=200, deadline=None)
def test_every_request_ends_exactly_once_and_time_adds_up(requests: list[Any], fleet: dict[str, Any]) -> None:
    arms, done, sojourn_s = play(requests, **fleet)
    assert Counter(end.ticket for end in done) == Counter(range(len(requests)))
    assert len(arms) == 0 and arms.depth().sum() == 0
    # Little's law without the limit: the integral of the number in the system is the sum of the times in it.
    assert arms.request_seconds == pytest.approx(sojourn_s, abs=1e-6)
    for end in done:
        _, arm, service_s, _, deadline = requests[end.ticket]
        assert end.arm == arm and end.wait_s >= 0
        if end.failure is None:
            assert end.latency_s == pytest.approx(end.wait_s + service_s, abs=1e-6)
            assert deadline is None or end.latency_s <= deadline + 1e-6
        elif end.failure == "deadline":
            assert deadline is not None and end.latency_s == pytest.approx(max(deadline, 0), abs=1e-6)
        else:
            assert end.latency_s == 0 and not end.called


@given(REQUESTS, FLEETS)
@settings(max_examples=100, deadline=None)
def test_looking_more_often_changes_nothing(requests: list[Any], fleet: dict[str, Any]) -> None:
    _, expected, _ = play(requests, **fleet)
    arms, now = Fleet(3, **fleet), 0.0
    found: list[Completion] = []
    for gap, arm, service_s, priority, deadline in requests:
        for share in (0.3, 0.7):
            found += arms.advance(now + share * gap)
            arms.load(now + share * gap)
        now += gap
        arms.submit(now, arm, service_s, priority=priority, deadline=None if deadline is None else now + deadline)
    found += arms.drain()
    assert [end.ticket for end in found] == [end.ticket for end in expected]
    assert [end.failure for end in found] == [end.failure for end in expected]
    assert [end.latency_s for end in found] == pytest.approx([end.latency_s for end in expected])


@pytest.mark.parametrize(("servers", "rate"), [(1, 0.5), (1, 0.7), (3, 2.1)])
def test_mean_wait_is_that_of_the_erlang_c_formula(servers: int, rate: float) -> None:
    rng = np.random.default_rng(4)
    n = 200_000
    fleet = Fleet(1, concurrency=servers, max_length=n)
    times = Arrivals.poisson(rate, n, rng).timestamp_s
    for now, service_s in zip(times.tolist(), rng.exponential(1.0, n).tolist(), strict=True):
        fleet.submit(now, 0, service_s)
    waits = np.array([end.wait_s for end in fleet.drain()])
    # Erlang C: the chance that all servers are busy, over the rate at which a queue behind them drains.
    terms = np.cumprod([1.0, *(rate / k for k in range(1, servers + 1))])
    last = terms[-1] / (1 - rate / servers)
    expected = last / (terms[:-1].sum() + last) / (servers - rate)
    assert waits.mean() == pytest.approx(expected, rel=0.05)


def test_the_mean_number_in_the_system_is_the_rate_times_the_mean_sojourn() -> None:
    rng = np.random.default_rng(0)
    fleet = Fleet(2, concurrency=2, requests_per_s=1.5)
    times = Arrivals.bursty(1.0, 5_000, rng).timestamp_s.tolist()
    for now in times:
        fleet.submit(now, int(rng.integers(2)), float(rng.exponential(1.5)), deadline=now + 20)
    sojourn = np.mean([end.latency_s for end in fleet.drain()])
    assert fleet.request_seconds / fleet.now == pytest.approx(len(times) / fleet.now * sojourn)


def test_priorities_are_respected_and_ageing_ends_waiting() -> None:
    fleet = Fleet(1, ageing_s=100.0)
    for priority in (Priority.NORMAL, Priority.LOW, Priority.NORMAL, Priority.CRITICAL):
        fleet.submit(0.0, 0, 1.0, priority=priority)
    assert [end.ticket for end in fleet.drain()] == [0, 3, 2, 1]
    patient = Fleet(1, ageing_s=1.0)
    patient.submit(0.0, 0, 1.0)
    low = patient.submit(0.0, 0, 1.0, priority=Priority.LOW)
    for second in range(20):
        patient.submit(second + 0.5, 0, 1.0, priority=Priority.CRITICAL)
    wait = next(end.wait_s for end in patient.drain() if end.ticket == low)
    assert wait <= 5


def test_a_full_queue_refuses_at_once_and_says_so_before() -> None:
    fleet = Fleet(2, max_length=1)
    for _ in range(3):
        fleet.submit(0.0, 0, 5.0)
    assert fleet.full().tolist() == [True, False] and fleet.depth().tolist() == [2, 0]
    ended = fleet.advance(0.0)
    assert [(end.ticket, end.failure, end.latency_s, end.called) for end in ended] == [(2, "queue_full", 0.0, False)]


def test_a_deadline_ends_a_request_in_the_queue_or_in_its_call() -> None:
    fleet = Fleet(1)
    fleet.submit(0.0, 0, 9.0, deadline=4.0)
    fleet.submit(0.0, 0, 1.0, deadline=3.0)
    fleet.submit(0.0, 0, 1.0, deadline=5.0)
    ended = [(end.ticket, end.failure, end.latency_s, end.called) for end in fleet.drain()]
    # The call that is cut short frees its slot, and the last one is answered just in time.
    assert ended == [(1, "deadline", 3.0, False), (0, "deadline", 4.0, True), (2, None, 5.0, True)]


def test_a_call_cut_short_teaches_nothing_about_service_times() -> None:
    fleet = Fleet(1, mean_service_s=7.0)
    fleet.submit(0.0, 0, 9.0, deadline=1.0)
    fleet.drain()
    fleet.submit(2.0, 0, 9.0)
    assert fleet.load(2.0).tolist() == [7.0]


def test_expected_waits_are_what_the_queues_have_learned() -> None:
    fleet = Fleet(2, concurrency=[1, 2])
    for arm in (0, 0, 1):
        fleet.submit(0.0, arm, 4.0)
    assert fleet.load(0.0).tolist() == [0.0, 0.0]  # nothing is known yet
    fleet.advance(4.0)
    fleet.submit(4.0, 0, 4.0)
    assert fleet.load(4.0).tolist() == [8.0, 0.0]


def test_a_rate_limit_spaces_calls_out_and_is_part_of_the_expected_wait() -> None:
    fleet = Fleet(1, concurrency=9, requests_per_s=0.5, burst=2)
    for _ in range(5):
        fleet.submit(0.0, 0, 0.5)
    assert fleet.load(0.0).tolist() == [8.0]
    assert [end.wait_s for end in fleet.drain()] == [0.0, 0.0, 2.0, 4.0, 6.0]


@given(st.floats(0.01, 50), st.floats(1, 5), st.lists(st.floats(0, 3), max_size=50))
@settings(deadline=None)
def test_a_token_bucket_lets_through_at_its_own_time_and_never_more_than_its_rate(
    rate: float, burst: float, gaps: list[float]
) -> None:
    bucket, now, let = TokenBucket(rate, burst), 0.0, []
    for gap in gaps:
        now += gap
        if not bucket.take(now):
            assert bucket.wait(now) == pytest.approx(bucket.ready_at - now, abs=1e-9)
            now = bucket.ready_at
            assert bucket.take(now)
        let.append(now)
    for first in range(len(let)):
        for last in range(first, len(let)):
            assert last - first + 1 <= burst + rate * (let[last] - let[first]) + 1e-6


@pytest.mark.parametrize("given_rate", [(0.0, 1.0), (1.0, 0.5), (float("inf"), 1.0)])
def test_a_rate_limit_that_is_none_is_refused(given_rate: tuple[float, float]) -> None:
    with pytest.raises(BadInput, match="above 0 and its burst 1 or more"):
        TokenBucket(*given_rate)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"concurrency": 1.5}, "whole number"),
        ({"concurrency": [1, 2]}, "one for each of 3 arms"),
        ({"concurrency": 0}, "above 0"),
        ({"requests_per_s": [1, 1, 0]}, "requests_per_s is above 0"),
        ({"max_length": -1}, "0 or more"),
        ({"mean_service_s": -1.0}, "mean_service_s"),
    ],
)
def test_wrong_fleets_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Fleet(3, **wrong)


def test_time_runs_forwards_and_service_times_are_numbers() -> None:
    fleet = Fleet(1)
    fleet.advance(2.0)
    with pytest.raises(BadInput, match="runs forwards"):
        fleet.submit(1.0, 0, 1.0)
    with pytest.raises(BadInput, match="a service time is"):
        fleet.submit(3.0, 0, float("nan"))


def test_drawn_arrivals_have_the_rate_and_the_burstiness_asked_for() -> None:
    rng = np.random.default_rng(0)
    plain, bursty = Arrivals.poisson(5.0, 40_000, rng), Arrivals.bursty(5.0, 40_000, rng, cv=3.0)
    assert plain.rate == pytest.approx(5.0, rel=0.03) and plain.cv == pytest.approx(1.0, rel=0.05)
    assert bursty.rate == pytest.approx(5.0, rel=0.05) and bursty.cv == pytest.approx(3.0, rel=0.1)


def test_another_rate_keeps_the_burstiness() -> None:
    arrivals = Arrivals.bursty(2.0, 1_000, np.random.default_rng(1))
    faster = arrivals.at_rate(11.0)
    assert faster.rate == pytest.approx(11.0) and faster.cv == pytest.approx(arrivals.cv)


def test_windows_of_recorded_arrivals_follow_each_other_round_and_round() -> None:
    arrivals = Arrivals.of([5.0, 6.0, 8.0])
    assert arrivals.window(1, 5).tolist() == [0.0, 2.0, 3.5, 4.5, 6.5]
    stream = ArrivalStream(arrivals, rate=arrivals.rate)
    stream.rewind(3)
    one, other = stream.take(2), stream.take(2)
    stream.rewind(3)
    four = stream.take(4)
    assert np.allclose(one, four[:2]) and np.allclose(other, four[2:] - four[2])


@pytest.mark.parametrize("kind", ["poisson", "bursty", {"kind": "bursty", "cv": 2.0}, Arrivals.of([0, 1, 1, 5])])
def test_a_seed_decides_all_arrivals_and_the_digest_tells(kind: Any) -> None:
    one, other = ArrivalStream(kind, 3.0), ArrivalStream(kind, 3.0)
    one.rewind(5)
    other.rewind(5)
    before = one.digest(8)
    assert (one.take(8) == other.take(8)).all() and (one.take(4) == other.take(4)).all()
    assert one.digest(8) == before == other.digest(8)
    other.rewind(6)
    assert isinstance(kind, Arrivals) or other.digest(8) != before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "bursty", "csv": 2.0}, "have no `csv`; did you mean `cv`"),
        ({"kind": "bursty", "cv": 0.0}, "above 0"),
        ("nowhere.parquet", "nowhere.parquet"),
        ("burst", "no arrivals `burst`; did you mean `bursty`"),
        ("poison", "did you mean `poisson`"),
        ("azure2023_cod", "did you mean `azure2023_code`"),
        ("always", "known: azure2023_code, azure2023_conv, bursty, mooncake_conversation, poisson"),
    ],
)
def test_wrong_arrivals_are_refused(wrong: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        ArrivalStream(wrong, 1.0)
    with pytest.raises(BadInput, match="never fall"):
        Arrivals.of([2.0, 1.0])
    with pytest.raises(BadInput, match="two or more"):
        Arrivals.of([2.0])
    with pytest.raises(BadInput, match="all arrivals come at once"):
        Arrivals.of([2.0, 2.0]).at_rate(1.0)


def test_arrivals_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "arrivals.parquet"
    pq.write_table(pa.table({"timestamp_s": [3.0, 4.0, 9.0], "output_tokens": [7, 8, 9]}), path)
    found = recorded_arrivals(str(path))
    assert found.timestamp_s.tolist() == [0.0, 1.0, 6.0]
    assert found.output_tokens is not None and found.output_tokens.tolist() == [7, 8, 9]
    pq.write_table(pa.table({"when": [3.0]}), path)
    with pytest.raises(BadInput, match="`timestamp_s`; found when"):
        Arrivals.load(path)


@pytest.mark.parametrize(("name", "n", "cv"), [("azure2023_code", 8_819, 13), ("azure2023_conv", 19_366, 1.1)])
def test_recorded_arrivals_are_found_by_name(name: str, n: int, cv: float, data_file: Callable[[str], Path]) -> None:
    data_file(f"arrivals_{name}.parquet")
    found = recorded_arrivals(name)
    assert len(found) == n and found.cv == pytest.approx(cv, rel=0.05)


def test_tokens_give_the_latencies_that_were_not_recorded() -> None:
    trace = make_trace(n=12, gaps=0.2)
    known = trace.latency_s.copy()
    known[::2] = np.nan
    filled = ServiceTime([0.1, 0.2, 0.3, 0.4], 0.01).fill(_with_latency(trace, known)).latency_s
    assert np.array_equal(filled[1::2], known[1::2], equal_nan=True)
    expected = np.array([0.1, 0.2, 0.3, 0.4]) + 0.01 * trace.output_tokens[::2]
    assert np.allclose(filled[::2], expected, equal_nan=True)
    with pytest.raises(BadInput, match="one for each of 4 arms"):
        ServiceTime([0.1, 0.2], 0.01).fill(trace)


def _with_latency(trace: Trace, latency_s: np.ndarray) -> Trace:
    return replace(trace, latency_s=latency_s)
