"""The recorders: what an error may say in the log, where prompts are kept and where they are not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from instances.calls import Call, UpstreamFailed
from instances.config import RuntimeConfig
from instances.providers.base import ChatRequest
from instances.runtime import Runtime

QUOTED = "temperature is too hot"  # by the upstream, of the request
HELLO = Call(ChatRequest(({"role": "user", "content": "What is 2 + 2?"},)))


async def _refused(config: RuntimeConfig, tmp_path: Path) -> list[Any]:
    async with Runtime(config) as runtime:
        with pytest.raises(UpstreamFailed, match=QUOTED):
            await runtime.router().ask(HELLO)
    with closing(sqlite3.connect(tmp_path / "pointsman.db")) as connection:
        return connection.execute(
            "select t.error, a.error from attempts t join answers a using (request_id)"
        ).fetchall()


@pytest.mark.parametrize("keep", ["hashed", "none"])
async def test_where_prompts_are_not_kept_an_error_is_its_kind_and_status(
    make_config: Callable[..., RuntimeConfig], with_upstream: Callable[..., Any], tmp_path: Path, keep: str
) -> None:
    config = make_config(instances=with_upstream("error-400"), store_prompts=keep)
    assert await _refused(config, tmp_path) == [("failed: ProviderError 400", "UpstreamFailed 400")]
    for file in tmp_path.glob("pointsman.db*"):
        assert QUOTED.encode() not in file.read_bytes()


async def test_where_prompts_are_kept_so_is_what_the_upstream_said(
    make_config: Callable[..., RuntimeConfig], with_upstream: Callable[..., Any], tmp_path: Path
) -> None:
    ((attempt, answer),) = await _refused(make_config(instances=with_upstream("error-400")), tmp_path)
    assert QUOTED in attempt
    assert QUOTED in answer
