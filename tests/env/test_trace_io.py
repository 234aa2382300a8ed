"""Traces on disk: what is written comes back, and every wrong value is named by file, row and column."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env.errors import BadInput
from env.trace import Trace
from env.trace_io import REQUIRED, from_rows, likely_meant, read_trace, save_trace, to_table, write_table

ROW: dict[str, Any] = {
    "query_id": "q1",
    "task": "sums",
    "prompt": "2 + 2?",
    "model": "small",
    "score": 0.5,
    "input_tokens": 5,
    "output_tokens": 1,
    "cost_usd": 0.001,
    "latency_s": 0.2,
}


def parquet(folder: Path, *rows: dict[str, Any], **extra: Any) -> Path:
    path = folder / "trace.parquet"
    pq.write_table(pa.Table.from_pylist([{**ROW, **row, **extra} for row in rows]), path)
    return path


def jsonl(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "trace.jsonl"
    path.write_text("".join(json.dumps({**ROW, **row}) + "\n" for row in rows))
    return path


def csv(folder: Path, *lines: str, extra: str = "") -> Path:
    path = folder / "trace.csv"
    path.write_text("\n".join([",".join(REQUIRED) + extra, *lines]) + "\n")
    return path


def same(one: Trace, other: Trace) -> None:
    assert one.arms == other.arms
    for name in ("query_ids", "tasks", "prompts"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    for name in ("score", "cost_usd", "latency_s", "input_tokens", "output_tokens"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name
    for columns in ("query_columns", "cell_columns"):
        mine, theirs = getattr(one, columns), getattr(other, columns)
        assert {key: value.tolist() for key, value in mine.items()} == {k: v.tolist() for k, v in theirs.items()}
    assert (one.features is None) == (other.features is None)
    if one.features is not None:
        assert np.array_equal(one.features, other.features)
    assert one.featuriser == other.featuriser
    assert one.hash == other.hash


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
numbers = st.one_of(st.none(), st.floats(0, 1, width=32))


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Traces with gaps, any text and optional columns; of each query something is recorded."""
    arms = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
    ids = draw(st.lists(texts, min_size=1, max_size=6, unique=True))
    features = draw(st.booleans())
    rows = []
    for number, query_id in enumerate(ids):
        shown: dict[str, Any] = {
            "query_id": query_id,
            "prompt": draw(texts if not features else st.one_of(st.none(), texts)),
            "task": draw(st.one_of(st.none(), texts)),
            "split": draw(st.sampled_from(["train", "test", None])),
        }
        if features:
            shown |= {"features": [float(number), -0.5], "featuriser": "mine"}
        for arm in draw(st.lists(st.sampled_from(arms), min_size=1, unique=True)):
            outcome = {name: draw(numbers) for name in ("score", "cost_usd", "latency_s", "input_tokens")}
            rows.append(
                {**shown, **outcome, "model": arm, "output_tokens": 1.0, "response": draw(st.one_of(st.none(), texts))}
            )
    return from_rows(rows)


@given(trace=traces())
@settings(max_examples=60, deadline=None)
def test_a_trace_comes_back_from_parquet_as_it_was(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = save_trace(trace, tmp_path_factory.mktemp("round") / "trace.parquet")
    same(replace(read_trace(path), name=trace.name), trace)


def test_gaps_do_not_reorder_the_arms(gappy_trace: Trace, tmp_path: Path) -> None:
    turned = gappy_trace.select_arms(["large", "tiny", "spam-filter", "small"])
    assert read_trace(save_trace(turned, tmp_path / "turned.parquet")).arms == turned.arms
    nothing = np.full_like(turned.score, np.nan)
    nothing[:, 2] = 0.5
    lone = replace(
        turned, **dict.fromkeys(("score", "cost_usd", "latency_s", "input_tokens", "output_tokens"), nothing)
    )
    assert read_trace(save_trace(lone, tmp_path / "lone.parquet")).arms == turned.arms


def test_cells_without_a_score_keep_what_else_was_recorded(tmp_path: Path) -> None:
    nulls = dict.fromkeys(("score", "input_tokens", "output_tokens", "cost_usd", "latency_s"))
    trace = from_rows([{**ROW, **nulls, "latency_s": 3.0}, {**ROW, **nulls, "model": "b", "error": "timeout"}])
    back = read_trace(save_trace(trace, tmp_path / "trace.parquet"))
    assert back.latency_s[0, 0] == 3.0
    assert back.cell_columns["error"][0].tolist() == [None, "timeout"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_csv_and_jsonl_hold_the_same_trace(kind: str, small_trace: Trace, tmp_path: Path) -> None:
    frame = to_table(small_trace).to_pandas()
    path = tmp_path / f"small.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_json(
        path, orient="records", lines=True, double_precision=15
    )
    same(read_trace(path), small_trace)


def test_text_stays_text(tmp_path: Path) -> None:
    lines = ["007,,12,a,0.5,1,1,0.1,1", '7,,"say\n""13""",a,,1,1,0.1,1']
    trace = read_trace(csv(tmp_path, *lines))
    assert trace.query_ids.tolist() == ["007", "7"]
    assert trace.prompts.tolist() == ["12", 'say\n"13"']
    assert trace.tasks.tolist() == [None, None]
    assert np.isnan(trace.score[1, 0])
    assert read_trace(jsonl(tmp_path, {"query_id": 7}, {"query_id": 8})).query_ids.tolist() == ["7", "8"]


def test_long_prompts_and_pandas_categories_are_read(tmp_path: Path) -> None:
    long = "x" * 3_000_000
    assert read_trace(jsonl(tmp_path, {"prompt": long}, {"query_id": "q2", "prompt": long + "y"})).prompts[0] == long
    frame = pd.DataFrame([{**ROW, "model": "b"}, ROW, {**ROW, "query_id": "q2"}])
    for column in ("query_id", "model", "prompt", "task"):
        frame[column] = frame[column].astype("category")
    frame.to_parquet(tmp_path / "categories.parquet")
    trace = read_trace(tmp_path / "categories.parquet")
    assert trace.arms == ("b", "small")
    assert trace.observed.tolist() == [[True, True], [False, True]]


def test_only_first_attempts_enter_a_trace(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        {"attempt": None, "score": 0.0},
        {"attempt": 1, "model": "rescue", "score": 1.0},
        {"query_id": "q2", "attempt": 0},
        {"query_id": "q3", "attempt": 1},
    )
    trace = read_trace(path)
    assert trace.query_ids.tolist() == ["q1", "q2"]
    assert trace.arms == ("small",)
    assert trace.skipped_attempts == 2


CASES = [
    ({"score": 1.7}, "row 2: column score: 1.7; a score is in [0, 1], null where not recorded"),
    ({"score": -0.1}, "row 2: column score: -0.1; a score is in [0, 1]"),
    ({"latency_s": -3.0}, "row 2: column latency_s: -3; it must be finite and 0 or more"),
    ({"query_id": None}, "row 2: column query_id: null"),
    ({"model": None}, "row 2: column model: null"),
    ({"prompt": None}, "row 2: column prompt: null, and there are no features in its place"),
    ({"query_id": "q1"}, "row 2: column query_id, model: a second row for query_id q1, model small"),
    (
        {"query_id": "q1", "model": "b", "prompt": "3?"},
        "row 2: column prompt: differs from an earlier prompt of query_id q1",
    ),
]


@pytest.mark.parametrize("write", [parquet, jsonl])
@pytest.mark.parametrize(("wrong", "message"), CASES)
def test_a_wrong_value_is_named_by_file_row_and_column(
    write: Any, wrong: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, {}, {"query_id": "q2", **wrong})
    with pytest.raises(BadInput) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


EXTRA_CASES = [
    ({"cost_usd": float("inf")}, "row 2: column cost_usd: inf; it must be finite and 0 or more"),
    ({"propensity": 0.0}, "row 2: column propensity: 0; the chosen arm's probability is in (0, 1]"),
    ({"propensity": 1.5}, "row 2: column propensity: 1.5"),
    ({"propensity": "often"}, "row 1: column propensity: 'often' is not a number"),
    ({"attempt": 0.5}, "row 2: column attempt: 0.5; attempts are numbered 0, 1, 2"),
    ({"features": [0.1, 0.2, 0.3]}, "row 2: column features: 3 numbers, query q1 has 2"),
    ({"features": None}, "row 2: column features: null; every query needs as many"),
    ({"features": [0.1, None]}, "row 2: column features: one of them is null, NaN or infinite"),
    ({"featuriser": "other"}, "row 2: column featuriser: other, after mine"),
    ({"dial": 1.5}, "row 2: column dial: 1.5; the dial runs from 0 (cheapest) to 1 (best)"),
    ({"cost_weight": -1.0}, "row 2: column cost_weight: -1; it must be finite and 0 or more"),
    ({"latency_weight": float("inf")}, "row 2: column latency_weight: inf; it must be finite and 0 or more"),
    ({"queue_wait_s": -0.5}, "row 2: column queue_wait_s: -0.5; it must be finite and 0 or more"),
    ({"ttft_s": -0.5}, "row 2: column ttft_s: -0.5; it must be finite and 0 or more"),
]


@pytest.mark.parametrize(("wrong", "message"), EXTRA_CASES)
def test_wrong_optional_columns_are_named_too(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    right = dict.fromkeys(wrong, 0.5) | {"propensity": 0.5, "attempt": 0, "features": [0.1, 0.2], "featuriser": "mine"}
    if isinstance(wrong.get("propensity"), str):
        right["propensity"] = "often"
    if wrong.get("attempt"):
        right["attempt"] = 0.0
    path = parquet(tmp_path, right, {**right, "query_id": "q2", **wrong})
    with pytest.raises(BadInput) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}: {message}")


CONTRADICTIONS = [
    ("task", "sums", "spam"),
    ("task", "sums", None),
    ("split", "train", "test"),
    ("split", None, "test"),
    ("prompt_hash", "h1", "h2"),
    ("dial", 0.0, 0.5),
    ("cost_weight", 1.0, 2.0),
    ("latency_weight", 0.0, 2.0),
]


@pytest.mark.parametrize(("column", "one", "other"), CONTRADICTIONS)
@pytest.mark.parametrize("attempt", [0, 1])
def test_rows_of_a_query_that_contradict_each_other_are_refused(
    column: str, one: Any, other: Any, attempt: int, tmp_path: Path
) -> None:
    rows = [{column: one}, {column: one, "query_id": "q2"}, {column: other, "model": "b", "attempt": attempt}]
    path = parquet(tmp_path, *[{"attempt": 0, **row} for row in rows])
    with pytest.raises(BadInput) as caught:
        read_trace(path)
    assert str(caught.value) == f"{path}: row 3: column {column}: differs from an earlier {column} of query_id q1"
    with pytest.raises(BadInput, match=r"row 1: column split: .* is not one text or number"):
        read_trace(parquet(tmp_path, {"split": ["train"]}))
    agreed = parquet(tmp_path, *[{"attempt": 0, **row, column: one} for row in rows])
    assert read_trace(agreed).query_ids.tolist() == ["q1", "q2"]


def test_numbers_written_as_text_become_numbers(tmp_path: Path) -> None:
    trace = read_trace(parquet(tmp_path, {"propensity": "0.5", "dial": "0.25", "cost_usd": "0.1"}))
    assert trace.cell_columns["propensity"].tolist() == [[0.5]]
    assert trace.query_columns["dial"].tolist() == [0.25]


def test_columns_that_are_not_read_are_kept_on_record(tmp_path: Path) -> None:
    trace = read_trace(parquet(tmp_path, {}, propensty=0.5, extra=1))
    assert trace.unread == ("propensty", "extra")
    assert likely_meant(("propensty", "extra", "cost"), [*REQUIRED]) == {"propensty": "propensity"}, "cost_usd is there"
    absent = [name for name in REQUIRED if name not in ("cost_usd", "latency_s", "input_tokens", "score")]
    meant = {"cost": "cost_usd", "latency_ms": "latency_s", "input_token": "input_tokens", "Score": "score"}
    assert likely_meant([*meant, "language", "model_version", "prompt_id"], absent) == meant


def test_a_missing_column_with_a_near_name_is_asked_for(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([ROW])
    pq.write_table(table.rename_columns({"cost_usd": "cost"}), tmp_path / "trace.parquet")
    with pytest.raises(
        BadInput, match=r"`cost_usd` is missing; is it `cost`\? `pointsman trace import FILE --map cost="
    ):
        read_trace(tmp_path / "trace.parquet")


def test_text_in_a_number_column_is_found_where_it_stands(tmp_path: Path) -> None:
    path = csv(tmp_path, "q1,,p,a,0.5,1,1,0.1,1", "q2,,p,a,0.7,1,1,0.1,1", "q3,,p,a,good,1,1,0.1,1")
    with pytest.raises(BadInput, match="row 3: column score: 'good' is not a number"):
        read_trace(path)
    with pytest.raises(BadInput, match=r"row 1: column prompt: .* is not text; a chat becomes one by"):
        read_trace(jsonl(tmp_path, {"prompt": [{"role": "user", "content": "hello " * 100}]}))
    with pytest.raises(BadInput, match="row 1: column task: 3 is not text"):
        read_trace(parquet(tmp_path, {"task": 3}))


@pytest.mark.parametrize("column", REQUIRED)
def test_a_missing_column_is_named(column: str, tmp_path: Path) -> None:
    table = pa.Table.from_pylist([ROW]).drop_columns([column])
    pq.write_table(table, tmp_path / "trace.parquet")
    with pytest.raises(BadInput, match=rf"trace.parquet: row 0 \(header\): column `{column}` is missing"):
        read_trace(tmp_path / "trace.parquet")


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="column `score` is there 2 times"):
        read_trace(csv(tmp_path, "q1,,p,a,0.5,1,1,0.1,1,0.6", extra=",score"))


def test_files_that_are_no_traces(tmp_path: Path) -> None:
    def fails(name: str, content: bytes | None, message: str) -> None:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BadInput, match=message) as caught:
            read_trace(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    fails("none.parquet", None, "no such file")
    fails("empty.parquet", b"", "the file is empty")
    fails("empty.csv", b"", "the file is empty")
    fails("rubbish.parquet", b"hello", "not a readable parquet file")
    fails("rubbish.jsonl", b'{"query_id": ', "row 1: not readable as jsonl: ")
    fails("cut.jsonl", b'{"a": 1}\n{"a": 2}\n{"a": ', "row 3: not readable as jsonl: ")
    fails("mixed.jsonl", b'{"a": 1}\n{"a": "x"}\n', r"row 2: not readable as jsonl: column a changed from number to")
    fails("list.jsonl", b'[{"a": 1}]\n', "row 1: not readable as jsonl: .*one object a line")
    fails("ragged.csv", b"a,b\n1,2,3\n", "row 1: not readable as csv: expected 2 columns, got 3")
    fails("deep.csv", b'a,b\n"x\ny",2\n1,2\n7\n', "row 3: not readable as csv: expected 2 columns, got 1")
    fails("latin.csv", b"prompt\nx\n\xff\xfe\n", "row 2: not readable as csv: .*invalid UTF8")
    fails("header.csv", ",".join(REQUIRED).encode() + b"\n", "the file holds no rows")
    fails(
        "old.pkl",
        b"cos\nsystem\n",
        r"never loaded; .*read_pickle\('.*/old.pkl'\)\.to_parquet\('.*/old\.parquet'\)",
    )
    fails("OLD.PKL", b"cos\nsystem\n", "never loaded")
    fails("trace.xlsx", b"PK", "a trace is .parquet, .csv or .jsonl")


def test_a_file_appears_whole_or_not_at_all(
    tmp_path: Path, small_trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = save_trace(small_trace, tmp_path / "deep" / "trace.parquet")
    kept = target.read_bytes()
    readable = tmp_path / "readable"
    readable.touch()
    assert target.stat().st_mode == readable.stat().st_mode, "as readable as any other file"

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_table(to_table(small_trace.take(slice(3))), target)
    assert target.read_bytes() == kept
    assert [path.name for path in target.parent.iterdir()] == ["trace.parquet"]


def test_what_other_programs_keep_in_the_head_of_a_file_is_not_handed_on(tmp_path: Path, small_trace: Trace) -> None:
    table = to_table(small_trace)
    foreign = table.replace_schema_metadata({**table.schema.metadata, "pandas": "{}", "api_key": "sk-1"})
    metadata = pq.read_schema(write_table(foreign, tmp_path / "mine.parquet")).metadata
    assert set(metadata) == {b"pointsman.arms"}
    assert read_trace(tmp_path / "mine.parquet").arms == small_trace.arms


def test_real_recorded_sets_load_with_their_gaps(data_file: Callable[[str], Path]) -> None:
    trace = read_trace(data_file("bfcl.parquet"))
    assert (len(trace), trace.n_arms) == (1700, 26)
    assert trace.has_latency
    gappy = read_trace(data_file("mmlu_pro.parquet"))
    assert int(gappy.observed.all(axis=1).sum()) == 10_326
    assert not gappy.has_latency
