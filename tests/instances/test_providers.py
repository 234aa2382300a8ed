"""Providers by themselves: the OpenAI-compatible one against a server that fails, the replay against its trace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from env.errors import BadInput
from env.trace_io import table_of, write_table
from instances.config import InstanceConfig
from instances.providers.base import ChatRequest, ProviderError
from instances.providers.openai_compatible import OpenAICompatibleProvider
from instances.providers.replay import ReplayProvider

HELLO = ChatRequest(({"role": "user", "content": "What is 2 + 2?"},), {"temperature": 0})


async def connected(upstream: Any, mode: str, **settings: Any) -> OpenAICompatibleProvider:
    config = InstanceConfig(name="cloud", provider="openai", model=mode, base_url=upstream.url, **settings)
    provider = OpenAICompatibleProvider(config)
    await provider.start()
    return provider


async def test_a_plain_call_brings_text_tokens_and_time(upstream: Any) -> None:
    provider = await connected(upstream, "ok")
    completion = await provider.complete(HELLO)
    await provider.close()
    assert (completion.text, completion.input_tokens, completion.output_tokens) == ("real", 7, 3)
    assert completion.latency_s > 0
    assert upstream.bodies == [{"temperature": 0, "model": "ok", "messages": list(HELLO.messages)}]


async def test_a_stream_brings_pieces_and_then_the_whole(upstream: Any) -> None:
    provider = await connected(upstream, "ok")
    deltas = [delta async for delta in provider.stream(HELLO)]
    await provider.close()
    assert "".join(delta.text for delta in deltas) == "real"
    last = deltas[-1].completion
    assert last is not None
    assert (last.text, last.input_tokens, last.output_tokens, last.finish_reason) == ("real", 7, 3, "stop")
    assert last.ttft_s is not None
    assert last.ttft_s <= last.latency_s


@pytest.mark.parametrize(
    ("mode", "status", "retryable", "message"),
    [
        ("error-500", 500, True, "out of memory"),
        ("error-400", 400, False, "too hot"),
        ("error-429", 429, True, "slow down"),
        ("malformed", None, True, "malformed JSON"),
        ("no-choices", None, True, r"no choices\[0\]\.message"),
    ],
)
async def test_every_failure_is_a_provider_error(
    upstream: Any, mode: str, status: int | None, retryable: bool, message: str
) -> None:
    provider = await connected(upstream, mode)
    with pytest.raises(ProviderError, match=message) as failed:
        await provider.complete(HELLO)
    await provider.close()
    assert (failed.value.status, failed.value.retryable) == (status, retryable)
    assert failed.value.retry_after_s == (7.0 if mode == "error-429" else None)


@pytest.mark.parametrize("mode", ["dies-in-stream", "dies-before-content", "error-in-stream"])
async def test_half_a_stream_is_a_provider_error(upstream: Any, mode: str) -> None:
    provider = await connected(upstream, mode)
    with pytest.raises(ProviderError):
        async for _delta in provider.stream(HELLO):
            pass
    await provider.close()


async def test_a_hanging_upstream_is_given_up_in_time(upstream: Any) -> None:
    provider = await connected(upstream, "hang", timeout_s=0.1)
    with pytest.raises(ProviderError, match=r"no answer within 0\.1 s"):
        await provider.complete(HELLO)
    await provider.close()


async def test_health_is_whether_it_answers_at_all(upstream: Any) -> None:
    provider = await connected(upstream, "ok")
    assert await provider.healthy()
    await provider.close()
    assert not await provider.healthy()


async def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    upstream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="the environment variable CLOUD_KEY is not set"):
        await connected(upstream, "ok", api_key_env="CLOUD_KEY")
    monkeypatch.setenv("CLOUD_KEY", "sk-secret")
    provider = await connected(upstream, "error-500", api_key_env="CLOUD_KEY")
    with pytest.raises(ProviderError) as failed:
        await provider.complete(HELLO)
    await provider.close()
    assert "sk-secret" not in str(failed.value)


async def test_a_password_in_the_endpoints_address_is_in_no_error() -> None:
    provider = await connected(SimpleNamespace(url="http://me:s3cret@[bad/v1"), "ok")
    with pytest.raises(ProviderError, match=r"unreachable: .*\*\*\*@\[bad") as failed:
        await provider.complete(HELLO)
    await provider.close()
    assert "s3cret" not in str(failed.value)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[OpenAICompatibleProvider]:
    """A provider of a server that answers with these bytes, whatever they are, and closes the connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = await connected(SimpleNamespace(url=f"http://127.0.0.1:{port}/v1"), "ok")
    try:
        yield provider
    finally:
        await provider.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{", b"not HTTP\r\n\r\n"],
    ids=["closed before the answer", "cut within the answer", "not an answer"],
)
async def test_a_connection_that_broke_is_a_failure_but_not_an_unreachable_model(answer: bytes) -> None:
    async with answering(answer) as provider:
        with pytest.raises(ProviderError, match="instance `cloud`: ") as failed:
            await provider.complete(HELLO)
    assert (failed.value.unreachable, failed.value.status, failed.value.retryable) == (False, 502, True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://nowhere.invalid/v1", "http://[bad/v1", "no address"])
async def test_a_model_that_cannot_be_connected_to_is_unreachable(url: str) -> None:
    provider = await connected(SimpleNamespace(url=url), "ok")
    with pytest.raises(ProviderError, match="unreachable") as failed:
        await provider.complete(HELLO)
    await provider.close()
    assert failed.value.unreachable


async def test_a_large_request_is_sent_whole(upstream: Any) -> None:
    provider = await connected(upstream, "ok")
    large = ChatRequest(({"role": "user", "content": "x" * (2 << 20)},))
    completion = await provider.complete(large)
    await provider.close()
    assert completion.text == "real"
    assert upstream.bodies == [{"model": "ok", "messages": list(large.messages)}]


def replay(recorded_file: Path, **settings: Any) -> ReplayProvider:
    return ReplayProvider(InstanceConfig(name="small", provider="replay", trace=str(recorded_file), **settings))


async def test_a_replay_answers_with_what_was_recorded(recorded_file: Path) -> None:
    completion = await replay(recorded_file).complete(HELLO)
    assert (completion.text, completion.input_tokens, completion.output_tokens) == ("4", 10, 2)
    assert completion.cost_usd == pytest.approx(0.001)
    assert completion.logprob == -0.5


async def test_a_replay_gives_the_recorded_numbers_not_their_nearest_float32(tmp_path: Path) -> None:
    numbers = {"cost_usd": 0.000123, "latency_s": 0.0017, "ttft_s": 0.0011, "logprob": -0.3}
    row = {"query_id": "q", "prompt": "What is 2 + 2?", "model": "small", "response": "4", **numbers}
    completion = await replay(write_table(table_of([row]), tmp_path / "trace.parquet")).complete(HELLO)
    assert {name: getattr(completion, name) for name in numbers} == numbers


async def test_a_replay_takes_the_recorded_time_divided_by_its_speed(tmp_path: Path) -> None:
    row = {"query_id": "q", "prompt": "What is 2 + 2?", "model": "small", "latency_s": 2.0, "cost_usd": 0.0}
    file = write_table(table_of([{**row, "response": "It is 4"}]), tmp_path / "slow.parquet")
    provider = replay(file, speed=20.0)
    started = time.perf_counter()
    assert (await provider.complete(HELLO)).latency_s == 2.0
    assert time.perf_counter() - started >= 0.1
    started = time.perf_counter()
    deltas = [delta async for delta in provider.stream(HELLO)]
    assert time.perf_counter() - started >= 0.1
    assert [delta.text for delta in deltas] == ["It", " is", " 4", ""]


async def test_a_replay_refuses_what_it_does_not_hold(tmp_path: Path, recorded_file: Path) -> None:
    with pytest.raises(ProviderError, match="does not hold this prompt") as unknown:
        await replay(recorded_file).complete(ChatRequest(({"role": "user", "content": "Why?"},)))
    assert unknown.value.status == 404
    rows = [
        {"query_id": "a", "prompt": "What is 2 + 2?", "model": "large", "score": 1.0},
        {"query_id": "b", "prompt": "And 3?", "model": "small", "score": np.nan, "error": "overloaded"},
    ]
    partial = replay(write_table(table_of(rows), tmp_path / "partial.parquet"))
    with pytest.raises(ProviderError, match="no answer of `small`"):
        await partial.complete(HELLO)
    with pytest.raises(ProviderError, match="recorded failure: overloaded"):
        await partial.complete(ChatRequest(({"role": "user", "content": "And 3?"},)))
    with pytest.raises(BadInput, match="has no model `smol`; did you mean `small`"):
        replay(recorded_file, model="smol")
