"""The generic source: one row per query and model, under our own names of the columns."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from env.errors import BadInput
from env.sources.base import SCORE_RULE, Long, Source
from env.sources.raw import Raw
from env.trace_io import KNOWN, REQUIRED, likely_meant

# What a table may lack: its values become null. Without the others there is no trace.
MAY_BE_ABSENT = ("task", "score", "input_tokens", "output_tokens", "cost_usd", "latency_s")
# No columns of a trace, but of use for costs.
_FOR_COSTS = ("cached_tokens", "reasoning_tokens")
# Said before a column is renamed: a name is a near miss, a factor of 1,000 is not.
_UNITS = {"cost_usd": " (dollars a call)", "latency_s": " (seconds)"}


def looks_long(raw: Raw) -> bool:
    """Two columns or more that a trace has: then what is missing can be named."""
    return len({*raw.columns} & {*KNOWN}) > 1


def to_long(raw: Raw) -> Long:
    """Fill in what may be absent, and leave out what is no part of a trace."""
    _need(raw, "model")
    table, notes = raw.table, []
    if "query_id" not in raw.columns:
        _need(raw, "prompt")
        for row, prompt in enumerate(raw.texts("prompt")):
            if prompt is None:
                raw.fail(row, "prompt", "null, and there is no column query_id that tells its query")
        notes.append("no column query_id: rows with the same prompt are one query, a second row of a model another one")
    if "prompt" not in raw.columns:
        if "features" not in raw.columns:
            _need(raw, "prompt")
        table = table.append_column("prompt", pa.nulls(table.num_rows, pa.string()))
    if "score" in raw.columns:
        raw.numbers("score", 0, 1, SCORE_RULE)
    unread = [name for name in table.column_names if name not in KNOWN and name not in _FOR_COSTS]
    for name, column in likely_meant(unread, table.column_names).items():
        raise BadInput(
            f"{raw.where}: column `{name}` is no part of a trace; is it `{column}`{_UNITS.get(column, '')}? "
            f"--map {name}={column} renames it, --map {name}= leaves it out"
        )
    absent = tuple(name for name in MAY_BE_ABSENT if name not in table.column_names)
    for name in absent:
        table = table.append_column(name, pa.nulls(table.num_rows))
    return Long(table.drop_columns(unread), tuple(notes), absent, tuple(unread))


def identified(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The tables of several files, where ids of queries that are missing are made of the prompts.

    A prompt has the same id in every file. A model's second row for it is a query of its own, as when a question comes
    back in the next month.

    Example:
        >>> january, february = (pa.table({"prompt": ["2 + 2?"], "model": ["smol"]}) for _ in range(2))
        >>> [table["query_id"][0].as_py() for table in identified([january, february])]
        ['q-70b499c547e0a11f', 'q-70b499c547e0a11f#2']
    """
    seen: Counter[tuple[Any, ...]] = Counter()
    found = []
    for table in tables:
        if "query_id" not in table.column_names:
            attempts = table["attempt"].to_pylist() if "attempt" in table.column_names else [None] * table.num_rows
            ids = []
            for row in zip(table["prompt"].to_pylist(), table["model"].to_pylist(), attempts, strict=True):
                seen[row] += 1
                ident = f"q-{hashlib.sha256(str(row[0]).encode()).hexdigest()[:16]}"
                ids.append(ident if seen[row] == 1 else f"{ident}#{seen[row]}")
            table = table.append_column("query_id", pa.array(ids, pa.string()))
        found.append(table)
    return found


def _need(raw: Raw, column: str) -> None:
    if column not in raw.columns:
        raise BadInput(
            f"{raw.where}: row 0 (header): column `{column}` is missing; a trace has {', '.join(REQUIRED)} (values may "
            f"be null), and --map OLD={column} renames one"
        )


SOURCE = Source(
    name="long",
    what="one row per query and model: query_id, prompt, model, score, cost_usd, ...; --map renames columns",
    home="docs/bring-your-own-logs.md",
    looks_like=looks_long,
    to_long=to_long,
)
