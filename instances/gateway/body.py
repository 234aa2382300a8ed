"""Reading a request's body: one JSON object, of a size that memory can bear."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from starlette.requests import Request

from instances.gateway.errors import BadRequest

_LARGEST = 64 << 20  # bytes; room for a few images


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body.

    Raises:
        BadRequest: too large, not JSON, not an object, or text that is not Unicode.
    """
    raw = bytearray()
    async for block in request.stream():
        raw += block
        if len(raw) > _LARGEST:
            raise BadRequest(f"the body is larger than {_LARGEST >> 20} MiB", status=413)
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
        if b"\\ud" in raw.lower():
            json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair can be neither hashed nor stored
    except UnicodeEncodeError:
        raise BadRequest("the body holds half of a surrogate pair, which is not Unicode text") from None
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
