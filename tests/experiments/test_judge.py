"""A policy is judged on prompts that it was not trained on, whatever was done to the trace in between."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pointsman
from env.errors import BadInput
from env.features import Featuriser, Hashing
from env.prompts import normalise, prompt_hash
from env.trace import Trace
from experiments.cli import main
from experiments.compare import compare
from experiments.folds import featurised
from experiments.judge import Judgement, evaluate
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
        judged = evaluate(policy, other, decisions=tmp_path / "d.parquet")
        asked = set(pd.read_parquet(tmp_path / "d.parquet").query_id)
        prompts = {normalise(p) for query, p in zip(other.query_ids, other.prompts, strict=True) if query in asked}
        assert not prompts & trained
        assert judged.n == len(asked) == sum(normalise(prompt) not in trained for prompt in other.prompts)
        assert judged.trained_on == len(other) - judged.n


def test_one_query_less_is_the_same_judgement_without_it(trace: Trace, policy: Policy) -> None:
    test = trace.split(0).test
    whole, less = evaluate(policy, trace), evaluate(policy, trace.take(np.setdiff1d(np.arange(len(trace)), test[:1])))
    assert (whole.n, less.n) == (len(test), len(test) - 1)
    assert abs(whole.figures["aiq"].value - less.figures["aiq"].value) < 0.02


def test_a_judgement_names_the_queries_as_a_comparison_does(
    trace: Trace, policy: Policy, featuriser: Featuriser
) -> None:
    compared = compare([trace], ("zero",), seeds=1, featuriser=featuriser)[0]
    assert evaluate(policy, trace).stream_hash == compared.stream_hash
    one_less = np.setdiff1d(np.arange(len(trace)), trace.split(0).test[:1])
    assert evaluate(policy, trace.take(one_less)).stream_hash != compared.stream_hash


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
        evaluate(policy, seen)


def test_another_trace_is_judged_whole_and_gaps_are_counted(policy: Policy) -> None:
    other = recorded(80, seed=5, name="other")
    other = replace(other, prompts=np.array([f"new {prompt}" for prompt in other.prompts], dtype=object))
    score = other.score.copy()
    score[:3, 0] = np.nan
    judged = evaluate(policy, replace(other, score=score))
    assert (judged.n, judged.trained_on, judged.incomplete) == (77, 0, 3)


def test_a_trained_bundle_that_keeps_no_prompts_is_refused(trace: Trace, policy: Policy) -> None:
    older = {key: value for key, value in policy.metrics.items() if key != "trained_on"}
    with pytest.raises(BadInput, match=r"does not say on which prompts .*; train it again"):
        evaluate(replace(policy, metrics=older), trace)


def test_a_policy_that_was_never_trained_here_is_judged_on_all_and_that_is_said(
    trace: Trace, featuriser: Featuriser
) -> None:
    judged = evaluate(new_policy("fixed", list(MODELS), featuriser, arm=2), trace)
    assert judged.n == len(trace)
    assert judged.trained_on is None
    assert figure(judged, "queries_trained_on") is None
    assert "the policy does not say what it was trained on" in judged.part


def test_arms_that_the_trace_lacks_are_all_named(trace: Trace, policy: Policy) -> None:
    with pytest.raises(BadInput) as caught:
        evaluate(policy, trace.select_arms(["middle"]))
    said = str(caught.value)
    assert "no outcomes of these arms of the policy: small, large; it has middle; record the missing ones" in said
    assert said.endswith("or train a policy on this trace")
    assert "\n" not in said


def test_the_record_of_training_prompts_is_compact(trace: Trace, policy: Policy) -> None:
    kept = policy.metrics["trained_on"]
    assert kept["prompts"] == 480
    assert len(json.dumps(kept)) < 2 * 480 * 12 + 100, "by text and by features"
    assert normalise(trace.prompts[0]) not in json.dumps(kept)


def kept_as(trace: Trace, keep: str, featuriser: Featuriser, secret: bytes = b"site") -> Trace:
    """The trace as a log holds it: with its text, with a hash in its place, or with neither; features always."""
    hashes = np.array([prompt_hash(prompt, secret) for prompt in trace.prompts], dtype=object)
    return replace(
        featurised(trace, featuriser),
        prompts=trace.prompts if keep in ("text", "full") else np.full(len(trace), None, dtype=object),
        query_columns={"prompt_hash": hashes} if keep in ("full", "hashed") else {},
    )


@pytest.mark.parametrize("learned", ["text", "full", "hashed", "none"])
@pytest.mark.parametrize("judged_on", ["text", "full", "hashed", "none"])
def test_training_prompts_are_left_out_however_either_log_keeps_them(
    trace: Trace, featuriser: Featuriser, tmp_path: Path, learned: str, judged_on: str
) -> None:
    log = kept_as(trace, learned, featuriser)
    policy = train(log, "ridge", featuriser=featuriser)
    split = log.split(0)
    trained = set(log.query_ids[np.concatenate([split.train, split.validation])])
    judged = evaluate(policy, kept_as(trace, judged_on, featuriser), decisions=tmp_path / "d.parquet")
    assert not trained & set(pd.read_parquet(tmp_path / "d.parquet").query_id)
    # Without text on both sides, prompts that share the features of a training prompt are left out too.
    texts = {learned, judged_on} <= {"text", "full"}
    assert len(trace) - len(trained) - (0 if texts else 10) <= judged.n <= len(trace) - len(trained)
    assert judged.trained_on == len(trace) - judged.n
    assert ("cannot be told" in judged.part) != texts


@pytest.mark.parametrize(("learned", "judged_on"), [("full", "hashed"), ("hashed", "full"), ("hashed", "hashed")])
def test_a_hash_of_the_same_site_knows_a_prompt_in_another_spelling(
    trace: Trace, featuriser: Featuriser, learned: str, judged_on: str
) -> None:
    policy = train(kept_as(trace, learned, featuriser), "ridge", featuriser=featuriser)
    respelt = replace(trace, prompts=np.array([f" {prompt.upper()}" for prompt in trace.prompts], dtype=object))
    judged = evaluate(policy, kept_as(respelt, judged_on, featuriser))
    assert judged.n <= 120


def test_another_trace_without_text_is_not_passed_off_as_unseen(policy: Policy, featuriser: Featuriser) -> None:
    other = recorded(80, seed=5, name="other")
    other = replace(other, prompts=np.array([f"quite new: {prompt}" for prompt in other.prompts], dtype=object))
    judged = evaluate(policy, kept_as(other, "none", featuriser))
    assert (judged.n, judged.trained_on) == (80, 0)
    assert "trained on none" not in judged.part
    assert "80 compared by hash or features" in judged.part


def test_features_of_another_featuriser_in_place_of_text_are_refused(trace: Trace, policy: Policy) -> None:
    with pytest.raises(BadInput, match=r"has no prompt, and its features were made by hashing-") as refused:
        evaluate(policy, kept_as(trace, "none", Hashing(16)))
    assert "\n" not in str(refused.value)


def test_a_bundle_of_an_older_record_is_refused(trace: Trace, policy: Policy) -> None:
    older = {**policy.metrics, "trained_on": {"prompts": 1, "keys": "0123456789ab"}}
    with pytest.raises(BadInput, match=r"does not say on which prompts .*; train it again"):
        evaluate(replace(policy, metrics=older), trace)


def test_the_public_function_is_the_one_of_the_command(trace: Trace, policy: Policy) -> None:
    judged = pointsman.evaluate(policy, trace)
    assert (judged.n, judged.trained_on) == (120, 480)
