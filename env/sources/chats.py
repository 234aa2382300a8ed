"""What was asked and answered, as the chat completions, Responses and Anthropic's API write it."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from env.prompts import render
from env.sources.raw import Raw, Record

_SECRETS = re.compile(
    r"""(?ix) \bbearer \s+ [\w.~+/=-]+
    | \b(?:sk|pk|rk|gsk|xai|hf|ghp) [-_] [\w-]+
    | (?<=api[-_]key) ["']? \s* [:=] \s* ["']? [\w.~+/=-]+
    | (?<=apikey) ["']? \s* [:=] \s* ["']? [\w.~+/=-]+"""
)


def prompt(raw: Raw, row: int, request: Record) -> str:
    """The prompt of a request, with its instructions in front.

    Raises:
        BadInput: it has none.
    """
    asked = _decoded(request.get("messages"))
    if not asked:
        asked = _decoded(request.get("input")) or request.get("prompt")
    before = request.get("instructions") or request.get("system")
    head = [{"role": "system", "content": before}] if before else []
    if isinstance(before, list) and all(isinstance(item, Mapping) and "role" in item for item in before):
        head = before  # the Responses API takes messages here too
    if isinstance(asked, str) and asked:
        if not head:
            return asked
        asked = [{"role": "user", "content": asked}]
    if not isinstance(asked, list) or not asked or not all(isinstance(m, Mapping) for m in asked):
        raw.fail(
            row,
            "messages",
            f"{reprlib.repr(asked)} is no list of chat messages; batch outputs need the batch's input file beside "
            "them, and LiteLLM keeps prompts only with `store_prompts_in_spend_logs: true`",
        )
    messages = [message for item in [*head, *asked] if (message := _message(item)) is not None]
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            for part in content:
                raw.object(row, "messages", part)
        elif content is not None and not isinstance(content, str):
            raw.fail(row, "messages", "the content of a message is a text or a list of parts")
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raw.fail(row, "messages", f"tool_calls {reprlib.repr(calls)} is no list")
        for call in calls:
            raw.object(row, "messages", raw.object(row, "messages", call).get("function"))
    return render(messages)


def _message(item: Record) -> Record | None:
    """An item of a Responses request as a chat message; reasoning is none."""
    kind = item.get("type")
    if kind == "function_call":
        return {"role": "assistant", "tool_calls": [{"function": item}]}
    if kind == "function_call_output":
        return {"role": "tool", "content": item.get("output")}
    return None if kind == "reasoning" else item


def answer(raw: Raw, row: int, response: Record) -> str | None:
    """The text that was answered, of the first choice; ``None`` where there is none."""
    choices = response.get("choices")
    if isinstance(choices, list) and choices:
        message = raw.object(row, "response.choices", choices[0]).get("message")
        return _text(raw, row, raw.object(row, "response.choices.message", message).get("content"))
    output = response.get("output")
    if not isinstance(output, list):
        return output if isinstance(output, str) else _text(raw, row, response.get("content"))
    items = [raw.object(row, "response.output", item) for item in output]
    said = [_text(raw, row, item.get("content")) for item in items if item.get("type", "message") == "message"]
    return "\n".join(text for text in said if text) or None


def _text(raw: Raw, row: int, content: Any) -> str | None:
    if not isinstance(content, Sequence) or isinstance(content, str):
        return content if isinstance(content, str) else None
    parts = [raw.object(row, "response", part) for part in content]
    return "\n".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str)) or None


def error(record: Record, response: Record) -> str | None:
    """Why a request failed: kind, code and message, and nothing else of it, without keys; ``None`` where it did not."""
    outer = _decoded(record.get("response"))
    code = outer.get("status_code") if isinstance(outer, Mapping) else None
    if isinstance(code, int) and code >= 400:
        return f"HTTP {code}"
    told = record.get("error_str") or record.get("error") or response.get("error")
    failed = ("failure", "error", "failed")
    if not (record.get("error") or response.get("error")) and not {
        str(record.get("status")),
        str(response.get("status")),
    } & {*failed}:
        return None
    told = _decoded(told) or "failed"
    if isinstance(told, Mapping):
        inner = told.get("error")
        told = inner if isinstance(inner, Mapping) else told
        parts = [told.get(name) for name in ("type", "code", "message")]
        told = " ".join(str(part) for part in parts if isinstance(part, str | int))
    return _SECRETS.sub("***", told if isinstance(told, str) and told else "failed")


def _decoded(value: Any) -> Any:
    """Objects and lists that are held as JSON text, as database exports do; other values as they are."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
