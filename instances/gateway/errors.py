"""Every error as the OpenAI API writes it: a status, and ``{"error": {message, type, param, code}}``."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from env.errors import BadInput, PointsmanError
from env.scheduling import QueueFull
from instances.calls import NotReady, UnknownModel, UpstreamFailed
from instances.queue import DeadlineExpired
from instances.writer import StoreError

_NOT_READY_S = 1.0
_STATUS_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class BadRequest(BadInput):
    """The HTTP request is wrong; ``param`` names the field."""

    def __init__(self, message: str, param: str | None = None, *, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.status = status
        self.code = code


class ClientGone(PointsmanError):
    """The client closed the connection; nobody reads what is sent now."""


class ServerStopping(PointsmanError):
    """The server stops before the answer was ready."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error, ready to be sent."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body."""
        kind = _STATUS_TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def response(self) -> Response:
        """The whole response."""
        headers = dict(self.headers)
        if self.retry_after_s is not None:
            # The standard header knows whole seconds only; the official client prefers the other one.
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
            headers["retry-after-ms"] = str(max(1, math.ceil(self.retry_after_s * 1e3)))
        return json_response(self.body, status=self.status, headers=headers)


def problem_of(error: BaseException) -> Problem:
    """How an error is told to the client."""
    message = str(error)
    match error:
        case BadRequest():
            return Problem(error.status, message, error.code, error.param)
        case UnknownModel():
            return Problem(404, message, "model_not_found", "model")
        case BadInput():
            return Problem(400, message)
        case QueueFull():
            return Problem(429, message, "queue_full", retry_after_s=error.retry_after_s)
        case DeadlineExpired():
            # The client would retry a 504 by itself, with the same deadline long past.
            return Problem(504, message, "deadline_expired", headers={"x-should-retry": "false"})
        case NotReady():
            return Problem(503, message, "not_ready", retry_after_s=_NOT_READY_S)
        case UpstreamFailed():
            return Problem(error.status, message, "upstream_failed", retry_after_s=error.retry_after_s)
        case ServerStopping():
            return Problem(503, message, "server_stopping", retry_after_s=_NOT_READY_S)
        case ClientGone():
            return Problem(499, message, "client_gone")  # for the log only
        case StoreError():
            return Problem(503, message, "store_unavailable")
        case PointsmanError():
            return Problem(502, message, "upstream_failed")
        case HTTPException():
            return Problem(error.status_code, error.detail, headers=error.headers or {})
        case _:
            return Problem(500, "internal error; the server's log says more", "internal_error")


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON in ASCII: a model's text may hold halves of characters that UTF-8 cannot."""
    return Response(json.dumps(body), status, headers, media_type="application/json")


def handlers() -> dict[Any, Callable[[Request, Exception], Awaitable[Response]]]:
    """Exception handlers of the application."""

    async def tell(_request: Request, error: Exception) -> Response:
        return problem_of(error).response

    return {PointsmanError: tell, HTTPException: tell, Exception: tell}
