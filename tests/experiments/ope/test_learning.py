"""Learning from a bandit log as if it were a full table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from env.errors import BadInput
from env.trace import Trace
from env.trace_io import save_trace
from experiments.cli import main
from experiments.ope.learning import corrected, decided, targets
from experiments.ope.logs import BanditLog
from experiments.train import Feedback, train
from tests.experiments.conftest import recorded


def logged(trace: Trace, *, epsilon: float = 0.2, seed: int = 0) -> Trace:
    """What is left of a table when `small` is asked for all that is not drawn at random."""
    rng = np.random.default_rng(seed)
    law = np.full(trace.score.shape, epsilon / trace.n_arms)
    law[:, trace.arms.index("small")] += 1 - epsilon
    arms = (rng.random((len(trace), 1)) < np.cumsum(law, axis=1)).argmax(axis=1)
    chosen = np.arange(trace.n_arms) == arms[:, None]
    propensity = np.full(trace.score.shape, None, dtype=object)
    propensity[chosen] = law[chosen]
    kept = {
        name: np.where(chosen, getattr(trace, name), np.float32(np.nan)) for name in ("score", "cost_usd", "latency_s")
    }
    return replace(trace, **kept, cell_columns={"propensity": propensity})


def test_targets_by_hand() -> None:
    log = BanditLog.of(["a", "b"], actions=[0, 1], rewards=[1.0, 0.0], propensities=[0.5, 0.1])
    expected = np.array([[0.5, 0.25], [0.5, 0.25]])
    np.testing.assert_allclose(targets(log, expected, cap=np.inf), [[1.5, 0.25], [0.5, -2.25]])
    np.testing.assert_allclose(targets(log, expected), [[1.5, 0.25], [0.5, -0.25]])  # at most 2, of two arms
    np.testing.assert_allclose(targets(log, expected, cap=4.0), [[1.5, 0.25], [0.5, -0.75]])


def test_on_average_a_target_is_the_truth_whatever_the_model() -> None:
    law, truth, model = np.array([0.8, 0.15, 0.05]), np.array([0.2, 0.6, 0.9]), np.array([[0.9, 0.1, 0.5]])
    mean = np.zeros(3)
    for arm, chance in enumerate(law):
        log = BanditLog.of(["a", "b", "c"], actions=[arm], rewards=[truth[arm]], propensities=[chance])
        mean += chance * targets(log, model, cap=np.inf)[0]
    np.testing.assert_allclose(mean, truth)


def test_the_table_of_a_log_is_full_and_right_on_average() -> None:
    trace = recorded(2000)
    made = corrected(logged(trace), cap=np.inf)
    assert made.observed.all()
    assert not made.is_log
    np.testing.assert_allclose(made.score.mean(axis=0), trace.score.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(made.cost_usd.mean(axis=0), trace.cost_usd.mean(axis=0), rtol=0.05)


def test_parts_know_nothing_of_each_other() -> None:
    trace = logged(recorded(300))
    one, other = np.arange(150), np.arange(150, 300)
    before = corrected(trace, [one, other])
    swapped = replace(trace, score=np.where(np.arange(300)[:, None] >= 150, 1 - trace.score, trace.score))
    after = corrected(swapped, [one, other])
    np.testing.assert_array_equal(before.score[one], after.score[one])
    assert (before.score[other] != after.score[other]).any()


def test_a_policy_learned_from_a_log_beats_what_only_its_observed_cells_teach() -> None:
    """`large` is best on all: a table of means that never asks it where it was not tried cannot know."""
    truth = recorded(3000, seed=1)
    log = logged(truth, epsilon=0.15)
    policy = train(log, "best_per_task", feedback=Feedback.DR)
    decision = policy.decide(truth.queries, dial=1.0, rng=np.random.default_rng(0), explore=False)
    got = truth.outcomes.at(decision.arms).score.mean()
    assert got > truth.score[:, truth.arms.index("small")].mean() + 0.2
    assert policy.metrics["feedback"] == "dr"
    assert policy.metrics["trace_hash"] == log.hash
    assert policy.dial_map.cost_weight[0] > policy.dial_map.cost_weight[-1]


def test_what_cannot_be_learned_from_is_refused() -> None:
    trace = recorded(60)
    with pytest.raises(BadInput, match="no propensities"):
        train(trace, "ridge", feedback=Feedback.DR)
    never = logged(trace)
    rows = np.flatnonzero(~never.observed[:, trace.arms.index("large")])
    with pytest.raises(BadInput, match="large was never chosen, so nothing can be learned of it"):
        corrected(never.take(rows))
    with pytest.raises(BadInput, match=r"trace recorded: a bandit log, .*\(--feedback dr\)"):
        train(never, "ridge")
    unjudged = logged(trace)
    unjudged.score[0] = np.nan
    with pytest.raises(BadInput, match="the score is NaN, as of 1 of 60 decisions"):
        decided(unjudged)
    assert len(decided(unjudged, unjudged="drop")) == 59


def test_the_command_trains_on_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = save_trace(logged(recorded(600)), tmp_path / "log.parquet")
    bundle = tmp_path / "bundle"
    arguments = ["train", file, "--router", "ridge", "--feedback", "dr", "--out", bundle, "--no-track", "--json"]
    assert main([*map(str, arguments)]) == 0
    assert json.loads(capsys.readouterr().out)["feedback"] == "dr"
    assert main(["train", str(file), "--feedback", "doubly", "--out", str(bundle)]) == 2
    assert "`dr` (a bandit log, made a table of doubly robust targets)" in capsys.readouterr().err
