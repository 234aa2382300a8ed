"""Traces on disk: the long file of DESIGN section 4, one row per attempt, read with every value checked."""

from __future__ import annotations

import difflib
import json
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from env.contexts import Floats, Ints, Objects
from env.errors import BadInput
from env.files import whole_file
from env.trace import Trace
from env.trace_checks import TableChecker
from env.trace_formats import read_table

REQUIRED = (
    "query_id", "task", "prompt", "model", "score", "input_tokens", "output_tokens", "cost_usd", "latency_s",
)  # fmt: skip
OPTIONAL_PER_QUERY = (
    "split", "timestamp", "dial", "cost_weight", "latency_weight", "prompt_hash", "agent", "node", "parent", "priority",
    "policy_version", "model_type",
)  # fmt: skip
OPTIONAL_PER_CELL = (
    "propensity", "available", "queue_wait_s", "ttft_s", "feedback_source", "error", "response", "logprob", "imputed",
)  # fmt: skip
KNOWN = (*REQUIRED, *OPTIONAL_PER_QUERY, *OPTIONAL_PER_CELL, "attempt", "features", "featuriser")
"""Every column that is read."""
# How alike (difflib's ratio) a name must be to one of these to be taken for it. Fewer columns are meant by chance to be
# among those that every trace has.
_ALIKE = {True: 0.6, False: 0.75}
_COUNTED = (np.inf, "it must be finite and 0 or more, null where not recorded")
# The numbers of a row: the highest that is possible, and the rule as an error states it.
_RULES = {
    "score": (1.0, "a score is in [0, 1], null where not recorded"),
    "input_tokens": _COUNTED,
    "output_tokens": _COUNTED,
    "cost_usd": _COUNTED,
    "latency_s": _COUNTED,
}
_NUMBERS_TOO = {
    "propensity": (float(np.nextafter(0, 1)), 1.0, "the chosen arm's probability is in (0, 1]"),
    "dial": (0.0, 1.0, "the dial runs from 0 (cheapest) to 1 (best)"),
    **{name: (0.0, *_COUNTED) for name in ("cost_weight", "latency_weight", "queue_wait_s", "ttft_s")},
}
# One value a query: where its rows differ, none of them is right. (Times differ from call to call.)
_ONE_PER_QUERY = ("prompt", "task", "split", "prompt_hash", "dial", "cost_weight", "latency_weight")
# Where a table says which arms there are, in their order: some may never have been chosen.
ARMS_METADATA = b"pointsman.arms"
# What Arrow raises for values that make no column.
_NO_COLUMN = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, UnicodeEncodeError)


def read_trace(source: str | Path) -> Trace:
    """Read and check a trace.

    Args:
        source: a Parquet, CSV or JSONL file in the long format, or ``"bundled"`` for the trace in the wheel.

    Returns:
        The trace, with dense arrays. Only first attempts enter it: later ones (retries, fallbacks) were not
        the router's choice and are counted in ``skipped_attempts``.

    Raises:
        BadInput: the file, the row and the column that are wrong, and what would be right.

    Example:
        >>> read_trace("no/such/file.parquet")
        Traceback (most recent call last):
        ...
        env.errors.BadInput: no/such/file.parquet: no such file
    """
    path = bundled_path() if str(source) == "bundled" else Path(source)
    return from_table(read_table(path), name=path.stem, where=str(path))


def bundled_path() -> Path:
    """Where the bundled trace lies inside the package."""
    return Path(__file__).parent / "data" / "bundled.parquet"


def from_rows(rows: Iterable[Mapping[str, Any]], name: str = "trace") -> Trace:
    """A trace from long rows (dictionaries), checked like a file; missing columns count as not recorded.

    Example:
        >>> from_rows([{"query_id": "q1", "prompt": "2 + 2?", "model": "smol", "score": 1.0}])
        Trace('trace': 1 queries x 1 arms, 0.0% not observed)
    """
    return from_table(table_of(rows, name), name=name, where=name)


def table_of(rows: Iterable[Mapping[str, Any]], where: str | Callable[[int, str, str], NoReturn] = "table") -> pa.Table:
    """Long rows as a table that has all required columns.

    Args:
        rows: dictionaries.
        where: names them in errors, or refuses a value itself: called with row (from 0), column and what is wrong.

    Raises:
        BadInput: values of several kinds in one column, or one that no column can hold.
    """
    found = list(rows)
    names = [*REQUIRED, *sorted({key for row in found for key in row} - set(REQUIRED))]
    columns = {}
    for name in names:
        values = [row.get(name) for row in found]
        try:
            columns[name] = pa.array(values)
        except _NO_COLUMN:
            row, what = _odd_one(values)
            if callable(where):
                where(row, name, what)
            raise BadInput(f"{where}: row {row + 1}: column {name}: {what}") from None
    return pa.table(columns)


def _odd_one(values: Sequence[Any]) -> tuple[int, str]:
    """The first value that cannot be in one column with those before it, and why."""
    first = next((value for value in values if value is not None), None)
    for row, value in enumerate(values):
        try:
            pa.array([value])
        except _NO_COLUMN as error:
            return row, f"{reprlib.repr(value)} cannot be stored: {str(error).splitlines()[0]}"
        try:
            pa.array([first, value])
        except _NO_COLUMN:
            return row, f"{reprlib.repr(value)}, where others hold {reprlib.repr(first)}; a column has values of a kind"
    return 0, "values of several kinds; a column has values of a kind"


def from_table(table: pa.Table, name: str, where: str) -> Trace:
    """Check a long table and make it dense; ``where`` names it in errors."""
    check = TableChecker(table, where)
    unread = tuple(column for column in table.column_names if column not in KNOWN)
    check.columns(REQUIRED, likely_meant(unread, table.column_names))
    query_ids, models = check.key("query_id"), check.key("model")
    prompts = check.text("prompt", "; a chat becomes one by `pointsman.render(messages)`")
    tasks = check.text("task", "; a task is a label")
    values = {column: check.number(column, 0, *_RULES[column]) for column in _RULES}
    for column, rule in _NUMBERS_TOO.items():
        if check.has(column):
            check.replace(column, check.number(column, *rule))
    table = check.table
    attempts = check.attempts()
    query, _, first = _codes(query_ids)
    check.unique(query, _codes(models)[0], attempts)
    for column in _ONE_PER_QUERY:
        if check.has(column):
            check.one_per_query(column, query, first)
    keep = np.flatnonzero(attempts == 0)
    kept = pa.array(keep)
    query, ids, first = _codes(query_ids.take(kept))
    arm, arms, _ = _codes(models.take(kept), before=_stored_arms(table, where))
    rows, shape = keep[first], (len(ids), len(arms))

    def dense(column: NDArray[np.float64]) -> Floats:
        cells = np.full(shape, np.nan, dtype=np.float32)
        cells[query, arm] = column[keep]
        return cells

    def per_cell(column: str) -> Objects:
        cells = np.full(shape, None, dtype=object)
        cells[query, arm] = _objects(table[column].take(kept))
        return cells

    def per_query(column: pa.ChunkedArray) -> Objects:
        return _objects(column.take(pa.array(rows)))

    features, featuriser = check.features(rows)
    texts = per_query(prompts)
    if features is None and any(prompt is None for prompt in texts):
        row = int(rows[[prompt is None for prompt in texts].index(True)])
        check.fail(row, "prompt", "null, and there are no features in its place")
    return Trace(
        name=name,
        query_ids=ids,
        prompts=texts,
        tasks=per_query(tasks),
        arms=tuple(arms),
        score=dense(values["score"]),
        cost_usd=dense(values["cost_usd"]),
        latency_s=dense(values["latency_s"]),
        input_tokens=dense(values["input_tokens"]),
        output_tokens=dense(values["output_tokens"]),
        features=features,
        featuriser=featuriser,
        query_columns={c: per_query(table[c]) for c in OPTIONAL_PER_QUERY if check.has(c)},
        cell_columns={c: per_cell(c) for c in OPTIONAL_PER_CELL if check.has(c)},
        skipped_attempts=len(attempts) - len(keep),
        unread=unread,
    )


def likely_meant(unread: Iterable[str], present: Iterable[str]) -> dict[str, str]:
    """Columns that are not read, with the absent column that each was probably meant to be.

    Args:
        unread: names of columns that are no part of a trace.
        present: names that the table has.

    Example:
        >>> likely_meant(["cost", "colour"], ["query_id", "prompt", "model", "score"])
        {'cost': 'cost_usd'}
    """
    taken, meant = set(present), {}
    for name in unread:
        for required in (True, False):
            absent = [known for known in KNOWN if known not in taken and (known in REQUIRED) == required]
            close = difflib.get_close_matches(name.lower(), absent, n=1, cutoff=_ALIKE[required])
            if close:
                meant[name] = close[0]
                break
    return meant


def _codes(column: pa.ChunkedArray, before: Sequence[str] = ()) -> tuple[Ints, Objects, Ints]:
    """Codes of a dictionary-encoded column in order of first appearance, their values, and their first rows.

    Values named in ``before`` come before the others, in that order, whether they appear or not.
    """
    encoded = column.unify_dictionaries().combine_chunks()
    raw = encoded.indices.to_numpy(zero_copy_only=False)
    found, first = np.unique(raw, return_index=True)
    order = np.argsort(first, kind="stable")
    names = np.array(encoded.dictionary.to_pylist(), dtype=object)[found[order]]
    values = [*before, *(name for name in names if name not in set(before))]
    number = {name: code for code, name in enumerate(values)}
    code_of = np.full(len(encoded.dictionary), -1, dtype=np.int64)
    code_of[found[order]] = [number[name] for name in names]
    return code_of[raw], np.array(values, dtype=object), first[order].astype(np.int64)


def _stored_arms(table: pa.Table, where: str) -> list[str]:
    """The arms that a saved trace had, in their order: gaps must not reorder the columns of a trace."""
    stored = (table.schema.metadata or {}).get(ARMS_METADATA, b"[]")
    try:
        arms = json.loads(stored)
    except (ValueError, RecursionError):
        arms = None
    if not isinstance(arms, list) or not all(isinstance(arm, str) for arm in arms) or len({*arms}) < len(arms):
        raise BadInput(
            f"{where}: metadata `pointsman.arms` is {reprlib.repr(stored)}, and no list of different arms; "
            "write the file without it"
        )
    return arms


def _objects(column: pa.ChunkedArray) -> Objects:
    array = np.empty(len(column), dtype=object)
    for row, value in enumerate(column.to_pylist()):
        array[row] = value
    return array


def to_table(trace: Trace) -> pa.Table:
    """The long table of a trace: one row per cell where anything was recorded.

    A query of which nothing was recorded at all has no row.
    """
    cells = [np.isfinite(getattr(trace, name)) for name in _RULES]
    cells += [column != None for column in trace.cell_columns.values()]  # noqa: E711 - elementwise on an object array
    query, arm = np.nonzero(np.any(cells, axis=0))
    columns: dict[str, Any] = {
        "query_id": pa.array(trace.query_ids[query], pa.string()),
        "task": pa.array(trace.tasks[query], pa.string()),
        "prompt": pa.array(trace.prompts[query], pa.string()),
        "model": pa.array(np.array(trace.arms, dtype=object)[arm], pa.string()),
    }
    for name in _RULES:
        numbers = getattr(trace, name)[query, arm]
        columns[name] = pa.array(numbers, pa.float32(), mask=np.isnan(numbers))
    for name, column in trace.query_columns.items():
        columns[name] = pa.array(column[query].tolist())
    for name, column in trace.cell_columns.items():
        columns[name] = pa.array(column[query, arm].tolist())
    if trace.features is not None:
        columns["features"] = pa.array(list(trace.features[query]), pa.list_(pa.float32()))
        columns["featuriser"] = pa.array([trace.featuriser] * len(query), pa.string())
    return pa.table(columns).replace_schema_metadata({ARMS_METADATA: json.dumps(trace.arms)})


def save_trace(trace: Trace, path: str | Path) -> Path:
    """Write a trace as Parquet; the file appears whole or not at all.

    Example:
        >>> import tempfile
        >>> trace = from_rows([{"query_id": "q1", "prompt": "2 + 2?", "model": "smol", "score": 1.0}])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read_trace(save_trace(trace, f"{folder}/mine.parquet"))
        Trace('mine': 1 queries x 1 arms, 0.0% not observed)
    """
    return write_table(to_table(trace), path)


def check_target(path: str | Path) -> None:
    """What is written is Parquet, and is named so.

    Raises:
        BadInput: it is named as something else.

    Example:
        >>> check_target("mine.csv")
        Traceback (most recent call last):
        ...
        env.errors.BadInput: mine.csv: a trace is written as Parquet; name it mine.parquet
    """
    if Path(path).suffix.lower() != ".parquet":
        raise BadInput(f"{path}: a trace is written as Parquet; name it {Path(path).with_suffix('.parquet')}")


def write_table(table: pa.Table, path: str | Path) -> Path:
    """Write a long table as Parquet through a temporary file beside it, so that Ctrl-C leaves no half file.

    Raises:
        BadInput: the file has the name of another kind.
    """
    check_target(path)
    # What another program wrote into the head of its file is not ours to hand on.
    ours = {key: value for key, value in (table.schema.metadata or {}).items() if key == ARMS_METADATA}
    with whole_file(path) as scratch:
        pq.write_table(table.replace_schema_metadata(ours or None), scratch, compression="zstd", compression_level=19)
    return Path(path)
