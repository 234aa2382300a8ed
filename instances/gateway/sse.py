"""Server-sent events, and clients that leave: the upstream is stopped and its slot freed at once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from env.errors import PointsmanError
from instances.gateway.errors import ClientGone, ServerStopping, problem_of
from instances.gateway.headers import answer_headers
from instances.journey import AnswerStream
from instances.openai_format import ChunkWriter

_log = logging.getLogger(__name__)

R = TypeVar("R")

_DONE = b"data: [DONE]\n\n"


async def until_gone(request: Request, work: Coroutine[Any, Any, R]) -> R:
    """The result of ``work``, which is cancelled when the client leaves.

    Raises:
        ClientGone: it left.
        ServerStopping: the server cancelled the request, as it does when it stops.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone("the client closed the connection")
    except asyncio.CancelledError:
        raise ServerStopping("the server is stopping") from None
    finally:
        await _cancel(working, leaving)


class EventStream(Response):
    """A streamed answer as ``chat.completion.chunk`` events."""

    media_type = "text/event-stream"

    def __init__(self, stream: AnswerStream, *, include_usage: bool) -> None:
        """Prepare the response; the stream is closed with it.

        Args:
            stream: an answer that has begun.
            include_usage: close with a chunk of the tokens used.
        """
        choice = stream.choice
        self.status_code = 200
        self.background = None
        self.init_headers(
            {
                "cache-control": "no-cache",
                "x-accel-buffering": "no",  # proxies must not collect the events
                **answer_headers(
                    request_id=stream.request_id,
                    model=stream.model,
                    propensity=choice.propensity,
                    policy=choice.policy_version,
                ),
            }
        )
        self._stream = stream
        self._include_usage = include_usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until they or the client end."""
        async with self._stream:
            sending = asyncio.ensure_future(self._send(send))
            leaving = asyncio.ensure_future(_gone(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            except asyncio.CancelledError:
                await _cancel(sending)
                stopping = problem_of(ServerStopping("the server is stopping"))
                await send({"type": "http.response.body", "body": _event(stopping.body), "more_body": False})
            finally:
                await _cancel(sending, leaving)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for event in self._events():
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncIterator[bytes]:
        writer = ChunkWriter(self._stream.request_id, self._stream.model)
        try:
            async for delta in self._stream:
                for chunk in writer.chunks(delta):
                    yield _event(chunk)
        except Exception as error:
            # The status has been sent: an error inside the stream is all that is left, and no [DONE] after it.
            if not isinstance(error, PointsmanError):
                _log.exception("stream %s broke off", self._stream.request_id)
            yield _event(problem_of(error).body)
            return
        if self._include_usage and self._stream.answer is not None:
            yield _event(writer.usage(self._stream.answer))
        yield _DONE


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
