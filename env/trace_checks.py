"""Checks of a long trace table, column by column: each failure names the file, the first wrong row and the column."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from env.contexts import Bools, Floats, Ints
from env.errors import BadInput

_LARGEST = float(np.finfo(np.float32).max)


class TableChecker:
    """Reads columns of a table as what they should be.

    Args:
        table: the long table.
        where: names it in errors, usually the file.
    """

    def __init__(self, table: pa.Table, where: str) -> None:
        self.table, self.where = table, where

    def fail(self, row: int, column: str, what: str) -> NoReturn:
        """Refuse the value at ``row`` (from 0; errors count from 1)."""
        raise BadInput(f"{self.where}: row {row + 1}: column {column}: {what}")

    def has(self, column: str) -> bool:
        """True where the table has the column."""
        return column in self.table.column_names

    def columns(self, required: tuple[str, ...], likely: Mapping[str, str]) -> None:
        """Each required column is there, and none twice.

        Args:
            required: names.
            likely: unknown columns of the table, with the missing one that each was probably meant to be.
        """
        names = self.table.column_names
        for column in required:
            if column not in names:
                for name in (name for name, meant in likely.items() if meant == column):
                    raise BadInput(
                        f"{self.where}: row 0 (header): column `{column}` is missing; is it `{name}`? "
                        f"`pointsman trace import FILE --map {name}={column} --out TRACE` renames it"
                    )
                raise BadInput(
                    f"{self.where}: row 0 (header): column `{column}` is missing; a trace has {', '.join(required)}; "
                    "`pointsman trace import FILE --out TRACE` adds what may be null, `--map OLD=NEW` renames"
                )
        for column in names:
            if names.count(column) > 1:
                raise BadInput(f"{self.where}: row 0 (header): column `{column}` is there {names.count(column)} times")
        if self.table.num_rows == 0:
            raise BadInput(f"{self.where}: the file holds no rows")

    def key(self, column: str) -> pa.ChunkedArray:
        """A column of names, dictionary-encoded: no null, and numbers are names too."""
        raw = self.table[column]
        if raw.null_count:
            self.fail(_first(raw.is_null()), column, "null")
        try:
            return _encoded(raw)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            self.fail(0, column, f"{_shown(raw[0])} is not a name")

    def text(self, column: str, mend: str) -> pa.ChunkedArray:
        """A column of text or null, dictionary-encoded."""
        raw = self.table[column]
        kind = raw.type.value_type if pa.types.is_dictionary(raw.type) else raw.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
            row = _first(raw.is_valid())
            self.fail(row, column, f"{_shown(raw[row])} is not text{mend}")
        return _encoded(raw)

    def number(self, column: str, low: float, high: float, rule: str) -> NDArray[np.float64]:
        """A column of numbers in ``[low, high]``; NaN is the one spelling of "not recorded" in memory."""
        raw = self.table[column]
        try:
            floats = raw.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            floats = np.array([self._number(row, column, value) for row, value in enumerate(raw)])
        numbers: NDArray[np.float64] = floats.astype(np.float64)
        wrong = np.isinf(numbers) | (numbers < low) | (numbers > high)
        if wrong.any():
            row = int(np.argmax(wrong))
            self.fail(row, column, f"{numbers[row]:g}; {rule}")
        if (large := numbers > _LARGEST).any():
            row = int(np.argmax(large))
            self.fail(row, column, f"{numbers[row]:g}; traces keep numbers in 32 bits, up to {_LARGEST:g}")
        return numbers

    def _number(self, row: int, column: str, value: pa.Scalar) -> float:
        made = value.as_py()
        try:
            return float("nan" if made is None else made)
        except (TypeError, ValueError):
            self.fail(row, column, f"{_shown(value)} is not a number")

    def attempts(self) -> Ints:
        """The number of each row's attempt, 0 where the column is absent or null."""
        if not self.has("attempt"):
            return np.zeros(self.table.num_rows, dtype=np.int64)
        rule = "attempts are numbered 0, 1, 2, ..."
        numbers = np.nan_to_num(self.number("attempt", 0, 1e9, rule))
        if (numbers % 1).any():
            row = int(np.argmax(numbers % 1 != 0))
            self.fail(row, "attempt", f"{numbers[row]:g}; {rule}")
        if numbers.all():
            self.fail(0, "attempt", f"{numbers[0]:g}, and no row has attempt 0, the router's choice")
        return numbers.astype(np.int64)

    def unique(self, query: Ints, arm: Ints, attempt: Ints) -> None:
        """No second row for a query, a model and an attempt."""
        key = (query * (arm.max() + 1) + arm) * (attempt.max() + 1) + attempt
        order = np.argsort(key, kind="stable")
        twice = order[1:][np.diff(key[order]) == 0]
        if len(twice):
            row = int(twice.min())
            ids = f"query_id {self.table['query_id'][row]}, model {self.table['model'][row]}"
            self.fail(row, "query_id, model", f"a second row for {ids}; number repeats in column `attempt`")

    def one_per_query(self, column: str, query: Ints, first: Ints) -> None:
        """All rows of a query hold the same value; ``first`` is the first row of each query."""
        try:
            codes = _encoded(self.table[column]).unify_dictionaries().combine_chunks().indices
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            self.fail(0, column, f"{_shown(self.table[column][0])} is not one text or number")
        code = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False)
        other = np.flatnonzero(code != code[first][query])
        if len(other):
            row = int(other[0])
            self.fail(row, column, f"differs from an earlier {column} of query_id {self.table['query_id'][row]}")

    def replace(self, column: str, numbers: NDArray[np.float64]) -> None:
        """Put the numbers that were read in the place of a column's values; NaN becomes null."""
        at = self.table.column_names.index(column)
        self.table = self.table.set_column(at, column, pa.array(numbers, mask=np.isnan(numbers)))

    def features(self, rows: Ints) -> tuple[Floats | None, str | None]:
        """Features ``(n, d)`` of some rows, and the fingerprint of the featuriser that made them."""
        if not self.has("features") or self.table["features"].null_count == self.table.num_rows:
            return None, None
        column = self.table["features"].take(pa.array(rows))
        kind = column.type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
            self.fail(int(rows[0]), "features", f"{_shown(column[0])} is not a list of numbers")
        widths = pc.fill_null(pc.list_value_length(column), -1).to_numpy()
        if (widths != widths[0]).any() or widths[0] < 0:
            at = int(np.argmax((widths < 0) | (widths != widths[0])))
            held = (
                "null" if widths[at] < 0 else f"{widths[at]} numbers, query {self.table['query_id'][0]} has {widths[0]}"
            )
            self.fail(int(rows[at]), "features", f"{held}; every query needs as many features as the others")
        try:
            flat = pc.list_flatten(column).cast(pa.float32()).to_numpy(zero_copy_only=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            self.fail(int(rows[0]), "features", "not all of them are numbers")
        made: Floats = flat.reshape(len(rows), -1)
        finite = np.isfinite(made).all(axis=1)
        if not finite.all():
            self.fail(int(rows[np.argmin(finite)]), "features", "one of them is null, NaN or infinite")
        return made, self._featuriser(rows)

    def _featuriser(self, rows: Ints) -> str | None:
        if not self.has("featuriser"):
            return None
        names = self.table["featuriser"].take(pa.array(rows)).to_pylist()
        for row, name in zip(rows, names, strict=True):
            if name != names[0]:
                self.fail(
                    int(row), "featuriser", f"{name}, after {names[0]}; one trace holds features of one featuriser"
                )
        return None if names[0] is None else str(names[0])


def _encoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type):
        return column
    return column.cast(pa.string()).dictionary_encode()


def _first(flags: pa.ChunkedArray) -> int:
    found: Bools = flags.to_numpy(zero_copy_only=False).astype(np.bool_)
    return int(np.argmax(found))


def _shown(value: pa.Scalar) -> str:
    """A value as an error shows it: prompts can be long."""
    return reprlib.repr(value.as_py())
