"""Sweeps: the reported figures were never tuned on, studies go on where they stopped, and engines agree."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.errors import BadInput, PointsmanError
from env.features import Featuriser
from env.trace import Trace
from experiments.compare import compare
from experiments.report import table
from experiments.sweep import Sweep, steps, sweep
from experiments.sweep.objective import AIQ, SCORE, Objective, inner_folds
from experiments.train import Feedback, train
from routers.policy import Policy
from tests.conftest import needs
from tests.experiments.conftest import recorded

needs("sweep", "a sweep")

TRIALS, FOLDS = 12, 3


@pytest.fixture(scope="module")
def small() -> Trace:
    return recorded(150, seed=3)


@pytest.fixture(scope="module")
def run(featuriser: Featuriser) -> Callable[..., Sweep]:
    """A sweep of kNN with few folds."""

    def done(trace: Trace, router: str = "knn", space: Any = None, trials: int = TRIALS, **given: Any) -> Sweep:
        return sweep(trace, router, space, trials, **{"featuriser": featuriser, "folds": FOLDS, **given})

    return done


def tried(found: Sweep) -> list[list[Any]]:
    return [[(one.settings, one.value, one.folds) for one in tuned.trials] for tuned in found.tuned]


def with_other_outcomes(trace: Trace, rows: np.ndarray[Any, Any]) -> Trace:
    """The same trace, of which some queries came out the other way round."""
    score, cost, latency = trace.score.copy(), trace.cost_usd.copy(), trace.latency_s.copy()
    score[rows], cost[rows], latency[rows] = 1 - score[rows], cost[rows] * 3, latency[rows] + 5
    return replace(trace, score=score, cost_usd=cost, latency_s=latency)


def test_outcomes_of_test_queries_change_no_choice(small: Trace, run: Callable[..., Sweep]) -> None:
    before = run(small)
    after = run(with_other_outcomes(small, small.split(0).test))
    assert tried(after) == tried(before)
    assert after.tuned[0].settings == before.tuned[0].settings
    assert (after.metric, after.tuned[0].default) == (before.metric, before.tuned[0].default)
    assert after.report.stream_hash != before.report.stream_hash
    reported = [found.report.entry("tuned:knn") for found in (before, after)]
    assert reported[0] is not None and reported[1] is not None
    assert reported[0].pooled["aiq"] != reported[1].pooled["aiq"]
    # The test itself can fail: what is tuned on does change what is tried.
    other = run(with_other_outcomes(small, small.split(0).validation))
    assert tried(other) != tried(before)


def test_inner_folds_share_no_prompt_with_each_other_or_the_test_part(small: Trace) -> None:
    parts = small.split(0)
    known = small.take(np.sort(np.concatenate([parts.train, parts.validation])))
    twice = known.take(np.r_[np.arange(len(known)), np.arange(20)])
    twice = replace(twice, query_ids=np.array([f"r{row}" for row in range(len(twice))], dtype=object))
    folds = list(inner_folds(twice, 4, seed=0))
    judged = [set(part.test.prompts) for part in folds]
    for at, part in enumerate(folds):
        prompts = [set(one.prompts) for one in (part.train, part.validation, part.test)]
        assert not (prompts[0] & prompts[1] or prompts[0] & prompts[2] or prompts[1] & prompts[2])
        assert not any(judged[at] & other for other in judged[:at])
        assert not set.union(*prompts) & set(small.prompts[parts.test])
    assert set.union(*judged) == set(known.prompts)


def test_the_report_is_that_of_compare_on_the_same_queries(
    small: Trace, run: Callable[..., Sweep], featuriser: Featuriser
) -> None:
    found = run(small, trials=2, seeds=2).report
    (report,) = compare([small], ("knn",), seeds=2, featuriser=featuriser)
    assert found.stream_hash == report.stream_hash
    for name in ("knn", "zero", "placebo", "random", "best_single", "oracle"):
        ours, theirs = found.entry(name), report.entry(name)
        assert ours is not None and theirs is not None
        assert ours.pooled["aiq"] == theirs.pooled["aiq"], name
    tuned = found.entry("tuned:knn")
    assert tuned is not None
    assert {"delta_aiq_zero", "delta_aiq_placebo", "delta_aiq_knn"} <= set(tuned.pooled)
    assert tuned.pooled["aiq"].low is not None
    assert "tuned:knn" in str(table(found).columns[0]._cells)


def test_the_bundle_is_what_train_makes_of_the_chosen_settings(
    small: Trace, run: Callable[..., Sweep], featuriser: Featuriser, tmp_path: Path
) -> None:
    found = run(small, space={"k": [1, 40]}, settings={"tau": 3.0}, out=tmp_path / "policy")
    chosen = found.tuned[0].settings
    assert chosen["tau"] == 3.0
    again = train(small, "knn", settings=chosen, featuriser=featuriser)
    assert Policy.load(tmp_path / "policy").router.settings == again.router.settings == found.policy.router.settings
    queries = small.queries
    decided = [one.decide(queries, rng=np.random.default_rng(0)).arms for one in (found.policy, again)]
    assert np.array_equal(*decided)


def test_a_sweep_that_finds_nothing_better_keeps_the_routers_own_settings(
    small: Trace, run: Callable[..., Sweep]
) -> None:
    found = run(small, "ridge", {"alpha": [1e6, 1e7]})
    assert found.tuned[0].searched == {} == found.tuned[0].settings
    assert found.tuned[0].value == found.tuned[0].default
    tuned, own = found.report.entry("tuned:ridge"), found.report.entry("ridge")
    assert tuned is not None and own is not None
    assert tuned.pooled["aiq"] == own.pooled["aiq"]


def test_what_is_better_is_found(small: Trace, run: Callable[..., Sweep]) -> None:
    found = run(small, space={"k": "1:60:log"}, settings={"tau": 0.1, "predict_cost": False}, trials=20)
    assert found.metric == AIQ
    values = [one.value for one in found.tuned[0].trials if one.value is not None]
    assert found.tuned[0].value == max([*values, found.tuned[0].default])
    assert max(values) > min(values)


def test_hopeless_trials_are_given_up_between_folds(small: Trace, run: Callable[..., Sweep]) -> None:
    trials = run(small, space={"k": "1:80:log"}, trials=20).tuned[0].trials
    given_up = [one for one in trials if one.state == "pruned"]
    assert given_up
    assert all(len(one.folds) < FOLDS and one.value is None for one in given_up)
    assert all(len(one.folds) == FOLDS for one in trials if one.state == "complete")


def test_a_small_space_is_tried_once_through(small: Trace, run: Callable[..., Sweep]) -> None:
    found = run(small, space={"k": "5,10,20", "predict_cost": "true,false"}, trials=50)
    settings = [tuple(one.settings.values()) for one in found.tuned[0].trials]
    assert len(settings) == 6 == len(set(settings))
    assert steps("knn", 50, seeds=1, space={"k": "5,10,20", "predict_cost": "true,false"}) == 8


def test_each_seed_is_searched_anew(small: Trace, run: Callable[..., Sweep]) -> None:
    found = run(small, trials=4, seeds=2)
    assert found.report.seeds == (0, 1)
    first, second = tried(found)
    assert first != second
    told = [len(one) for one in tried(found)]
    assert told == [4, 4]


def test_without_costs_the_score_is_tuned(costless_trace: Trace, run: Callable[..., Sweep]) -> None:
    found = run(costless_trace, trials=2)
    assert found.metric == SCORE
    entry = found.report.entry("tuned:knn")
    assert entry is not None and "delta_score_zero" in entry.pooled


@pytest.mark.parametrize("split_by", ["task", "time"])
def test_other_ways_of_holding_out(small: Trace, run: Callable[..., Sweep], split_by: str) -> None:
    tasks = np.array([f"task {row % 8}" for row in range(len(small))], dtype=object)
    times = np.array([float(row) for row in range(len(small))], dtype=object)
    timed = replace(small, tasks=tasks, query_columns={"timestamp": times})
    found = run(timed, trials=2, split_by=split_by)
    assert found.report.split_by == split_by
    assert len(found.tuned[0].trials) == 2


def test_settings_that_cannot_be_learned_with_are_failed_trials(
    small: Trace, run: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = Objective.value

    def refusing(self: Objective, settings: Any, at: int) -> float:
        if {**self.settings, **settings}.get("k") == 7:
            raise BadInput("seven will not do")
        return real(self, settings, at)

    monkeypatch.setattr(Objective, "value", refusing)
    for _ in range(2):  # failed for good: not tried again
        trials = run(small, space={"k": "6,7,8"}, storage=tmp_path / "study.db").tuned[0].trials
        assert [(one.settings["k"], one.error) for one in trials] == [(6, None), (7, "seven will not do"), (8, None)]
    with pytest.raises(BadInput, match="cannot be trained on fold 0 of the sweep: seven"):
        run(small, space={"tau": "1,2"}, settings={"k": 7})


class Interrupted(Exception):
    """Stands for Ctrl-C, which would end the tests."""


def interrupting(after: int) -> Callable[[int, str], None]:
    calls = 0

    def step(_seed: int, _what: str) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Interrupted

    return step


@pytest.mark.parametrize("space", [None, {"k": "1,5,10,20,40", "predict_cost": "true,false"}])
def test_an_interrupted_study_goes_on_to_what_it_would_have_been(
    small: Trace, run: Callable[..., Sweep], tmp_path: Path, space: Any
) -> None:
    whole = run(small, space=space)
    storage = tmp_path / "deep" / "study.db"
    for after in (4, 9):
        with pytest.raises(Interrupted):
            run(small, space=space, storage=storage, step=interrupting(after))
    asked: list[str] = []
    found = run(small, space=space, storage=storage, step=lambda _seed, what: asked.append(what))
    assert tried(found) == tried(whole)
    kept = [what for what in asked if what.endswith("kept")]
    assert 0 < len(kept) < len(found.tuned[0].trials)
    assert len(asked) == steps("knn", TRIALS, 1, space)


def test_a_trial_cut_off_between_folds_is_tried_again(
    small: Trace, run: Callable[..., Sweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, real, calls = run(small), Objective.value, 0

    def cut(self: Objective, settings: Any, at: int) -> float:
        nonlocal calls
        calls += 1
        if calls == FOLDS * 4 + 2:  # in the middle of a trial
            raise KeyboardInterrupt
        return real(self, settings, at)

    monkeypatch.setattr(Objective, "value", cut)
    with pytest.raises(KeyboardInterrupt):
        run(small, storage=tmp_path / "study.db")
    assert tried(run(small, storage=tmp_path / "study.db")) == tried(whole)


def test_a_finished_study_is_not_run_again_and_can_be_extended(
    small: Trace, run: Callable[..., Sweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "study.db"
    first = run(small, trials=5, storage=storage)
    with monkeypatch.context() as patched:
        patched.setattr("experiments.sweep.objective.Objective.value", lambda *_: pytest.fail("computed again"))
        assert tried(run(small, trials=5, storage=storage)) == tried(first)
    more = run(small, trials=8, storage=storage)
    assert tried(more)[0][:5] == tried(first)[0]
    assert len(tried(more)[0]) == 8


def test_another_search_in_the_same_storage_is_another_study(
    small: Trace, run: Callable[..., Sweep], tmp_path: Path
) -> None:
    storage = tmp_path / "study.db"
    names = {
        run(small, trials=1, storage=storage).tuned[0].study,
        run(small, trials=1, storage=storage, folds=4).tuned[0].study,
        run(small, trials=1, storage=storage, space={"k": "1:9"}).tuned[0].study,
        run(small, trials=1, storage=storage, settings={"tau": 1.0}).tuned[0].study,
        run(small.take(np.arange(140)), trials=1, storage=storage).tuned[0].study,
    }
    assert len(names) == 5


def test_nothing_in_the_storage_is_a_pickle(small: Trace, run: Callable[..., Sweep], tmp_path: Path) -> None:
    run(small, trials=3, storage=tmp_path / "study.db")
    with sqlite3.connect(tmp_path / "study.db") as base:
        tables = [name for (name,) in base.execute("select name from sqlite_master where type = 'table'")]
        held = {type(cell) for name in tables for row in base.execute(f"select * from {name}") for cell in row}
    base.close()
    assert held <= {int, float, str, type(None)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"trials": 0}, "one trial or more, got 0"),
        ({"seeds": 0}, "one seed or more, got 0"),
        ({"folds": 2}, "3 folds or more"),
        ({"folds": 500}, "make no 500 folds"),
        ({"engine": "rya"}, "engine `rya`; did you mean `ray`"),
        ({"jobs": 2}, "use the engine `ray`"),
        ({"jobs": 0}, "one job or more"),
        ({"storage": "redis://me:secret@host"}, r"storage redis://\*\*\*@host: a study is kept in a file"),
        ({"router": "cascade"}, "is a plan"),
        ({"settings": {"tua": 1}}, "did you mean `tau`"),
    ],
)
def test_bad_input_is_one_line(small: Trace, run: Callable[..., Sweep], given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        run(small, **given)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_database_is_one_line(small: Trace, run: Callable[..., Sweep], tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("This is not the database that you are looking for. " * 50)
    with pytest.raises(PointsmanError, match=r"file is not a database.*name another --storage") as refused:
        run(small, storage=tmp_path / "study.db")
    assert "\n" not in str(refused.value)


def test_bandit_feedback_is_told_where_asked(small: Trace, run: Callable[..., Sweep]) -> None:
    found = run(small, "linucb", trials=2).report.entry("tuned:linucb")
    assert found is not None and found.feedback is Feedback.BANDIT
    found = run(small, "linucb", trials=2, feedback=Feedback.FULL).report.entry("tuned:linucb")
    assert found is not None and found.feedback is Feedback.FULL


def test_ray_with_one_lane_tries_what_this_process_tries(
    small: Trace, run: Callable[..., Sweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("ray", "the engine")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    )
    here = run(small, trials=8)
    there = run(small, trials=8, engine="ray", jobs=1)
    assert tried(there) == tried(here)
    assert there.report.rows() == here.report.rows()
    both = run(small, trials=8, engine="ray", jobs=2, storage=tmp_path / "study.db").tuned[0].trials
    assert len(both) == 8
    assert len({tuple(one.settings.values()) for one in both}) == 8
