"""A policy judged on a log, from Python and from the command line, and every input that is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.errors import BadInput
from env.features import Hashing
from env.trace import Trace
from env.trace_io import from_rows, save_trace
from experiments.cli import main
from experiments.ope.evaluation import evaluate
from experiments.ope.judge import off_policy, table
from experiments.ope.logs import BanditLog
from experiments.ope.target import checked_law, law_of
from routers.policy import Policy, new_policy

ARMS = ("small", "large")
CHANCES = (0.7, 0.3)


def logged(n: int = 1500, *, chances: Sequence[float] = CHANCES, seed: int = 0, **columns: Any) -> Trace:
    """`large` answers well nine times of ten, `small` every second time; large was chosen in three of ten."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        arm = int(rng.random() < chances[1])
        score = float(rng.random() < (0.9 if arm else 0.5))
        row = {"query_id": f"q{number}", "prompt": f"question {number}", "model": ARMS[arm], "score": score}
        rows.append({**row, "cost_usd": 0.01 if arm else 0.001, "propensity": chances[arm], **columns})
    return from_rows(rows, name="log")


def always(arm: int, arms: Sequence[str] = ARMS) -> Policy:
    return new_policy("fixed", arms, Hashing(16), arm=arm)


def test_a_better_policy_is_found_out_from_the_log_of_another() -> None:
    score, cost = off_policy(always(1), logged())
    assert set(score.estimates) == {"ips", "snips", "dr", "switch_dr"}
    for name, found in score.estimates.items():
        assert found.interval.holds(0.9), name
        assert found.value == pytest.approx(0.9, abs=0.06), name
    assert score.verdict.startswith("more than what the log brought: score +0.2")
    assert cost.estimates["snips"].value == pytest.approx(0.01, rel=1e-4)
    assert cost.estimates["ips"].bernstein is None  # no bound on a cost is known
    assert cost.estimates["ips"].anytime is None
    anytime, bernstein = score.estimates["ips"].anytime, score.estimates["ips"].bernstein
    assert anytime is not None
    assert bernstein is not None
    assert anytime.holds(0.9)
    assert bernstein.holds(0.9)
    assert "the log itself" in str(table(score).columns[0]._cells)


def test_the_policy_that_logged_is_no_different_from_its_log() -> None:
    log = BanditLog.from_trace(logged())
    found = evaluate(log, checked_law(CHANCES, log), estimators=["snips"])
    assert found.estimates["snips"].value == pytest.approx(log.rewards.mean())
    assert found.gain is not None
    assert found.gain.value == pytest.approx(0, abs=1e-12)
    assert found.verdict.startswith("no difference from what the log brought can be told")


def test_prompts_that_the_policy_was_trained_on_are_left_out() -> None:
    from experiments.seen import Seen

    trace = logged(600)
    known = Seen.of(trace.take(np.arange(200))).to_json()
    policy = replace(always(1), metrics={"trained_on": known})
    found = off_policy(policy, trace)[0]
    assert found.overlap.n == 400
    assert "200 left out: the policy was trained on such prompts" in found.overlap.caveats
    with pytest.raises(BadInput, match="the policy was trained on the prompts of all 200 queries"):
        off_policy(policy, trace.take(np.arange(200)))


def test_the_law_is_that_of_the_policy_on_the_arms_of_the_log() -> None:
    log = BanditLog.from_trace(logged(20))
    columns = {name: column for column, name in enumerate(log.arms)}
    law = law_of(always(0, ("large", "small")), log)
    assert law[:, columns["large"]].tolist() == [1.0] * 20
    random = new_policy("random", ARMS, Hashing(16))
    np.testing.assert_allclose(law_of(random, log, explore=True), 0.5)


def test_arms_that_were_not_available_are_not_chosen() -> None:
    trace = logged(30)
    mask = np.full((30, 2), None, dtype=object)
    shut = ~trace.observed[:, trace.arms.index("large")]
    mask[shut, trace.arms.index("large")] = False
    log = BanditLog.from_trace(replace(trace, cell_columns={**trace.cell_columns, "available": mask}))
    law = law_of(new_policy("random", trace.arms, Hashing(16)), log, explore=True)
    assert (law[~log.mask] == 0).all()
    np.testing.assert_allclose(law.sum(axis=1), 1)


def test_arms_that_differ_are_refused_with_the_mend() -> None:
    log = BanditLog.from_trace(logged(20))
    with pytest.raises(BadInput, match=r"the policy's arms differ from the log's: huge is not in it .*; log with that"):
        law_of(always(0, ("small", "large", "huge")), log)
    with pytest.raises(BadInput, match=r"it has no large; .* \(retired=\.\.\., --retired large\)"):
        law_of(always(0, ("small",)), log)
    law = law_of(always(0, ("small",)), log, retired=["large"])
    assert law[:, log.arms.index("small")].tolist() == [1.0] * 20


def test_a_row_without_any_arm_of_the_policy_is_named() -> None:
    log = BanditLog.of(["a", "b"], actions=[1], rewards=[0.5], propensities=[1.0], mask=[[False, True]], features=[[0]])
    with pytest.raises(BadInput, match="row 0: none of the policy's arms was available"):
        law_of(always(0, ("a",)), log, retired=["b"])


@pytest.mark.parametrize(
    ("law", "said"),
    [
        ([[0.5, 0.5]], r"has shape \(1, 2\); \(2, 2\) is expected"),
        ([[0.5, 0.4], [0.5, 0.5]], r"row 0: the policy's law is \[0.5, 0.4\]; probabilities .* add up to 1"),
        ([[0.5, 0.5], [-0.5, 1.5]], "row 1: the policy's law is"),
        ([[0.5, 0.5], [np.nan, 1.0]], "row 1: the policy's law is"),
    ],
)
def test_a_law_that_is_none_is_refused(law: Any, said: str) -> None:
    log = BanditLog.of(["a", "b"], actions=[0, 1], rewards=[0, 1], propensities=[0.5, 0.5])
    with pytest.raises(BadInput, match=said):
        checked_law(law, log)


def test_a_model_needs_something_to_go_by() -> None:
    log = BanditLog.of(["a", "b"], actions=[0, 1], rewards=[0, 1], propensities=[0.5, 0.5])
    with pytest.raises(BadInput, match=r"neither features nor prompts .*\(ips, snips\)"):
        evaluate(log, checked_law([0.5, 0.5], log), estimators=["dr"])
    assert set(evaluate(log, checked_law([0.5, 0.5], log), estimators=["ips"]).estimates) == {"ips"}
    with pytest.raises(BadInput, match="no estimator `drr`; did you mean `dr`"):
        evaluate(log, checked_law([0.5, 0.5], log), estimators=["drr"])


def test_where_support_is_missing_nothing_is_estimated() -> None:
    trace = logged(60)
    only_small = trace.take(np.flatnonzero(trace.observed[:, trace.arms.index("small")]))
    found = off_policy(always(1), only_small)[0]
    assert found.estimates == {}
    assert found.verdict == (
        "not estimated: 100 % of the decisions would go to `large`, which the log never chose; log with some "
        "exploration"
    )


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return always(1).save(tmp_path / "bundle")


def saved(trace: Trace, folder: Path) -> str:
    return str(save_trace(trace, folder / "log.parquet"))


def ran(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([*map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_command_says_it_in_words_and_numbers(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = saved(logged(), tmp_path)
    status, out, _ = ran(capsys, "ope", log, "--policy", bundle)
    assert status == 0
    for word in ("snips", "switch_dr", "the log itself", "more than what the log brought", "cost_usd", "weights: mean"):
        assert word in out
    status, out, _ = ran(capsys, "ope", log, "--policy", bundle, "--estimators", "all", "--json")
    score, cost = json.loads(out)
    assert set(score["estimates"]) == {"dm", "ips", "clipped_ips", "snips", "dr", "switch_dr", "mrdr"}
    assert score["estimates"]["snips"]["low"] < 0.9 < score["estimates"]["snips"]["high"]
    assert (score["outcome"], cost["outcome"]) == ("score", "cost_usd")
    assert score["overlap"]["refusal"] is None


def test_a_refusal_fails_and_says_why(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certain = logged()
    certain.cell_columns["propensity"][certain.observed] = 1.0
    status, out, _ = ran(capsys, "ope", saved(certain, tmp_path), "--policy", bundle)
    assert status == 1
    assert out.startswith("not estimated: every propensity is 1: whoever logged never explored")
    status, out, _ = ran(capsys, "ope", tmp_path / "log.parquet", "--policy", bundle, "--json")
    assert status == 1
    assert json.loads(out)[0]["overlap"]["refusal"].startswith("every propensity is 1")


def test_every_bad_input_is_one_line_with_the_mend(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = logged(50)
    log = saved(trace, tmp_path)
    other = always(0, ("tiny", "huge")).save(tmp_path / "other")
    unjudged = trace.take(np.arange(50))
    unjudged.score[3] = np.nan
    bare = replace(trace, cell_columns={})
    table = {
        name: str(save_trace(one, tmp_path / f"{name}.parquet")) for name, one in (("bare", bare), ("nan", unjudged))
    }
    rows = {"over": 1.2, "zero": 0.0}
    for name, propensity in rows.items():
        lines = ["query_id,task,prompt,model,score,input_tokens,output_tokens,cost_usd,latency_s,propensity"]
        lines += [f"q1,,hi,small,1,,,,,{propensity}"]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    for arguments, said in (
        (["ope", table["bare"], "--policy", bundle], "no propensities; off-policy estimates need"),
        (["ope", table["nan"], "--policy", bundle], "the score is NaN, as of 1 of 50 decisions; judge the answers"),
        (["ope", tmp_path / "over.csv", "--policy", bundle], "the chosen arm's probability is in (0, 1]"),
        (["ope", tmp_path / "zero.csv", "--policy", bundle], "the chosen arm's probability is in (0, 1]"),
        (["ope", log, "--policy", other], "the policy's arms differ from the log's: tiny, huge"),
        (["ope", log, "--policy", bundle, "--estimators", "ipsy"], "no estimator `ipsy`; did you mean `ips`"),
        (["ope", log, "--policy", bundle, "--unjudged", "skip"], "--unjudged skip: it is `error` or `drop`"),
        (["ope", log, "--policy", bundle, "--least-propensity", "0"], "it is a probability above 0"),
        (["ope", log, "--policy", tmp_path / "none"], "not a policy bundle"),
    ):
        status, _, err = ran(capsys, *arguments)
        assert status == 2, said
        assert said in err
        assert err.startswith("error: ")
        assert err.count("\n") == 1
    status, out, _ = ran(capsys, "ope", table["nan"], "--policy", bundle, "--unjudged", "drop")
    assert status == 0
    assert "1 left out: not judged" in out
