"""Prices hold from a day on, newer lists win over older, and recorded costs over all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from env.arms import Arm, Price
from env.errors import BadInput
from env.prices import PriceTable

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
    with pytest.raises(BadInput, match=r"`m` on 2025-01-01: the first known is of 2025-04-16; ask for that day"):
        prices.at("m", "2025-01-01")
    with pytest.raises(BadInput, match=r"date: 'June'; write a day as 2025-01-31"):
        prices.at("m", "June")


def test_an_unknown_model_gets_the_nearest_name() -> None:
    with pytest.raises(BadInput, match=r"no price of model `gpt-4o-minni`; did you mean `gpt-4o-mini`.*price file"):
        PriceTable.load().at("gpt-4o-minni")


def test_names_of_other_families_are_no_help() -> None:
    with pytest.raises(BadInput, match=r"no price of model `lab/house-llama`; add it to a price file"):
        PriceTable.load().at("lab/house-llama")
    assert "claude" not in PriceTable.load().like("gemini-9")
    assert "gemini-2.5-pro" in PriceTable.load().like("google/gemini-9")


def test_names_without_a_version_have_the_price_of_what_they_stand_for() -> None:
    table = PriceTable.load()
    assert table.at("gpt-3.5-turbo", "2024-06-01") == table.at("gpt-3.5-turbo-0125")
    for entry in table.entries:
        if "stands" in entry.source:
            meant = entry.source.split(",")[0].removeprefix("that of ")
            assert entry.price in [known.price for known in table.of(meant)]


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


def test_undated_prices_hold_always_and_of_a_known_model_from_today(prices: PriceTable, tmp_path: Path) -> None:
    undated = {"new": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}}
    undated["m"] = {"input_cost_per_token": 7e-06, "output_cost_per_token": 9e-06}
    (tmp_path / "litellm.json").write_text(json.dumps(undated))
    assert PriceTable.load(tmp_path / "litellm.json").at("m", "2023-01-01") == Price(7, 9)
    newer = prices.update(tmp_path / "litellm.json")
    assert newer.at("new", "2023-01-01") == Price(1, 2)
    assert newer.at("m", "2025-05-01").input_usd_per_mtok == 10
    assert newer.at("m") == Price(7, 9)


def test_deepseeks_price_of_a_cache_hit_is_read(tmp_path: Path) -> None:
    fields = {"input_cost_per_token": 5.5e-07, "output_cost_per_token": 2e-06, "input_cost_per_token_cache_hit": 1.4e-7}
    (tmp_path / "litellm.json").write_text(json.dumps({"deepseek-reasoner": fields}))
    assert PriceTable.load(tmp_path / "litellm.json").at("deepseek-reasoner").cached_input_usd_per_mtok == 0.14
    assert PriceTable.load().at("deepseek-reasoner").cached_input_usd_per_mtok == 0.14


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
