"""A file of somebody else's logs as it stands: its rows, and where each of them came from."""

from __future__ import annotations

import json
import math
import re
import reprlib
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from env.contexts import Floats
from env.errors import BadInput
from env.trace_formats import read_table

# What numpy and zipfile raise for files that are broken in one way or another.
_BROKEN_ARRAYS = (
    OSError, ValueError, TypeError, KeyError, EOFError, MemoryError, SyntaxError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# Half of a character outside the first 65,536, as JSON spells it; alone it is no text.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Raw:
    """Rows of one file (or of several of one format), before anybody knows what they mean.

    Attributes:
        where: names the file in errors.
        columns: names of the columns, in their order.
        content: the rows: a table, or a list of dictionaries (JSON need not be rectangular).
        origin: ``(file, row from 1)`` of each row, where the rows are of several files.
    """

    where: str
    columns: tuple[str, ...]
    content: pa.Table | Sequence[Record]
    origin: Sequence[tuple[str, int]] = field(default=(), repr=False)

    @classmethod
    def of(cls, content: pa.Table | Iterable[Record], where: str = "table") -> Raw:
        """Rows at hand, as if they had been read from a file.

        Example:
            >>> Raw.of([{"model": "a"}, {"model": "b", "score": 1}]).columns
            ('model', 'score')
        """
        if isinstance(content, pa.Table):
            return cls(where, tuple(content.column_names), content)
        rows = list(content)
        return cls(where, tuple(dict.fromkeys(key for row in rows for key in row)), rows)

    def __len__(self) -> int:
        return self.content.num_rows if isinstance(self.content, pa.Table) else len(self.content)

    @cached_property
    def table(self) -> pa.Table:
        """The rows as a table; JSON values of mixed kinds become JSON text."""
        if isinstance(self.content, pa.Table):
            return self.content
        return pa.table({name: _column([row.get(name) for row in self.content]) for name in self.columns})

    @cached_property
    def records(self) -> Sequence[Record]:
        """The rows as dictionaries."""
        if isinstance(self.content, pa.Table):
            rows: list[Record] = self.content.to_pylist()
            return rows
        return self.content

    def texts(self, column: str) -> list[str | None]:
        """A column as text; numbers become their usual spelling.

        Raises:
            BadInput: a value that is a list or an object.
        """
        found: list[str | None] = []
        for row, value in enumerate(self.table[column].to_pylist()):
            if isinstance(value, list | dict):
                self.fail(row, column, f"a {type(value).__name__} is not text")
            if isinstance(value, bytes):
                self.fail(row, column, f"{reprlib.repr(value)} is not text in UTF-8")
            found.append(None if value is None else str(value))
        return found

    def numbers(self, column: str, low: float = 0.0, high: float = math.inf, rule: str = "") -> Floats:
        """A column as ``(n,)`` numbers in ``[low, high]``, NaN where it is null; true is 1 and false 0.

        Raises:
            BadInput: the row that holds something else.
        """
        values = self.table[column]
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        try:
            made = values.cast(pa.int8() if pa.types.is_boolean(values.type) else pa.float64(), safe=False)
            floats: Floats = made.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            floats = np.array([self._number(row, column, v, rule) for row, v in enumerate(values.to_pylist())])
        wrong = (floats < low) | (floats > high) | np.isinf(floats)
        if wrong.any():
            row = int(np.argmax(wrong))
            self.fail(row, column, f"{floats[row]:g}; {rule or f'it must be finite and {low:g} or more'}")
        return floats

    def number(
        self, row: int, column: str, value: Any, high: float = math.inf, rule: str = "", low: float = 0.0
    ) -> float | None:
        """One value as a number in ``[low, high]``, None where it is null.

        Raises:
            BadInput: it is something else.
        """
        made = self._number(row, column, value, rule)
        if math.isinf(made) or made < low or made > high:
            self.fail(row, column, f"{made:g}; {rule or 'it must be finite and 0 or more'}")
        return None if math.isnan(made) else made

    def _number(self, row: int, column: str, value: Any, rule: str) -> float:
        try:
            return math.nan if value is None or value == "" else float(value)
        except OverflowError:
            self.fail(row, column, "a number beyond 1e308")
        except (TypeError, ValueError):
            words = "; write words as numbers, for example 1 for up and 0 for down" if isinstance(value, str) else ""
            self.fail(row, column, f"{reprlib.repr(value)} is not a number{words}{rule and f'; {rule}'}")

    def object(self, row: int, column: str, value: Any) -> Record:
        """A nested object, empty where it is null.

        Raises:
            BadInput: it is something else.

        Example:
            >>> Raw.of([{"usage": None}]).object(0, "usage", None)
            {}
        """
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.fail(row, column, f"{reprlib.repr(value)} is not an object")
        return value

    def fail(self, row: int, column: str, what: str) -> NoReturn:
        """Refuse the value at ``row`` (from 0; errors count from 1)."""
        where, number = self.origin[row] if self.origin else (self.where, row + 1)
        raise BadInput(f"{where}: row {number}: column {column}: {what}")

    def need(self, *columns: str) -> None:
        """Each column is there.

        Raises:
            BadInput: one is not.
        """
        for column in columns:
            if column not in self.columns:
                raise BadInput(
                    f"{self.where}: row 0 (header): column `{column}` is missing; it has {', '.join(self.columns)}, "
                    f"and `--map OLD={column}` renames one"
                )

    def renamed(self, names: Mapping[str, str]) -> Raw:
        """The same rows with some columns renamed; an empty name leaves the column out."""
        out = [column for column in self.columns if names.get(column) == ""]
        columns = tuple(names.get(column, column) for column in self.columns if column not in out)
        if isinstance(self.content, pa.Table):
            return Raw(self.where, columns, self.content.drop_columns(out).rename_columns(columns), self.origin)
        rows = [{names.get(k, k): value for k, value in row.items() if k not in out} for row in self.content]
        return Raw(self.where, columns, rows, self.origin)


def together(raws: Sequence[Raw]) -> Raw:
    """The rows of several files as one, for formats whose rows of two files belong together."""
    if len(raws) == 1:
        return raws[0]
    where = " + ".join(raw.where for raw in raws)
    origin = [(raw.where, row + 1) for raw in raws for row in range(len(raw))]
    if all(isinstance(raw.content, pa.Table) for raw in raws):
        table = pa.concat_tables([raw.table for raw in raws], promote_options="permissive")
        return Raw(where, tuple(table.column_names), table, origin)
    columns = tuple(dict.fromkeys(column for raw in raws for column in raw.columns))
    return Raw(where, columns, [row for raw in raws for row in raw.records], origin)


def read_raw(path: Path, texts: Collection[str] = ()) -> Raw:
    """Read a Parquet, CSV, JSONL, JSON or NPZ file as it stands.

    Args:
        path: the file.
        texts: columns that are texts even where they look like numbers: in a CSV file the query 007 is not 7.

    Raises:
        BadInput: no such file, empty, unreadable, of an unknown kind, or a pickle.
    """
    where, suffix = str(path), path.suffix.lower()
    if suffix not in (".json", ".jsonl", ".npz"):
        table = read_table(path, texts)
        for name in table.column_names:
            if (count := table.column_names.count(name)) > 1:
                raise BadInput(f"{path}: row 0 (header): column `{name}` is there {count} times; each has its own name")
        raw = Raw.of(table, where)
    else:
        if not path.is_file():
            raise BadInput(f"{path}: no such file")
        if suffix == ".npz":
            raw = Raw.of([_arrays(path)], where)
        else:
            raw = Raw.of(_json_lines(path) if suffix == ".jsonl" else _json(path), where)
    if not len(raw):
        raise BadInput(f"{path}: the file holds no rows")
    return raw


def _json_lines(path: Path) -> list[Record]:
    rows: list[Record] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        row = _decoded(line, f"{path}: row {number}: not JSON")
        if not isinstance(row, dict):
            raise BadInput(f"{path}: row {number}: a JSON object per line is expected, got {type(row).__name__}")
        rows.append(row)
    return rows


def _decoded(text: bytes, wrong: str) -> Any:
    try:
        content = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except RecursionError as error:
        raise BadInput(f"{wrong}: nested more deeply than any log") from error
    except UnicodeEncodeError as error:
        half = error.object[error.start].encode("unicode_escape").decode()
        raise BadInput(f"{wrong}: half a character ({half}) is no text") from error
    except ValueError as error:
        raise BadInput(f"{wrong}: {error}") from error
    return content


def _json(path: Path) -> list[Record]:
    content = _decoded(path.read_bytes(), f"{path}: not a readable JSON file")
    if isinstance(content, dict):
        inner = content.get("records")
        if not isinstance(inner, list):
            return [content]
        # One object with a head and `records`: the head belongs to each of them.
        head = {key: value for key, value in content.items() if not isinstance(value, list | dict)}
        content = [{**head, **row} if isinstance(row, dict) else row for row in inner]
    rows: list[Record] = []
    for number, row in enumerate(content if isinstance(content, list) else [content], start=1):
        if not isinstance(row, dict):
            raise BadInput(f"{path}: row {number}: a JSON object is expected, got {type(row).__name__}")
        rows.append(row)
    return rows


def _arrays(path: Path) -> Record:
    """The arrays of an NPZ file; those that hold Python objects are pickles inside, and stay unread (None)."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: _array(file, name) for name in file.files}
    except _BROKEN_ARRAYS as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{path}: not a readable .npz file, as numpy.savez writes it: {told}") from error


def _array(file: Any, name: str) -> Any:
    try:
        return file[name]
    except ValueError as error:
        if "object arrays cannot be loaded" in str(error).lower():
            return None
        raise


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string())
