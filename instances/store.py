"""The store: decisions, attempts, answers and feedback in a database, and read back as rows of a trace.

SQLite (write-ahead log) by default, any SQLAlchemy URL otherwise. What is awaited is committed; with SQLite's
``synchronous=NORMAL`` it survives a killed process, with ``FULL`` a power cut too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    Row,
    Select,
    Table,
    and_,
    create_engine,
    event,
    exists,
    insert,
    make_url,
    or_,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from env.contexts import Floats
from env.errors import BadInput
from instances import schema
from instances.rows import AnswerRow, AttemptRow, DecisionRow, Feedback, FeedbackStatus, Judged, Taken
from instances.writer import GroupWriter, as_store_error, one_line

_log = logging.getLogger(__name__)

_LOCK_WAIT_S = 5.0  # for another process that reads or copies the same SQLite file
_READ_CHUNK = 1000


class Store:
    """An open store. Calls from any thread or event loop; one thread does the writing."""

    def __init__(self, url: str, *, synchronous: str = "NORMAL", create: bool = True) -> None:
        """Open, and create or migrate the tables.

        Args:
            url: SQLAlchemy URL; a SQLite one must name a file.
            synchronous: SQLite's ``NORMAL`` or ``FULL``.
            create: False refuses what is not a store yet, and leaves it as it was, as reading one wants.

        Raises:
            BadInput: the URL is not one, its driver is missing, the database cannot be opened, or was written
                by a newer version. The password is never part of the message.
        """
        self._engine = _engine(url, synchronous, create)
        self.name = _shown(self._engine.url)
        try:
            with self._engine.begin() as connection:
                self.hash_key = schema.prepare(connection, self.name, create=create)
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise BadInput(f"store {self.name}: cannot be opened: {one_line(error)}") from None
        except BaseException:
            self._engine.dispose()
            raise
        self._writer = GroupWriter(self._engine)

    def write_decision(self, row: DecisionRow) -> asyncio.Future[None]:
        """Write a decision, starting now; the future is done when it is committed, or holds a ``StoreError``."""
        # Shielded: the upstream call may have been paid for already when its caller goes away.
        return asyncio.shield(asyncio.wrap_future(self._insert(schema.decisions, _decision_values(row))))

    def write_attempt(self, row: AttemptRow) -> None:
        """Write an attempt soon; in order with everything else that is written."""
        self._insert(schema.attempts, _values(row)).add_done_callback(_log_failure)

    def write_answer(self, row: AnswerRow) -> None:
        """Write an answer soon; in order with everything else that is written."""
        self._insert(schema.answers, _values(row)).add_done_callback(_log_failure)

    def add_feedback(self, given: Feedback) -> asyncio.Future[Taken]:
        """Store a feedback, starting now; the future is done when it is committed, or known not to be wanted."""
        return asyncio.wrap_future(self._writer.submit(lambda connection: _feedback(connection, given)))

    async def flush(self) -> None:
        """Return when everything written so far is committed."""
        await asyncio.wrap_future(self._writer.submit(lambda connection: None))

    def rows(self) -> Iterator[dict[str, Any]]:
        """The log as rows of a trace (DESIGN section 4): one per attempt, oldest decision first.

        The score is the mean over sources of the last feedback of each, on the attempt that answered. The
        propensity belongs to the decision, so fallback attempts have none; nor has a pinned call, which no policy
        decided.
        """
        decision, attempt = schema.decisions, schema.attempts
        query = (
            select(decision, *(column.label(f"attempt_{column.name}") for column in attempt.columns))
            .join(attempt, attempt.c.request_id == decision.c.request_id)
            .order_by(decision.c.timestamp, decision.c.request_id, attempt.c.attempt)
            .execution_options(yield_per=_READ_CHUNK)
        )
        with self._reading() as connection:
            scores = _scores(connection)
            for row in connection.execute(query):
                yield _trace_row(row, scores.get(row.request_id))

    def judged_of(self, policy_version: str, *, after: int = 0) -> Iterator[Judged]:
        """What a policy decided and was judged for, whatever it had learned by then, in the order of judgement.

        Args:
            policy_version: of the policy, without the count of what it had learned.
            after: the number of a judgement; those up to it are left out.
        """
        version, number = schema.decisions.c.policy_version, schema.feedback.c.number
        its_own = or_(version == policy_version, version.startswith(f"{policy_version}+", autoescape=True))
        query = _JUDGED.where(its_own, number > after).order_by(number).execution_options(yield_per=_READ_CHUNK)
        with self._reading() as connection:
            for row in connection.execute(query):
                yield _judged(row)

    def close(self) -> None:
        """Commit what was submitted and close; safe to call twice."""
        self._writer.close()
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection that sees everything written so far."""
        self._writer.submit(lambda connection: None).result()
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise as_store_error(error) from None

    def _insert(self, table: Table, values: Mapping[str, Any]) -> Future[None]:
        def work(connection: Connection) -> None:
            connection.execute(insert(table), [values])

        return self._writer.submit(work)


def _shown(url: URL) -> str:
    """Without the password, which may also stand in the query."""
    return url.set(query={}).render_as_string(hide_password=True)


def _engine(url: str, synchronous: str, create: bool) -> Engine:
    try:
        parsed = make_url(url)
        if "@" in (parsed.host or ""):
            # What is taken for the host, and would be shown as it, begins with the end of the password.
            raise BadInput("store: in a password, `@` is written %40")
        sqlite = parsed.get_backend_name() == "sqlite"
        if sqlite and parsed.database in (None, "", ":memory:"):
            raise BadInput("store: a SQLite URL must name a file, for example sqlite:///pointsman.db")
        if sqlite and not create and not Path(parsed.database or "").is_file():
            raise BadInput(f"store {parsed.database}: no such file; `pointsman serve` writes one")
        # No pool for SQLite: opening a file is cheap, and an idle connection would hold the log open.
        engine = (
            create_engine(parsed, poolclass=NullPool, connect_args={"timeout": _LOCK_WAIT_S}, hide_parameters=True)
            if sqlite
            else create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
        )
    except (SQLAlchemyError, ValueError):
        raise BadInput("store: not a database URL; for example sqlite:///pointsman.db") from None
    except ImportError as error:
        raise BadInput(
            f"store: the driver is not installed: {error}; for PostgreSQL pip install 'pointsman[postgres]', "
            "and begin the URL with postgresql+psycopg://"
        ) from None
    if sqlite:

        @event.listens_for(engine, "connect")
        def _configure(connection: Any, _record: Any) -> None:
            if create:  # it is written into the file, which may be somebody else's
                connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={synchronous}")

    return engine


def _log_failure(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        _log.error("a row was not stored: %s", error)


def _values(row: DecisionRow | AttemptRow | AnswerRow | Feedback) -> dict[str, Any]:
    """By column; unlike ``asdict`` without copying each value."""
    return {field.name: getattr(row, field.name) for field in fields(row)}


def _decision_values(row: DecisionRow) -> dict[str, Any]:
    values = _values(row)
    values["waits"] = dict(row.waits)
    if row.features is not None:
        values["features"] = np.asarray(row.features, dtype="<f4").tobytes()
    return values


def _features(blob: bytes | None) -> Floats | None:
    return None if blob is None else np.frombuffer(blob, dtype="<f4").astype(np.float32)


_EARLIER = schema.feedback.alias("earlier")
_IS_FIRST = ~exists().where(
    _EARLIER.c.request_id == schema.feedback.c.request_id, _EARLIER.c.number < schema.feedback.c.number
)
_ANSWERED = and_(
    schema.attempts.c.request_id == schema.decisions.c.request_id,
    schema.attempts.c.error.is_(None),
    # A stream may be judged before it ends. Whoever asks later must get what was known then: what is learned now
    # and what is rebuilt from the rows are to be the same.
    schema.attempts.c.timestamp <= schema.feedback.c.timestamp,
)
_JUDGED: Select[Any] = (
    select(
        schema.decisions,
        schema.feedback.c.number,
        schema.feedback.c.score,
        schema.attempts.c.model.label("answered_by"),
        schema.attempts.c.cost_usd,
        schema.attempts.c.latency_s,
    )
    .join_from(schema.feedback, schema.decisions, schema.decisions.c.request_id == schema.feedback.c.request_id)
    .outerjoin(schema.attempts, _ANSWERED)
    .where(_IS_FIRST)
)
"""Every first judgement with its decision, and its answer where there was one."""


def _feedback(connection: Connection, given: Feedback) -> Taken:
    table, decision = schema.feedback, schema.decisions
    known = connection.scalar(select(table.c.request_id).where(table.c.id == given.id))
    if known is not None:
        return Taken(FeedbackStatus.DUPLICATE if known == given.request_id else FeedbackStatus.CONFLICT)
    wanted = select(decision.c.request_id).where(decision.c.request_id == given.request_id)
    if connection.scalar(wanted) is None:
        return Taken(FeedbackStatus.UNKNOWN_REQUEST)
    connection.execute(insert(table), [_values(given)])
    first = connection.execute(_JUDGED.where(table.c.id == given.id)).first()
    return Taken(FeedbackStatus.STORED, None if first is None else _judged(first))


def _judged(row: Row[Any]) -> Judged:
    values = row._asdict()
    outcome = {name: values.pop(name) for name in ("number", "score", "answered_by", "cost_usd", "latency_s")}
    return Judged(DecisionRow(**{**values, "features": _features(values["features"])}), **outcome)


def _scores(connection: Connection) -> dict[str, tuple[float, str]]:
    """Mean score and the sources of every request that has feedback."""
    table = schema.feedback
    last: dict[str, dict[str, float]] = defaultdict(dict)
    for row in connection.execute(select(table.c.request_id, table.c.source, table.c.score).order_by(table.c.number)):
        last[row.request_id][row.source] = row.score
    return {
        request_id: (sum(scores.values()) / len(scores), "+".join(sorted(scores)))
        for request_id, scores in last.items()
    }


def _trace_row(row: Row[Any], judged: tuple[float, str] | None) -> dict[str, Any]:
    answered = row.attempt_error is None
    score, source = judged if judged is not None and answered else (None, None)
    features = _features(row.features)
    return {
        "query_id": row.request_id,
        "task": row.task,
        "prompt": row.prompt,
        "model": row.attempt_model,
        "score": score,
        "input_tokens": row.attempt_input_tokens,
        "output_tokens": row.attempt_output_tokens,
        "cost_usd": row.attempt_cost_usd,
        "latency_s": row.attempt_latency_s,
        "timestamp": row.timestamp,
        "attempt": row.attempt_attempt,
        "propensity": row.propensity if row.attempt_attempt == 0 and not row.pinned else None,
        "available": list(row.waits),
        "dial": row.dial,
        "cost_weight": row.cost_weight,
        "latency_weight": row.latency_weight,
        "features": None if features is None else features.tolist(),
        "featuriser": row.featuriser,
        "prompt_hash": row.prompt_hash,
        "agent": row.agent,
        "node": row.node,
        "parent": row.parent,
        "priority": row.priority,
        "queue_wait_s": row.attempt_queue_wait_s,
        "ttft_s": row.attempt_ttft_s,
        "policy_version": row.policy_version,
        "feedback_source": source,
        "error": row.attempt_error,
        "response": row.attempt_response,
        "logprob": row.attempt_logprob,
    }
