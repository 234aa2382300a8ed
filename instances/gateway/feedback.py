"""``POST /v1/feedback``: how good an answer was."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from env.errors import nearest
from instances.gateway.body import read_object
from instances.gateway.errors import BadRequest, json_response
from instances.rows import FeedbackStatus
from instances.runtime import Runtime

_FIELDS = ("request_id", "score", "source", "id")
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class GivenFeedback:
    """A checked body."""

    request_id: str
    score: float
    source: str
    id: str


class FeedbackEndpoint:
    """The endpoint."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def create(self, request: Request) -> Response:
        """Store one feedback. Sending it again, with the same ``id``, changes nothing and succeeds."""
        given = parse_feedback(await read_object(request, largest_mib=self._runtime.config.largest_body_mib))
        status = await self._runtime.feedback(given.request_id, given.score, source=given.source, id=given.id)
        if status is FeedbackStatus.UNKNOWN_REQUEST:
            raise BadRequest(
                f"request_id: no request `{given.request_id}` was routed here",
                "request_id",
                status=404,
                code="request_not_found",
            )
        if status is FeedbackStatus.CONFLICT:
            raise BadRequest(f"id: `{given.id}` was used for another request", "id", status=409, code="id_conflict")
        return json_response({"id": given.id, "request_id": given.request_id, "status": status.value})


def parse_feedback(body: Mapping[str, Any]) -> GivenFeedback:
    """The checked fields; ``source`` and ``id`` may be left out.

    Raises:
        BadRequest: naming the field.

    Example:
        >>> parse_feedback({"request_id": "req_1", "score": 1, "id": "f1"})
        GivenFeedback(request_id='req_1', score=1.0, source='user', id='f1')
    """
    for name in body:
        if name not in _FIELDS:
            raise BadRequest(f"{name}: unknown field{nearest(name, _FIELDS)}", name)
    score = body.get("score")
    if not isinstance(score, int | float) or isinstance(score, bool) or not 0 <= score <= 1:
        raise BadRequest("score: must be a number from 0 to 1", "score")
    return GivenFeedback(
        request_id=_text(body, "request_id", None),
        score=float(score),
        source=_text(body, "source", "user"),
        id=_text(body, "id", secrets.token_hex(12)),
    )


def _text(body: Mapping[str, Any], name: str, default: str | None) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        raise BadRequest(f"{name}: must be a string of 1 to {_LONGEST} characters", name)
    return value
