"""A policy is judged on prompts that it was not trained on, whatever was done to the trace in between."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from env.errors import BadInput
from env.features import Featuriser
from env.prompts import normalise
from env.trace import Trace
from experiments.cli import main
from experiments.folds import featurised
from experiments.judge import Judgement, judge
from experiments.train import train
from routers.policy import Policy, new_policy
from tests.experiments.conftest import MODELS, recorded


@pytest.fixture(scope="module")
def policy(trace: Trace, featuriser: Featuriser, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = tmp_path_factory.mktemp("judged") / "bundle"
    train(trace, "ridge", folder, featuriser=featuriser)
    return Policy.load(folder)


def figure(judged: Judgement, metric: str) -> float | None:
    return next(row["value"] for row in judged.rows() if row["metric"] == metric)


def test_no_query_that_was_trained_on_is_judged(trace: Trace, policy: Policy, tmp_path: Path) -> None:
    split = trace.split(0)
    trained = {normalise(trace.prompts[row]) for row in [*split.train, *split.validation]}
    shorter = trace.take(np.arange(1, len(trace)))
    respelt = replace(trace, prompts=np.array([f" {prompt.upper()}\n" for prompt in trace.prompts], dtype=object))
    rescored = replace(trace, score=np.where(trace.score > 0, 0.75, 0.25).astype(np.float32))
    for other in (trace, shorter, respelt, rescored, replace(trace, name="other"), trace.take(np.arange(600)[::-1])):
        judged = judge(policy, other, decisions=tmp_path / "d.parquet")
        asked = set(pd.read_parquet(tmp_path / "d.parquet").query_id)
        prompts = {normalise(p) for query, p in zip(other.query_ids, other.prompts, strict=True) if query in asked}
        assert not prompts & trained
        assert judged.n == len(asked) == sum(normalise(prompt) not in trained for prompt in other.prompts)
        assert judged.trained_on == len(other) - judged.n


def test_one_query_less_is_the_same_judgement_without_it(trace: Trace, policy: Policy) -> None:
    test = trace.split(0).test
    whole, less = judge(policy, trace), judge(policy, trace.take(np.setdiff1d(np.arange(len(trace)), test[:1])))
    assert (whole.n, less.n) == (len(test), len(test) - 1)
    assert abs(whole.figures["aiq"].value - less.figures["aiq"].value) < 0.02


def test_what_was_left_out_is_said_in_text_and_rows(
    policy: Policy, trace_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy.save(tmp_path / "bundle")
    arguments = ["evaluate", str(tmp_path / "bundle"), str(trace_file)]
    assert main([*arguments, "--json"]) == 0
    said = {row["metric"]: row["value"] for row in json.loads(capsys.readouterr().out) if row["router"] == "ridge"}
    assert (said["queries"], said["queries_trained_on"], said["queries_incomplete"]) == (120, 480, 0)
    assert main(arguments) == 0
    assert "120 queries (480 left out: the policy was trained on their prompts)" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_trace_of_training_prompts_alone_is_refused_with_the_mend(trace: Trace, policy: Policy) -> None:
    seen = trace.take(trace.split(0).train)
    with pytest.raises(BadInput, match=r"trained on the prompts of all 360 queries; .* prompts it has not seen"):
        judge(policy, seen)


def test_another_trace_is_judged_whole_and_gaps_are_counted(policy: Policy) -> None:
    other = recorded(80, seed=5, name="other")
    other = replace(other, prompts=np.array([f"new {prompt}" for prompt in other.prompts], dtype=object))
    score = other.score.copy()
    score[:3, 0] = np.nan
    judged = judge(policy, replace(other, score=score))
    assert (judged.n, judged.trained_on, judged.incomplete) == (77, 0, 3)


def test_a_trained_bundle_that_keeps_no_prompts_is_refused(trace: Trace, policy: Policy) -> None:
    older = {key: value for key, value in policy.metrics.items() if key != "trained_on"}
    with pytest.raises(BadInput, match=r"does not say on which prompts .*; train it again"):
        judge(replace(policy, metrics=older), trace)


def test_a_policy_that_was_never_trained_here_is_judged_on_all_and_that_is_said(
    trace: Trace, featuriser: Featuriser
) -> None:
    judged = judge(new_policy("fixed", list(MODELS), featuriser, arm=2), trace)
    assert judged.n == len(trace)
    assert judged.trained_on is None
    assert figure(judged, "queries_trained_on") is None
    assert "the policy does not say what it was trained on" in judged.part


def test_arms_that_the_trace_lacks_are_all_named(trace: Trace, policy: Policy) -> None:
    with pytest.raises(BadInput) as caught:
        judge(policy, trace.select_arms(["middle"]))
    said = str(caught.value)
    assert "no outcomes of these arms of the policy: small, large; it has middle; record the missing ones" in said
    assert said.endswith("or train a policy on this trace")
    assert "\n" not in said


def test_the_record_of_training_prompts_is_compact(trace: Trace, policy: Policy) -> None:
    kept = policy.metrics["trained_on"]
    assert kept["prompts"] == 480
    assert len(json.dumps(kept)) < 480 * 12 + 100
    assert normalise(trace.prompts[0]) not in json.dumps(kept)


def test_queries_without_text_are_not_passed_off_as_unseen(
    trace: Trace, policy: Policy, featuriser: Featuriser
) -> None:
    kept = featurised(trace, featuriser)
    prompts = kept.prompts.copy()
    prompts[:100] = None
    judged = judge(policy, replace(kept, prompts=prompts))
    assert "100 keep no text: known by their hash or id alone" in judged.part
