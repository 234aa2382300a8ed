"""The study of budgets: halves that share no prompt, choices made offline, figures that are what they say."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.errors import BadInput
from env.features import Hashing
from env.trace import Trace
from experiments.folds import featurised
from experiments.studies import budgets as study_of
from experiments.studies.budgets import (
    BLIND,
    MULTIPLES,
    PARETOBANDIT,
    POINTSMAN,
    Halves,
    Rows,
    budgets,
    choose,
    margin,
    paced,
    study,
    zero_at,
)
from experiments.studies.budgets_report import markdown, peer_verdicts, picture, verdicts
from experiments.studies.paretobandit import Projection
from tests.conftest import make_trace, needs

ROOT = Path(__file__).parents[2]
MAKER = Hashing(16)
TRIED = ({"router": "ridge", "step": 0.02}, {"router": "zero", "step": 0.05})


@pytest.fixture(scope="module")
def trace() -> Trace:
    return featurised(make_trace(n=160), MAKER)


@pytest.fixture(scope="module")
def rows(trace: Trace) -> Rows:
    return study(trace, 3, maker=MAKER, tried=TRIED, peer=False)


def test_halves_share_no_prompt_and_leave_none_out(trace: Trace) -> None:
    twice = trace.take(np.tile(np.arange(len(trace)), 2))
    twice = replace(twice, query_ids=np.array([f"q{n}" for n in range(len(twice))], dtype=object))
    cut = Halves.of(twice, seed=3)
    assert not set(cut.offline.prompts) & set(cut.stream.prompts)
    assert len(cut.offline) + len(cut.stream) == len(twice)
    assert abs(len(cut.offline) - len(cut.stream)) <= 2


def test_budgets_are_multiples_of_the_cheapest_and_the_dearest(trace: Trace) -> None:
    means = trace.cost_usd.mean(axis=0, dtype=float)
    np.testing.assert_allclose(budgets(trace)[:-1] / means.min(), MULTIPLES)
    assert budgets(trace)[-1] == pytest.approx(means.max())


def test_a_fixed_arm_and_a_blind_mixture_are_not_above_the_zero_router(trace: Trace) -> None:
    ones = np.ones((1, len(trace)))
    for arm in range(trace.n_arms):
        assert margin(np.full(len(trace), arm), trace, ones)[0] <= 1e-9
    rng = np.random.default_rng(0)
    mixtures = [margin(rng.integers(2, size=len(trace)), trace, ones)[0] for _ in range(200)]
    assert abs(np.mean(mixtures)) < 0.01
    best = trace.score.argmax(axis=1)
    assert margin(best, trace, ones)[0] > 0.03


def test_the_zero_router_is_that_of_each_replicate(trace: Trace) -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(len(trace), np.full(len(trace), 1 / len(trace)), size=3).astype(float)
    for at, count in enumerate(counts):
        drawn = trace.take(np.repeat(np.arange(len(trace)), count.astype(int)))
        drawn = replace(drawn, query_ids=np.array([f"q{n}" for n in range(len(drawn))], dtype=object))
        cost = np.full(3, 0.0003)
        alone = zero_at(cost[:1], drawn, np.ones((1, len(drawn))))
        assert zero_at(cost, trace, counts)[at] == pytest.approx(alone[0], abs=1e-6)


def test_at_each_budget_the_setting_is_chosen_that_adds_most(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    added = choose(trace, paced, TRIED)
    assert added.shape == (2, 7) and (added[0] > added[1] + 0.01).any()
    monkeypatch.setattr(study_of, "choose", lambda offline, play, tried: np.array([[2, 0, 0, 1, 0, 0, 2], [1] * 7]))
    chosen = study_of._chosen(trace, POINTSMAN, paced, TRIED, lambda line: None)
    assert [settings["router"] for settings in chosen] == ["ridge", "zero", "zero", "ridge", "zero", "zero", "ridge"]


def test_the_choice_never_sees_the_stream(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    real = study_of.choose

    def watched(offline: Trace, *rest: Any) -> Any:
        seen.update(offline.prompts)
        return real(offline, *rest)

    monkeypatch.setattr(study_of, "choose", watched)
    study(trace, 1, maker=MAKER, tried=TRIED[:1], peer=False)
    assert seen == set(Halves.of(trace).offline.prompts)


def test_spend_stays_within_the_budget_in_every_order(rows: Rows) -> None:
    most = [row["value"] for row in rows if row["metric"] == "most_spent" and row["rule"] == POINTSMAN]
    # 80 requests are few: one bill is a percent of the whole.
    assert len(most) == 7 and max(most) <= 1.03


def test_the_same_study_gives_the_same_rows(trace: Trace, rows: Rows) -> None:
    assert study(trace, 3, maker=MAKER, tried=TRIED, peer=False) == rows


def test_paper_says_what_the_rows_say(rows: Rows) -> None:
    def set_to(metric: str, **values: float) -> Rows:
        return [{**row, **(values if row["metric"] == metric and row["rule"] == POINTSMAN else {})} for row in rows]

    good = set_to("above_zero", value=0.02, low=0.01, high=0.03)
    assert "significantly at 7 of 7 budgets, significantly below at 0 (met" in verdicts(good)[2]
    assert "**not met**" in verdicts(set_to("above_zero", value=-0.02, low=-0.03, high=-0.01))[2]
    assert "at most 1.020 budgets (**not met**" in verdicts(set_to("spent", value=1.02))[0]
    assert "at most 1.060 budgets (**not met**" in verdicts(set_to("most_spent", value=1.06))[1]
    assert "ParetoBandit was not installed" in markdown(rows)


def test_paper_compares_with_the_peer(rows: Rows, tmp_path: Path) -> None:
    peer = [{**row, "rule": PARETOBANDIT} for row in rows if row["rule"] == BLIND]
    extra = {"low": 0.01, "high": 0.03, "value": 0.02}
    peer += [{**row, "metric": m, **extra} for row in peer if row["metric"] == "score" for m in ("behind", "adds_less")]
    peer += [{**row, "budget_usd": None} for row in peer if row["metric"] in ("behind", "adds_less")]
    both = [*rows, *peer]
    assert (
        "significantly above ParetoBandit at 7 of 7 budgets, significantly below at 0; **+0.02"
        in peer_verdicts(both)[0]
    )
    assert "**ParetoBandit**" in markdown(both)
    needs("train", "drawing")
    assert all(file.stat().st_size > 5_000 for file in picture(both, tmp_path))


def test_without_the_package_it_is_said(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pareto_bandit", None)
    monkeypatch.setattr(study_of, "installed", lambda: False)
    said: list[str] = []
    found = study(trace, 1, maker=MAKER, tried=TRIED[:1], say=said.append)
    assert not any(row["rule"] == PARETOBANDIT for row in found)
    assert "paretobandit is not installed and left out: pip install paretobandit" in said


def test_its_features_are_whitened_on_the_offline_half_alone(trace: Trace) -> None:
    cut = Halves.of(trace)
    assert cut.offline.features is not None and cut.stream.features is not None
    project = Projection.of(cut.offline.features)
    inputs = project(cut.offline.features)[:, :5]
    np.testing.assert_allclose(np.cov(inputs.T), np.eye(5), atol=1e-6)
    assert (project(cut.stream.features)[:, -1] == 1).all()


def test_costs_that_are_not_known_are_refused(trace: Trace) -> None:
    with pytest.raises(BadInput, match="a cost of every outcome"):
        study(replace(trace, cost_usd=np.full_like(trace.cost_usd, np.nan)), 1, maker=MAKER)


def test_the_document_is_what_was_measured() -> None:
    kept = json.loads((ROOT / "docs" / "budgets" / "rows.json").read_text())
    assert markdown(kept) in (ROOT / "docs" / "budgets.md").read_text()
