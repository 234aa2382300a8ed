"""From somebody's files to a checked trace: read, recognised, made long, filled in where asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from env.costs import fill_costs
from env.errors import BadInput, nearest
from env.prices import PriceTable
from env.sources import detect, get, long
from env.sources.base import Long
from env.sources.raw import Raw, Record, read_raw, together
from env.sources.tokens import rough_tokens
from env.trace import Trace
from env.trace_io import KNOWN, from_table

_SUFFIXES = (".parquet", ".csv", ".jsonl", ".json", ".npz")
# Names, whatever they look like.
_TEXTS = ("query_id", "task", "prompt", "model")
# Of use for costs and for grades, and no columns of a trace.
_NOT_KEPT = ("cached_tokens", "reasoning_tokens", "request_id")


@dataclass(frozen=True, slots=True)
class Imported:
    """A trace made of somebody's files.

    Attributes:
        trace: checked.
        table: its long rows, as they are written.
        format: the name of the source.
        notes: what a reader must know of how it was made.
        null_columns: columns that the files have not, null in the trace.
        left_out: columns of the files that are no part of a trace.
    """

    trace: Trace
    table: pa.Table
    format: str
    notes: tuple[str, ...]
    null_columns: tuple[str, ...]
    left_out: tuple[str, ...]


def import_files(
    paths: Sequence[str | Path],
    format: str | None = None,
    *,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    score_range: tuple[float, float] | None = None,
    scores: str | Path | None = None,
    estimate_tokens: bool = False,
    prices: PriceTable | None = None,
    price_day: str | date | None = None,
    keep_responses: bool = False,
) -> Imported:
    """A trace of files in one format; a folder stands for the files in it.

    Args:
        paths: files or folders.
        format: one of :func:`names`; ``None`` to tell by the columns of the first file.
        name: of the trace; that of the first file by default.
        columns: new names of columns, ``{"llm": "model"}``; an empty one leaves the column out.
        score_range: lowest and highest score of the files' own scale, mapped onto [0, 1]; with
            ``scores`` the scale of those.
        scores: a file with ``query_id, score`` and perhaps ``model``: grades given elsewhere.
        estimate_tokens: count tokens roughly where they were not recorded and the text was.
        prices: fills costs that were not recorded, from token counts.
        price_day: of the prices; ``None`` for the rows' own time, and the newest where there is none.
        keep_responses: whether answers become a column of the trace.

    Raises:
        BadInput: file, row, column, and the mend.
    """
    files = _files(paths)
    texts = [old for old, new in (columns or {}).items() if new in _TEXTS]
    raws = [_renamed(read_raw(path, texts), columns or {}) for path in files]
    source = get(format or detect(raws[0]))
    if source is long.SOURCE:
        _check_names(columns or {})
    if score_range is not None and scores is None:
        raws = [_on_unit_scale(raw, *score_range) for raw in raws]
    if source.joins:
        raws = [together(raws)]
    longs = [source.to_long(raw) for raw in raws]
    tables = long.identified([part.table for part in longs])
    if len(raws) > 1:
        for raw, table in zip(raws, tables, strict=True):
            from_table(_plain(table), name="part", where=raw.where)  # says in which file something is wrong
    table, where = _joined(tables), raws[0].where if len(raws) == 1 else f"{len(raws)} files"
    notes = [note for part in longs for note in part.notes]
    if source is long.SOURCE and scores is None and any("score" in part.absent for part in longs):
        raise BadInput(
            f"{where}: row 0 (header): column `score` is missing; --map OLD=score renames one, --scores FILE takes "
            "the grades of another file by query_id"
        )
    if scores is not None:
        grades = read_raw(Path(scores), _TEXTS)
        table, told = _with_scores(table, grades if score_range is None else _on_unit_scale(grades, *score_range))
        notes = [*(note for note in notes if "no score" not in note), told]
    title = name or Path(paths[0]).stem
    if estimate_tokens or prices is not None:
        from_table(_plain(table), name=title, where=where)  # the numbers are numbers
    if estimate_tokens:
        table, count = _with_tokens(table)
        notes.append(f"{count} token counts are estimates (about 5 % off on English prose, more on code and JSON)")
    if prices is not None:
        table, count, told_of_prices = fill_costs(table, prices, price_day)
        notes += [f"{count} costs are token counts times list prices; recorded costs were kept", *told_of_prices]
    table = table.drop_columns([c for c in _NOT_KEPT if c in table.column_names])
    if "response" in table.column_names and not (keep_responses or source is long.SOURCE):
        table = table.drop_columns(["response"])
    table = _complete(table)
    trace = from_table(table, name=title, where=where)
    return Imported(
        trace,
        table,
        source.name,
        tuple(dict.fromkeys(notes)),
        tuple(dict.fromkeys(c for part in longs for c in part.absent if table[c].null_count == table.num_rows)),
        tuple(dict.fromkeys([*(old for old, new in (columns or {}).items() if not new), *_left_out(longs)])),
    )


def _files(paths: Sequence[str | Path]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise BadInput(f"{path}: no {', '.join(_SUFFIXES)} file in this folder")
        found += inside
    if not found:
        raise BadInput("no file to import")
    return found


def _renamed(raw: Raw, columns: Mapping[str, str]) -> Raw:
    for old, new in columns.items():
        if old not in raw.columns:
            raise BadInput(f"--map {old}={new}: {raw.where} has no column `{old}`{nearest(old, raw.columns)}")
        if new in raw.columns and new not in columns:
            raise BadInput(f"--map {old}={new}: {raw.where} has a column `{new}` already")
    return raw.renamed(columns) if columns else raw


def _check_names(columns: Mapping[str, str]) -> None:
    for old, new in columns.items():
        if new and new not in KNOWN:
            raise BadInput(f"--map {old}={new}: a trace has no column `{new}`{nearest(new, KNOWN)}")


def _left_out(longs: Sequence[Long]) -> list[str]:
    return [column for part in longs for column in part.left_out]


def _on_unit_scale(raw: Raw, low: float, high: float) -> Raw:
    if not low < high:
        raise BadInput(f"--score-range {low:g} {high:g}: the lowest score comes first, and is below the highest")
    scored = next((column for column in ("score", "reward") if column in raw.columns), None)
    if scored is None:
        raise BadInput(f"{raw.where}: --score-range needs a column `score`; --map OLD=score renames one")
    rule = f"--score-range says that scores are from {low:g} to {high:g}"
    if isinstance(raw.content, pa.Table):
        values = (raw.numbers(scored, low, high, rule) - low) / (high - low)
        at = raw.columns.index(scored)
        table = raw.content.set_column(at, scored, pa.array(values, mask=np.isnan(values)))
        return Raw(raw.where, raw.columns, table)
    if isinstance(raw.content[0].get(scored), np.ndarray):
        rewards = raw.content[0][scored]
        values = (Raw.of(pa.table({scored: rewards.ravel()}), raw.where).numbers(scored, low, high, rule) - low) / (
            high - low
        )
        return Raw(raw.where, raw.columns, [{**raw.content[0], scored: values.reshape(rewards.shape)}])
    rows: list[Record] = []
    for number, row in enumerate(raw.content):
        value = raw.number(number, scored, row.get(scored), high, rule, low=low)
        rows.append({**row, scored: None if value is None else (value - low) / (high - low)})
    return Raw(raw.where, raw.columns, rows, raw.origin)


def _joined(tables: list[pa.Table]) -> pa.Table:
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables([_plain(table) for table in tables], promote_options="permissive")


def _plain(table: pa.Table) -> pa.Table:
    """The table with all required columns, and texts as texts: what tables of several files have in common."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(table.column_names.index(name), name, column.cast(column.type.value_type))
    return _complete(table)


def _complete(table: pa.Table) -> pa.Table:
    for name in ("prompt", *long.MAY_BE_ABSENT):
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows))
    return table


def _with_scores(table: pa.Table, grades: Raw) -> tuple[pa.Table, str]:
    grades.need("query_id", "score")
    keys = ("query_id", "model") if "model" in grades.columns else ("query_id",)
    found: dict[tuple[str | None, ...], float] = {}
    values = grades.numbers("score", 0, 1, "a score is in [0, 1], null where not recorded")
    for row, key in enumerate(zip(*(grades.texts(name) for name in keys), strict=True)):
        if key in found:
            grades.fail(row, ", ".join(keys), f"a second score for {' '.join(map(str, key))}")
        if np.isnan(values[row]):
            continue  # not graded
        found[key] = float(values[row])
    asked = list(zip(*(map(str, table[name].to_pylist()) for name in keys), strict=True))
    if "request_id" in table.column_names:
        # A grade may be that of one call; and without a model it is, where a query is named after its first call.
        calls = list(map(str, table["request_id"].to_pylist()))
        alone = {*calls} if len(keys) == 1 else set[str]()
        asked = [
            own if (own := (call, *key[1:])) in found or key[0] in alone else key
            for call, key in zip(calls, asked, strict=True)
        ]
    if len(keys) == 1 and len(set(asked)) < len(asked):
        raise BadInput(f"{grades.where}: several models answered one query; add a column `model` to the scores")
    matched = [key in found for key in asked]
    if not any(matched):
        raise BadInput(f"{grades.where}: no {', '.join(keys)} of it is in the requests, for example {asked[0]}")
    old = table["score"].to_pylist() if "score" in table.column_names else [None] * len(asked)
    new = [found.get(key, before) for key, before in zip(asked, old, strict=True)]
    column = pa.array(new, pa.float64(), from_pandas=True)
    at = table.column_names.index("score")
    told = f"{sum(matched)} of {len(asked)} requests have a score of {grades.where}"
    return table.set_column(at, "score", column), told


def _with_tokens(table: pa.Table) -> tuple[pa.Table, int]:
    count, counted = 0, dict[str, int]()
    for name, text in (("input_tokens", "prompt"), ("output_tokens", "response")):
        if text not in table.column_names:
            continue
        known = table[name].to_pylist() if name in table.column_names else [None] * table.num_rows
        texts: list[Any] = table[text].to_pylist()
        for row, (number, words) in enumerate(zip(known, texts, strict=True)):
            if number is None and words is not None:
                if words not in counted:
                    counted[words] = rough_tokens(words)
                known[row] = counted[words]
                count += 1
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, pa.array(known))
    return table, count
