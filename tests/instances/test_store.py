"""The store: what is awaited is committed, feedback counts once, and the log is a trace."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, make_url, text

from env.errors import BadInput
from env.trace_io import from_rows
from instances.rows import AttemptRow, DecisionRow, Feedback, FeedbackStatus
from instances.store import Store
from instances.writer import StoreError
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


async def test_a_cancelled_caller_does_not_unwrite_the_decision(store: Store) -> None:
    async def write() -> None:
        await store.write_decision(DECISION)

    writing = asyncio.create_task(write())
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await store.flush()
    assert await store.judged("r1") is not None


async def test_a_reopened_store_holds_everything_and_the_same_hash_key(url: str) -> None:
    first = Store(url)
    await first.write_decision(DECISION)
    first.write_attempt(ATTEMPT)
    first.close()
    second = Store(url)
    judged = await second.judged("r1")
    assert second.hash_key == first.hash_key
    assert judged is not None
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


def test_a_password_is_never_part_of_the_message() -> None:
    with pytest.raises(BadInput) as refused:
        Store("sqlite://user:hunter2@/no/such/x.db")
    assert "hunter2" not in str(refused.value)


def test_reading_creates_nothing(tmp_path: Path) -> None:
    file = tmp_path / "none.db"
    with pytest.raises(BadInput, match="no such file"):
        Store(f"sqlite:///{file}", create=False)
    assert not file.exists()
    file.touch()
    with pytest.raises(BadInput, match="not a store"):
        Store(f"sqlite:///{file}", create=False)


async def test_a_closed_store_says_so(url: str) -> None:
    store = Store(url)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.flush()
