"""What a source of traces is: how to recognise a file of its format, and how to make long rows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from env.contexts import Floats
from env.sources.raw import Raw

SCORE_RULE = "a score is in [0, 1], null where not recorded; `--score-range LOW HIGH` maps another scale onto it"


Columns: TypeAlias = Mapping[str, Sequence[Any]]


class Long(NamedTuple):
    """Long rows, and what a reader must know of how they were made.

    Attributes:
        table: the rows, under the names of a trace's columns.
        notes: one line each.
        absent: columns that a trace has and the file has not.
        left_out: columns of the file that are no part of a trace.
    """

    table: pa.Table
    notes: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One format.

    Attributes:
        name: what ``--format`` takes.
        what: one line for people.
        home: where the format comes from.
        looks_like: whether a file has its columns.
        to_long: makes the long rows; errors name the row and column of the file.
        joins: True where rows of several files belong together, e.g. requests and their responses.
    """

    name: str
    what: str
    home: str
    looks_like: Callable[[Raw], bool]
    to_long: Callable[[Raw], Long]
    joins: bool = False


def long_of_wide(raw: Raw, models: Sequence[str], query: Columns, cells: Columns) -> pa.Table:
    """Long rows of a wide table: one block of rows for each model.

    Args:
        raw: the wide rows.
        models: the models that have columns.
        query: columns with a value a row: ``{"query_id": [...], ...}``, each ``(n,)``.
        cells: columns with a value a row and model, each a list of ``K`` arrays ``(n,)``.
    """
    columns: dict[str, Any] = {}
    for name, values in query.items():
        column = pa.array(values, pa.string()).dictionary_encode()
        columns[name] = pa.chunked_array([column] * len(models))
    columns["model"] = pa.array(np.repeat(np.array(models, dtype=object), len(raw)), pa.string())
    for name, blocks in cells.items():
        columns[name] = pa.chunked_array([_nulls(block) for block in blocks])
    return pa.table(columns)


def _nulls(block: Floats | list[Any]) -> pa.Array:
    return pa.array(block, from_pandas=True) if isinstance(block, np.ndarray) else pa.array(block, pa.string())
