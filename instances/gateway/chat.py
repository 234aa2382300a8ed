"""``POST /v1/chat/completions``: plain and streamed.

Strict about fields it knows, and lenient about the others, which are passed on as they came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from instances.calls import Call
from instances.gateway.body import read_object
from instances.gateway.errors import BadRequest, json_response
from instances.gateway.headers import answer_headers, routing_of
from instances.gateway.models import routing_of_model
from instances.gateway.sse import EventStream, until_gone
from instances.openai_format import completion_body
from instances.providers.base import ChatRequest
from instances.runtime import Runtime

_NOT_PASSED_ON = frozenset({"model", "messages", "stream", "stream_options"})
_MODALITY_OF_PART = {"image_url": "image", "input_audio": "audio"}


class ChatCompletions:
    """The endpoint."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def create(self, request: Request) -> Response:
        """Answer one chat request."""
        body = await read_object(request, largest_mib=self._runtime.config.largest_body_mib)
        chat = parse_chat(body)
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise BadRequest("model: missing; `pointsman` lets the policy choose", "model")
        # The name wins over the dial header.
        routing = routing_of(request.headers) | routing_of_model(self._runtime, model)
        call = Call(chat, **routing)
        router = self._runtime.router(chat.model_type)
        if body.get("stream"):
            stream = await until_gone(request, router.stream(call))
            options = body.get("stream_options") or {}
            return EventStream(stream, include_usage=bool(options.get("include_usage")))
        answer = await until_gone(request, router.ask(call))
        headers = answer_headers(
            request_id=answer.request_id,
            model=answer.model,
            propensity=answer.propensity,
            policy=answer.policy_version,
            cost_usd=answer.cost_usd,
        )
        return json_response(completion_body(answer), headers=headers)


def parse_chat(body: Mapping[str, Any]) -> ChatRequest:
    """The conversation and its parameters.

    Raises:
        BadRequest: naming the field.

    Example:
        >>> parse_chat({"messages": [{"role": "user", "content": "Hi"}], "temperature": 0}).params
        {'temperature': 0}
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages: a list of one or more messages is needed", "messages")
    modalities = {"text"}
    for number, message in enumerate(messages):
        modalities |= _check_message(message, f"messages[{number}]")
    for name, (is_right, wanted) in _KNOWN_FIELDS.items():
        value = body.get(name)
        if value is not None and not is_right(value):
            raise BadRequest(f"{name}: must be {wanted}", name)
    return ChatRequest(
        messages=tuple(messages),
        params={name: value for name, value in body.items() if name not in _NOT_PASSED_ON},
        model_type="+".join(sorted(modalities, key=("text", "image", "audio").index)),
    )


def _check_message(message: Any, where: str) -> set[str]:
    """The modalities beside text that a message holds."""
    if not isinstance(message, dict):
        raise BadRequest(f"{where}: must be an object", where)
    if not isinstance(message.get("role"), str):
        raise BadRequest(f"{where}.role: missing", f"{where}.role")
    content = message.get("content")
    if content is None or isinstance(content, str):
        return set()
    if not isinstance(content, list):
        raise BadRequest(f"{where}.content: must be a string or a list of parts", f"{where}.content")
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise BadRequest(f"{where}.content: every part needs a `type`", f"{where}.content")
    return {_MODALITY_OF_PART[part["type"]] for part in content if part["type"] in _MODALITY_OF_PART}


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


_KNOWN_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "stream": (_is(bool), "true or false"),
    "stream_options": (_is(dict), "an object"),
    "temperature": (_number(0, 2), "a number from 0 to 2"),
    "top_p": (_number(0, 1), "a number from 0 to 1"),
    "max_tokens": (_count, "a whole number of 1 or more"),
    "max_completion_tokens": (_count, "a whole number of 1 or more"),
    "n": (lambda value: value == 1 and not isinstance(value, bool), "1: one answer is routed, paid and recorded"),
    "stop": (_is(str, list), "a string or a list of strings"),
    "tools": (_is(list), "a list"),
}
