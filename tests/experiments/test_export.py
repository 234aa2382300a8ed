"""The live log as a trace; a database that is not ours is only looked at."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from env.errors import BadInput
from env.trace_io import read_trace
from experiments.cli import main
from experiments.export import export_log
from instances.rows import Feedback
from instances.store import Store
from tests.instances.test_store import ATTEMPT, DECISION


def fill(file: Path) -> str:
    url = f"sqlite:///{file}"
    store = Store(url)

    async def write() -> None:
        await store.write_decision(DECISION)
        store.write_attempt(ATTEMPT)
        await store.add_feedback(Feedback("f1", "r1", "user", 1.0, 2.0))

    asyncio.run(write())
    store.close()
    return url


def test_the_log_becomes_a_trace(tmp_path: Path) -> None:
    written = export_log(fill(tmp_path / "log.db"), tmp_path / "log.parquet")
    trace = read_trace(tmp_path / "log.parquet")
    assert trace.hash == written.hash
    assert (trace.arms, trace.score.tolist(), trace.is_log) == (("small",), [[1.0]], True)
    assert trace.query_columns["dial"].tolist() == [0.5]


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_an_unrelated_database_stays_as_it_is(journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "theirs.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("CREATE TABLE accounts (name TEXT)")
        connection.execute("INSERT INTO accounts VALUES ('mine')")
        connection.commit()
    before = file.read_bytes()
    out = tmp_path / "out" / "log.parquet"
    assert main(["trace", "export", "--store", f"sqlite:///{file}", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "theirs.db: not a store of this program" in said
    assert said.count("\n") == 1
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.db"]


def test_a_store_that_is_not_there_or_empty_is_told(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/none.db", f"sqlite+pysqlite:///{tmp_path}/none.db"):
        with pytest.raises(BadInput, match=r"none\.db: no such"):
            export_log(url, tmp_path / "log.parquet")
    Store(f"sqlite:///{tmp_path}/empty.db").close()
    with pytest.raises(BadInput, match=r"empty\.db: nothing was recorded yet"):
        export_log(f"sqlite:///{tmp_path}/empty.db", tmp_path / "log.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["empty.db"]
