"""Bandit logs from traces and arrays: what is taken, what is left out, and what is refused with the mend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.errors import BadInput
from env.trace import Trace
from env.trace_io import from_rows, read_trace, save_trace
from experiments.ope.logs import BanditLog


def row(number: int, model: str, score: float | None, propensity: float | None, **more: Any) -> dict[str, Any]:
    prompt = more.pop("prompt", f"prompt {number}")
    return {"query_id": f"q{number}", "prompt": prompt, "model": model, "score": score, "cost_usd": 0.01 * number,
            "propensity": propensity, **more}  # fmt: skip


ROWS = [row(0, "b", 1.0, 0.25), row(1, "a", 0.0, 0.75, prompt="prompt 0"), row(2, "b", 0.5, 0.5)]


def logged(*rows: dict[str, Any]) -> Trace:
    return from_rows(rows, name="mine")


def test_a_log_is_the_scored_arm_of_each_query() -> None:
    log = BanditLog.from_trace(logged(*ROWS))
    assert log.arms == ("b", "a")
    assert log.actions.tolist() == [0, 1, 0]
    assert log.rewards.tolist() == [1.0, 0.0, 0.5]
    assert log.propensities.tolist() == [0.25, 0.75, 0.5]
    assert log.groups.tolist() == [0, 0, 1]
    assert log.mask.all()
    assert (log.outcome, log.bounds, dict(log.left_out)) == ("score", (0.0, 1.0), {})


def test_costs_are_estimated_like_scores_but_have_no_bounds() -> None:
    log = BanditLog.from_trace(logged(*ROWS), outcome="cost_usd")
    np.testing.assert_allclose(log.rewards, [0.0, 0.01, 0.02], rtol=1e-6)
    assert log.bounds is None


def test_later_attempts_are_left_out(tmp_path: Path) -> None:
    failed = row(3, "b", None, 0.5, attempt=0, error="down")
    second = row(3, "a", 1.0, None, attempt=1)
    trace = logged(*({**one, "attempt": 0} for one in ROWS), failed, second)
    assert trace.skipped_attempts == 1
    with pytest.raises(BadInput, match=r"query q3: the score is NaN, as of 1 of 4 decisions; .*--unjudged drop"):
        BanditLog.from_trace(trace)
    log = BanditLog.from_trace(trace, unjudged="drop")
    assert log.rewards.tolist() == [1.0, 0.0, 0.5]
    assert dict(log.left_out) == {"not judged": 1}


def test_a_pinned_call_is_no_decision() -> None:
    log = BanditLog.from_trace(logged(*ROWS, row(3, "a", 1.0, None)))
    assert len(log) == 3
    assert dict(log.left_out) == {"no propensity (pinned by the caller)": 1}


def test_what_was_available_is_read_as_cells_and_as_the_runtime_writes_it() -> None:
    cells = logged(*ROWS)
    available = np.full((3, 2), None, dtype=object)
    available[2, 1] = False
    cells = replace(cells, cell_columns={**cells.cell_columns, "available": available})
    assert BanditLog.from_trace(cells).mask.tolist() == [[True, True], [True, True], [True, False]]
    lists = [{**one, "available": names} for one, names in zip(ROWS, (["a", "b"], ["a", "c"], ["b"]), strict=True)]
    log = BanditLog.from_trace(logged(*lists))
    assert log.arms == ("b", "a", "c")  # c could be chosen and never was
    assert log.mask.tolist() == [[True, True, False], [False, True, True], [True, False, False]]


def test_the_dial_of_each_caller_is_kept_where_all_have_one() -> None:
    with_dial = [{**one, "dial": 0.25} for one in ROWS]
    dials = BanditLog.from_trace(logged(*with_dial)).dials
    assert dials is not None
    assert dials.tolist() == [0.25] * 3
    assert BanditLog.from_trace(logged(with_dial[0], *ROWS[1:])).dials is None


def test_a_saved_log_is_the_same_log(tmp_path: Path) -> None:
    there = BanditLog.from_trace(logged(*ROWS))
    back = BanditLog.from_trace(read_trace(save_trace(logged(*ROWS), tmp_path / "log.parquet")))
    for name in ("actions", "rewards", "propensities", "mask", "groups"):
        np.testing.assert_array_equal(getattr(there, name), getattr(back, name))


def test_a_table_without_propensities_is_refused() -> None:
    bare = logged(*({**one, "propensity": None} for one in ROWS))
    for trace in (bare, replace(bare, cell_columns={})):
        with pytest.raises(BadInput, match=r"trace mine: no propensities; .*`pointsman serve` logs it"):
            BanditLog.from_trace(trace)


def test_a_full_table_is_refused() -> None:
    with pytest.raises(BadInput, match=r"query q0 has a score of several arms; .*`pointsman evaluate`"):
        BanditLog.from_trace(logged(*ROWS, row(0, "a", 0.5, 0.75)))


@pytest.mark.parametrize("propensity", [0.0, -0.1, 1.0001, float("inf")])
def test_a_propensity_that_is_no_probability_is_refused(propensity: float, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the chosen arm's probability is in \(0, 1\]"):
        logged(*ROWS, row(3, "a", 1.0, propensity))
    with pytest.raises(BadInput, match=r"row 1: propensity .*; the chosen arm's probability is in \(0, 1\]"):
        BanditLog.of(["a", "b"], actions=[0, 1], rewards=[0.0, 1.0], propensities=[0.5, propensity])


GOOD: dict[str, Any] = {"actions": [0, 1], "rewards": [0.0, 1.0], "propensities": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"propensities": [0.5, np.nan]}, r"row 1: propensity nan; the chosen arm's probability is in \(0, 1\]"),
        ({"rewards": [np.nan, 1.0]}, "row 0: reward nan; judge that answer, or leave decisions out"),
        ({"rewards": [0.0, 1.5]}, "row 1: reward 1.5; bounds say 0 to 1: rescale rewards"),
        ({"actions": [0, 2]}, r"row 1: arm 2; an arm is one of 0 \.\.\. 1"),
        ({"actions": [-1, 1]}, "row 0: arm -1"),
        ({"rewards": [1.0]}, r"rewards have shape \(1,\); \(2,\) is expected"),
        ({"mask": [[True, True], [True, False]]}, "row 1: arm 1; it was chosen, and the log says that it was not"),
        ({"actions": [], "rewards": [], "propensities": []}, "no decision is left to judge by"),
    ],
)
def test_what_no_log_can_hold_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        BanditLog.of(["a", "b"], **{**GOOD, **changes})
    assert "\n" not in str(caught.value)


def test_rewards_beyond_a_score_are_taken_where_their_bounds_are_given() -> None:
    log = BanditLog.of(["a", "b"], **{**GOOD, "rewards": [-3.0, 7.0]}, bounds=(-5.0, 10.0))
    assert log.take([1]).rewards.tolist() == [7.0]


def test_obp_and_back_is_the_same_log() -> None:
    log = BanditLog.of(
        ["0", "1", "2"],
        actions=[2, 0, 1],
        rewards=[1.0, 0.0, 0.5],
        propensities=[0.2, 0.5, 0.3],
        features=[[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]],
    )
    feedback = log.to_obp()
    assert {"n_rounds", "n_actions", "context", "action", "position", "reward", "pscore"} <= set(feedback)
    back = BanditLog.from_obp(feedback)
    assert back.arms == log.arms
    for name in ("actions", "rewards", "propensities", "features", "mask", "groups"):
        np.testing.assert_array_equal(getattr(back, name), getattr(log, name))
    with pytest.raises(BadInput, match="bandit_feedback: no pscore"):
        BanditLog.from_obp({**feedback, "pscore": None})
    with pytest.raises(BadInput, match="row 1: propensity 0"):
        BanditLog.from_obp({**feedback, "pscore": np.array([0.5, 0.0, 0.5])})


def test_what_obp_exports_of_a_trace_is_what_the_log_says() -> None:
    from env.sources.obp import to_bandit_feedback

    rows = [{**one, "features": [0.5, number], "featuriser": "f"} for number, one in enumerate(ROWS)]
    ours, theirs = BanditLog.from_trace(logged(*rows)).to_obp(), to_bandit_feedback(logged(*rows))
    for name in ("n_rounds", "n_actions", "context", "action", "reward", "pscore"):
        np.testing.assert_array_equal(ours[name], theirs[name])
