"""The one thread that writes to the store, with group commit.

Whatever has been submitted while the last transaction was committed goes into the next one, so that a burst
costs a few commits and a lone row waits for nothing but its own.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError, TimeoutError

from env.errors import PointsmanError

R = TypeVar("R")

_LARGEST_BATCH = 500
"""Jobs in one transaction: keeps the commit, and so the wait of its first job, within a few milliseconds."""


class StoreError(PointsmanError):
    """The store could not be read or written."""


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[Connection], Any]
    done: Future[Any]


class GroupWriter:
    """Runs jobs, each a function of a connection, in order and in shared transactions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._connection: Connection | None = None  # of the writing thread alone
        self._thread = threading.Thread(target=self._run, name="pointsman-store", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], R]) -> Future[R]:
        """Queue a job; its future is done when its transaction is committed, or holds a ``StoreError``."""
        done: Future[R] = Future()
        if self._closed:
            done.set_exception(StoreError("the store is closed"))
        else:
            self._jobs.put(_Job(work, done))
        return done

    def close(self) -> None:
        """Commit what was submitted, then stop; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._next_batch()
            if batch:
                self._commit(batch)
        self._disconnect()

    def _next_batch(self) -> tuple[list[_Job], bool]:
        batch = list[_Job]()
        job = self._jobs.get()
        while job is not None:
            if job.done.set_running_or_notify_cancel():
                batch.append(job)
            if len(batch) == _LARGEST_BATCH:
                return batch, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[_Job]) -> None:
        failure = self._try(batch)
        if failure is None:
            return
        if len(batch) == 1 or not _one_job_can_cause(failure):
            for job in batch:
                job.done.set_exception(as_store_error(failure))
            return
        # One bad job must not take the others with it: nothing was committed, so each has its own try.
        for tried, job in enumerate(batch):
            failure = self._try([job])
            if failure is not None and not _one_job_can_cause(failure):
                for left in batch[tried:]:
                    left.done.set_exception(as_store_error(failure))
                return
            if failure is not None:
                job.done.set_exception(as_store_error(failure))

    def _try(self, batch: list[_Job]) -> Exception | None:
        """Run the jobs in one transaction; what went wrong, and then nothing of them was done."""
        try:
            # One connection for the thread's life: opening a SQLite file costs more than a commit.
            connection = self._connection = self._connection or self._engine.connect()
            with connection.begin():
                results = [job.work(connection) for job in batch]
        except Exception as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                self._disconnect()
            return error
        for job, result in zip(batch, results, strict=True):
            job.done.set_result(result)
        return None

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _one_job_can_cause(error: Exception) -> bool:
    """False where the database itself fails, or is locked: asking it again for each job would wait for each."""
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError | ProgrammingError) and not error.connection_invalidated
    return not isinstance(error, TimeoutError)


def as_store_error(error: Exception) -> Exception:
    """Without the statement and its parameters, which hold prompts."""
    return StoreError(f"the store failed: {one_line(error)}") if isinstance(error, SQLAlchemyError) else error


def one_line(error: SQLAlchemyError) -> str:
    """What the database says, without the statement: its first line, as details may quote what was to be written."""
    said = str(error.orig) if isinstance(error, DBAPIError) else ""
    return said.partition("\n")[0] or type(error).__name__
