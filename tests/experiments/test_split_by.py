"""Training and comparing on whole tasks, or later queries, that nothing was learned of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from env.trace import Trace
from env.trace_io import save_trace
from experiments.cli import main
from experiments.compare import compare
from experiments.folds import fold
from experiments.train import train


@pytest.fixture
def stamped(trace: Trace) -> Trace:
    """Of six tasks, and recorded newest first."""
    tasks = np.array([f"{task} {row % 3}" for row, task in enumerate(trace.tasks)], dtype=object)
    return replace(trace, tasks=tasks, query_columns={"timestamp": np.arange(len(trace))[::-1].astype(object)})


def test_seeds_hold_out_other_tasks(stamped: Trace) -> None:
    parts = [fold(stamped, seed, split_by="task", resample=True) for seed in range(4)]
    for part in parts:
        assert not set(part.train.tasks) & (set(part.test.tasks) | set(part.validation.tasks))
    assert len({frozenset(part.test.tasks) for part in parts}) > 1


def test_seeds_of_a_split_by_time_share_the_test_part_and_sample_what_came_before(stamped: Trace) -> None:
    parts = [fold(stamped, seed, split_by="time", resample=True) for seed in range(3)]
    newest = parts[0].test_index.tolist()
    for part in parts:
        assert part.test_index.tolist() == newest
        assert part.train.query_columns["timestamp"].min() >= 0
        assert part.train.query_columns["timestamp"].max() < part.test.query_columns["timestamp"].min()
    assert len({tuple(part.train.query_ids) for part in parts}) == 3


def test_a_comparison_says_what_was_held_out(stamped: Trace) -> None:
    for way, said in (("task", "whole tasks are held out"), ("time", "the newest queries are tested on")):
        (report,) = compare([stamped], ["ridge"], seeds=2, split_by=way)  # type: ignore[arg-type]  # a way from a tuple
        assert any(note.startswith(said) for note in report.notes)
        assert report.entry("ridge") is not None


def test_a_policy_is_trained_on_what_the_split_leaves(stamped: Trace) -> None:
    by_time, by_prompt = (train(stamped, "ridge", split_by=way) for way in ("time", "prompt"))
    assert by_time.version != by_prompt.version


def test_the_commands_take_it_and_refuse_another_word(
    stamped: Trace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(save_trace(stamped, tmp_path / "stamped.parquet"))
    out = ["--out", str(tmp_path / "out"), "--no-track"]
    assert main(["train", path, "--split-by", "time", *out]) == 0
    capsys.readouterr()
    for command in ("train", "compare"):
        assert main([command, path, "--split-by", "row", *out]) == 2
        assert capsys.readouterr().err == "error: --split-by row: it is `prompt`, `task` or `time`\n"
