"""Arms and what a call to one costs."""

from __future__ import annotations

import json

import pytest

from env.arms import Arm, Price, Tier


def test_a_price_adds_tokens_seconds_and_requests() -> None:
    price = Price(input_usd_per_mtok=1.0, output_usd_per_mtok=4.0, usd_per_second=0.01, request_usd=0.002)
    assert price.cost(1_000, 500, seconds=2.0) == pytest.approx(0.001 + 0.002 + 0.02 + 0.002)
    assert Price().cost(10**6, 10**6, 3600) == 0.0


@pytest.mark.parametrize(
    "arm",
    [
        Arm("bare"),
        Arm("free", tier=Tier.LOCAL, price=Price()),
        Arm("full", Tier.STRONGEST_CLOUD, Price(2.0, 8.0, 0.1, 0.01), ("text", "text+image"), 128_000),
    ],
)
def test_an_arm_survives_json(arm: Arm) -> None:
    assert Arm.from_json(json.loads(json.dumps(arm.to_json()))) == arm


def test_unknown_tiers_are_refused() -> None:
    with pytest.raises(ValueError, match="cloudy"):
        Arm.from_json({"name": "x", "tier": "cloudy"})
