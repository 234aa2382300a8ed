"""Tasks, choices and savings of a comparison: the same as anybody finds who counts the decisions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from env.features import Featuriser
from env.trace import Trace
from experiments.bootstrap import Bootstrap
from experiments.compare import Report, compare
from experiments.evaluate import DIALS
from experiments.savings import saving
from experiments.slices import SHOWN_DIALS


@pytest.fixture(scope="module")
def compared(
    trace: Trace, featuriser: Featuriser, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Report, pd.DataFrame]:
    file = tmp_path_factory.mktemp("slices") / "decisions.parquet"
    report = compare([trace], ("ridge", "linucb"), seeds=2, featuriser=featuriser, decisions=file)[0]
    decided = pd.read_parquet(file).astype({"model": str, "query_id": str, "router": str})
    cells = pd.DataFrame(
        {
            "query_id": np.repeat(trace.query_ids.astype(str), trace.n_arms),
            "model": list(trace.arms) * len(trace),
            "task": np.repeat(trace.tasks, trace.n_arms),
            "score": trace.score.ravel(),
            "cost_usd": trace.cost_usd.ravel(),
        }
    )
    return report, decided.merge(cells, on=["query_id", "model"])


def test_every_task_can_be_recomputed_from_the_decisions(compared: tuple[Report, pd.DataFrame]) -> None:
    report, decided = compared
    assert report.slices is not None
    means = decided.groupby(["router", "task", "dial", "seed"])[["score", "cost_usd"]].mean()
    means = means.groupby(["router", "task", "dial"]).mean()
    prompts = decided.groupby("task").query_id.nunique()
    assert {task.name for task in report.slices.tasks} == {"add", "spell"}
    for task in report.slices.tasks:
        assert task.prompts == prompts[task.name]
        for router, parts in task.parts.items():
            for dial, part in zip(SHOWN_DIALS, parts, strict=True):
                row = means.loc[(router, task.name, dial)]
                assert part.score.value == pytest.approx(row.score, abs=1e-6)
                assert part.cost_usd == pytest.approx(row.cost_usd, rel=1e-5)
                assert part.score.low is not None and part.score.high is not None
                assert 0 <= part.score.low <= part.score.value <= part.score.high <= 1


def test_every_choice_can_be_counted_in_the_decisions(compared: tuple[Report, pd.DataFrame]) -> None:
    report, decided = compared
    assert report.slices is not None
    counted = decided.groupby(["router", "dial", "seed"]).model.value_counts(normalize=True).unstack(fill_value=0)
    counted = counted.groupby(["router", "dial"]).mean()
    for router, shares in report.slices.choices.items():
        expected = counted.loc[router].loc[list(DIALS), list(report.slices.arms)]
        np.testing.assert_allclose(shares, expected.to_numpy(), atol=1e-9)


def test_savings_can_be_read_off_the_pooled_curve(compared: tuple[Report, pd.DataFrame]) -> None:
    report, _ = compared
    best = report.entry("best_single")
    assert best is not None
    for entry in report.entries:
        found = entry.saving
        assert found is not None
        assert found.score == pytest.approx(best.score[-1]) and found.best_usd == pytest.approx(best.cost[-1])
        enough = entry.cost[entry.score >= best.score[-1] - 1e-9]
        if len(enough):
            assert found.usd == pytest.approx(found.best_usd - enough.min())
        else:
            assert found.usd is None


def test_a_router_that_gets_there_half_the_time_may_never_get_there() -> None:
    rng = np.random.default_rng(0)
    draws = Bootstrap.draw(np.arange(50), n_seeds=2, replicates=200)
    score = np.full((2, 201, 1), 0.8)
    score[:, 1:, 0] += rng.choice([-0.01, 0.01], size=200)
    shape = (2, 201)
    found = saving(np.full((2, 201, 1), 2.0), score, np.full(shape, 5.0), np.full(shape, 0.8), draws)
    assert found is not None
    assert (found.usd, found.low, found.high) == (3.0, None, 3.0)
    assert 0.4 < found.reached < 0.6


def test_savings_without_costs_are_none() -> None:
    draws = Bootstrap.draw(np.arange(50), n_seeds=1, replicates=10)
    none, one = np.full((1, 11, 2), np.nan), np.ones((1, 11))
    assert saving(none, np.ones((1, 11, 2)), one * np.nan, one, draws) is None


def test_rare_tasks_are_one_where_labels_are_many(trace: Trace, featuriser: Featuriser) -> None:
    labels = np.array([f"task {row % 100}" for row in range(len(trace))], dtype=object)
    report = compare([replace(trace, tasks=labels)], ("zero",), seeds=1, featuriser=featuriser)[0]
    assert report.slices is not None
    names = [task.name for task in report.slices.tasks]
    assert names[-1] == "40 other tasks" and len(names) <= 61
    unlabelled = replace(trace, tasks=np.full(len(trace), None, dtype=object))
    none = compare([unlabelled], ("zero",), seeds=1, featuriser=featuriser)[0].slices
    assert none is not None and none.tasks == ()


def test_every_row_is_told_from_the_best_simple_rule(compared: tuple[Report, pd.DataFrame]) -> None:
    report, _ = compared
    rule = report.entry(report.simple or "")
    assert rule is not None
    linucb = report.entry("linucb")
    assert linucb is not None
    gap = linucb.pooled["aiq"].value - rule.pooled["aiq"].value
    assert linucb.pooled[f"delta_aiq_{report.simple}"].value == pytest.approx(gap)
