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
from experiments.folds import contexts_of, featurised, fold
from experiments.studies.cascade import CASCADE, CASCADES, PROMPT_ONLY, study, with_plan
from experiments.studies.cascade_report import markdown, put, verdict
from routers.attempts import Attempts
from routers.cascade import Cascade
from routers.parallel import Parallel
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


def test_every_call_is_paid_for() -> None:
    part = fold(featurised(answered(), MAKER), 0)
    found = with_plan(Parallel(part.test.n_arms, MAKER.d), part)
    assert (found.calls == part.test.n_arms).all()
    assert np.allclose(found.cost_usd, part.test.cost_usd.sum(axis=1))
    assert np.allclose(found.latency_s, part.test.latency_s.max(axis=1))


def test_what_is_chosen_does_not_depend_on_the_outcomes_of_test_queries() -> None:
    part = fold(featurised(answered(), MAKER), 0)
    plan = Cascade(part.test.n_arms, MAKER.d).fit(contexts_of(part.train), Attempts.recorded(part.train))
    other = replace(part, test=replace(part.test, score=1 - part.test.score))
    one, turned = with_plan(plan, part), with_plan(plan, other)
    assert (one.calls == turned.calls).all() and (one.cost_usd == turned.cost_usd).all()
    assert np.allclose(one.score, 1 - turned.score)


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


def rows_with(low: float) -> list[dict[str, Any]]:
    return [
        {"rule": CASCADE, "metric": f"over {name}", "dial": None, "value": 0.01, "low": at, "high": 0.1}
        for name, at in (("ridge", 0.001), ("knn", low), ("cascade, one call", -0.1))
    ]


def test_the_bar_is_met_over_every_router_or_not_at_all() -> None:
    assert ": met; than its own half, one call: better, but **not significantly**" in verdict(rows_with(0.001))
    assert ": **not met** (knn);" in verdict(rows_with(-0.001))


def test_a_document_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(BadInput, match=r"docs/x\.md"):
        put([], "nothing here", "docs/x.md")


def test_the_document_shows_the_study_that_was_run() -> None:
    rows = json.loads((ROOT / "docs" / "cascade" / "rows.json").read_text())
    assert markdown(rows) in (ROOT / "docs" / "cascade.md").read_text()


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_document_run(number: int) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "cascade.md").read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(blocks[number], "example", "exec"), {"__name__": "example"})
