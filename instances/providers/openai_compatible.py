"""Any OpenAI-compatible endpoint: OpenAI, one-api, Ollama, vLLM, llama.cpp, OpenRouter, another Pointsman.

Spoken over plain ``aiohttp``: the official client costs several times the CPU per call, and retries on its
own, which here is the router's business.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from env.errors import BadInput
from env.uris import without_secrets
from instances.config import InstanceConfig
from instances.providers.base import ChatRequest, Completion, Delta, Provider, ProviderError

_CONNECT_S = 5.0
_HEALTH_S = 2.0
# A request sent while the server closes the idle connection is lost, and nobody knows whether it was begun. So the
# pool drops it first: many servers (uvicorn, Node) close theirs after 5 s.
_IDLE_S = 4.0
_LONGEST_EVENT = 8 << 20  # bytes of one server-sent event; a line without an end must not fill the memory
_LONGEST_DETAIL = 300
# The request itself is at fault: another model would refuse it too.
_CALLERS_FAULT = frozenset({400, 413, 415, 422})


class OpenAICompatibleProvider(Provider):
    """One model behind one endpoint."""

    proven_by_start = False

    def __init__(self, settings: InstanceConfig) -> None:
        """Check the settings; nothing is connected yet.

        Raises:
            BadInput: the environment variable that should hold the key is not set.
        """
        self._name = settings.name
        self._model = settings.upstream_model
        self._url = (settings.base_url or "").rstrip("/")
        self._timeout_s = settings.timeout_s
        self._headers: dict[str, str] = {}
        if settings.api_key_env is not None:
            key = os.environ.get(settings.api_key_env)
            if not key:
                raise BadInput(
                    f"instance `{settings.name}`: the environment variable {settings.api_key_env} is not set"
                )
            self._headers["authorization"] = f"Bearer {key}"
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connection pool; the queue in front bounds the calls, so the pool does not."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S)
            self._session = aiohttp.ClientSession(connector=connector, headers=self._headers)

    async def close(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def healthy(self) -> bool:
        """True when the endpoint answers without a server error; not every one lists its models to every key."""
        if self._session is None:
            return False
        timeout = aiohttp.ClientTimeout(total=_HEALTH_S)
        try:
            async with self._session.get(f"{self._url}/models", timeout=timeout) as response:
                return response.status < 500 and response.status != 401  # 401: no such key
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def complete(self, request: ChatRequest) -> Completion:
        """One plain call."""
        started = time.perf_counter()
        async with self._post(request, {}) as response:
            body = self._json(await response.read())
        latency_s = time.perf_counter() - started
        choice = self._choice(body)
        message = choice.get("message") if choice is not None else None
        if choice is None or not isinstance(message, dict):
            raise self._error("the answer has no choices[0].message")
        return Completion(
            text=message.get("content") or "",
            input_tokens=_tokens(body, "prompt_tokens"),
            output_tokens=_tokens(body, "completion_tokens"),
            latency_s=latency_s,
            logprob=_mean(_logprobs(choice)),
            finish_reason=choice.get("finish_reason") or "stop",
            message=message,
            logprobs=choice.get("logprobs"),
        )

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """One streamed call; usage is asked for whether or not the caller did, because it is recorded."""
        options = {**(request.params.get("stream_options") or {}), "include_usage": True}
        started = time.perf_counter()
        text, logprobs = "", list[float]()
        ttft_s: float | None = None
        finish_reason: str | None = None
        input_tokens: int | None = None
        output_tokens: int | None = None
        async with self._post(request, {"stream": True, "stream_options": options}) as response:
            async for event in self._events(response):
                if event == b"[DONE]":
                    break
                chunk = self._json(event)
                if "error" in chunk:
                    # The status line said 200 before it failed.
                    raise self._error(f"broke off: {_detail(chunk)}", status=502)
                if chunk.get("usage"):
                    input_tokens = _tokens(chunk, "prompt_tokens")
                    output_tokens = _tokens(chunk, "completion_tokens")
                choice = self._choice(chunk)
                if choice is None:
                    continue
                delta = choice.get("delta") or {}
                if ttft_s is None and (delta.get("content") or delta.get("tool_calls")):
                    ttft_s = time.perf_counter() - started
                text += delta.get("content") or ""
                logprobs += _logprobs(choice)
                finish_reason = choice.get("finish_reason") or finish_reason
                yield Delta(text=delta.get("content") or "", raw=choice)
        if finish_reason is None:
            raise self._error("the stream ended before the answer did")
        yield Delta(
            completion=Completion(
                text=text,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                latency_s=time.perf_counter() - started,
                ttft_s=ttft_s,
                logprob=_mean(logprobs),
                finish_reason=finish_reason,
            )
        )

    @asynccontextmanager
    async def _post(self, request: ChatRequest, extra: Mapping[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """POST the request; every way it can fail, also while the body is read, is a ``ProviderError``."""
        if self._session is None:
            raise self._error("is not started", unreachable=True)
        limit_s = min(self._timeout_s, request.timeout_s or self._timeout_s)
        body = {**request.params, "model": self._model, "messages": list(request.messages), **extra}
        try:
            async with self._session.post(
                f"{self._url}/chat/completions",
                data=io.BytesIO(json.dumps(body).encode()),  # aiohttp warns of large bodies in other forms
                headers={"content-type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=limit_s, sock_connect=min(_CONNECT_S, limit_s)),
            ) as response:
                if response.status >= 400:
                    raise self._refusal(response, await response.read())
                yield response
        except TimeoutError:
            raise self._error(f"no answer within {limit_s:g} s", status=504) from None
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise self._error(f"unreachable: {self._told(error)}", unreachable=True) from error
        except (aiohttp.ClientError, OSError) as error:
            # Not sent again: the server may be at work on it, and be paid. Another model answers instead.
            raise self._error(f"the connection broke: {self._told(error)}", status=502) from error

    def _told(self, error: Exception) -> str:
        return without_secrets(str(error), self._url) or type(error).__name__

    async def _events(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        """Payloads of the ``data:`` lines; comments and other fields are skipped."""
        buffer = b""
        async for block in response.content.iter_any():
            buffer += block
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    yield line[5:].strip()
            if len(buffer) > _LONGEST_EVENT:
                raise self._error("sent an event without an end")

    def _json(self, payload: bytes) -> dict[str, Any]:
        try:
            body = json.loads(payload)
        except ValueError:
            raise self._error("malformed JSON in the answer") from None
        if not isinstance(body, dict):
            raise self._error("malformed JSON in the answer: not an object")
        return body

    def _choice(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        choices = body.get("choices")
        if not choices:
            return None
        if not isinstance(choices, list) or not isinstance(choices[0], dict):
            raise self._error("malformed answer: choices is not a list of objects")
        return choices[0]

    def _refusal(self, response: aiohttp.ClientResponse, payload: bytes) -> ProviderError:
        status = response.status
        if status in (401, 403):
            # The body may quote the key.
            return self._error(f"refused the key (HTTP {status})", status=status)
        try:
            detail = _detail(json.loads(payload))
        except ValueError:
            detail = payload.decode(errors="replace")
        return self._error(
            f"HTTP {status}: {detail[:_LONGEST_DETAIL]}",
            status=status,
            retry_after_s=_retry_after(response.headers),
            retryable=status not in _CALLERS_FAULT,
        )

    def _error(
        self,
        what: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        retryable: bool = True,
        unreachable: bool = False,
    ) -> ProviderError:
        message = f"instance `{self._name}`: {what}"
        return ProviderError(
            message, status=status, retry_after_s=retry_after_s, retryable=retryable, unreachable=unreachable
        )


def _detail(body: Any) -> str:
    error = body.get("error", body) if isinstance(body, dict) else body
    return str(error.get("message", error) if isinstance(error, dict) else error)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the HTTP-date form is not worth its parser here and counts as not given."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    return None


def _tokens(body: Mapping[str, Any], name: str) -> int | None:
    usage = body.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) else None


def _logprobs(choice: Mapping[str, Any]) -> list[float]:
    content = (choice.get("logprobs") or {}).get("content") or []
    return [token["logprob"] for token in content if "logprob" in token]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
