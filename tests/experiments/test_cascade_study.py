"""The study of the cascade: every call is paid for, nothing is chosen on test queries, the tables are those made."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.errors import BadInput
from env.features import Hashing
from env.trace import Trace
from experiments.evaluate import DIALS
from experiments.folds import Fold, featurised, fold
from experiments.plans import learn_plan
from experiments.studies.cascade import CASCADE, CASCADES, PROMPT_ONLY, study, with_plan
from experiments.studies.cascade_report import markdown, verdict
from tests.conftest import make_trace

ROOT = Path(__file__).parents[2]
MAKER = Hashing(16)


def answered(n: int = 120) -> Trace:
    """A trace with answers: who is right says so, and surely."""
    trace = make_trace(n=n)
    right = trace.score > 0.5
    columns = {
        "response": np.where(right, "yes", "no").astype(object),
        "logprob": np.where(right, -0.1, -1.0).astype(object),
    }
    return replace(trace, score=right.astype(np.float32), cell_columns={**trace.cell_columns, **columns})


def part() -> Fold:
    return fold(featurised(answered(), MAKER), 0)


def test_every_call_is_paid_for() -> None:
    own = part()
    found = with_plan(learn_plan(own, "parallel", MAKER), own)
    assert (found.calls == own.test.n_arms).all()
    assert np.allclose(found.cost_usd, own.test.cost_usd.sum(axis=1))
    assert np.allclose(found.latency_s, own.test.latency_s.max(axis=1))


def test_what_is_chosen_does_not_depend_on_the_outcomes_of_test_queries() -> None:
    own = part()
    other = replace(own, test=replace(own.test, score=1 - own.test.score))
    settings = {"trees": 5}
    one, turned = (with_plan(learn_plan(each, "cascade", MAKER, settings=settings), each) for each in (own, other))
    assert (one.calls == turned.calls).all() and (one.cost_usd == turned.cost_usd).all()
    assert np.allclose(one.score, 1 - turned.score)


def test_a_cascade_is_judged_by_a_dial_that_its_own_training_queries_did_not_set() -> None:
    """Validation outcomes move the dial; training outcomes alone do not tell it what a call brings."""
    own = part()
    other = replace(own, validation=replace(own.validation, score=np.zeros_like(own.validation.score)))
    dials = [learn_plan(each, "cascade", MAKER, settings={"trees": 5}).dial_map for each in (own, other)]
    assert dials[0] != dials[1]


def test_the_study_tells_every_rule_at_every_dial() -> None:
    rows = study(answered(), range(1), maker=MAKER)
    rules = {row["rule"] for row in rows}
    assert {*PROMPT_ONLY, *CASCADES} <= rules
    of_cascade = [row for row in rows if row["rule"] == CASCADE]
    assert [row["dial"] for row in of_cascade if row["metric"] == "score"] == list(DIALS)
    assert all(row["value"] == 1 for row in rows if row["metric"] == "calls" and row["rule"] in PROMPT_ONLY)
    assert CASCADE in markdown(rows)


def test_a_trace_without_responses_is_refused() -> None:
    with pytest.raises(BadInput, match="response"):
        study(make_trace(n=30), range(1), maker=MAKER)


def rows_with(low: float, half: float = -0.1) -> list[dict[str, Any]]:
    return [
        {"rule": CASCADE, "metric": f"over {name}", "dial": None, "value": 0.01, "low": at, "high": 0.1}
        for name, at in (("ridge", 0.001), ("knn", low), ("cascade, no task label", -0.1), ("cascade, one call", half))
    ]


def test_the_bar_is_met_over_every_router_or_not_at_all() -> None:
    assert ": met; than its own half, one call: **not significantly** better" in verdict(rows_with(0.001))
    assert ": **not met** (knn);" in verdict(rows_with(-0.001))
    assert "one call: significantly better (+0.010 [+0.001, +0.100])" in verdict(rows_with(0.001, half=0.001))


def test_the_document_shows_the_study_that_was_run() -> None:
    rows = json.loads((ROOT / "docs" / "cascade" / "rows.json").read_text())
    assert markdown(rows) in (ROOT / "docs" / "cascade.md").read_text()


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_document_run(number: int) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "cascade.md").read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(blocks[number], "example", "exec"), {"__name__": "example"})
