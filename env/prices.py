"""What models cost, and since when: a dated table, brought up to date from a file or a page."""

from __future__ import annotations

import json
import math
import re
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from env.arms import Price
from env.errors import BadInput, nearest

_PER_MTOK = 1_000_000
_RATES = ("input", "output", "cached_input", "reasoning")
_FIELDS = {"model", *_RATES, "from", "source"}
_TIMEOUT_S = 30.0


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


@dataclass(frozen=True)
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
        if day is None:
            return self._need(model)[-1].price
        asked = day_of(day, "date")
        entries = self._need(model)
        known = [entry for entry in entries if entry.since <= asked]
        if not known:
            raise BadInput(
                f"no price of `{model}` on {asked}: the first known is of {entries[0].since}; ask for that day, or add "
                "an entry with an earlier `from`"
            )
        return known[-1].price

    def update(self, source: str | Path, since: str | date | None = None) -> Self:
        """This table with the prices of another: a file or URL, in our format or in LiteLLM's.

        Args:
            source: of the newer prices; LiteLLM keeps its list as ``model_prices_and_context_window.json``.
            since: the day from which undated prices (LiteLLM's) hold; by default today where this table knows an
                older price, and else always.

        Raises:
            BadInput: unreadable, or not a price list.
        """
        newer = list(_read(source, None if since is None else day_of(since, "since")))
        if since is None:
            today = datetime.now(UTC).date()
            newer = [
                replace(entry, since=today) if entry.since == date.min and self.of(entry.model) else entry
                for entry in newer
            ]
        found = {(entry.model, entry.since): entry for entry in (*self.entries, *newer)}
        return replace(self, entries=tuple(found[key] for key in sorted(found)))

    def of(self, model: str) -> list[PriceEntry]:
        """The entries of a model, oldest first; empty where there is none, also without a provider's prefix."""
        for name in dict.fromkeys((model, model.rpartition("/")[2])):
            if entries := self._by_model.get(name):
                return entries
        return []

    @cached_property
    def _by_model(self) -> dict[str, list[PriceEntry]]:
        found: dict[str, list[PriceEntry]] = {}
        for entry in sorted(self.entries, key=lambda entry: entry.since):
            found.setdefault(entry.model, []).append(entry)
        return found

    def _need(self, model: str) -> list[PriceEntry]:
        if entries := self.of(model):
            return entries
        raise BadInput(
            f"no price of model `{model}`{self.like(model)}; add it to a price file "
            '({"entries": [{"model": ..., "input": ..., "output": ..., "from": "2025-01-01"}]}) and update with that'
        )

    def like(self, model: str) -> str:
        """A ``; did you mean ...?`` ending with a name of the same family (``gpt``, ``claude``), or nothing."""
        same = [name for name in self.models if _family(name) == _family(model)]
        return nearest(model.rpartition("/")[2], same) if same else ""


def _family(model: str) -> str:
    """How a name begins: ``claude`` of ``anthropic/claude-3``."""
    found = re.match(r"[a-z]*", model.rpartition("/")[2].lower())
    return found[0] if found else ""


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
    return PriceEntry(fields["model"], price, day_of(fields["from"], f"{where}: from"), str(fields.get("source", "")))


def _litellm(model: str, fields: Any, since: date | None, where: str) -> PriceEntry | None:
    """An entry of LiteLLM's list; images, speech and what is not billed by tokens have none here."""
    if not isinstance(fields, Mapping) or model == "sample_spec":
        return None
    rates = [fields.get(f"{name}_cost_per_token") for name in ("input", "output")]
    hit = fields.get("cache_read_input_token_cost", fields.get("input_cost_per_token_cache_hit"))
    rates += [hit, fields.get("output_cost_per_reasoning_token")]
    if rates[0] is None or rates[1] is None:
        return None
    dollars = [None if rate is None else _rate(rate, f"{where}: {model}") * _PER_MTOK for rate in rates]
    # A price of 2.5e-06 a token is 2.5 a million, not 2.4999999999999996.
    inputs, outputs, cached, reasoning = (None if rate is None else float(f"{rate:.9g}") for rate in dollars)
    price = Price(inputs or 0.0, outputs or 0.0, cached_input_usd_per_mtok=cached, reasoning_usd_per_mtok=reasoning)
    return PriceEntry(model, price, since or date.min, where)


def _rate(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise BadInput(f"{where}: {value!r}; a price is a number of dollars, 0 or more")
    return float(value)


def day_of(value: str | date, where: str) -> date:
    """A day given as a date, or as text.

    Raises:
        BadInput: it is neither.

    Example:
        >>> day_of("2025-01-31", "--price-date")
        datetime.date(2025, 1, 31)
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{where}: {value!r}; write a day as 2025-01-31") from error
