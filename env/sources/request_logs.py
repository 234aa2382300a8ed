"""Logs of requests: LiteLLM's payloads and spend logs, OpenAI batch files, or request and response side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from env.errors import BadInput
from env.moments import seconds
from env.sources.base import SCORE_RULE, Long, Source
from env.sources.chats import answer, error, prompt
from env.sources.raw import Raw, Record
from env.trace_io import KNOWN, OPTIONAL_PER_QUERY, table_of

_HOW_TO_SCORE = (
    "{count} of {all} requests have no score: add `score` (0..1) to their lines, or `--scores FILE` with query_id and "
    "score; without scores nothing can be compared on quality"
)
_CALL_IDS = ("request_id", "id")
_TIMES = ("startTime", "endTime", "completionStartTime")
# Read here under names of their own; what else a trace knows is kept as it stands.
_READ = {
    "custom_id", "query_id", *_CALL_IDS, *_TIMES, "request", "response", "body", "model", "messages", "input", "prompt",
    "instructions", "system", "output", "choices", "content", "usage", "prompt_tokens", "completion_tokens",
    "input_tokens", "output_tokens", "response_cost", "spend", "cost", "cost_usd", "response_cost_failure_debug_info",
    "latency_s", "response_time", "created", "created_at", "timestamp", "task", "score", "status", "error", "error_str",
}  # fmt: skip
# What rows of one query have in common: a row with another agent or dial was another decision.
_OF_A_QUERY = ("prompt", "task", *(name for name in OPTIONAL_PER_QUERY if name != "timestamp"))


def looks_like(raw: Raw) -> bool:
    """Messages and a response or usage under the names that LiteLLM, OpenAI or a plain pair give them."""
    names = {*raw.columns}
    return (
        {"messages", "model"} <= names
        or {"request", "response"} <= names
        or {"model", "input", "output", "usage"} <= names
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
    kept = [name for name in raw.columns if name in KNOWN and name not in _READ]
    for made, row in zip(rows, answered, strict=True):
        made |= {name: value for name in kept if (value := raw.records[row].get(name)) is not None}
    notes = _name_queries(rows)
    unscored = sum(row["score"] is None for row in rows)
    notes += [_HOW_TO_SCORE.format(count=unscored, all=len(rows))] if unscored else []
    if free := sum(row["cost_usd"] == 0 and bool(row["output_tokens"]) for row in rows):
        notes.append(f"{free} requests with output cost 0 dollars: LiteLLM writes that for models without a price too")
    if written := sum(bool(row.pop("written")) for row in rows):
        notes.append(
            f"{written} requests wrote to Anthropic's cache: those tokens count as input at its plain price (they are "
            "billed dearer)"
        )

    def fail(row: int, column: str, what: str) -> NoReturn:
        raw.fail(answered[row], column, what)

    table = table_of([{name: value for name, value in row.items() if name not in kept} for row in rows], fail)
    others = Raw.of([{name: row.get(name) for name in kept} for row in rows]).table if kept else pa.table({})
    for name in kept:
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, others[name])
    return Long(table, tuple(notes), (), tuple(n for n in raw.columns if n not in _READ and n not in KNOWN))


def _row(raw: Raw, row: int, record: Record, asked: Mapping[str, Record]) -> dict[str, Any]:
    request = _object(raw, row, "request", record.get("request")) or asked.get(str(record.get("custom_id"))) or record
    response = _response(raw, row, record)
    usage = _object(raw, row, "usage", _first(record, "usage") or response.get("usage"))
    started, ended, first = (_moment(raw, row, record, name) for name in _TIMES)
    model = record.get("model") or response.get("model") or request.get("model")
    if not model:
        raw.fail(row, "model", "null")
    cost = _first(record, "response_cost", "spend", "cost", "cost_usd")
    if record.get("response_cost_failure_debug_info"):
        cost = None  # LiteLLM's 0 of a model that it has no price of
    latency = raw.number(row, "latency_s", _first(record, "latency_s", "response_time"))
    if latency is None and started is not None and ended is not None:
        latency = raw.number(row, "endTime", ended - started, rule="it is before startTime")
    when = started if started is not None else _moment(raw, row, record, "timestamp")
    created = _first({**record, **response}, "created", "created_at")
    failed = error(record, response)
    return {
        "query_id": _first(record, "query_id", "custom_id"),
        "request_id": str(_first(record, *_CALL_IDS) or response.get("id") or f"row-{row + 1}"),
        "task": record.get("task"),
        "prompt": prompt(raw, row, request),
        "model": str(model),
        "score": raw.number(row, "score", record.get("score"), 1, SCORE_RULE),
        **_tokens(raw, row, record, usage),
        "cost_usd": raw.number(row, "response_cost", cost),
        "latency_s": latency,
        "ttft_s": first - started if first is not None and started is not None and first >= started else None,
        "timestamp": when if when is not None else seconds(created),
        "error": failed,
        "response": None if failed else answer(raw, row, response),
    }


def _response(raw: Raw, row: int, record: Record) -> Record:
    given = record.get("response")
    if isinstance(given, str) and given and not given.lstrip().startswith(("{", "[")):
        return {"output": given}  # the bare answer
    if given is None and record.keys() & {"output", "choices"}:
        return record
    response = _object(raw, row, "response", given)
    return _object(raw, row, "response.body", response["body"]) if "body" in response else response


def _tokens(raw: Raw, row: int, record: Record, usage: Record) -> dict[str, Any]:
    def count(name: str, value: Any) -> float | None:
        return raw.number(row, name, value)

    def detail(name: str, *groups: str) -> float | None:
        held = next((usage[group] for group in groups if usage.get(group) is not None), None)
        return count(name, _object(raw, row, groups[0], held).get(name))

    inputs = count("input_tokens", _first({**record, **usage}, "prompt_tokens", "input_tokens"))
    outputs = count("output_tokens", _first({**record, **usage}, "completion_tokens", "output_tokens"))
    cached = detail("cached_tokens", "prompt_tokens_details", "input_tokens_details")
    read = count("cache_read_input_tokens", usage.get("cache_read_input_tokens"))
    written = count("cache_creation_input_tokens", usage.get("cache_creation_input_tokens"))
    if inputs is not None and usage.get("prompt_tokens") is None and cached is None:
        inputs += (read or 0) + (written or 0)  # Anthropic's own count leaves both out of input_tokens
    cached = read if cached is None else cached
    reasoning = detail("reasoning_tokens", "completion_tokens_details", "output_tokens_details")
    for name, part, whole in (("cached_tokens", cached, inputs), ("reasoning_tokens", reasoning, outputs)):
        if part is not None and whole is not None and part > whole:
            raw.fail(row, name, f"{part:g}; they are part of the {whole:g} of all, and cannot be more")
    return {
        "input_tokens": inputs,
        "output_tokens": outputs,
        "cached_tokens": cached,
        "reasoning_tokens": reasoning,
        "written": written,
    }


def _name_queries(rows: list[dict[str, Any]]) -> list[str]:
    """Name the queries of rows that have no id: one prompt that several models answered is one query.

    A repeat to the same model is another query, and so is each row with a propensity: that was a choice of its own.
    """
    found: dict[tuple[Any, ...], str] = {}
    models: dict[tuple[Any, ...], int] = {}
    taken = {str(row["query_id"]) for row in rows if row["query_id"] is not None}
    joined = 0
    # In the order of time, so that of repeats those belong together that came together.
    times = np.array([np.nan if row["timestamp"] is None else row["timestamp"] for row in rows], dtype=np.float64)
    for number in np.argsort(times, kind="stable") if np.isfinite(times).all() else range(len(rows)):
        row = rows[number]
        if row["query_id"] is not None:
            row["query_id"] = str(row["query_id"])
            continue
        said = tuple(str(row.get(name)) for name in _OF_A_QUERY)
        asked = (*said, row["model"], row.get("attempt"))
        models[asked] = models.get(asked, -1) + 1
        alone = number if row.get("propensity") is not None else None
        key = (*said, models[asked], alone)
        joined += key in found
        if key not in found:
            name, count = row["request_id"], 1
            while name in taken:
                count += 1
                name = f"{row['request_id']}#{count}"
            taken.add(name)
            found[key] = name
        row["query_id"] = found[key]
    if not joined:
        return []
    return [
        f"no query_id: requests with the same prompt to different models are one query ({len(rows)} requests, "
        f"{len({row['query_id'] for row in rows})} queries); a repeat to the same model is another"
    ]


def _object(raw: Raw, row: int, column: str, value: Any) -> Record:
    """An object, empty where it is null; database exports hold them as JSON text."""
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raw.fail(row, column, "not readable as JSON")
    return raw.object(row, column, value or None)


def _first(record: Record, *names: str) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _moment(raw: Raw, row: int, record: Record, name: str) -> float | None:
    value = record.get(name)
    if value is None or value == "":
        return None
    found = seconds(value)
    if found is None:
        raw.fail(row, name, f"{value!r} is no moment: seconds since 1970 or an ISO time")
    return found


SOURCE = Source(
    name="requests",
    what="request logs: LiteLLM payloads and spend logs, OpenAI batch files, or {request, response} pairs",
    home="https://docs.litellm.ai/docs/proxy/logging_spec",
    looks_like=looks_like,
    to_long=to_long,
    joins=True,
)
