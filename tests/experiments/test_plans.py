"""Plans beside routers: trained, compared, saved, evaluated and driven one request at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pointsman as pm
from env.errors import BadInput
from env.features import Hashing
from env.trace_io import save_trace
from experiments.cli import main
from experiments.compare import compare
from experiments.deploy import load_any, load_policy
from experiments.evaluate import DIALS
from experiments.folds import featurised, fold
from experiments.judge import evaluate
from experiments.plans import follow_at_every_dial, train_plan
from experiments.train import train
from routers.attempts import Attempt
from routers.plan import plan_names
from routers.plan_policy import PlanPolicy
from tests.conftest import make_trace
from tests.experiments.test_cascade_study import answered

MAKER = Hashing(16)
FEW_TREES = {"trees": 5}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plans") / "cascade"
    train_plan(answered(), "cascade", folder, featuriser=MAKER, settings=FEW_TREES)
    return folder


def test_plans_stand_in_the_table_of_routers_with_the_cost_of_all_calls() -> None:
    trace = answered()
    (report,) = compare([trace], ["parallel", "ridge"], seeds=2, featuriser=MAKER)
    parallel, ridge = report.entry("parallel"), report.entry("ridge")
    assert parallel is not None and ridge is not None
    every = [trace.cost_usd[fold(trace, seed).test_index].sum(axis=1).mean() for seed in range(2)]
    assert parallel.cost == pytest.approx(np.mean(every), rel=1e-5)
    assert {"aiq", "delta_aiq_zero", "score_at_dial_1", "cost_usd_at_dial_0.5"} <= {*parallel.pooled} <= {*ridge.pooled}
    assert any("parallel" in note for note in report.notes)


@pytest.mark.parametrize("name", plan_names())
def test_every_plan_can_be_trained_saved_and_loaded(name: str, tmp_path: Path) -> None:
    settings = FEW_TREES if name == "cascade" else {}
    trained = train_plan(answered(), name, tmp_path / name, featuriser=MAKER, settings=settings)
    loaded = pm.load_policy(tmp_path / name)
    assert isinstance(loaded, PlanPolicy)
    assert (loaded.name, loaded.version) == (name, trained.version)
    test = fold(featurised(answered(), MAKER), 0).test
    before, after = (follow_at_every_dial(policy, test) for policy in (trained, loaded))
    assert (before.arms == after.arms).all() and np.array_equal(before.outcomes.cost_usd, after.outcomes.cost_usd)


def test_a_loaded_plan_is_driven_one_request_at_a_time_as_it_was_evaluated(bundle: Path) -> None:
    policy = pm.load_policy(bundle)
    assert isinstance(policy, PlanPolicy)
    test = fold(featurised(answered(), MAKER), 0).test
    found = follow_at_every_dial(policy, test)
    assert found.calls is not None and found.calls.max() > 1
    said, sure = test.cell_columns["response"], test.cell_columns["logprob"]
    for row in range(len(test)):

        def call(arm: int, row: int = row) -> Attempt:
            return Attempt(arm, said[row, arm], logprob=float(sure[row, arm]))

        done = policy.run(str(test.prompts[row]), call, dial=1.0, task=test.tasks[row])
        assert done.arm == found.arms[DIALS.index(1.0), row]
        assert len(done.attempts) == found.calls[DIALS.index(1.0), row]
        assert done.response == said[row, done.arm]


def test_the_dial_buys_score_with_calls(bundle: Path) -> None:
    policy = pm.load_policy(bundle)
    assert isinstance(policy, PlanPolicy)
    found = follow_at_every_dial(policy, fold(featurised(answered(), MAKER), 0).test)
    assert found.calls is not None
    assert found.calls[-1].mean() >= found.calls[0].mean()
    assert found.outcomes.score[-1].mean() > found.outcomes.score[0].mean()


def test_a_plan_is_judged_on_prompts_that_it_has_not_seen(bundle: Path) -> None:
    trace = answered()
    judged = evaluate(load_any(bundle), trace)
    assert judged.router == "cascade" and judged.trained_on and judged.n + judged.trained_on == len(trace)


def test_what_serves_routers_refuses_a_plan_with_the_mend(bundle: Path) -> None:
    for read in (pm.Policy.load, load_policy):
        with pytest.raises(BadInput, match=r"holds the plan `cascade`, not a router; .*pointsman\.load_policy"):
            read(bundle)


def test_a_bundle_of_a_router_is_not_a_plan(tmp_path: Path) -> None:
    train(answered(), "ridge", tmp_path / "ridge", featuriser=MAKER)
    assert isinstance(pm.load_policy(tmp_path / "ridge"), pm.Policy)
    with pytest.raises(BadInput, match="holds the router `ridge`"):
        PlanPolicy.load(tmp_path / "ridge")


def test_a_trace_without_answers_is_refused_before_any_work() -> None:
    with pytest.raises(BadInput, match="response"):
        compare([make_trace(n=30)], ["cascade"], seeds=1, featuriser=MAKER)
    with pytest.raises(BadInput, match="response"):
        train_plan(make_trace(n=30), "cascade", featuriser=MAKER)


def test_a_misspelt_plan_or_setting_is_told_the_nearest() -> None:
    with pytest.raises(BadInput, match="cascade"):
        compare([answered()], ["cascad"], seeds=1, featuriser=MAKER)
    with pytest.raises(BadInput, match="tree"):
        train_plan(answered(), "cascade", featuriser=MAKER, settings={"tree": 3})
    with pytest.raises(BadInput, match="cascade` is a plan"):
        train(answered(), "cascade", featuriser=MAKER)


def test_the_command_line_trains_and_evaluates_a_plan_and_says_why_it_does_not_route(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, out = str(tmp_path / "answers.parquet"), str(tmp_path / "plan")
    save_trace(answered(), trace)
    arguments = ["train", trace, "--router", "cascade", "--out", out, "--no-track", "--set", "trees=5"]
    assert main(arguments) == 0
    assert main(["evaluate", out, trace]) == 0
    assert "cascade" in capsys.readouterr().out
    for refused, said in (
        ([*arguments, "--feedback", "bandit"], "leave it out"),
        (["route", "Hello", "--policy", out], "holds the plan `cascade`, not a router"),
    ):
        assert main(refused) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ") and told.count("\n") == 1 and said in told
