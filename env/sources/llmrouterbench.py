"""LLMRouterBench: ``BaselineRecord`` rows, or the result files (one JSON per data set and model) they come from."""

from __future__ import annotations

import json
from typing import Any

from env.sources.base import SCORE_RULE, Long, Source
from env.sources.raw import Raw, Record
from env.trace_io import table_of

# BaselineRecord's names, and the result files' names for the same.
_DATASET, _INDEX = ("dataset_id", "dataset_name"), ("record_index", "index")


def looks_like(raw: Raw) -> bool:
    """A data set, a model and a record number under either of their names."""
    names = {*raw.columns}
    return "model_name" in names and bool(names & {*_DATASET}) and bool(names & {*_INDEX})


def to_long(raw: Raw) -> Long:
    """Long rows; the query is ``origin_query``, the same for every model, while ``prompt`` may be formatted for one."""
    rows = [_row(raw, row, record) for row, record in enumerate(raw.records)]
    notes = ("the data set's own `split` is part of query_id, and is not the trace's split",)
    return Long(table_of(rows, raw.fail), notes if "split" in raw.columns else ())


def _row(raw: Raw, row: int, record: Record) -> dict[str, Any]:
    dataset, number = _either(raw, row, record, _DATASET), _either(raw, row, record, _INDEX)
    question = record.get("origin_query") or record.get("prompt")
    if question is not None and not isinstance(question, str):
        question = json.dumps(question, ensure_ascii=False)
    answer = record.get("raw_output", record.get("prediction"))
    return {
        "query_id": "/".join(str(part) for part in (dataset, record.get("split"), number) if part is not None),
        "task": str(dataset),
        "prompt": question,
        "model": record.get("model_name"),
        "score": raw.number(row, "score", record.get("score"), 1, SCORE_RULE),
        "input_tokens": record.get("prompt_tokens"),
        "output_tokens": record.get("completion_tokens"),
        "cost_usd": record.get("cost"),
        "response": answer if answer is None or isinstance(answer, str) else json.dumps(answer, ensure_ascii=False),
    }


def _either(raw: Raw, row: int, record: Record, names: tuple[str, str]) -> Any:
    for name in names:
        if record.get(name) is not None:
            return record[name]
    raw.fail(row, names[0], "null")


SOURCE = Source(
    name="llmrouterbench",
    what="BaselineRecord rows: dataset_id, split, model_name, record_index, origin_query, score, cost",
    home="https://github.com/ynulihao/LLMRouterBench",
    looks_like=looks_like,
    to_long=to_long,
)
