"""The generic source: one row per query and model, under our own names of the columns."""

from __future__ import annotations

import pyarrow as pa

from env.sources.base import SCORE_RULE, Long, Source
from env.sources.raw import Raw
from env.trace_io import OPTIONAL_PER_CELL, OPTIONAL_PER_QUERY, REQUIRED

# What a table may lack: its values become null. Without the others there is no trace.
_MAY_BE_ABSENT = ("task", "score", "input_tokens", "output_tokens", "cost_usd", "latency_s")
_KNOWN = {*REQUIRED, *OPTIONAL_PER_QUERY, *OPTIONAL_PER_CELL, "attempt", "features", "featuriser"}
_USED_FOR_COST = {"cached_tokens", "reasoning_tokens"}


def looks_long(raw: Raw) -> bool:
    """A model column, and something that says which query it was asked."""
    return "model" in raw.columns and bool({"query_id", "prompt"} & {*raw.columns})


def to_long(raw: Raw) -> Long:
    """Fill in what may be absent, and leave out what is no part of a trace."""
    raw.need("model")
    table, notes = raw.table, []
    if "query_id" not in raw.columns:
        raw.need("prompt")
        # The prompt is what makes two rows the same query.
        table = table.append_column("query_id", table["prompt"].cast(pa.string()))
        codes = table["query_id"].combine_chunks().dictionary_encode().indices.to_pylist()
        table = table.set_column(table.num_columns - 1, "query_id", pa.array([f"q{code}" for code in codes]))
        notes.append("no column query_id: rows with the same prompt are one query")
    elif "prompt" not in raw.columns and "features" not in raw.columns:
        raw.need("prompt")
    if "prompt" not in raw.columns:
        table = table.append_column("prompt", pa.nulls(table.num_rows, pa.string()))
    if "score" in raw.columns:
        raw.numbers("score", 0, 1, SCORE_RULE)
    absent = [name for name in _MAY_BE_ABSENT if name not in table.column_names]
    for name in absent:
        table = table.append_column(name, pa.nulls(table.num_rows))
    dropped = [name for name in table.column_names if name not in _KNOWN | _USED_FOR_COST]
    table = table.drop_columns(dropped)
    if absent:
        notes.append(f"not in {raw.where}, null in the trace: {', '.join(absent)}")
    if dropped:
        notes.append(f"left out: {', '.join(dropped)} (no part of a trace; --map renames a column)")
    return Long(table, tuple(notes))


SOURCE = Source(
    name="long",
    what="one row per query and model: query_id, prompt, model, score, cost_usd, ...; --map renames columns",
    home="docs/bring-your-own-logs.md",
    looks_like=looks_long,
    to_long=to_long,
)
