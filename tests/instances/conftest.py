"""Real parts for the runtime's tests: a recorded trace to replay, a real HTTP server, an upstream that fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from env.trace_io import table_of, write_table
from instances.config import RuntimeConfig, parse_config
from instances.gateway.app import create_app
from instances.runtime import Runtime

PROMPTS = ("What is 2 + 2?", "Is this spam: you won!", "Sort 3 1 2")
ANSWERS = {"small": ("4", "yes", "1 3 2"), "large": ("four", "yes, it is", "1 2 3")}


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, which belong to the test runner."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve(app: Starlette) -> AsyncIterator[tuple[str, Server]]:
    """Serve ``app`` on a free port; yields its address and the server."""
    server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
        if task.done():
            task.result()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.should_exit = True
        await task


@pytest.fixture
def recorded_file(tmp_path: Path) -> Path:
    """Two models on three prompts, with text, tokens, cost and no latency."""
    rows = [
        {
            "query_id": f"q{number}",
            "prompt": prompt,
            "model": model,
            "score": 1.0,
            "input_tokens": 10 + number,
            "output_tokens": 2,
            "cost_usd": 0.001 if model == "small" else 0.01,
            "latency_s": 0.0,
            "response": ANSWERS[model][number],
            "logprob": -0.5,
        }
        for number, prompt in enumerate(PROMPTS)
        for model in ANSWERS
    ]
    return write_table(table_of(rows), tmp_path / "trace.parquet")


@pytest.fixture
def make_config(tmp_path: Path, recorded_file: Path) -> Callable[..., RuntimeConfig]:
    """A configuration of two replayed models, ``small`` always chosen; keywords replace its keys."""

    def make(**changes: Any) -> RuntimeConfig:
        data = {
            "instances": [
                {"name": name, "provider": "replay", "trace": str(recorded_file), "concurrency": 4} for name in ANSWERS
            ],
            "router": "fixed",
            "router_settings": {"arm": 0},
            "exploration": 0.0,
            "seed": 0,
            "store": f"sqlite:///{tmp_path / 'pointsman.db'}",
        }
        return parse_config({**data, **changes})

    return make


@pytest.fixture
async def runtime(make_config: Callable[..., RuntimeConfig]) -> AsyncIterator[Runtime]:
    """A running runtime over the two replayed models."""
    async with Runtime(make_config()) as running:
        yield running


class Gateway:
    """A served gateway, and official clients to it."""

    def __init__(self, url: str, server: Server, runtime: Runtime) -> None:
        self.url = url
        self._server = server
        self.runtime = runtime
        self.client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    def stop(self) -> None:
        """Ask the server to stop, as Ctrl-C does."""
        self._server.should_exit = True


@pytest.fixture
def open_gateway(
    make_config: Callable[..., RuntimeConfig],
) -> Callable[..., AbstractAsyncContextManager[Gateway]]:
    """Serve a gateway over HTTP; keywords replace keys of the configuration."""

    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[Gateway]:
        runtime = Runtime(make_config(**changes))
        async with serve(create_app(runtime)) as (url, server):
            while not runtime.ready:
                await asyncio.sleep(0.005)
            gateway = Gateway(url, server, runtime)
            async with gateway.client:
                yield gateway

    return opened


@pytest.fixture
async def gateway(open_gateway: Callable[..., AbstractAsyncContextManager[Gateway]]) -> AsyncIterator[Gateway]:
    """A gateway over the two replayed models."""
    async with open_gateway() as opened:
        yield opened


class Upstream:
    """An OpenAI-compatible server that fails on purpose, in the way that the model's name says."""

    def __init__(self) -> None:
        self.url = ""
        self.calls = 0
        self.running = 0
        self.gate = asyncio.Event()
        self.bodies: list[dict[str, Any]] = []
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/models", self.models),
            ]
        )

    async def models(self, _request: Request) -> Response:
        return JSONResponse({"object": "list", "data": []})

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.calls += 1
        self.bodies.append(body)
        mode = body["model"]
        if mode == "error-500":
            return JSONResponse({"error": {"message": "out of memory"}}, 500)
        if mode == "error-400":
            return JSONResponse({"error": {"message": "temperature is too hot"}}, 400)
        if mode == "error-401":
            return JSONResponse({"error": {"message": "no such key"}}, 401)
        if mode == "error-429":
            return JSONResponse({"error": {"message": "slow down"}}, 429, headers={"retry-after": "7"})
        if mode == "malformed":
            return Response("{not json", media_type="application/json")
        if mode == "no-choices":
            return JSONResponse({"id": "x", "choices": []})
        if mode == "gated":
            await self.gate.wait()
        if mode == "hang" and not body.get("stream"):
            return await self._hang(request)
        if body.get("stream"):
            return StreamingResponse(self._stream(mode), media_type="text/event-stream")
        message = {"role": "assistant", "content": None, "tool_calls": [_TOOL_CALL]} if mode == "tools" else None
        return JSONResponse(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": mode,
                "choices": [
                    {
                        "index": 0,
                        "message": message or {"role": "assistant", "content": "real"},
                        "finish_reason": "tool_calls" if message else "stop",
                    }
                ],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
            }
        )

    async def _hang(self, request: Request) -> Response:
        self.running += 1
        try:
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
        finally:
            self.running -= 1
        return Response(status_code=499)

    async def _stream(self, mode: str) -> AsyncIterator[str]:
        self.running += 1
        try:
            yield _event({"role": "assistant", "content": ""})
            if mode == "dies-before-content":
                return
            yield _event({"content": "re"})
            if mode == "hang":
                await asyncio.sleep(60)
            if mode == "dies-in-stream":
                return
            if mode == "error-in-stream":
                yield f"data: {json.dumps({'error': {'message': 'GPU on fire'}})}\n\n"
                return
            yield _event({"content": "al"})
            yield _event({}, "stop")
            yield f"data: {json.dumps({'choices': [], 'usage': {'prompt_tokens': 7, 'completion_tokens': 3}})}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            self.running -= 1


_TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}


def _event(delta: dict[str, Any], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "x", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A served upstream double."""
    double = Upstream()
    async with serve(double.app) as (url, _server):
        double.url = f"{url}/v1"
        yield double


@pytest.fixture
def with_upstream(upstream: Upstream, recorded_file: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Instances: ``cloud``, which fails in the given way and is chosen first, and the replayed ``small``."""

    def instances(mode: str, **changes: Any) -> list[dict[str, Any]]:
        cloud = {"name": "cloud", "provider": "openai", "base_url": upstream.url, "model": mode, "concurrency": 2}
        return [{**cloud, **changes}, {"name": "small", "provider": "replay", "trace": str(recorded_file)}]

    return instances
