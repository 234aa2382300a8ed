"""The studies of off-policy evaluation and learning, small, on a world whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from env.trace import Trace
from experiments.studies import off_policy, off_policy_learning
from experiments.studies.off_policy import Condition, Table, study, tried
from experiments.studies.off_policy_report import coverage_table, learning_table, verdicts
from tests.experiments.conftest import recorded

ROOT = Path(__file__).parents[2]
CONDITION = Condition("ridge", 0.3, "best_per_task", 0.0, 250)


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.of(recorded(400))


def test_a_law_is_a_law(table: Table) -> None:
    law = table.law("ridge", 0.3, dial=0.5)
    np.testing.assert_allclose(law.sum(axis=1), 1)
    assert law.min() == pytest.approx(0.1)


def test_logs_are_drawn_by_the_law(table: Table) -> None:
    law = table.law("ridge", 0.3, dial=0.5)
    log, rows = table.drawn(law, 20_000, np.random.default_rng(0))
    for arm in range(3):
        assert (log.actions == arm).mean() == pytest.approx(law[rows, arm].mean(), abs=0.015)
    np.testing.assert_array_equal(log.propensities, law[rows, log.actions])
    np.testing.assert_array_equal(log.rewards, table.trace.score[rows, log.actions].astype(np.float64))


def test_estimates_surround_the_truth(table: Table) -> None:
    rows = {row["estimator"]: row for row in tried(table, CONDITION, 20, replicates=100)}
    assert set(rows) == {"dm", "ips", "clipped_ips", "snips", "dr", "switch_dr", "mrdr"}
    for name in ("ips", "snips", "dr", "switch_dr", "mrdr"):
        row = rows[name]
        assert abs(row["bias"]) < 0.03, name
        assert row["bootstrap_coverage"] >= 0.8, name
    assert rows["ips"]["ess"] == pytest.approx(250, rel=0.1)
    assert rows["ips"]["anytime_coverage"] == 1
    assert rows["snips"]["anytime_coverage"] is None


def test_the_same_seed_draws_the_same_logs(table: Table) -> None:
    assert tried(table, CONDITION, 2, replicates=20) == tried(table, CONDITION, 2, replicates=20)


def test_learning_of_a_log_is_measured_beside_the_whole_table(trace: Trace) -> None:
    rows = off_policy_learning.study([trace], seeds=2, routers=["best_per_task"])
    scores = {row["way"]: row["score"] for row in rows}
    assert set(scores) == set(off_policy_learning.WAYS)
    assert scores["whole table"] >= max(scores.values()) - 0.02
    assert "| recorded | best_per_task |" in learning_table(rows)


def test_a_bar_is_held_by_its_least_coverage() -> None:
    row = {"estimator": "ips", "ess": 300.0, "logs": 1000, "trace": "t", "condition": "c", "bootstrap_coverage": 0.95}
    low = {**row, "bootstrap_coverage": 0.92, "condition": "other"}
    scarce = {**row, "bootstrap_coverage": 0.5, "ess": 30.0}
    assert verdicts([row, scarce])[0].startswith("ips: met, the least of 1 coverages is 95.0 %")
    assert verdicts([row, low, scarce])[0].startswith("ips: **not met**, the least of 2 coverages is 92.0 % (t: other")


def test_the_document_shows_the_studies_that_were_run() -> None:
    text = (ROOT / "docs" / "off-policy.md").read_text()
    folder = ROOT / "docs" / "off_policy"
    assert coverage_table(json.loads((folder / "rows.json").read_text())) in text
    assert learning_table(json.loads((folder / "learning.json").read_text())) in text


def test_the_command_writes_rows_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = recorded(200)
    monkeypatch.setattr(off_policy, "load_trace", lambda source: small)
    monkeypatch.setattr(off_policy, "study", lambda *given, **more: study(*given, **more, conditions=[CONDITION]))
    page = tmp_path / "page.md"
    page.write_text("<!-- off-policy:coverage -->\n<!-- /off-policy:coverage -->\n")
    arguments = ["--logs", "2", "--out", str(tmp_path), "--document", str(page)]
    off_policy.main(arguments)
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == 7
    assert coverage_table(rows) in page.read_text()
    monkeypatch.setattr(off_policy, "tried", lambda *given: pytest.fail("a condition that is there was run again"))
    off_policy.main([*arguments, "--resume"])
    assert json.loads((tmp_path / "rows.json").read_text()) == rows
