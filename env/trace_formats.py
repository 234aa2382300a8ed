"""Tables on disk as they are: Parquet, CSV and JSONL, read without a look at what they mean."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from env.errors import BadInput

# Read as text, whatever they look like, from files that do not say what is text.
_TEXTS = (
    "query_id", "task", "prompt", "model", "split", "prompt_hash", "agent", "node", "parent", "policy_version",
    "featuriser", "feedback_source", "error", "response",
)  # fmt: skip
# Repeated texts, which Parquet stores once and need not be unpacked to be compared.
_REPEATED = ["query_id", "task", "prompt", "model"]
# No row may be larger than this, so it is far more than the longest prompt.
_BLOCK_BYTES = 64 << 20
_LARGEST_BLOCK_BYTES = 2**31 - 1
# Lines with fewer brackets than this cannot be nested deeply enough to hurt Arrow, which has no limit of its own.
_HARMLESS_BRACKETS = 500
_PICKLES = (".pkl", ".pickle", ".joblib")


def read_table(path: Path, texts: Collection[str] = ()) -> pa.Table:
    """The raw table of a Parquet, CSV or JSONL file.

    Args:
        path: the file.
        texts: more columns of a CSV file that are texts even where they look like numbers.

    Raises:
        BadInput: no such file, empty, unreadable, or a pickle (which could run code when loaded).
    """
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        code = f"import pandas as pd; pd.read_pickle('{path}').to_parquet('{path.with_suffix('.parquet')}')"
        raise BadInput(f'{path}: pickles can run code and are never loaded; convert it once: python -c "{code}"')
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty")
    readers: dict[str, Callable[[Path], pa.Table]] = {
        ".parquet": _read_parquet,
        ".csv": partial(_read_csv, texts=texts),
        ".jsonl": _read_jsonl,
    }
    if suffix not in readers:
        raise BadInput(f"{path}: unknown kind of file `{path.suffix}`; a trace is .parquet, .csv or .jsonl")
    try:
        return readers[suffix](path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise BadInput(f"{path}: {_located(path, suffix[1:], str(error).splitlines()[0])}") from error


def _read_parquet(path: Path) -> pa.Table:
    return pq.read_table(path, read_dictionary=_REPEATED, partitioning=None)


def _read_csv(path: Path, *, threads: bool = True, texts: Collection[str] = ()) -> pa.Table:
    # Text stays text: the query 007 is not the query 7, and a prompt may be a number.
    kept = {*_TEXTS, *texts}
    table = pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=threads),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(kept, pa.string())),
    )
    for column in kept & {*table.column_names}:
        if table.column_names.count(column) == 1:
            # CSV cannot tell an empty text from none.
            empty = pc.equal(table[column], "")
            text = pc.if_else(empty, pa.scalar(None, pa.string()), table[column])
            table = table.set_column(table.column_names.index(column), column, text)
    return table


def _read_jsonl(path: Path, *, block_bytes: int = _BLOCK_BYTES) -> pa.Table:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.count(b"[") + line.count(b"{") > _HARMLESS_BRACKETS:
                try:
                    json.loads(line)
                except RecursionError as error:
                    raise BadInput(f"{path}: row {number}: nested more deeply than any log") from error
                except ValueError:
                    continue  # Arrow says what is wrong with it
    return pyarrow.json.read_json(path, read_options=pyarrow.json.ReadOptions(block_size=block_bytes))


def _located(path: Path, kind: str, message: str) -> str:
    """What is wrong with a file and in which row, which Arrow knows only when it reads the file in one go."""
    try:
        if kind == "csv":
            _read_csv(path, threads=False)
        elif kind == "jsonl":
            _read_jsonl(path, block_bytes=min(path.stat().st_size + 1, _LARGEST_BLOCK_BYTES))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        message = str(error).splitlines()[0]
    # Arrow counts the header of a CSV file as row 1, and the objects of a JSONL file from 0.
    if found := re.search(r"Row #(\d+): (.*)", message):
        row, what = int(found[1]) - 1, found[2]
    elif found := re.search(r"JSON parse error: (.*?)\.? in row (\d+)$", message):
        row, what = int(found[2]) + 1, re.sub(r"Column\(/(.+?)\)", r"column \1", found[1])
    else:
        return f"not a readable {kind} file: {message}"
    if "from object to array" in what and "Column()" in what:
        what = "a list; write one object a line"
    return f"row {row}: not readable as {kind}: {what if what[:2].isupper() else what[0].lower() + what[1:]}"
