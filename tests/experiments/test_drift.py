"""The study of drift: the same streams for all, recovery as it is stated, and the page that was made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from env.errors import BadInput
from env.features import Hashing
from experiments.folds import featurised
from experiments.prequential import WINDOW, rounds_to_recover
from experiments.studies import drift
from experiments.studies.drift import World, markdown, study, verdicts
from tests.conftest import make_trace

ROOT = Path(__file__).parents[2]


def test_recovery_is_the_first_round_at_which_half_is_regained() -> None:
    gaps = np.concatenate([np.full(30, 1.0), np.zeros(70)])[None]
    # Of 20 rounds ten are bad after ten good ones.
    assert rounds_to_recover(gaps, 1.0) == 40
    assert rounds_to_recover(np.zeros((3, 50)), 1.0) == WINDOW
    assert rounds_to_recover(np.ones((3, 50)), 1.0) == 50


def test_every_router_meets_the_same_change_and_again_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "BEFORE", 60)
    monkeypatch.setattr(drift, "AFTER", 40)
    monkeypatch.setattr(drift, "COST_WEIGHT", 1.0)
    monkeypatch.setattr(drift, "featurised", lambda trace: featurised(trace, Hashing(16)))
    rows = study(make_trace(n=80), ("linucb", "watchful_linucb"), 2)
    # At this weight the dearest arm is not worth its price after the cut either: nothing is lost, so nothing regained.
    assert [row["scenario"] for row in rows[::2]] == ["silent regression", "outage over", "new arm"]
    assert all(WINDOW <= row["low"] <= row["high"] <= 40 for row in rows)
    assert all(len(row["curve"]) == 4 for row in rows)
    assert rows == study(make_trace(n=80), ("linucb", "watchful_linucb"), 2)


def test_the_change_comes_at_the_round_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "featurised", lambda trace: featurised(trace, Hashing(16)))
    monkeypatch.setattr(drift, "BEFORE", 130)
    world = World.of(make_trace(n=80))
    for what in world.scenarios().values():
        assert what.bind(world.table).times[-1] == 130


def test_outcomes_without_a_cost_are_refused() -> None:
    trace = make_trace()
    with pytest.raises(BadInput, match="every outcome with its cost"):
        World.of(replace(trace, cost_usd=np.full_like(trace.cost_usd, np.nan)))


@pytest.mark.parametrize(("own", "met"), [(50, True), (51, False)])
def test_the_bar_is_half_the_rounds_of_each_rival(own: int, met: bool) -> None:
    rows = [
        {"scenario": "outage", "router": name, "rounds": rounds}
        for name, rounds in (("watchful_linucb", own), ("linucb", 100))
    ]
    assert ("**not met**" not in verdicts(rows)[0]) == met


def test_the_page_shows_the_study_that_was_run() -> None:
    rows = json.loads((ROOT / "docs" / "drift" / "rows.json").read_text())
    assert markdown(rows) in (ROOT / "docs" / "drift.md").read_text()
