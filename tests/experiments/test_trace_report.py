"""Caveats: what a reader must know about a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from env.trace import Trace
from env.trace_io import from_rows, read_trace
from experiments.cli import main
from experiments.trace_report import caveats, table


def rows(n: int = 120, **changes: Any) -> list[dict[str, Any]]:
    base = {"score": 0.5, "cost_usd": 0.1, "latency_s": 1.0}
    return [
        {"query_id": f"q{i}", "prompt": f"prompt {i}", "model": model, **base, "score": (i % 2) / 2, **changes}
        for i in range(n)
        for model in "ab"
    ]


def test_a_clean_trace_has_none(trace: Trace) -> None:
    assert caveats(trace) == []


def test_constant_arms_and_missing_columns_are_named() -> None:
    found = caveats(from_rows(rows(score=0.5, cost_usd=None)))
    assert "a is constant: its score is always 0.5" in found
    assert "cost_usd is not recorded for every scored cell: comparisons are on quality alone" in found


def test_columns_that_are_not_read_are_named_with_what_was_probably_meant() -> None:
    found = caveats(from_rows([{**row, "propensty": 0.5, "extra": 1} for row in rows()]))
    assert found[0].startswith("column propensty is not read; if propensity was meant, `pointsman trace import --map ")
    assert found[1] == "not part of a trace, and not read: extra"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    named = [{("latency_ms" if key == "latency_s" else key): value for key, value in row.items()} for row in rows(4)]
    pd.DataFrame([{**row, "extra": 1} for row in named]).to_csv(tmp_path / "theirs.csv", index=False)
    return tmp_path / "theirs.csv"


@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        ([], "column `latency_ms` is no part of a trace; is it `latency_s` (seconds)? --map latency_ms=latency_s ren"),
        (["latency_ms=latency"], "--map latency_ms=latency: a trace has no column `latency`; did you mean `latency_s`"),
        (["latency_ms=zzz"], "--map latency_ms=zzz: a trace has no column `zzz`; known: agent, attempt, available, "),
        (["model=", "latency_ms="], "column `model` is missing; a trace has query_id, task, prompt, model, score"),
    ],
)
def test_an_import_refuses_a_column_that_was_probably_meant(
    maps: list[str], expected: str, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = theirs.with_name("ours.parquet")
    arguments = ["trace", "import", str(theirs), "--out", str(out)]
    assert main([*arguments, *(word for pair in maps for word in ("--map", pair))]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_an_import_leaves_out_what_it_was_told_to(theirs: Path) -> None:
    out = theirs.with_name("ours.parquet")
    assert main(["trace", "import", str(theirs), "--out", str(out), "--map", "latency_ms="]) == 0
    assert not read_trace(out).has_latency


def test_gaps_are_counted() -> None:
    found = caveats(from_rows(rows()[:-1]))
    assert found == ["1 of 240 scores are missing; 119 of 120 queries have every model"]


def test_repeated_and_few_prompts_are_noted() -> None:
    found = caveats(from_rows(rows(20, prompt="the same")))
    assert "19 queries repeat a prompt of another; they share a split and count as one draw" in found
    assert "1 prompts are few: expect wide intervals" in found


def test_a_log_says_what_it_cannot_do() -> None:
    log = [{**row, "propensity": 0.5} for row in rows()[::2]]
    assert any(note.startswith("a log: only the chosen model was observed") for note in caveats(from_rows(log)))
    assert table(from_rows(log)).row_count == 1
