"""What models cost, and since when: a dated table, brought up to date from a file or a page, that fills in costs.

A cost that the provider gave always wins: only cells without one are filled.
"""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from env.arms import Price
from env.contexts import Floats
from env.errors import BadInput, nearest
from env.trace import Trace

_PER_MTOK = 1_000_000
_RATES = ("input", "output", "cached_input", "reasoning")
_FIELDS = {"model", *_RATES, "from", "source"}
_TIMEOUT_S = 30.0
_TOKEN_COLUMNS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """What a model costs from a day on, until a later entry of the same model.

    Attributes:
        model: its name, as the ``model`` column of a trace has it.
        price: dollars per million tokens.
        since: the first day on which the price is known to hold.
        source: where the price was read.
    """

    model: str
    price: Price
    since: date
    source: str


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices of models, each with the day it holds from.

    Example:
        >>> prices = PriceTable.load()
        >>> prices.at("o3", "2025-05-01").output_usd_per_mtok, prices.at("o3").output_usd_per_mtok
        (40.0, 8.0)
        >>> prices.at("openai/gpt-4o-mini").cost(1_000, 100)
        0.00021
    """

    entries: tuple[PriceEntry, ...]

    @classmethod
    def load(cls, source: str | Path | None = None) -> Self:
        """The table that comes with Pointsman, or another file or URL in its format or in LiteLLM's.

        Raises:
            BadInput: unreadable, or not a price list.
        """
        return cls(tuple(_read(source if source is not None else Path(__file__).parent / "data" / "prices.json", None)))

    @property
    def models(self) -> tuple[str, ...]:
        """The models that have a price, sorted."""
        return tuple(sorted({entry.model for entry in self.entries}))

    def at(self, model: str, day: str | date | None = None) -> Price:
        """The price of a model on a day.

        Args:
            model: its name; where it is unknown, what comes after a provider's prefix (``openai/gpt-4o``).
            day: a day, ``"2025-05-01"`` or a date; ``None`` for the newest price.

        Raises:
            BadInput: an unknown model, or a day before its first price.
        """
        entries = self._of(model)
        if day is None:
            return entries[-1].price
        asked = _day(day, "date")
        known = [entry for entry in entries if entry.since <= asked]
        if not known:
            raise BadInput(
                f"no price of `{model}` on {asked}: the first known is of {entries[0].since}; give no date for the "
                "newest price, or add an entry with an earlier `from`"
            )
        return known[-1].price

    def update(self, source: str | Path, since: str | date | None = None) -> Self:
        """This table with the prices of another: a file or URL, in our format or in LiteLLM's.

        Args:
            source: of the newer prices; LiteLLM keeps its list as ``model_prices_and_context_window.json``.
            since: the day from which undated prices (LiteLLM's) hold; today by default.

        Raises:
            BadInput: unreadable, or not a price list.
        """
        newer = _read(source, datetime.now(UTC).date() if since is None else _day(since, "since"))
        found = {(entry.model, entry.since): entry for entry in (*self.entries, *newer)}
        return replace(self, entries=tuple(found[key] for key in sorted(found)))

    def _of(self, model: str) -> list[PriceEntry]:
        for name in dict.fromkeys((model, model.rpartition("/")[2])):
            entries = sorted((entry for entry in self.entries if entry.model == name), key=lambda entry: entry.since)
            if entries:
                return entries
        raise BadInput(
            f"no price of model `{model}`{nearest(model, self.models)}; add it to a price file "
            '({"entries": [{"model": ..., "input": ..., "output": ..., "from": "2025-01-01"}]}) and update with that'
        )


def with_costs(trace: Trace, prices: PriceTable | None = None, day: str | date | None = None) -> Trace:
    """The trace with ``cost_usd`` computed where it was not recorded and both token counts were.

    Args:
        trace: any trace; its recorded costs stay.
        prices: of its models; the table that comes with Pointsman by default.
        day: of the prices; ``None`` for the newest.

    Raises:
        BadInput: a model that needs a price has none.

    Example:
        >>> from env.trace_io import from_rows
        >>> row = {"query_id": "q", "prompt": "Hi", "model": "gpt-4o-mini", "input_tokens": 1000, "output_tokens": 100}
        >>> with_costs(from_rows([row])).cost_usd
        array([[0.00021]], dtype=float32)
    """
    table = prices or PriceTable.load()
    cost = trace.cost_usd.copy()
    for column, arm in enumerate(trace.arms):
        counted = np.isfinite(trace.input_tokens[:, column]) & np.isfinite(trace.output_tokens[:, column])
        empty = counted & ~np.isfinite(cost[:, column])
        if empty.any():
            price = table.at(arm, day)
            tokens = np.stack([trace.input_tokens[empty, column], trace.output_tokens[empty, column]]).astype(float)
            cost[empty, column] = _costs(price, tokens[0], tokens[1])
    return replace(trace, cost_usd=cost)


def fill_costs(table: pa.Table, prices: PriceTable, day: str | date | None = None) -> tuple[pa.Table, int]:
    """A long table with null costs computed, and how many were; ``cached_tokens`` and ``reasoning_tokens`` count too.

    Args:
        table: long rows.
        prices: of the models.
        day: of the prices; ``None`` for each row's ``timestamp`` (seconds), and the newest where there is none.

    Raises:
        BadInput: a model that needs a price has none.
    """
    tokens = {name: _numbers(table, name) for name in _TOKEN_COLUMNS}
    cost = _numbers(table, "cost_usd")
    empty = np.isnan(cost) & ~np.isnan(tokens["input_tokens"]) & ~np.isnan(tokens["output_tokens"])
    models = np.array(table["model"].cast(pa.string()).to_pylist(), dtype=object)
    times = _numbers(table, "timestamp") if day is None else np.full(len(cost), math.nan)
    days = np.where(np.isnan(times), -1, times // 86_400)
    for model in dict.fromkeys(models[empty]):
        for number in np.unique(days[empty & (models == model)]):
            rows = np.flatnonzero(empty & (models == model) & (days == number))
            on = day if number < 0 else datetime.fromtimestamp(number * 86_400, UTC).date()
            counts = [np.nan_to_num(tokens[name][rows]) for name in _TOKEN_COLUMNS]
            cost[rows] = _costs(prices.at(model, on), *counts)
    filled = pa.array(cost, pa.float64(), mask=np.isnan(cost))
    if "cost_usd" not in table.column_names:
        return table.append_column("cost_usd", filled), int(empty.sum())
    return table.set_column(table.column_names.index("cost_usd"), "cost_usd", filled), int(empty.sum())


def _costs(price: Price, *counts: Floats) -> Floats:
    """Dollars for input, output, cached and reasoning tokens, the last two perhaps absent."""
    found = [price.cost(used[0], used[1], 0.0, *used[2:]) for used in zip(*counts, strict=True)]
    return np.array(found, dtype=np.float64)


def _numbers(table: pa.Table, name: str) -> Floats:
    if name not in table.column_names:
        return np.full(table.num_rows, math.nan)
    column = table[name]
    if pa.types.is_timestamp(column.type):
        column = pc.divide(column.cast(pa.timestamp("ms", tz=column.type.tz), safe=False).cast(pa.int64()), 1000)
    made: Floats = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
    return made


def _read(source: str | Path, since: date | None) -> Iterable[PriceEntry]:
    where = str(source)
    try:
        if where.startswith(("https://", "http://")):
            with urllib.request.urlopen(where, timeout=_TIMEOUT_S) as answer:
                content = json.load(answer)
        else:
            content = json.loads(Path(source).read_bytes())
    except FileNotFoundError as error:
        raise BadInput(f"{where}: no such price file") from error
    except OSError as error:
        raise BadInput(f"{where}: not reachable ({error}); download it and give the file instead") from error
    except ValueError as error:
        raise BadInput(f"{where}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{where}: a price list is a JSON object, got {type(content).__name__}")
    if isinstance(content.get("entries"), list):
        return [_entry(fields, f"{where}: entry {row}") for row, fields in enumerate(content["entries"], start=1)]
    found = [entry for model, fields in content.items() if (entry := _litellm(model, fields, since, where)) is not None]
    if not found:
        raise BadInput(f'{where}: no prices in it; it needs {{"entries": [...]}}, or LiteLLM\'s format')
    return found


def _entry(fields: Any, where: str) -> PriceEntry:
    if not isinstance(fields, dict) or not isinstance(fields.get("model"), str):
        raise BadInput(f"{where}: needs a `model`")
    where = f"{where} ({fields['model']})"
    for name in fields:
        if name not in _FIELDS:
            raise BadInput(f"{where}: unknown field `{name}`{nearest(name, _FIELDS)}")
    for name in ("input", "output", "from"):
        if fields.get(name) is None:
            raise BadInput(f"{where}: `{name}` is missing")
    rates = {name: _rate(fields[name], f"{where}: {name}") for name in _RATES if fields.get(name) is not None}
    price = Price(
        rates["input"],
        rates["output"],
        cached_input_usd_per_mtok=rates.get("cached_input"),
        reasoning_usd_per_mtok=rates.get("reasoning"),
    )
    return PriceEntry(fields["model"], price, _day(fields["from"], f"{where}: from"), str(fields.get("source", "")))


def _litellm(model: str, fields: Any, since: date | None, where: str) -> PriceEntry | None:
    """An entry of LiteLLM's list; images, speech and what is not billed by tokens have none here."""
    if not isinstance(fields, Mapping) or model == "sample_spec":
        return None
    rates = [fields.get(f"{name}_cost_per_token") for name in ("input", "output")]
    rates += [fields.get("cache_read_input_token_cost"), fields.get("output_cost_per_reasoning_token")]
    if rates[0] is None or rates[1] is None:
        return None
    dollars = [None if rate is None else _rate(rate, f"{where}: {model}") * _PER_MTOK for rate in rates]
    # A price of 2.5e-06 a token is 2.5 a million, not 2.4999999999999996.
    inputs, outputs, cached, reasoning = (None if rate is None else float(f"{rate:.9g}") for rate in dollars)
    price = Price(inputs or 0.0, outputs or 0.0, cached_input_usd_per_mtok=cached, reasoning_usd_per_mtok=reasoning)
    return PriceEntry(model, price, since or datetime.now(UTC).date(), where)


def _rate(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise BadInput(f"{where}: {value!r}; a price is a number of dollars, 0 or more")
    return float(value)


def _day(value: str | date, where: str) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{where}: {value!r}; write a day as 2025-01-31") from error
