"""A comparison tells what is true of the data, and every figure can be recomputed from its decisions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from env.errors import BadInput
from env.features import Featuriser
from env.trace import Trace
from env.trace_io import from_rows
from experiments.compare import Report, compare
from experiments.folds import featurised, fold
from experiments.report import is_sure, json_rows, table, verdict
from experiments.train import Feedback

ROUTERS = ("random", "zero", "placebo", "best_per_task", "ucb1", "linucb", "ridge")


@pytest.fixture(scope="module")
def compared(trace: Trace, featuriser: Featuriser, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    decisions = tmp_path_factory.mktemp("compared") / "decisions.parquet"
    return compare([trace], ROUTERS, seeds=2, decisions=decisions, featuriser=featuriser)[0], decisions


def test_a_router_that_can_tell_the_tasks_apart_beats_zero(compared: tuple[Report, Path]) -> None:
    entry = compared[0].entry("best_per_task")
    assert entry is not None
    assert verdict(entry) == "beats zero, placebo"
    assert entry.pooled["delta_aiq_zero"].value > 0.03


def test_routers_that_ignore_the_prompt_do_not_beat_zero(compared: tuple[Report, Path]) -> None:
    for name in ("random", "ucb1"):
        entry = compared[0].entry(name)
        assert entry is not None and not entry.pooled["delta_aiq_zero"].above_zero


def test_the_table_says_what_each_router_was_told(compared: tuple[Report, Path]) -> None:
    told = {entry.router: entry.feedback for entry in compared[0].entries}
    assert told["ridge"] is Feedback.FULL
    assert told["linucb"] is told["ucb1"] is Feedback.BANDIT
    assert told["random"] is Feedback.NONE
    assert told["fixed:large"] is told["oracle"] is None


def test_nothing_is_above_the_oracle(compared: tuple[Report, Path]) -> None:
    aiq = {entry.router: entry.pooled["aiq"].value for entry in compared[0].entries}
    assert max(aiq, key=lambda name: aiq[name]) == "oracle"


def test_rows_are_complete(compared: tuple[Report, Path]) -> None:
    rows = json_rows([compared[0]])
    assert list(rows[0]) == ["trace", "router", "seed", "metric", "value", "low", "high"]
    assert {row["seed"] for row in rows} == {None, 0, 1}
    names = {row["router"] for row in rows}
    assert {*ROUTERS, "fixed:small", "fixed:middle", "fixed:large", "best_single", "cheapest", "oracle"} <= names
    assert all(row["low"] is None for row in rows if row["seed"] is not None)
    pooled = [row for row in rows if row["metric"] == "aiq" and row["seed"] is None]
    assert all(row["low"] <= row["value"] <= row["high"] for row in pooled)


def test_decisions_hold_every_test_query_once_a_dial(compared: tuple[Report, Path]) -> None:
    decided = pd.read_parquet(compared[1])
    assert list(decided) == ["trace", "router", "seed", "dial", "query_id", "model", "propensity"]
    sizes = decided.groupby(["router", "seed", "dial"], observed=True).query_id.nunique()
    assert (sizes == compared[0].n_test[0]).all()
    assert len(decided) == sizes.sum()
    assert decided.propensity.between(0, 1, inclusive="right").all()


def test_a_report_names_exactly_what_was_evaluated(trace: Trace, featuriser: Featuriser) -> None:
    def evaluated(given: Trace, seeds: int, *routers: str) -> str:
        return compare([given], routers, seeds=seeds, featuriser=featuriser)[0].stream_hash

    once = evaluated(trace, 1, "zero")
    assert len(once) == 64
    assert evaluated(trace, 1, "ucb1") == once, "who is compared changes nothing about the stream"
    assert evaluated(trace, 2, "zero") != once
    test, train = (index[0] for index in (trace.split(0).test, trace.split(0).train))
    for row, same in ((train, True), (test, False)):
        score = trace.score.copy()
        score[row, 0] = 0.5
        assert (evaluated(replace(trace, score=score), 1, "zero") == once) is same


def test_the_same_seeds_give_the_same_numbers(
    compared: tuple[Report, Path], trace: Trace, featuriser: Featuriser
) -> None:
    again = compare([trace], ROUTERS, seeds=2, featuriser=featuriser)[0]

    assert again.rows() == compared[0].rows()


def test_a_trace_without_costs_is_compared_on_quality_alone(costless_trace: Trace, featuriser: Featuriser) -> None:
    report = compare([costless_trace], ("ridge",), seeds=1, featuriser=featuriser)[0]
    entry = report.entry("ridge")
    assert entry is not None and "aiq" not in entry.pooled
    assert entry.pooled["delta_score_zero"].low is not None
    assert set(entry.adjusted) == {"delta_score_zero", "delta_score_placebo"}
    assert not {"qnc", "cost_save", "audc", "hull_aiq", "gap_closed", "optimal_selection_at_dial_1"} & set(entry.pooled)
    assert {"peak", "perf_gain"} <= set(entry.pooled)
    assert report.entry("cheapest") is None
    assert any("costs are not recorded" in note for note in report.notes)
    assert table(report).row_count > 0


def test_when_the_best_arm_is_the_cheapest_the_report_says_so(featuriser: Featuriser) -> None:
    rows = [
        {"query_id": f"q{n}", "prompt": f"prompt {n}", "model": model, "score": score, "cost_usd": usd}
        for n in range(60)
        for model, score, usd in (("good", 0.9, 0.001), ("bad", 0.1, 0.01))
    ]
    report = compare([from_rows(rows)], ("ridge",), seeds=1, featuriser=featuriser)[0]
    assert any("also the cheapest" in note for note in report.notes)
    assert table(report).row_count > 0


@pytest.mark.parametrize(
    ("routers", "message"),
    [
        (("ridg",), "unknown router `ridg`; did you mean `ridge`?"),
        (("ridge", "ridge"), "router `ridge` is listed twice"),
    ],
)
def test_a_wrong_list_of_routers_is_refused(
    trace: Trace, tmp_path: Path, routers: tuple[str, ...], message: str
) -> None:
    with pytest.raises(BadInput, match=message.replace("?", r"\?")):
        compare([trace], routers, seeds=1, decisions=tmp_path / "decisions.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_log_cannot_be_compared_on(trace: Trace, featuriser: Featuriser, tmp_path: Path) -> None:
    rows = [{"query_id": f"q{n}", "prompt": f"p {n}", "model": "ab"[n % 2], "score": 1.0} for n in range(40)]
    with pytest.raises(BadInput, match="no validation query has a score for all 2 models"):
        compare([from_rows(rows)], ("ridge",), seeds=1, decisions=tmp_path / "d.parquet", featuriser=featuriser)
    assert list(tmp_path.iterdir()) == []


def parted(trace: Trace, *names: str) -> Trace:
    parts = np.array([names[row % len(names)] for row in range(len(trace))], dtype=object)
    return replace(trace, query_columns={"split": parts})


def test_where_all_parts_are_given_each_seed_learns_from_another_sample_of_the_training_part(
    trace: Trace, featuriser: Featuriser
) -> None:
    given = parted(trace, "train", "train", "validation", "test")
    folds = [fold(given, seed, resample=True) for seed in range(3)]
    trained = [set(part.train.query_ids) for part in folds]
    assert len({frozenset(ids) for ids in trained}) == 3
    assert all(len(ids) == len(part.train) == 240 for ids, part in zip(trained, folds, strict=True))
    for part in folds:
        assert set(part.train.query_ids) <= set(given.query_ids[given.split().train])
        assert part.validation.query_ids.tolist() == folds[0].validation.query_ids.tolist()
        assert part.test.query_ids.tolist() == folds[0].test.query_ids.tolist()
    again = fold(given, 1, resample=True)
    assert again.train.query_ids.tolist() == folds[1].train.query_ids.tolist()
    report = compare([given], ("ridge",), seeds=3, featuriser=featuriser)[0]
    scores = {row["value"] for row in report.rows() if (row["router"], row["metric"]) == ("ridge", "aiq")}
    assert len(scores) == 4, "three seeds that differ, and their mean"
    assert any("each seed learns from another 80 % of the training prompts" in note for note in report.notes)


def test_one_who_trains_a_policy_trains_it_on_all_that_was_given(trace: Trace) -> None:
    given = parted(trace, "train", "train", "validation", "test")
    assert fold(given, 1).train.query_ids.tolist() == given.query_ids[given.split().train].tolist()


def test_where_the_test_part_alone_is_given_the_seeds_divide_the_rest(trace: Trace, featuriser: Featuriser) -> None:
    given = parted(trace, "train", "train", "test")
    folds = [fold(given, seed, resample=True) for seed in range(2)]
    assert folds[0].train.query_ids.tolist() != folds[1].train.query_ids.tolist()
    assert all(len(part.train) + len(part.validation) == 400 for part in folds)
    report = compare([given], ("zero",), seeds=1, featuriser=featuriser)[0]
    assert any("seeds divide the other prompts into training and validation" in note for note in report.notes)
    assert not any("split" in note or "parts" in note for note in compare([trace], ("zero",), seeds=1)[0].notes)


def test_a_repeated_prompt_is_drawn_with_all_its_queries(trace: Trace) -> None:
    prompts = trace.prompts.copy()
    prompts[1::4] = prompts[0::4]
    given = parted(replace(trace, prompts=prompts), "train", "train", "validation", "test")
    part = fold(given, 0, resample=True)
    assert len(part.train) == 240
    assert len(np.unique(part.train.groups)) == 120


def test_rows_hold_no_times(compared: tuple[Report, Path]) -> None:
    assert not any(row["metric"] == "fit_s" for row in compared[0].rows())
    entry = compared[0].entry("ridge")
    assert entry is not None and entry.pooled["fit_s"].value > 0


def test_differences_are_told_from_any_router(trace: Trace, featuriser: Featuriser) -> None:
    report = compare([trace], ["ridge"], seeds=2, featuriser=featuriser, against=["ucb1"])[0]
    areas = {entry.router: entry.pooled["aiq"].value for entry in report.entries}
    for entry in report.entries:
        told = entry.pooled["delta_aiq_ucb1"]
        assert told.value == pytest.approx(areas[entry.router] - areas["ucb1"])
    ridge, itself = report.entry("ridge"), report.entry("ucb1")
    assert ridge is not None and ridge.pooled["delta_aiq_ucb1"].above_zero
    assert itself is not None and itself.pooled["delta_aiq_ucb1"].high == 0
    assert [str(column.header) for column in table(report).columns].count("over\nucb1") == 1


def test_a_log_without_text_leaves_out_what_is_fitted_on_words(trace: Trace, featuriser: Featuriser) -> None:
    kept = featurised(trace, featuriser)
    report = compare([replace(kept, prompts=np.full(len(trace), None, dtype=object))], ["ridge"], seeds=1,
                     featuriser=featuriser)[0]  # fmt: skip
    assert report.entry("tfidf_ridge") is None
    assert report.entry("ridge") is not None
    assert any("not kept" in note for note in report.notes)


def test_a_verdict_that_does_not_hold_with_all_the_others_is_marked(compared: tuple[Report, Path]) -> None:
    entry = compared[0].entry("ridge")
    assert entry is not None and is_sure(entry) and set(entry.adjusted) == {"delta_aiq_zero", "delta_aiq_placebo"}
    doubtful = replace(entry, adjusted={**entry.adjusted, "delta_aiq_placebo": 0.2})
    assert verdict(doubtful) == "beats zero, placebo" and not is_sure(doubtful)
    others = tuple(doubtful if one.router == "ridge" else one for one in compared[0].entries)
    cells = [str(cell) for cell in table(replace(compared[0], entries=others)).columns[-1].cells]
    assert "beats zero, placebo*" in cells and "beats zero, placebo" in cells


def test_a_dial_that_changes_nothing_is_told(featuriser: Featuriser) -> None:
    """The better model is the cheaper one: whatever the dial says, it is taken."""
    rows = [
        {"query_id": f"q{n}", "prompt": f"p {n}", "model": model, "score": score, "cost_usd": usd}
        for n in range(60)
        for model, score, usd in (("good", 0.9, 0.001), ("bad", 0.1, 0.01))
    ]
    report = compare([from_rows(rows)], ("zero",), seeds=1, featuriser=featuriser)[0]
    (told,) = (note for note in report.notes if "the same choices at every dial" in note)
    assert "zero" in told.split(":")[0].split(", ") and "random" not in told.split(":")[0]
    assert "random ignores the dial: its points differ by their draws alone" in report.notes
