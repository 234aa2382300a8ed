"""Reading a request's body: one JSON object, of a size that memory can bear."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from starlette.requests import Request

from instances.gateway.errors import BadRequest

_JSON = "application/json"
_MOST_VALUES = 100_000
"""Objects, lists and commas in a body: parsing holds up everybody, for a time that their number sets more than the
body's size. The longest conversations have thousands."""
# Up to the next of them outside of strings, of which valid JSON has no more than two (name and value) on the way. All
# of it possessive, so that no body makes it go back.
_TO_NEXT = re.compile(r'[^"\[{,]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"\[{,]*+){0,2}+[\[{,]', re.DOTALL)


async def read_object(request: Request, *, largest_mib: int) -> dict[str, Any]:
    """The JSON object in the body.

    Raises:
        BadRequest: not declared as JSON, too large, of too many values, not JSON, not an object, or text that is not
            Unicode.
    """
    # A web page may send any server a form or plain text, and so spend its owner's money; for JSON its browser asks
    # first, and is refused.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise BadRequest(f"the body must be declared as JSON, by the header `content-type: {_JSON}`", status=415)
    raw = bytearray()
    async for block in request.stream():
        raw += block
        if len(raw) > largest_mib << 20:
            raise BadRequest(f"the body is larger than {largest_mib} MiB (`largest_body_mib`)", status=413)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
    if _has_too_many_values(text):
        raise BadRequest(f"the body holds more than {_MOST_VALUES} JSON values", status=413)
    try:
        # Not in a thread: the parser holds the interpreter's lock to its end, so the others would wait all the same.
        body = json.loads(text, parse_constant=_refuse_constant)
        if b"\\ud" in raw.lower():
            json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair can be neither hashed nor stored
    except UnicodeEncodeError:
        raise BadRequest("the body holds half of a surrogate pair, which is not Unicode text") from None
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def _has_too_many_values(text: str) -> bool:
    """True for JSON of too many values; of what is not JSON, the part before its error is looked at."""
    if sum(map(text.count, "[{,")) <= _MOST_VALUES:
        return False
    # They may all be in a prompt.
    position = 0
    for _ in range(_MOST_VALUES + 1):
        found = _TO_NEXT.match(text, position)
        if found is None:
            return False
        position = found.end()
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
