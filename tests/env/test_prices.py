"""Prices hold from a day on, newer lists win over older, and recorded costs over all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from env.arms import Arm, Price
from env.errors import BadInput
from env.prices import PriceTable, fill_costs, with_costs
from env.trace import Trace
from env.trace_io import from_rows

LITELLM = {
    "sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
    "lab/new-1": {
        "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 2.5e-07,
        "output_cost_per_reasoning_token": 3e-06,
        "litellm_provider": "lab",
        "mode": "chat",
    },
    "painter": {"mode": "image_generation", "output_cost_per_image": 0.04},
}


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


def test_the_price_of_a_day_is_the_last_one_before_it(prices: PriceTable) -> None:
    assert prices.at("m", "2025-06-09").input_usd_per_mtok == 10
    assert prices.at("m", date(2025, 6, 10)) == prices.at("m") == prices.at("lab/m")
    with pytest.raises(BadInput, match=r"no price of `m` on 2025-01-01: the first known is of 2025-04-16; "):
        prices.at("m", "2025-01-01")
    with pytest.raises(BadInput, match=r"date: 'June'; write a day as 2025-01-31"):
        prices.at("m", "June")


def test_an_unknown_model_gets_the_nearest_name() -> None:
    with pytest.raises(BadInput, match=r"no price of model `gpt-4o-minni`; did you mean `gpt-4o-mini`.*price file"):
        PriceTable.load().at("gpt-4o-minni")


def test_cached_and_reasoning_tokens_have_their_own_rates(prices: PriceTable) -> None:
    price = prices.at("m")
    assert price.cost(1000, 100) == pytest.approx((1000 * 2 + 100 * 8) / 1e6)
    assert price.cost(1000, 100, cached_tokens=800, reasoning_tokens=60) == pytest.approx(
        (200 * 2 + 800 * 0.5 + 40 * 8 + 60 * 1) / 1e6
    )
    plain = Price(2, 8)
    assert plain.cost(1000, 100, cached_tokens=800, reasoning_tokens=60) == plain.cost(1000, 100)
    assert Arm.from_json(json.loads(json.dumps(Arm("m", price=price).to_json()))).price == price
    assert "cached_input_usd_per_mtok" not in Arm("m", price=plain).to_json()["price"]


def test_the_shipped_table_is_whole() -> None:
    entries = PriceTable.load().entries
    assert len(PriceTable.load().models) >= 25
    assert len({(entry.model, entry.since) for entry in entries}) == len(entries)
    for entry in entries:
        price = entry.price
        assert entry.source
        assert date(2023, 1, 1) <= entry.since
        assert 0 < price.input_usd_per_mtok <= price.output_usd_per_mtok
        assert price.cached_input_usd_per_mtok is None or 0 < price.cached_input_usd_per_mtok < price.input_usd_per_mtok


def test_litellms_list_updates_ours(prices: PriceTable, tmp_path: Path) -> None:
    (tmp_path / "litellm.json").write_text(json.dumps(LITELLM))
    newer = prices.update(tmp_path / "litellm.json", since="2025-07-01")
    assert newer.models == ("lab/new-1", "m")
    price = newer.at("lab/new-1")
    assert price == Price(2.5, 10.0, cached_input_usd_per_mtok=0.25, reasoning_usd_per_mtok=3.0)
    assert newer.entries[0].since == date(2025, 7, 1)
    assert prices.models == ("m",)
    (tmp_path / "ours.json").write_text(
        json.dumps({"entries": [{"model": "m", "input": 1, "output": 4, "from": "2025-06-10"}]})
    )
    assert newer.update(tmp_path / "ours.json").at("m") == Price(1, 4)


@pytest.fixture
def page() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(LITELLM).encode()
            self.send_response(200 if self.path == "/prices.json" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_list_is_read_from_a_page(prices: PriceTable, page: str) -> None:
    assert prices.update(f"{page}/prices.json").at("lab/new-1").output_usd_per_mtok == 10
    with pytest.raises(BadInput, match=r"/gone.json: not reachable .*404.*download it and give the file instead"):
        prices.update(f"{page}/gone.json")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[]", "a price list is a JSON object, got list"),
        ("{", "not JSON"),
        ('{"painter": {"mode": "image_generation"}}', "no prices in it"),
        ('{"entries": [{"input": 1}]}', "entry 1: needs a `model`"),
        ('{"entries": [{"model": "m", "input": 1, "output": 1}]}', r"entry 1 \(m\): `from` is missing"),
        ('{"entries": [{"model": "m", "inputs": 1}]}', "unknown field `inputs`; did you mean `input`"),
        ('{"entries": [{"model": "m", "input": -1, "output": 1, "from": "2025-01-01"}]}', r"input: -1; a price is"),
        ('{"entries": [{"model": "m", "input": 1, "output": true, "from": "2025-01-01"}]}', r"output: True; a price"),
        ('{"entries": [{"model": "m", "input": 1, "output": 1, "from": "May"}]}', r"from: 'May'; write a day as"),
        ('{"m": {"input_cost_per_token": "cheap", "output_cost_per_token": 1}}', "m: 'cheap'; a price is a number"),
    ],
)  # fmt: skip
def test_bad_lists_are_one_line(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(BadInput, match=expected) as caught:
        PriceTable.load(tmp_path / "p.json")
    assert str(caught.value).startswith(str(tmp_path / "p.json"))
    with pytest.raises(BadInput, match="no such price file"):
        PriceTable.load(tmp_path / "gone.json")


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
    with pytest.raises(BadInput, match="no price of model `house-llama`; known: m; add it to a price file"):
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
    filled, count = fill_costs(rows, prices)
    assert (filled["cost_usd"].to_pylist(), count) == ([10.0, 2.0, 2.0], 3)
    assert fill_costs(rows, prices, "2025-05-01")[0]["cost_usd"].to_pylist() == [10.0] * 3
    moments = pa.array(days, pa.date32()).cast(pa.timestamp("us"))
    stamped = rows.set_column(4, "timestamp", moments)
    assert fill_costs(stamped, prices)[0]["cost_usd"].to_pylist() == [10.0, 2.0, 2.0]
