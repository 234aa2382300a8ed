"""The whole runtime with a real language model behind it: the official client, plain and streaming, to a trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from env.trace_io import from_rows
from instances.config import load_config
from tests.conftest import needs

needs("local", "a real model")

MESSAGES: Any = [{"role": "user", "content": "Say hello."}]
LOCAL = {
    "name": "smol",
    "provider": "local",
    "model": "smollm2-135m",
    "price": {"input_usd_per_mtok": 1.0, "usd_per_second": 0.001},
    "prompting": {"max_tokens": 8, "temperature": 0},
}


@pytest.fixture
async def gateway(open_gateway: Callable[..., AbstractAsyncContextManager[Any]]) -> AsyncIterator[Any]:
    async with open_gateway(instances=[LOCAL]) as opened:
        yield opened


async def test_a_real_model_answers_streams_and_is_recorded(gateway: Any) -> None:
    completion = await gateway.client.chat.completions.create(model="pointsman", messages=MESSAGES)
    assert completion.choices[0].message.content
    assert 1 <= completion.usage.completion_tokens <= 8
    stream = await gateway.client.chat.completions.create(
        model="pointsman", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == completion.choices[0].message.content  # temperature 0
    assert chunks[-1].usage.completion_tokens == completion.usage.completion_tokens
    assert chunks[-1].pointsman["cost_usd"] > 0
    for request_id, score in ((completion.id, 1.0), (chunks[0].id, 0.5)):
        await gateway.runtime.feedback(request_id, score)
    trace = from_rows(gateway.runtime.store.rows())
    assert sorted(trace.score[:, 0].tolist()) == [0.5, 1.0]
    assert trace.has_cost
    assert trace.has_latency
    assert all(logprob < 0 for logprob in trace.cell_columns["logprob"][:, 0])


async def test_a_model_that_is_killed_is_started_again(gateway: Any) -> None:
    instance = gateway.runtime.manager["smol"]
    process = instance._provider._server._process
    process.kill()
    process.wait()
    with pytest.raises(Exception, match="no model answered"):
        await gateway.client.chat.completions.create(model="pointsman", messages=MESSAGES)
    assert not instance.healthy
    async with asyncio.timeout(30):
        while not instance.healthy:
            await instance.check()
    completion = await gateway.client.chat.completions.create(model="pointsman", messages=MESSAGES)
    assert completion.choices[0].message.content


def test_the_shipped_configuration_is_good() -> None:
    config = load_config()
    assert {instance.provider for instance in config.instances} >= {"local", "custom"}
