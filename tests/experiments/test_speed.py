"""The benchmarks of routers: what they tell and how they judge it, not how fast this machine is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.features import default_featuriser
from experiments.benchmarks import batches, prompts, regret, speed
from experiments.benchmarks.rounds import Problem

ROOT = Path(__file__).parents[2]


def result(**changed: float) -> dict[str, list[dict[str, Any]]]:
    """One row of each kind, all on the good side of their bars."""
    value = {"of_floor": 0.7, "peer": 1.0, "of_products": 1.2, "p50_us": 140.0, "float32": 10.002, **changed}
    wide = {"features": 384, "of_floor": value["of_floor"]}
    return {
        "rounds": [
            {**wide, "who": "linucb, compiled: replay", "rounds_per_s": 50.0},
            {**wide, "who": "obp LinUCB", "rounds_per_s": value["peer"]},
        ],
        "batches": [
            {"features": 384, "router": "linucb", "call": "act", "ms": 1.0, "of_products": value["of_products"]}
        ],
        "prompts": [
            {"router": "linucb", "featuriser": "default", "tokens": 12, "p50_us": value["p50_us"], "p99_us": 1e3},
            {"router": "linucb", "featuriser": "default", "tokens": 200, "p50_us": 1e6, "p99_us": 1e6},
        ],
        "regret": [{"features": 384, "rounds": 9, "float32": value["float32"], "float64": 10.0, "random": 99.0}],
    }


def test_what_clears_its_bar_has_met_it() -> None:
    rows = speed.bars(result())
    assert len(rows) == 5 and all(row["met"] for row in rows)


@pytest.mark.parametrize(
    "worse", [{"of_floor": 0.59}, {"peer": 1.3}, {"of_products": 1.31}, {"p50_us": 151.0}, {"float32": 10.006}]
)
def test_what_does_not_is_named(worse: dict[str, float]) -> None:
    missed = [row for row in speed.bars(result(**worse)) if not row["met"]]
    assert len(missed) == 1
    assert "**not met**" in speed.markdown(result(**worse))
    assert speed.table(missed).row_count == 1


def test_the_document_shows_the_run_that_was_made() -> None:
    measured = json.loads((ROOT / "docs" / "speed" / "rows.json").read_text())
    assert speed.markdown(measured) in (ROOT / "docs" / "speed.md").read_text()


def test_batches_are_set_beside_their_products() -> None:
    rows = batches.measure(sizes=(4,), n=1_200, passes=1)
    assert {(row["router"], row["call"]) for row in rows} == {
        (router, call) for router in ("linucb", "linear_thompson") for call in ("predict", "act")
    }
    assert all(row["ms"] > 0 and row["of_products"] > 0 for row in rows)
    assert batches.table(rows).row_count == 4


def test_prompts_have_the_tokens_they_are_said_to_have() -> None:
    rows = prompts.measure(["linucb"], times=2)
    assert [row["tokens"] for row in rows] == list(prompts.LENGTHS)
    assert all(0 < row["p50_us"] <= row["p99_us"] for row in rows) and prompts.table(rows).row_count == 3
    part = default_featuriser()._parts[0]  # type: ignore[attr-defined] # the embeddings, whose tokenizer counts
    for tokens in prompts.LENGTHS:
        assert len(part._model.tokenizer.encode(prompts.prompt_of(tokens), add_special_tokens=False).ids) == tokens


def test_regret_in_float32_is_that_of_float64() -> None:
    (row,) = regret.measure(sizes=(24,), n=3_000)
    assert row["float64"] < 0.5 * row["random"]
    assert row["float32"] == pytest.approx(row["float64"], rel=1e-3)
    assert regret.table([row]).row_count == 1


def test_the_float64_of_it_learns_what_it_chose() -> None:
    problem = Problem.drawn(3, n=600)
    arms = regret.exact(problem, alpha=0.3, ridge=1.0)
    best = problem.expected.max(axis=1)
    lost = best - problem.expected[np.arange(600), arms]
    assert lost[300:].mean() < 0.5 * lost[:100].mean()
