"""The store: what is awaited is committed, feedback counts once, and the log is a trace."""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import IntegrityError, OperationalError

from env.errors import BadInput
from env.trace_io import from_rows
from instances.rows import AttemptRow, DecisionRow, Feedback, FeedbackStatus
from instances.store import Store
from instances.writer import GroupWriter, StoreError
from tests.conftest import POSTGRES, needs

DECISION = DecisionRow(
    request_id="r1",
    timestamp=1.0,
    agent="mail",
    node=None,
    parent=None,
    session=None,
    task="spam",
    priority=2,
    model_type="text",
    prompt="Is this spam?",
    prompt_hash="ab",
    model="small",
    pinned=False,
    propensity=0.9,
    waits={"small": 0.0, "large": 1.5},
    dial=0.5,
    cost_weight=10.0,
    latency_weight=0.0,
    features=np.array([0.25, -1.0], dtype=np.float32),
    featuriser="hashing-1",
    policy_version="p1",
)
ATTEMPT = AttemptRow(
    "r1",
    0,
    1.1,
    "small",
    "policy",
    input_tokens=9,
    output_tokens=1,
    cost_usd=0.01,
    latency_s=0.2,
    response="yes",
)


def feedback(id: str = "f1", score: float = 1.0, source: str = "user", request_id: str = "r1") -> Feedback:
    return Feedback(id, request_id, source, score, timestamp=2.0)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    needs("postgres", "a store on a server")
    server = os.environ[POSTGRES]
    name = f"store_{secrets.token_hex(6)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"drop database {name}"))
    engine.dispose()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()


async def test_an_awaited_decision_is_committed(store: Store, url: str) -> None:
    await store.write_decision(DECISION)
    other = create_engine(url)
    with other.connect() as connection:
        assert connection.execute(text("select model, propensity from decisions")).all() == [("small", 0.9)]
    other.dispose()


async def test_the_log_is_a_valid_trace_with_what_the_policy_saw(store: Store) -> None:
    await store.write_decision(DECISION)
    store.write_attempt(ATTEMPT)
    assert (await store.add_feedback(feedback())).status is FeedbackStatus.STORED
    trace = from_rows(store.rows())
    assert trace.arms == ("small",)
    assert trace.is_log
    assert trace.score.tolist() == [[1.0]]
    assert trace.cell_columns["propensity"].tolist() == [[0.9]]
    assert trace.cell_columns["available"].tolist() == [[["small", "large"]]]
    assert trace.features is not None
    assert trace.features.tolist() == [[0.25, -1.0]]
    assert trace.featuriser == "hashing-1"


async def test_a_fallback_has_the_score_but_not_the_propensity(store: Store) -> None:
    await store.write_decision(DECISION)
    store.write_attempt(AttemptRow("r1", 0, 1.1, "small", "policy", error="unreachable"))
    store.write_attempt(replace(ATTEMPT, attempt=1, model="large", reason="fallback"))
    await store.add_feedback(feedback(score=0.5))
    failed, answered = store.rows()
    assert (failed["model"], failed["error"], failed["propensity"], failed["score"]) == (
        "small",
        "unreachable",
        0.9,
        None,
    )
    assert (answered["model"], answered["error"], answered["propensity"], answered["score"]) == (
        "large",
        None,
        None,
        0.5,
    )


async def test_a_pinned_call_has_no_propensity_for_no_policy_decided_it(store: Store) -> None:
    await store.write_decision(replace(DECISION, pinned=True, propensity=1.0))
    store.write_attempt(replace(ATTEMPT, reason="pinned"))
    (row,) = store.rows()
    assert (row["model"], row["propensity"]) == ("small", None)


async def test_feedback_is_idempotent_on_its_id(store: Store) -> None:
    await store.write_decision(DECISION)
    await store.write_decision(replace(DECISION, request_id="r2"))
    store.write_attempt(ATTEMPT)
    assert (await store.add_feedback(feedback(score=1.0))).status is FeedbackStatus.STORED
    assert (await store.add_feedback(feedback(score=0.0))).status is FeedbackStatus.DUPLICATE
    assert (await store.add_feedback(feedback(request_id="r2"))).status is FeedbackStatus.CONFLICT
    assert [row["score"] for row in store.rows()] == [1.0]


async def test_the_last_feedback_of_a_source_counts_and_sources_are_averaged(store: Store) -> None:
    await store.write_decision(DECISION)
    store.write_attempt(ATTEMPT)
    await store.add_feedback(feedback("f1", 0.0, "user"))
    await store.add_feedback(feedback("f2", 1.0, "checker"))
    await store.add_feedback(feedback("f3", 0.5, "user"))
    (row,) = store.rows()
    assert (row["score"], row["feedback_source"]) == (0.75, "checker+user")


async def test_feedback_for_an_unknown_request_is_refused(store: Store) -> None:
    assert (await store.add_feedback(feedback(request_id="nobody"))).status is FeedbackStatus.UNKNOWN_REQUEST


async def test_one_bad_row_does_not_take_its_batch_with_it(store: Store) -> None:
    rows = [DECISION, DECISION, *(replace(DECISION, request_id=f"other {i}") for i in range(20))]
    results = await asyncio.gather(*(store.write_decision(row) for row in rows), return_exceptions=True)
    assert [type(result) for result in results].count(StoreError) == 1
    assert "Is this spam?" not in str(results)


async def test_of_judgements_given_at_once_one_is_the_first(store: Store) -> None:
    await store.write_decision(DECISION)
    store.write_attempt(ATTEMPT)
    taken = await asyncio.gather(*(store.add_feedback(feedback(f"f{i}", i / 10)) for i in range(10)))
    firsts = [each.first for each in taken if each.first is not None]
    assert [(first.score, first.answered_by) for first in firsts] == [(0.0, "small")]


async def test_judgements_of_a_policy_come_in_their_order_once_per_request(store: Store) -> None:
    versions = {"r1": "p1", "r2": "p1+1", "r3": "p2", "r4": "p1"}
    for request_id, version in versions.items():
        await store.write_decision(replace(DECISION, request_id=request_id, policy_version=version))
        store.write_attempt(replace(ATTEMPT, request_id=request_id))
    for number, request_id in enumerate(["r2", "r1", "r3", "r2"]):
        await store.add_feedback(feedback(f"f{number}", number / 10, request_id=request_id))
    found = list(store.judged_of("p1"))
    assert [(judged.decision.request_id, judged.score) for judged in found] == [("r2", 0.0), ("r1", 0.1)]
    assert [judged.score for judged in store.judged_of("p1", after=found[0].number)] == [0.1]
    assert not list(store.judged_of("p1", after=found[1].number))


async def test_an_answer_that_was_not_over_when_it_was_judged_is_not_what_was_judged(store: Store) -> None:
    await store.write_decision(DECISION)
    await store.add_feedback(feedback())
    store.write_attempt(replace(ATTEMPT, timestamp=3.0))
    (judged,) = store.judged_of("p1")
    assert (judged.score, judged.answered_by) == (1.0, None)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Engine]:
    """A SQLite file that another process writes to."""
    file = tmp_path / "locked.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("pragma journal_mode=wal")
        other.execute("create table t (n integer primary key)")
        other.execute("begin immediate")
        yield create_engine(f"sqlite:///{file}", poolclass=NullPool, connect_args={"timeout": 0.01})


def _batch(writer: GroupWriter, jobs: list[Callable[[Connection], object]]) -> list[Future[object]]:
    """The jobs in one transaction: they are submitted while the writer is busy."""
    begun, submitted = threading.Event(), threading.Event()
    busy = writer.submit(lambda connection: begun.set() or submitted.wait())
    begun.wait()
    futures = [writer.submit(job) for job in jobs]
    submitted.set()
    busy.result()
    return futures


def test_a_locked_database_fails_the_whole_batch_and_is_not_asked_again_for_each_job(locked: Engine) -> None:
    asked = []

    def job(connection: Connection) -> None:
        asked.append(1)
        connection.execute(text("insert into t values (1)"))

    writer = GroupWriter(locked)
    for future in _batch(writer, [job] * 20):
        with pytest.raises(StoreError, match="database is locked"):
            future.result()
    writer.close()
    assert len(asked) == 1


def test_a_database_that_fails_while_a_bad_job_is_sorted_out_is_not_asked_again(tmp_path: Path) -> None:
    asked = []

    def bad(connection: Connection) -> None:
        raise IntegrityError("insert", None, Exception("not unique"))

    def fails(connection: Connection) -> None:
        asked.append(1)
        raise OperationalError("insert", None, Exception("disk I/O error"))

    writer = GroupWriter(create_engine(f"sqlite:///{tmp_path / 'any.db'}", poolclass=NullPool))
    problems = [str(future.exception()) for future in _batch(writer, [bad, fails, fails])]
    writer.close()
    assert problems == ["the store failed: not unique", *["the store failed: disk I/O error"] * 2]
    assert len(asked) == 1


async def test_a_cancelled_caller_does_not_unwrite_the_decision(store: Store) -> None:
    async def write() -> None:
        await store.write_decision(DECISION)

    writing = asyncio.create_task(write())
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await store.flush()
    assert (await store.add_feedback(feedback())).status is FeedbackStatus.STORED


async def test_a_reopened_store_holds_everything_and_the_same_hash_key(url: str) -> None:
    first = Store(url)
    await first.write_decision(DECISION)
    first.write_attempt(ATTEMPT)
    taken = await first.add_feedback(feedback())
    first.close()
    second = Store(url)
    (judged,) = second.judged_of("p1")
    assert second.hash_key == first.hash_key
    assert taken.first is not None
    assert (judged.number, judged.score) == (taken.first.number, 1.0)
    assert (judged.answered_by, judged.cost_usd) == ("small", 0.01)
    assert judged.decision.features is not None
    np.testing.assert_array_equal(judged.decision.features, DECISION.features)
    second.close()


def test_a_store_of_a_newer_version_is_refused(url: str) -> None:
    Store(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("update pointsman set value = '99' where key = 'schema_version'"))
    engine.dispose()
    with pytest.raises(BadInput, match="newer version"):
        Store(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense", "not a database URL"),
        ("sqlite://", "must name a file"),
        ("sqlite:////no/such/folder/x.db", "cannot be opened"),
    ],
)
def test_a_bad_url_is_one_clear_line(url: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        Store(url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://user:hunter2@/no/such/x.db",
        "postgresql+psycopg://user:hunter2@127.0.0.1:1/x?connect_timeout=1",
        "postgresql+psycopg://127.0.0.1:1/x?user=user&password=hunter2",
        "postgresql+psycopg://user:secret@hunter2@127.0.0.1:1/x",
        "postgresql+psycopg://user:hunter2@127.0.0.1:port/x",
        "nosuch://user:hunter2@127.0.0.1/x",
    ],
)
def test_a_password_is_never_part_of_the_message(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        Store(url)
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_reading_creates_nothing(tmp_path: Path) -> None:
    file = tmp_path / "none.db"
    with pytest.raises(BadInput, match="no such file"):
        Store(f"sqlite:///{file}", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("made_by", "problem"),
    [
        ("", "not a store"),
        ("create table mail (id)", "not a store"),
        ("create table pointsman (key, value)", "`pointsman` is not this program's"),
        ("create table pointsman (switch)", "cannot be opened: no such column"),
    ],
)
def test_reading_leaves_the_database_of_somebody_else_as_it_was(tmp_path: Path, made_by: str, problem: str) -> None:
    file = tmp_path / "other.db"
    file.touch()
    with closing(sqlite3.connect(file)) as other:
        other.execute(made_by)
    before = file.read_bytes()
    with pytest.raises(BadInput, match=problem):
        Store(f"sqlite:///{file}", create=False)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_reading_what_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to be looked at" * 9)
    with pytest.raises(BadInput, match="file is not a database"):
        Store(f"sqlite:///{file}", create=False)


async def test_a_closed_store_says_so(url: str) -> None:
    store = Store(url)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.flush()
