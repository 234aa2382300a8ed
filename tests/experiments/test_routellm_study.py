"""The study of a weak and a strong model: nothing of a test question is learned, and the page shows what was run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.errors import BadInput
from env.trace import Trace
from experiments.studies.routellm import NAMED, NOT_NAMED, ORACLE, RANDOM, Setting, study, weak_and_strong
from experiments.studies.routellm_report import markdown, verdicts
from tests.conftest import make_trace

ROOT = Path(__file__).parents[2]
CHEAP = ("best_per_task", "ridge")
IN_DOMAIN = Setting("in domain", ("mmlu", "gsm8k"), None, ("mmlu", "gsm8k"), CHEAP)
FEW = Setting("1,500 MMLU questions", ("mmlu",), 60, ("mmlu",), CHEAP)


@pytest.fixture(scope="module")
def two_models() -> Trace:
    """Two families of tasks, one of two subjects; the model that comes first in the trace is the stronger one."""
    trace = make_trace(n=200).select_arms(["large", "small"])
    named = {"arithmetic": "mmlu/arithmetic", "spam": "mmlu/spam", "sentiment": "gsm8k"}
    return replace(trace, tasks=np.array([named[task] for task in trace.tasks], dtype=object))


@pytest.fixture(scope="module")
def rows(two_models: Trace) -> list[dict[str, Any]]:
    return study(two_models, range(2), settings=(IN_DOMAIN, FEW))


def value(rows: list[dict[str, Any]], *key: str) -> float:
    names = ("setting", "family", "router", "task", "metric")
    (found,) = [row["value"] for row in rows if tuple(row[name] for name in names) == key]
    return float(found)


def test_the_weaker_model_is_the_weak_one(two_models: Trace) -> None:
    assert weak_and_strong(two_models) == (1, 0)


def test_every_router_is_measured_between_chance_and_the_oracle(rows: list[dict[str, Any]]) -> None:
    for setting, family in (("in domain", "mmlu"), ("in domain", "gsm8k"), (FEW.name, "mmlu")):
        best = value(rows, setting, family, ORACLE, NOT_NAMED, "apgr")
        for router, task in (("ridge", NOT_NAMED), ("best_per_task", NAMED)):
            assert value(rows, setting, family, router, task, "apgr") <= best
            assert 0 <= value(rows, setting, family, router, task, "cpt50") <= 1
    # In one family the subjects differ in what the strong model gains; the other is one task, whose name says nothing.
    assert value(rows, "in domain", "mmlu", "best_per_task", NAMED, "apgr") > 0.55
    assert value(rows, "in domain", "gsm8k", "best_per_task", NAMED, "apgr") == pytest.approx(0.5)


def test_intervals_hold_their_figures(rows: list[dict[str, Any]]) -> None:
    drawn = [row for row in rows if row["setting"] != "all questions"]
    assert all(row["low"] <= row["value"] <= row["high"] for row in drawn)


def test_the_outcomes_of_test_questions_do_not_change_a_ranking(two_models: Trace, tmp_path: Path) -> None:
    test = two_models.split(0).test
    score = two_models.score.copy()
    score[test] = np.roll(score[test], 1, axis=0)
    kept = []
    for name, trace in (("one", two_models), ("other", replace(two_models, score=score))):
        study(trace, range(1), settings=(IN_DOMAIN,), keep=tmp_path / name)
        (file,) = (tmp_path / name).iterdir()
        kept.append(json.loads(file.read_text()))
    assert kept[0] == kept[1]


def test_a_finished_seed_is_taken_up_again(two_models: Trace, tmp_path: Path) -> None:
    first = study(two_models, range(1), settings=(FEW,), keep=tmp_path)
    (file,) = tmp_path.iterdir()
    told = json.loads(file.read_text())
    file.write_text(json.dumps([(router, task, [-gain for gain in gains]) for router, task, gains in told]))
    turned = study(two_models, range(1), settings=(FEW,), keep=tmp_path)
    key = FEW.name, "mmlu", "ridge", NOT_NAMED, "apgr"
    assert value(first, *key) + value(turned, *key) == pytest.approx(1)


def test_a_random_order_on_all_questions_is_half(rows: list[dict[str, Any]]) -> None:
    assert value(rows, "all questions", "mmlu", RANDOM, NOT_NAMED, "apgr") == pytest.approx(0.5, abs=0.03)


def test_a_trace_of_more_models_and_too_few_questions_are_refused(two_models: Trace) -> None:
    with pytest.raises(BadInput, match="4 models"):
        study(make_trace(), range(1))
    with pytest.raises(BadInput, match="strong model is not the better one"):
        study(replace(two_models, score=np.ones_like(two_models.score)), range(1), settings=(FEW,))
    with pytest.raises(BadInput, match="asks for more"):
        study(two_models, range(1), settings=(replace(FEW, labelled=1_500),))


@pytest.mark.parametrize(("area", "said"), [(0.71, ": met (0.710"), (0.69, ": **not met** (0.690")])
def test_a_bar_is_met_by_the_figure_itself(area: float, said: str) -> None:
    row = {"setting": "in domain", "family": "mmlu", "router": "auto", "task": NAMED, "metric": "apgr"}
    (line,) = verdicts([row | {"value": area, "low": 0.6, "high": 0.8}])
    assert said in line and "trained otherwise" in line


def test_the_page_shows_the_study_that_was_run() -> None:
    rows = json.loads((ROOT / "docs" / "routellm" / "rows.json").read_text())
    assert markdown(rows) in (ROOT / "docs" / "routellm.md").read_text()
