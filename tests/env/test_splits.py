"""Splits by prompt, by whole tasks and by time: what is held out is never learned from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import env  # noqa: F401 - registers the ids
from env.errors import BadInput
from env.features import Hashing
from env.splits import Split, times
from env.trace import Trace
from env.trace_io import from_rows
from env.trace_table import trace_table

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def asked(prompts: list[str], **columns: list[Any]) -> Trace:
    rows = [
        {"query_id": f"q{row}", "prompt": prompt, "model": "a", "score": 0.5}
        | {name: values[row] for name, values in columns.items()}
        for row, prompt in enumerate(prompts)
    ]
    return from_rows(rows)


def parts(split: Split) -> list[np.ndarray]:
    return [split.train, split.validation, split.test]


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Prompts that repeat, with tasks and times that may not agree with them."""
    n = draw(st.integers(12, 40))
    prompts = draw(st.lists(st.sampled_from([f"prompt {number}" for number in range(30)]), min_size=n, max_size=n))
    tasks = draw(st.lists(st.sampled_from("abcdef"), min_size=n, max_size=n))
    stamps = draw(st.lists(st.integers(0, 50), min_size=n, max_size=n))
    return asked(prompts, task=tasks, timestamp=stamps)


@given(trace=traces(), by=st.sampled_from(["prompt", "task", "time"]), seed=st.integers(0, 50))
@settings(max_examples=120, deadline=None)
def test_no_prompt_no_held_out_task_and_no_later_moment_is_learned_from(trace: Trace, by: Any, seed: int) -> None:
    try:
        split = trace.split(seed, by=by)
    except BadInput as error:
        assert "after the split by" in str(error) or "holds whole tasks out" in str(error)
        return
    prompts = [set(trace.prompts[rows]) for rows in parts(split)]
    assert not (prompts[0] & prompts[1] or prompts[0] & prompts[2] or prompts[1] & prompts[2])
    rows = np.concatenate(parts(split))
    assert len(set(rows.tolist())) == len(rows)
    again = trace.split(seed, by=by)
    assert all(np.array_equal(*pair) for pair in zip(parts(split), parts(again), strict=True))
    if by == "task":
        tasks = [set(trace.tasks[rows]) for rows in parts(split)]
        assert not (tasks[0] & tasks[1] or tasks[0] & tasks[2] or tasks[1] & tasks[2])
    if by == "time":
        stamps = trace.query_columns["timestamp"]
        spans = [(min(stamps[rows]), max(stamps[rows])) for rows in parts(split)]
        assert spans[0][1] < spans[1][0]
        assert spans[1][1] < spans[2][0]


def test_whole_tasks_are_held_out_and_the_seed_says_which() -> None:
    trace = asked([f"prompt {row}" for row in range(40)], task=[f"task {row % 10}" for row in range(40)])
    split = trace.split(0, by="task")
    assert [len(set(trace.tasks[rows])) for rows in parts(split)] == [6, 2, 2]
    assert sum(len(rows) for rows in parts(split)) == 40
    assert len({frozenset(trace.tasks[trace.split(seed, by="task").test]) for seed in range(8)}) > 1
    few = trace.take(np.flatnonzero(np.isin(trace.tasks.astype(str), ["task 0", "task 1", "task 2"])))
    assert [len(set(few.tasks[rows])) for rows in parts(few.split(0, by="task"))] == [1, 1, 1]


def test_a_prompt_that_stands_in_a_held_out_task_too_is_not_trained_on() -> None:
    trace = asked([f"prompt {row % 10}" for row in range(30)], task=[f"task {row // 10}" for row in range(30)])
    with pytest.raises(BadInput, match="no training prompts after the split by task; too many prompts stand in sev"):
        trace.split(0, by="task")
    names = [f"prompt {row}" for row in range(29)]
    trace = asked([*names, "Prompt  0"], task=[f"task {row // 10}" for row in range(30)])
    for seed in range(6):
        split = trace.split(seed, by="task")
        assert not {0, 29} <= set(np.concatenate(parts(split)).tolist()), "one of the two is left out"


@pytest.mark.parametrize(
    "stamps",
    [
        [(NOON + timedelta(hours=hour)).isoformat() for hour in range(10)],
        # Sorted as text, these would come in another order.
        [(NOON + timedelta(hours=h)).astimezone(timezone(timedelta(hours=-h))).isoformat() for h in range(10)],
        [(NOON + timedelta(hours=hour)).replace(tzinfo=None) for hour in range(10)],
        [NOON + timedelta(hours=hour) for hour in range(10)],
        [date(2026, 3, day + 1) for day in range(10)],
        [8.5, 9, 10, 11, 12, 13, 14, 15, 16, 1000],
        ["8.5", "9", "10", "11", "12", "13", "14", "15", "16", "1000"],
    ],
)
def test_time_is_told_from_dates_texts_and_numbers(stamps: list[Any]) -> None:
    order = np.random.default_rng(0).permutation(10)
    table = asked([f"prompt {row}" for row in range(10)])
    column = np.empty(10, dtype=object)
    for row, place in enumerate(order):
        column[row] = stamps[place]
    trace = replace(table, query_columns={"timestamp": column})
    assert np.argsort(times(trace)).tolist() == np.argsort(order).tolist()
    split = trace.split(0, by="time")
    assert [sorted(order[rows]) for rows in parts(split)] == [[0, 1, 2, 3, 4, 5], [6, 7], [8, 9]]


def test_a_prompt_that_comes_again_later_is_left_to_the_later_part() -> None:
    trace = asked([f"prompt {row}" for row in range(9)] + ["Prompt  0"], timestamp=list(range(10)))
    assert [rows.tolist() for rows in parts(trace.split(by="time"))] == [[1, 2, 3, 4, 5], [6, 7], [8, 9]]


def test_queries_of_one_moment_stay_together() -> None:
    trace = asked([f"prompt {row}" for row in range(10)], timestamp=[0, 1, 2, 3, 4, 4, 4, 7, 8, 9])
    assert [rows.tolist() for rows in parts(trace.split(by="time"))] == [[0, 1, 2, 3, 4, 5, 6], [7], [8, 9]]


def test_a_given_split_is_of_prompts_alone() -> None:
    given_parts = ["test"] * 4 + ["train"] * 12
    tasks, stamps = [f"task {row % 4}" for row in range(16)], list(range(16))
    trace = asked([f"prompt {row}" for row in range(16)], split=given_parts, task=tasks, timestamp=stamps)
    assert trace.split(0).test.tolist() == [0, 1, 2, 3]
    assert trace.split(0, by="time").test.tolist() == [13, 14, 15]
    assert len(set(trace.tasks[trace.split(0, by="task").test])) == 1


@pytest.mark.parametrize(
    ("columns", "settings", "expected"),
    [
        ({}, {"by": "tsak"}, "a split is by prompt, task or time, not by 'tsak'; did you mean `task`?"),
        ({}, {"by": "task"}, "query q0 has no task, so whole tasks cannot be held out; name the tasks, or split by p"),
        ({"task": ["a", "b"] * 5}, {"by": "task"}, "needs 3 or more; it has 2; split by prompt"),
        ({}, {"by": "time"}, "no column `timestamp`; record when each query came, or split by prompt"),
        ({"timestamp": [1, 2, None] + [3] * 7}, {"by": "time"}, "query q2 has no timestamp; fill it in, or leave th"),
        ({"timestamp": ["noon"] * 10}, {"by": "time"}, "query q0 has timestamp 'noon', which is no ISO date and no nu"),
        ({"timestamp": ["2026-01-01"] * 9 + ["7"]}, {"by": "time"}, "query q9 has timestamp '7', and query q0 '2026-"),
        ({"timestamp": [5] * 10}, {"by": "time"}, "no validation prompts after the split by time; it needs more prom"),
        ({"split": ["train"] * 10}, {}, "no test prompts after the split by prompt; mark some in the column `split`"),
        ({}, {"fractions": (0.5, -0.1, 0.6)}, "fractions are three shares above 0, for training, validation and test"),
    ],
)
def test_a_split_that_cannot_be_made_says_what_would_help(
    columns: dict[str, list[Any]], settings: dict[str, Any], expected: str
) -> None:
    with pytest.raises(BadInput) as caught:
        asked([f"prompt {row}" for row in range(10)], **columns).split(**settings)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_environments_take_every_way_to_split(small_trace: Trace) -> None:
    test = trace_table(small_trace, part="test", split_by="task", split_seed=1, featuriser=Hashing(8))
    held_out = set(small_trace.tasks[small_trace.split(1, by="task").test])
    assert len(held_out) == 1
    assert set(small_trace.tasks[np.isin(small_trace.query_ids, test.query_ids)]) == held_out
    stamped = replace(small_trace, query_columns={"timestamp": np.arange(60)[::-1].astype(object)})
    made = gym.make("pointsman/Routing-v0", trace=stamped, part="test", split_by="time", featuriser=Hashing(8))
    _, info = made.reset(seed=0)
    assert info["query_id"] in set(stamped.query_ids[:12])
    with pytest.raises(BadInput, match="no column `timestamp`"):
        gym.make("pointsman/Routing-v0", trace=small_trace, split_by="time")


@pytest.mark.parametrize(
    "env_id", ["pointsman/Routing-v0", "pointsman/RoutingTraffic-v0", "pointsman/RoutingBudget-v0"]
)
@pytest.mark.parametrize("vector", [False, True])
def test_every_environment_refuses_a_trace_it_cannot_use_in_one_line(
    small_trace: Trace, env_id: str, vector: bool
) -> None:
    features = np.zeros((60, 4), dtype=np.float32)
    features[7, 2] = np.nan
    score = small_trace.score.copy()
    score[small_trace.split(0).train, 2] = np.nan
    untested = {"split": np.array(["train"] * 60, dtype=object)}
    refused: dict[str, dict[str, Any]] = {
        "query q7: feature 2 of mine is nan; mend it": {
            "trace": replace(small_trace, features=features, featuriser="mine"),
            "part": "all",
        },
        "arm `large` has no observed outcome; leave it out": {"trace": replace(small_trace, score=score)},
        "no test prompts after the split by prompt; mark some": {"trace": replace(small_trace, query_columns=untested)},
    }
    for expected, asked_for in refused.items():
        with pytest.raises(BadInput) as caught:
            if vector:
                gym.make_vec(env_id, num_envs=2, vectorization_mode="vector_entry_point", **asked_for)
            else:
                gym.make(env_id, **asked_for)
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("by", ["prompt", "task", "time"])
def test_shares_may_add_up_to_anything(by: Any) -> None:
    n = 100
    trace = asked([f"p {row}" for row in range(n)], task=[f"t{row % 10}" for row in range(n)], timestamp=list(range(n)))
    expected = parts(trace.split(3, (0.6, 0.2, 0.2), by))
    assert [len(rows) for rows in expected] == [60, 20, 20]
    for shares in ((6, 2, 2), (60.0, 20.0, 20.0), (0.3, 0.1, 0.1)):
        assert all(np.array_equal(*pair) for pair in zip(parts(trace.split(3, shares, by)), expected, strict=True))
    for wrong in ((1, 0, 0), (0.6, 0.6, -0.2), (0.5, 0.5, float("nan")), (1, 1, float("inf")), (0.8, 0.2)):
        with pytest.raises(BadInput, match="fractions are three shares above 0"):
            trace.split(3, wrong, by)
