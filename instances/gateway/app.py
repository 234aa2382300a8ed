"""The ASGI application: routes, and a runtime that starts and stops with the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

from starlette.applications import Starlette
from starlette.routing import Route

from instances.gateway.chat import ChatCompletions
from instances.gateway.errors import handlers
from instances.gateway.feedback import FeedbackEndpoint
from instances.gateway.status import Status
from instances.runtime import Runtime


def create_app(runtime: Runtime, *, owns_runtime: bool = True) -> Starlette:
    """An application over ``runtime``.

    Args:
        runtime: not started, unless the caller keeps it.
        owns_runtime: True starts the runtime with the server, in the background so that ``/healthz`` answers
            at once, and stops it with the server. False leaves both to the caller, on the same event loop.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        if not owns_runtime:
            yield
            return
        try:
            await runtime.start(wait=False)
            yield
        finally:
            await runtime.stop()

    status = Status(runtime)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", ChatCompletions(runtime).create, methods=["POST"]),
            Route("/v1/feedback", FeedbackEndpoint(runtime).create, methods=["POST"]),
            Route("/v1/models", status.models),
            Route("/v1/models/{model:path}", status.model),
            Route("/healthz", status.alive),
            Route("/readyz", status.ready),
        ],
        exception_handlers=handlers(),
        lifespan=lifespan,
    )


def exposure(host: str) -> str | None:
    """A warning for an address that other machines reach, in one line; ``None`` for this machine's own.

    Example:
        >>> exposure("127.0.0.1")
        >>> exposure("0.0.0.0")
        'whoever reaches 0.0.0.0 can spend money here: no key is asked for; put a proxy that asks for one before it'
    """
    try:
        own = ip_address(host).is_loopback
    except ValueError:
        own = host == "localhost"
    if own:
        return None
    return f"whoever reaches {host} can spend money here: no key is asked for; put a proxy that asks for one before it"
