"""Costs are token counts times the price of the day, whatever a log writes its days in; recorded costs win."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from env.costs import fill_costs, with_costs
from env.errors import BadInput
from env.prices import PriceTable
from env.sources.importing import import_files
from env.trace import Trace
from env.trace_io import from_rows


def table(*entries: dict[str, Any], tmp_path: Path) -> PriceTable:
    (tmp_path / "prices.json").write_text(json.dumps({"entries": entries}))
    return PriceTable.load(tmp_path / "prices.json")


@pytest.fixture
def prices(tmp_path: Path) -> PriceTable:
    return table(
        {"model": "m", "input": 10, "output": 40, "from": "2025-04-16"},
        {"model": "m", "input": 2, "output": 8, "cached_input": 0.5, "reasoning": 1, "from": "2025-06-10"},
        tmp_path=tmp_path,
    )


def log(model: str = "m", **fields: Any) -> Mapping[str, Any]:
    return {"query_id": "q", "prompt": "Hi", "model": model, "input_tokens": 10**6, "output_tokens": 0, **fields}


def test_recorded_costs_win_and_uncounted_cells_stay_empty(small_trace: Trace, tmp_path: Path) -> None:
    every = table(
        *({"model": arm, "input": 1, "output": 3, "from": "2024-01-01"} for arm in small_trace.arms), tmp_path=tmp_path
    )
    assert np.array_equal(with_costs(small_trace, every).cost_usd, small_trace.cost_usd)
    cost = small_trace.cost_usd.copy()
    cost[1:, 0] = np.nan
    tokens = small_trace.output_tokens.copy()
    tokens[5, 0] = np.nan
    filled = with_costs(replace(small_trace, cost_usd=cost, output_tokens=tokens), every).cost_usd
    assert filled[0, 0] == small_trace.cost_usd[0, 0]
    assert np.isnan(filled[5, 0])
    np.testing.assert_allclose(
        filled[1, 0], (small_trace.input_tokens[1, 0] + 3 * small_trace.output_tokens[1, 0]) / 1e6, rtol=1e-5
    )
    np.testing.assert_array_equal(filled[:, 1:], small_trace.cost_usd[:, 1:])


def test_a_model_without_a_price_is_asked_for_only_where_it_is_needed(prices: PriceTable) -> None:
    row = {"query_id": "q", "prompt": "Hi", "model": "house-llama", "input_tokens": 10, "output_tokens": 10}
    assert with_costs(from_rows([{**row, "cost_usd": 0.5}]), prices).cost_usd[0, 0] == 0.5
    with pytest.raises(BadInput, match="no price of model `house-llama`; add it to a price file"):
        with_costs(from_rows([row]), prices)


def test_rows_are_priced_by_their_own_day(prices: PriceTable) -> None:
    days = [date(2025, 5, 1), date(2025, 7, 1), None]
    stamps = [None if day is None else float((day - date(1970, 1, 1)).days * 86_400 + 3600) for day in days]
    rows = pa.table(
        {
            "model": ["m"] * 3,
            "input_tokens": [1_000_000] * 3,
            "output_tokens": [0] * 3,
            "cost_usd": pa.nulls(3),
            "timestamp": stamps,
        }
    )
    filled, count, _ = fill_costs(rows, prices)
    assert (filled["cost_usd"].to_pylist(), count) == ([10.0, 2.0, 2.0], 3)
    assert fill_costs(rows, prices, "2025-05-01")[0]["cost_usd"].to_pylist() == [10.0] * 3
    moments = pa.array(days, pa.date32()).cast(pa.timestamp("us"))
    stamped = rows.set_column(4, "timestamp", moments)
    assert fill_costs(stamped, prices)[0]["cost_usd"].to_pylist() == [10.0, 2.0, 2.0]


@pytest.mark.parametrize(
    "moments",
    [
        ("2025-05-01", "2025-07-01"),
        ("2025-05-01T08:00:00+02:00", "2025-07-01T00:00:00Z"),
        (1_746_057_600, 1_751_328_000),
        (1_746_057_600_000, 1_751_328_000_000),
    ],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_log_may_write_its_moments_as_it_likes(
    moments: tuple[Any, Any], suffix: str, prices: PriceTable, tmp_path: Path
) -> None:
    rows = [log(query_id=f"q{n}", prompt=f"p{n}", score=1.0, timestamp=moment) for n, moment in enumerate(moments)]
    path = tmp_path / f"log{suffix}"
    if suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    found = import_files([path], prices=prices)
    assert found.trace.cost_usd[:, 0].tolist() == [10, 2]


def test_moments_in_nanoseconds_have_their_day(prices: PriceTable) -> None:
    rows = pa.Table.from_pylist([log()]).append_column(
        "timestamp", pa.array([1_746_057_600_000_000_001], pa.timestamp("ns", "UTC"))
    )
    assert fill_costs(rows, prices).table["cost_usd"].to_pylist() == [10]


def test_days_before_the_first_known_price_take_it_and_are_counted(prices: PriceTable) -> None:
    rows = [log(timestamp=moment) for moment in ("2024-01-01", "2025-04-15", "2025-04-16")]
    found = fill_costs(pa.Table.from_pylist(rows), prices)
    assert found.table["cost_usd"].to_pylist() == [10] * 3
    assert found.notes == (
        "2 requests are older than the first known price of their model (m: 2025-04-16) and were given that one",
    )


def test_a_model_without_a_price_is_named_and_the_others_are_filled_in(prices: PriceTable) -> None:
    rows = pa.Table.from_pylist([log(), log("mistral"), log("m-2"), log("m-2")])
    found = fill_costs(rows, prices)
    assert (found.table["cost_usd"].to_pylist(), found.filled) == ([2, None, None, None], 1)
    assert found.notes == (
        "1 requests of `mistral` have no price and so no cost; --prices FILE adds one",
        "2 requests of `m-2` have no price and so no cost; known: m; --prices FILE adds one",
    )


def test_a_traces_own_times_give_the_day_as_a_files_do(prices: PriceTable) -> None:
    stamps = ["2025-05-01", "2025-07-01"]
    rows = [log(query_id=f"q{n}", prompt=f"p{n}", timestamp=stamp) for n, stamp in enumerate(stamps)]
    assert with_costs(from_rows(rows), prices).cost_usd[:, 0].tolist() == [10, 2]
    assert with_costs(from_rows(rows), prices, "2025-07-01").cost_usd[:, 0].tolist() == [2, 2]
    with pytest.warns(UserWarning, match="1 requests are older than the first known price"):
        assert with_costs(from_rows([log(timestamp="2024-01-01")]), prices).cost_usd[0, 0] == 10
    assert with_costs(from_rows([log(timestamp=12.5)]), prices).cost_usd[0, 0] == 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cached_tokens": -1000}, "row 2: column cached_tokens: -1000; they are part of the 1e.06 input_tokens"),
        ({"cached_tokens": 10**6 + 1}, "row 2: column cached_tokens"),
        ({"reasoning_tokens": 1}, "row 2: column reasoning_tokens: 1; they are part of the 0 output_tokens"),
    ],
)
def test_parts_larger_than_the_whole_are_refused(fields: dict[str, Any], said: str, prices: PriceTable) -> None:
    with pytest.raises(BadInput, match=said):
        fill_costs(pa.Table.from_pylist([{**log(), **dict.fromkeys(fields)}, log(**fields)]), prices)
