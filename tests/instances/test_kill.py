"""kill -9 of a served gateway: what a client was told is in the store, and the server starts again on it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from env.trace_io import table_of, write_table

CLIENTS = 24
ENOUGH = 150  # judged answers before the kill: some of them in flight at every stage
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """Two replayed models that take some milliseconds, and a router that learns from feedback."""
    rows = [
        {"query_id": f"q{n}", "prompt": f"What is {n} + {n}?", "model": model, "response": f"It is {n + n}."}
        | {"cost_usd": 0.001, "latency_s": 0.002 * (n % 5), "input_tokens": 9, "output_tokens": 3}
        for n in range(20)
        for model in ("small", "large")
    ]
    write_table(table_of(rows), tmp_path / "trace.parquet")
    instances = [
        {"name": name, "provider": "replay", "trace": "trace.parquet", "concurrency": 8} for name in ("small", "large")
    ]
    settings = {"instances": instances, "router": "linucb", "exploration": 0.3}
    file = tmp_path / "pointsman.yaml"
    file.write_text(json.dumps({**settings, "store": f"sqlite:///{tmp_path / 'live.db'}"}))  # JSON is YAML
    return file


@asynccontextmanager
async def served(config_file: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The real command on a free port; yields the process and its address, once it is ready."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pointsman", "serve", "--config", str(config_file), "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        cwd=config_file.parent,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(REPOSITORY)},
    )
    try:
        assert process.stdout is not None
        url = ""
        while not url.startswith("http"):
            line = (await process.stdout.readline()).decode()
            assert line, "the server ended before it said its address"
            url = line.split()[-1].removesuffix("/v1")
        async with aiohttp.ClientSession(url) as http:
            while not await _is_ready(http):
                await asyncio.sleep(0.02)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _is_ready(http: aiohttp.ClientSession) -> bool:
    async with http.get("/readyz") as response:
        return response.status == 200


@dataclass
class Told:
    """What the clients were told: requests whose answer began, feedback that was acknowledged."""

    answered: set[str] = field(default_factory=set)
    judged: set[str] = field(default_factory=set)
    cut_off: int = 0

    async def ask(self, http: aiohttp.ClientSession, number: int) -> str:
        """One request, streamed or not; answered as soon as its first byte is here."""
        messages = [{"role": "user", "content": f"What is {number % 20} + {number % 20}?"}]
        body = {"model": "pointsman", "messages": messages, "stream": number % 2 == 0}
        async with http.post("/v1/chat/completions", json=body) as response:
            assert response.status == 200, await response.text()
            request_id = response.headers["x-pointsman-request-id"]
            await response.content.readany()
            self.answered.add(request_id)
            await response.read()
        return request_id

    async def judge(self, http: aiohttp.ClientSession, request_id: str, id: str) -> None:
        """One feedback."""
        async with http.post("/v1/feedback", json={"request_id": request_id, "score": 0.5, "id": id}) as response:
            assert response.status == 200, await response.text()
            self.judged.add(id)

    async def go_on(self, http: aiohttp.ClientSession, client: int) -> None:
        """Ask and judge until the server is gone."""
        number = client
        try:
            while True:
                request_id = await self.ask(http, number)
                await self.judge(http, request_id, f"{client}/{request_id}")
                number += 1
        except aiohttp.ClientError:
            self.cut_off += 1


async def killed_in_mid_flight(config_file: Path, told: Told, *, while_it_waits: Path | None) -> None:
    """Serve, let many clients ask and judge, and kill; on request while nothing can be committed to a database."""
    enough = len(told.judged) + ENOUGH
    async with served(config_file) as (process, url), aiohttp.ClientSession(url) as http:
        clients = [asyncio.create_task(told.go_on(http, client)) for client in range(CLIENTS)]
        while len(told.judged) < enough:
            await asyncio.sleep(0.005)
            assert not any(client.done() for client in clients), [client for client in clients if client.done()]
        with closing(sqlite3.connect(while_it_waits or ":memory:", isolation_level=None)) as other:
            other.execute("begin immediate")
            await asyncio.sleep(0 if while_it_waits is None else 0.2)
            process.kill()
            await asyncio.gather(*clients)
        assert await process.wait() == -signal.SIGKILL


def stored(file: Path, query: str) -> set[Any]:
    """The only column of a query, as another program reads it."""
    with closing(sqlite3.connect(file)) as connection:
        return {value for (value,) in connection.execute(query)}


async def test_kill_9_of_the_gateway_loses_nothing_that_a_client_was_told(config_file: Path, tmp_path: Path) -> None:
    told, database = Told(), tmp_path / "live.db"
    for while_it_waits in (None, database):
        await killed_in_mid_flight(config_file, told, while_it_waits=while_it_waits)
        assert told.answered <= stored(database, "select request_id from decisions")
        assert told.judged <= stored(database, "select id from feedback")
    assert told.cut_off == 2 * CLIENTS

    async with served(config_file) as (process, url), aiohttp.ClientSession(url) as http:
        for request_id in list(told.answered)[:10]:
            await told.judge(http, request_id, f"after {request_id}")
        last = await told.ask(http, 0)
        process.terminate()
        assert await process.wait() == 0
    assert {last} <= stored(database, "select request_id from decisions")
    # What the killed servers had learned is there again, and what was judged since came on top; an answer that the
    # kill cut off has no attempt to learn from.
    (version,) = stored(database, f"select policy_version from decisions where request_id = '{last}'")
    assert int(version.partition("+")[2]) == len(
        stored(database, "select request_id from feedback join attempts using (request_id)")
    )
