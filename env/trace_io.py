"""Traces on disk: the long file of DESIGN section 4, one row per attempt, read with every value checked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
from numpy.typing import NDArray

from env.contexts import Bools, Floats, Ints, Objects
from env.errors import BadInput
from env.trace import Trace

REQUIRED = (
    "query_id", "task", "prompt", "model", "score", "input_tokens", "output_tokens", "cost_usd", "latency_s",
)  # fmt: skip
OPTIONAL_PER_QUERY = (
    "split", "timestamp", "dial", "cost_weight", "latency_weight", "prompt_hash", "agent", "node", "parent", "priority",
    "policy_version",
)  # fmt: skip
OPTIONAL_PER_CELL = (
    "propensity", "available", "queue_wait_s", "ttft_s", "feedback_source", "error", "response", "logprob", "imputed",
)  # fmt: skip
_NUMBERS = ("score", "input_tokens", "output_tokens", "cost_usd", "latency_s")
_PICKLES = (".pkl", ".pickle", ".joblib")


def load_trace(source: str | Path) -> Trace:
    """Read and check a trace.

    Args:
        source: a Parquet, CSV or JSONL file in the long format, or ``"bundled"`` for the trace in the wheel.

    Returns:
        The trace, with dense arrays. Only first attempts enter it: later ones (retries, fallbacks) were not
        the router's choice and are counted in ``skipped_attempts``.

    Raises:
        BadInput: the file, the row and the column that are wrong, and what would be right.

    Example:
        >>> load_trace("no/such/file.parquet")
        Traceback (most recent call last):
        ...
        env.errors.BadInput: no/such/file.parquet: no such file
    """
    path = bundled_path() if str(source) == "bundled" else Path(source)
    return from_table(read_table(path), name=path.stem, where=str(path))


def bundled_path() -> Path:
    """Where the bundled trace lies inside the package."""
    return Path(__file__).parent / "data" / "bundled.parquet"


def read_table(path: Path) -> pa.Table:
    """The raw table of a Parquet, CSV or JSONL file.

    Raises:
        BadInput: no such file, empty, unreadable, or a pickle (which could run code when loaded).
    """
    if path.suffix in _PICKLES:
        raise BadInput(
            f"{path}: pickles can run code and are never loaded; convert it once: "
            f"python -c \"import pandas as pd; pd.read_pickle('{path.name}').to_parquet('{path.stem}.parquet')\""
        )
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty")
    readers = {
        ".parquet": lambda: pq.read_table(path),
        ".csv": lambda: pyarrow.csv.read_csv(path),
        ".jsonl": lambda: pyarrow.json.read_json(path),
    }
    if path.suffix not in readers:
        raise BadInput(f"{path}: unknown kind of file `{path.suffix}`; a trace is .parquet, .csv or .jsonl")
    try:
        return readers[path.suffix]()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise BadInput(f"{path}: not a readable {path.suffix[1:]} file: {str(error).splitlines()[0]}") from error


def from_rows(rows: Iterable[Mapping[str, Any]], name: str = "trace") -> Trace:
    """A trace from long rows (dictionaries), checked like a file; missing columns count as not recorded.

    Example:
        >>> from_rows([{"query_id": "q1", "prompt": "2 + 2?", "model": "smol", "score": 1.0}])
        Trace('trace': 1 queries x 1 arms, 0.0% not observed)
    """
    return from_table(table_of(rows), name=name, where=name)


def table_of(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Long rows as a table that has all required columns."""
    found = list(rows)
    names = [*REQUIRED, *sorted({key for row in found for key in row} - set(REQUIRED))]
    return pa.table({name: pa.array([row.get(name) for row in found]) for name in names})


def from_table(table: pa.Table, name: str, where: str) -> Trace:
    """Check a long table and make it dense; ``where`` names it in errors."""
    missing = [column for column in REQUIRED if column not in table.column_names]
    if missing:
        raise BadInput(
            f"{where}: row 0 (header): column `{missing[0]}` is missing; a trace has {', '.join(REQUIRED)} "
            "(values may be null), and `pointsman trace import --map` renames columns"
        )
    if table.num_rows == 0:
        raise BadInput(f"{where}: the file holds no rows")
    check = _Checker(table, where)
    values = {column: check.number(column) for column in _NUMBERS}
    if "propensity" in table.column_names:
        check.propensity()
    keep, skipped = check.first_attempts()
    query, query_ids, first = _codes(table["query_id"], keep)
    arm, arms, _ = _codes(table["model"], keep)
    check.unique(query, arm, len(arms), keep)
    check.one_prompt_per_query(query, first, keep)
    shape = (len(query_ids), len(arms))

    def dense(column: NDArray[np.float64]) -> Floats:
        cells = np.full(shape, np.nan, dtype=np.float32)
        cells[query, arm] = column[keep]
        return cells

    def cells_of(column: str) -> Objects:
        cells = np.full(shape, None, dtype=object)
        cells[query, arm] = _objects(table[column])[keep]
        return cells

    rows = np.flatnonzero(keep)[first]
    features, featuriser = _features(table, rows, where)
    prompts = _objects(table["prompt"])[rows]
    if features is None and any(prompt is None for prompt in prompts):
        row = int(rows[[prompt is None for prompt in prompts].index(True)])
        raise BadInput(f"{where}: row {row + 1}: column prompt: null, and there are no features in its place")
    return Trace(
        name=name,
        query_ids=query_ids,
        prompts=prompts,
        tasks=_objects(table["task"])[rows],
        arms=tuple(str(model) for model in arms),
        score=dense(values["score"]),
        cost_usd=dense(values["cost_usd"]),
        latency_s=dense(values["latency_s"]),
        input_tokens=dense(values["input_tokens"]),
        output_tokens=dense(values["output_tokens"]),
        features=features,
        featuriser=featuriser,
        query_columns={c: _objects(table[c])[rows] for c in OPTIONAL_PER_QUERY if c in table.column_names},
        cell_columns={c: cells_of(c) for c in OPTIONAL_PER_CELL if c in table.column_names},
        skipped_attempts=skipped,
    )


class _Checker:
    """Checks of the raw columns; each failure names the first row (from 1) and the column that are wrong."""

    def __init__(self, table: pa.Table, where: str) -> None:
        self.table, self.where = table, where
        for column in ("query_id", "model"):
            if table[column].null_count:
                self.fail(int(np.flatnonzero(table[column].is_null().to_numpy())[0]), column, "null")

    def fail(self, row: int, column: str, what: str) -> None:
        raise BadInput(f"{self.where}: row {row + 1}: column {column}: {what}")

    def number(self, column: str) -> NDArray[np.float64]:
        raw = self.table[column]
        if pa.types.is_string(raw.type) or pa.types.is_nested(raw.type):
            row = int(np.flatnonzero(~raw.is_null().to_numpy())[0]) if raw.null_count < len(raw) else 0
            self.fail(row, column, f"{raw[row].as_py()!r} is not a number")
        # NaN is the one spelling of "not observed" in memory; Parquet nulls become it here.
        numbers = np.asarray(raw.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        upper = 1.0 if column == "score" else np.inf
        wrong = np.isinf(numbers) | (numbers < 0) | (numbers > upper)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            rule = "a score is in [0, 1]" if column == "score" else "it must be finite and 0 or more"
            self.fail(row, column, f"{numbers[row]:g}; {rule}, null where not recorded")
        return numbers

    def propensity(self) -> None:
        numbers = self.table["propensity"].cast(pa.float64()).to_numpy(zero_copy_only=False)
        wrong = (numbers <= 0) | (numbers > 1)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            self.fail(row, "propensity", f"{numbers[row]:g}; the chosen arm's probability is in (0, 1]")

    def first_attempts(self) -> tuple[Bools, int]:
        if "attempt" not in self.table.column_names:
            return np.ones(self.table.num_rows, dtype=bool), 0
        attempt = pc.fill_null(self.table["attempt"].cast(pa.int64()), 0).to_numpy()
        return attempt == 0, int((attempt != 0).sum())

    def unique(self, query: Ints, arm: Ints, n_arms: int, keep: Bools) -> None:
        key = query * n_arms + arm
        order = np.argsort(key, kind="stable")
        twice = order[1:][np.diff(key[order]) == 0]
        if len(twice):
            row = int(np.flatnonzero(keep)[twice.min()])
            ids = f"query_id {self.table['query_id'][row]}, model {self.table['model'][row]}"
            self.fail(row, "query_id, model", f"a second row for {ids}; number repeats in column `attempt`")

    def one_prompt_per_query(self, query: Ints, first: Ints, keep: Bools) -> None:
        codes = self.table["prompt"].combine_chunks().dictionary_encode().indices
        code = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False)[keep]
        other = np.flatnonzero(code != code[first][query])
        if len(other):
            row = int(np.flatnonzero(keep)[other[0]])
            self.fail(row, "prompt", f"differs from an earlier prompt of query_id {self.table['query_id'][row]}")


def _codes(column: pa.ChunkedArray, keep: Bools) -> tuple[Ints, Objects, Ints]:
    """Codes of the kept rows in order of first appearance, their values, and the first kept row of each."""
    encoded = column.filter(pa.array(keep)).combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    values = np.array([str(value) for value in encoded.dictionary.to_pylist()], dtype=object)
    return codes, values, np.unique(codes, return_index=True)[1].astype(np.int64)


def _features(table: pa.Table, rows: Ints, where: str) -> tuple[Floats | None, str | None]:
    if "features" not in table.column_names or table["features"].null_count == table.num_rows:
        return None, None
    lists = table["features"].take(pa.array(rows)).to_pylist()
    widths = {len(row) for row in lists if row is not None}
    if None in lists or len(widths) != 1:
        raise BadInput(f"{where}: row 1: column features: every query needs as many features as the others")
    names = set(table["featuriser"].to_pylist()) if "featuriser" in table.column_names else set()
    if len(names) > 1:
        raise BadInput(
            f"{where}: row 1: column featuriser: {len(names)} featurisers in one trace; split it by featuriser"
        )
    return np.asarray(lists, dtype=np.float32), next(iter(names), None)


def _objects(column: pa.ChunkedArray) -> Objects:
    array = np.empty(len(column), dtype=object)
    array[:] = column.to_pylist()
    return array


def to_table(trace: Trace) -> pa.Table:
    """The long table of a trace: one row per cell where anything was recorded."""
    recorded = np.isfinite(trace.score) | np.isfinite(trace.cost_usd)
    if "error" in trace.cell_columns:
        recorded |= trace.cell_columns["error"] != None  # noqa: E711 - elementwise on an object array
    query, arm = np.nonzero(recorded)
    columns: dict[str, Any] = {
        "query_id": pa.array(trace.query_ids[query]),
        "task": pa.array(trace.tasks[query], pa.string()),
        "prompt": pa.array(trace.prompts[query], pa.string()),
        "model": pa.array(np.array(trace.arms, dtype=object)[arm]),
    }
    for name in _NUMBERS:
        cells = getattr(trace, name)[query, arm]
        columns[name] = pa.array(cells, pa.float32(), mask=np.isnan(cells))
    for name, column in trace.query_columns.items():
        columns[name] = pa.array(column[query].tolist())
    for name, cells in trace.cell_columns.items():
        columns[name] = pa.array(cells[query, arm].tolist())
    if trace.features is not None:
        columns["features"] = pa.array(list(trace.features[query]), pa.list_(pa.float32()))
        columns["featuriser"] = pa.array([trace.featuriser] * len(query), pa.string())
    return pa.table(columns)


def save_trace(trace: Trace, path: str | Path) -> Path:
    """Write a trace as Parquet; the file appears whole or not at all."""
    return write_table(to_table(trace), path)


def write_table(table: pa.Table, path: str | Path) -> Path:
    """Write a long table as Parquet through a temporary file beside it, so that Ctrl-C leaves no half file."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    try:
        pq.write_table(table, scratch, compression="zstd", compression_level=19)
        os.replace(scratch, target)
    except BaseException:
        os.unlink(scratch)
        raise
    return target
