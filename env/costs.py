"""Costs from token counts: filled in where they were not recorded, at the price of the call's own day.

A cost that the provider gave always wins: only cells without one are filled.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from env.contexts import Ints, Objects
from env.errors import BadInput
from env.moments import seconds
from env.prices import PriceTable, day_of
from env.trace import Trace

# 1973: before any log of a language model.
_FIRST_DATE_S = 1e8
_TOKEN_COLUMNS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


class Filled(NamedTuple):
    """A long table with its costs filled in.

    Attributes:
        table: the rows.
        filled: how many costs were computed.
        notes: what a reader must know of them, one line each.
    """

    table: pa.Table
    filled: int
    notes: tuple[str, ...] = ()


def with_costs(trace: Trace, prices: PriceTable | None = None, day: str | date | None = None) -> Trace:
    """The trace with ``cost_usd`` computed where it was not recorded and both token counts were.

    Warns where a query is older than the first known price of a model, which it then takes.

    Args:
        trace: any trace; its recorded costs stay.
        prices: of its models; the table that comes with Pointsman by default.
        day: of the prices; ``None`` for each query's ``timestamp``, and the newest where there is none.

    Raises:
        BadInput: a model that needs a price has none.

    Example:
        >>> from env.trace_io import from_rows
        >>> row = {"query_id": "q", "prompt": "Hi", "model": "gpt-4o-mini", "input_tokens": 1000, "output_tokens": 100}
        >>> with_costs(from_rows([row])).cost_usd
        array([[0.00021]], dtype=float32)
    """
    table = prices or PriceTable.load()
    cost = trace.cost_usd.astype(np.float64)
    query, arm = np.nonzero(np.isfinite(trace.input_tokens) & np.isfinite(trace.output_tokens) & ~np.isfinite(cost))
    stamps = trace.query_columns.get("timestamp")
    moments = np.full(len(trace), math.nan) if stamps is None else _moments(stamps)
    tokens_of = (trace.input_tokens.astype(np.float64), trace.output_tokens.astype(np.float64))
    counts = [tokens[query, arm] for tokens in tokens_of]
    models = np.array(trace.arms, dtype=object)
    found = _priced(models, arm, counts, moments[query], table, day)
    if found.unknown:
        table.at(next(iter(found.unknown)))  # says what is missing
    for note in found.notes(table):
        warnings.warn(note, stacklevel=2)
    cost[query, arm] = found.cost
    return replace(trace, cost_usd=cost.astype(np.float32))


def fill_costs(table: pa.Table, prices: PriceTable, day: str | date | None = None) -> Filled:
    """A long table with null costs computed; ``cached_tokens`` and ``reasoning_tokens`` count too.

    A model without a price keeps no cost, and a row older than the first known price takes that: notes say so.

    Args:
        table: long rows.
        prices: of the models.
        day: of the prices; ``None`` for each row's ``timestamp``, and the newest where there is none.

    Raises:
        BadInput: more cached tokens than input tokens, or more of reasoning than output tokens.
    """
    tokens = [_numbers(table, name) for name in _TOKEN_COLUMNS]
    cost = _numbers(table, "cost_usd")
    rows = np.flatnonzero(np.isnan(cost) & ~np.isnan(tokens[0]) & ~np.isnan(tokens[1]))
    _check_parts(tokens)
    encoded = table["model"].take(pa.array(rows)).cast(pa.string()).combine_chunks().dictionary_encode()
    moments = np.full(len(rows), math.nan)
    if "timestamp" in table.column_names:
        stamps = table["timestamp"].take(pa.array(rows))
        if pa.types.is_timestamp(stamps.type):  # Python has no nanoseconds
            stamps = stamps.cast(pa.timestamp("us", tz=stamps.type.tz), safe=False)
        moments = _moments(stamps.to_pylist())
    models = np.array(encoded.dictionary.to_pylist(), dtype=object)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    found = _priced(models, codes, [np.nan_to_num(count[rows]) for count in tokens], moments, prices, day)
    cost[rows] = found.cost
    filled = pa.array(cost, pa.float64(), mask=np.isnan(cost))
    if "cost_usd" in table.column_names:
        table = table.set_column(table.column_names.index("cost_usd"), "cost_usd", filled)
    else:
        table = table.append_column("cost_usd", filled)
    return Filled(table, int(np.isfinite(found.cost).sum()), found.notes(prices))


def _check_parts(tokens: list[NDArray[np.float64]]) -> None:
    for whole, part in ((0, 2), (1, 3)):
        wrong = np.flatnonzero((tokens[part] < 0) | (tokens[part] > tokens[whole]))
        if len(wrong):
            row = int(wrong[0])
            raise BadInput(
                f"row {row + 1}: column {_TOKEN_COLUMNS[part]}: {tokens[part][row]:g}; they are part of the "
                f"{tokens[whole][row]:g} {_TOKEN_COLUMNS[whole]}: from 0 up to as many"
            )


class _Priced(NamedTuple):
    """Costs of some calls; models without a price, and those with calls before their first, each with its calls."""

    cost: NDArray[np.float64]
    unknown: dict[str, int]
    early: dict[str, int]

    def notes(self, prices: PriceTable) -> tuple[str, ...]:
        told = [
            f"{count} requests of `{model}` have no price and so no cost{prices.like(model)}; --prices FILE adds one"
            for model, count in self.unknown.items()
        ]
        if self.early:
            first = ", ".join(f"{model}: {prices.of(model)[0].since}" for model in self.early)
            told.append(
                f"{sum(self.early.values())} requests are older than the first known price of their model ({first}) "
                "and were given that one"
            )
        return tuple(told)


def _priced(
    models: Objects,
    codes: Ints,
    counts: list[NDArray[np.float64]],
    moments: NDArray[np.float64],
    prices: PriceTable,
    day: str | date | None,
) -> _Priced:
    """Costs of ``n`` calls.

    Args:
        models: ``(K,)`` names.
        codes: ``(n,)`` which of them each call was to.
        counts: up to four of ``(n,)``: input, output, cached and reasoning tokens.
        moments: ``(n,)`` seconds since 1970, NaN where they are not known.
        prices: of the models.
        day: of the prices, in the place of the moments.
    """
    asked = None if day is None else _midnight(day_of(day, "date"))
    # A trace may count its seconds from its own start: those are no dates.
    when = np.where(moments < _FIRST_DATE_S, math.nan, moments) if asked is None else np.full(len(codes), asked)
    found = _Priced(np.full(len(codes), math.nan), {}, {})
    for code in np.unique(codes):
        rows, model = np.flatnonzero(codes == code), str(models[code])
        entries = prices.of(model)
        if not entries:
            found.unknown[model] = len(rows)
            continue
        # NaN sorts behind every day: the newest price.
        at = np.searchsorted([_midnight(entry.since) for entry in entries], when[rows], side="right") - 1
        if early := int((at < 0).sum()):
            found.early[model] = early
        for number in np.unique(at):
            held = rows[at == number]
            inputs, outputs, *others = (count[held] for count in counts)
            found.cost[held] = entries[max(number, 0)].price.cost(inputs, outputs, 0.0, *others)
    return found


def _midnight(day: date) -> float:
    return (day - date(1970, 1, 1)).total_seconds()


def _moments(values: Iterable[Any]) -> NDArray[np.float64]:
    return np.array([math.nan if (read := seconds(value)) is None else read for value in values], dtype=np.float64)


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    if name not in table.column_names:
        return np.full(table.num_rows, math.nan)
    made: NDArray[np.float64] = (
        table[name].cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
    )
    return made
