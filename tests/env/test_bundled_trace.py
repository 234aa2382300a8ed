"""The bundled trace is what its card says: complete, reproducible from its prompts, and worth routing."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from env.prompts import normalise
from env.trace import Trace
from env.trace_io import bundled_path, read_trace
from experiments.distill import BUNDLED
from experiments.tasks.__main__ import prompt_lines
from experiments.tasks.check import score
from instances.config import load_config
from instances.providers.custom import CustomModel


@pytest.fixture(scope="module")
def trace() -> Trace:
    return read_trace("bundled")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return pq.read_table(bundled_path()).to_pylist()


def hull(cost: np.ndarray, quality: np.ndarray) -> list[int]:
    """Arms on the upper hull of (mean cost, mean score), cheapest first."""
    kept: list[int] = []
    for arm in np.lexsort((-quality, cost)):
        if kept and quality[arm] <= quality[kept[-1]]:
            continue
        while len(kept) > 1 and _slope(cost, quality, kept[-2], kept[-1]) <= _slope(cost, quality, kept[-1], arm):
            kept.pop()
        kept.append(int(arm))
    return kept


def _slope(cost: np.ndarray, quality: np.ndarray, a: int, b: int) -> float:
    return float((quality[b] - quality[a]) / (cost[b] - cost[a]))


def test_it_is_large_enough_and_small_enough(trace: Trace) -> None:
    assert len(trace) >= 1500
    assert len(trace.arms) >= 4
    assert len(set(trace.tasks)) >= 8
    assert bundled_path().stat().st_size < 2_000_000


def test_every_call_was_answered_and_measured(rows: list[dict[str, object]]) -> None:
    for row in rows:
        assert row.get("error") is None
        assert row["response"] is not None
        assert min(float(str(row[name])) for name in ("input_tokens", "output_tokens", "cost_usd", "latency_s")) > 0
        # An answer that is empty or only ends has no token to give a probability to.
        assert row["logprob"] is None or float(str(row["logprob"])) <= 0
    assert sum(row["logprob"] is None for row in rows) < 0.01 * len(rows)


def test_prompts_are_the_generated_ones_and_each_is_there_once(trace: Trace) -> None:
    lines = [json.loads(line) for line in prompt_lines(len(trace))]
    assert [(line["query_id"], line["task"], line["prompt"]) for line in lines] == list(
        zip(trace.query_ids, trace.tasks, trace.prompts, strict=True)
    )
    assert len({normalise(prompt) for prompt in trace.prompts}) == len(trace)


def test_scores_follow_from_the_recorded_answers(rows: list[dict[str, object]]) -> None:
    checks = {line["query_id"]: line["check"] for line in map(json.loads, prompt_lines())}
    for row in rows:
        assert row["score"] == pytest.approx(score(checks[row["query_id"]], str(row["response"])))


def test_costs_follow_from_tokens_and_the_shipped_prices(rows: list[dict[str, object]]) -> None:
    prices = {instance.name: instance.price.price for instance in load_config().instances}
    assert {row["model"] for row in rows} == set(prices)
    for row in rows:
        stated = prices[str(row["model"])].cost(int(str(row["input_tokens"])), int(str(row["output_tokens"])))
        assert row["cost_usd"] == pytest.approx(stated)


def test_the_shipped_custom_model_still_gives_the_recorded_answers(trace: Trace) -> None:
    arm = trace.arms.index("custom-linear")
    said, _ = CustomModel.load(BUNDLED).predict(list(trace.prompts))
    recorded = trace.cell_columns["response"][:, arm]
    assert np.mean([a == b for a, b in zip(said, recorded, strict=True)]) > 0.999  # rounding may turn a tie


def test_it_is_worth_routing(trace: Trace) -> None:
    quality, cost = trace.score.mean(axis=0), trace.cost_usd.mean(axis=0, dtype=np.float64)
    oracle = trace.score.max(axis=1).mean()
    tasks = np.array(trace.tasks, dtype=str)
    per_task = sum(trace.score[tasks == t].mean(axis=0).max() * (tasks == t).mean() for t in set(tasks))
    assert len(hull(cost, quality)) >= 3
    assert oracle - quality.max() >= 0.08
    assert oracle - per_task >= 0.04
    best_arm = {t: int(trace.score[tasks == t].mean(axis=0).argmax()) for t in set(tasks)}
    assert len(set(best_arm.values())) >= 3  # no arm is the best everywhere
