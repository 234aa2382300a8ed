"""Caveats: what a reader must know about a trace."""

from __future__ import annotations

from typing import Any

from env.trace import Trace
from env.trace_io import from_rows
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
