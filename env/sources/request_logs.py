"""Logs of requests: LiteLLM's log payloads and spend logs, OpenAI batch files, or request and response side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from env.errors import BadInput
from env.prompts import render
from env.sources.base import SCORE_RULE, Long, Source
from env.sources.raw import Raw, Record
from env.trace_io import table_of

_HOW_TO_SCORE = (
    "{count} of {all} requests have no score: add `score` (0..1) to their lines, or `--scores FILE` with query_id and "
    "score; without scores nothing can be compared on quality"
)


def looks_like(raw: Raw) -> bool:
    """Messages and a response or usage under the names that LiteLLM, OpenAI or a plain pair give them."""
    names = {*raw.columns}
    return (
        {"messages", "model"} <= names
        or {"request", "response"} <= names
        or ("custom_id" in names and bool(names & {"body", "response"}))
    )


def to_long(raw: Raw) -> Long:
    """Long rows, one per request; batch outputs take their prompts from the batch inputs beside them."""
    asked = {
        str(r["custom_id"]): r["body"] for r in raw.records if "custom_id" in r and isinstance(r.get("body"), dict)
    }
    answered = [row for row, r in enumerate(raw.records) if not ("body" in r and "response" not in r)]
    if not answered:
        raise BadInput(f"{raw.where}: requests only, and no responses; give the batch's output file too")
    rows = [_row(raw, row, raw.records[row], asked) for row in answered]
    unscored = sum(row["score"] is None for row in rows)
    notes = [_HOW_TO_SCORE.format(count=unscored, all=len(rows))] if unscored else []
    if free := sum(row["cost_usd"] == 0 and bool(row["output_tokens"]) for row in rows):
        notes.append(f"{free} requests with output cost 0 dollars: LiteLLM writes that for models without a price too")
    return Long(table_of(rows), tuple(notes))


def _row(raw: Raw, row: int, record: Record, asked: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    response = _object(record.get("response")) or {}
    request = _object(record.get("request")) or asked.get(str(record.get("custom_id"))) or record
    if "body" in response:  # an OpenAI batch wraps the completion
        response = _object(response["body"]) or {}
    usage = _object(record.get("usage")) or _object(response.get("usage")) or {}
    started, ended = _seconds(raw, row, record, "startTime"), _seconds(raw, row, record, "endTime")
    first = _seconds(raw, row, record, "completionStartTime")
    model = record.get("model") or response.get("model") or request.get("model")
    if not model:
        raw.fail(row, "model", "null")
    cost = _first(record, "response_cost", "spend", "cost")
    if record.get("response_cost_failure_debug_info"):
        cost = None  # LiteLLM's 0 of a model that it has no price of
    latency = record.get("latency_s", record.get("response_time"))
    error = _error(record)
    return {
        "query_id": str(
            _first(record, "custom_id", "query_id", "request_id", "id") or response.get("id") or f"row-{row + 1}"
        ),
        "task": record.get("task"),
        "prompt": _prompt(raw, row, request),
        "model": str(model),
        "score": raw.number(row, "score", record.get("score"), 1, SCORE_RULE),
        "input_tokens": _first(usage, "prompt_tokens", "input_tokens") or record.get("prompt_tokens"),
        "output_tokens": _first(usage, "completion_tokens", "output_tokens") or record.get("completion_tokens"),
        "cached_tokens": _detail(usage, ("prompt_tokens_details", "input_tokens_details"), "cached_tokens"),
        "reasoning_tokens": _detail(usage, ("completion_tokens_details", "output_tokens_details"), "reasoning_tokens"),
        "cost_usd": raw.number(row, "response_cost", cost),
        "latency_s": ended - started if latency is None and started is not None and ended is not None else latency,
        "ttft_s": first - started if first is not None and started is not None and first >= started else None,
        "timestamp": started if started is not None else response.get("created"),
        "error": error,
        "response": None if error else _answer(response),
    }


def _prompt(raw: Raw, row: int, request: Mapping[str, Any]) -> str:
    messages = _object(request.get("messages"))
    if messages is None:
        messages = request.get("input") or request.get("prompt")
    if isinstance(messages, str) and messages:
        return messages
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raw.fail(
            row,
            "messages",
            f"{messages!r} is no list of chat messages; batch outputs need the batch's input file beside them, and "
            "LiteLLM keeps prompts only with `store_prompts_in_spend_logs: true`",
        )
    return render(messages)


def _answer(response: Mapping[str, Any]) -> str | None:
    choices = response.get("choices")
    if not isinstance(choices, list) or not choices:
        return None
    content = (choices[0].get("message") or {}).get("content")
    return content if isinstance(content, str) else None


def _error(record: Record) -> str | None:
    failed = record.get("status") in ("failure", "error") or record.get("error")
    code = (_object(record.get("response")) or {}).get("status_code")
    if isinstance(code, int) and code >= 400:
        return f"HTTP {code}"
    if not failed:
        return None
    told = record.get("error_str") or record.get("error") or "failed"
    return told if isinstance(told, str) else json.dumps(told)


def _object(value: Any) -> Any:
    """An object or list; database exports hold them as JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict | list) and value else None


def _first(record: Mapping[str, Any], *names: str) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _detail(usage: Mapping[str, Any], groups: tuple[str, ...], name: str) -> Any:
    return next((usage[group].get(name) for group in groups if isinstance(usage.get(group), dict)), None)


def _seconds(raw: Raw, row: int, record: Record, name: str) -> float | None:
    """A moment in seconds since 1970: recorded so, or as ISO text (UTC where it names no zone)."""
    value = record.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return raw.number(row, name, value, rule="seconds since 1970 or an ISO time")
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return raw.number(row, name, value)


SOURCE = Source(
    name="requests",
    what="request logs: LiteLLM payloads and spend logs, OpenAI batch files, or {request, response} pairs",
    home="https://docs.litellm.ai/docs/proxy/logging_spec",
    looks_like=looks_like,
    to_long=to_long,
    joins=True,
)
