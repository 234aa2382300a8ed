"""Traces in memory: splits by prompt, parts of a trace, and what it says about itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env.errors import BadInput
from env.prompts import normalise, prompt_hash
from env.trace import Trace
from env.trace_io import from_rows


def asked(prompts: list[str], **columns: list[Any]) -> Trace:
    rows = [
        {"query_id": f"q{row}", "prompt": prompt, "model": "a", "score": 0.5}
        | {name: values[row] for name, values in columns.items()}
        for row, prompt in enumerate(prompts)
    ]
    return from_rows(rows)


@st.composite
def spellings(draw: st.DrawFn) -> list[str]:
    """Prompts, some of which are the same but for case and white space."""
    words = draw(st.lists(st.text("abcXY", min_size=1, max_size=3), min_size=12, max_size=12, unique_by=str.casefold))
    prompts = list(words)
    for _ in range(draw(st.integers(0, 12))):
        word = draw(st.sampled_from(words))
        prompts.append(draw(st.sampled_from([f"  {word.upper()} ", f"{word}\n", word.lower()])))
    return draw(st.permutations(prompts))


@given(prompts=spellings(), seed=st.integers(0, 100), given_parts=st.booleans(), data=st.data())
@settings(max_examples=80, deadline=None)
def test_no_prompt_is_in_two_parts(prompts: list[str], seed: int, given_parts: bool, data: st.DataObject) -> None:
    columns = {}
    if given_parts:
        names = st.sampled_from(["train", "train", "val", "test"])
        columns["split"] = data.draw(st.lists(names, min_size=len(prompts), max_size=len(prompts)))
    trace = asked(prompts, **columns)
    try:
        split = trace.split(seed)
    except BadInput as error:
        assert given_parts, "without given parts twelve prompts are enough"
        assert "prompts after the split" in str(error)
        return
    parts = [split.train, split.validation, split.test]
    seen = [{normalise(trace.prompts[row]) for row in part} for part in parts]
    for one in range(3):
        for other in range(one):
            assert not seen[one] & seen[other]
    rows = np.concatenate(parts)
    assert len(set(rows.tolist())) == len(rows)
    if not given_parts:
        assert len(rows) == len(trace)
    assert all(np.array_equal(*pair) for pair in zip(parts, _parts(trace, seed), strict=True)), "same seed, same split"


def _parts(trace: Trace, seed: int) -> list[Any]:
    split = trace.split(seed)
    return [split.train, split.validation, split.test]


def test_a_given_test_part_stays_and_the_seed_divides_the_rest() -> None:
    parts = ["train"] * 16 + ["test"] * 4
    trace = asked([f"prompt {row}" for row in range(19)] + ["Prompt  3"], split=parts)
    splits = [trace.split(seed) for seed in range(5)]
    assert all(split.test.tolist() == [16, 17, 18, 19] for split in splits)
    assert len({tuple(split.train.tolist()) for split in splits}) > 1
    assert all(3 not in split.train and 3 not in split.validation for split in splits), (
        "it also stands in the test part"
    )


def test_a_given_validation_part_stays_too() -> None:
    trace = asked([f"prompt {row}" for row in range(6)], split=["train", "train", "dev", "val", "validation", "test"])
    assert [part.tolist() for part in _parts(trace, 3)] == [[0, 1], [2, 3, 4], [5]]


def test_bad_split_columns_are_told() -> None:
    with pytest.raises(BadInput, match=r"query q1: split is 'tset'; it must be train, validation or test"):
        asked(["a", "b"], split=["train", "tset"]).split()
    with pytest.raises(BadInput, match="no test prompts after the split"):
        asked([f"p{row}" for row in range(9)], split=["train"] * 9).split()
    with pytest.raises(BadInput, match="no validation prompts after the split"):
        asked(["a"]).split()


def test_equal_hashes_stand_in_for_prompts_that_are_not_kept() -> None:
    hashes = [prompt_hash("hello"), prompt_hash("Hello "), prompt_hash("bye"), None]
    trace = from_rows(
        [
            {
                "query_id": f"q{row}",
                "model": "a",
                "score": 1.0,
                "prompt_hash": value,
                "features": [0.0],
                "featuriser": "f",
            }
            for row, value in enumerate(hashes)
        ]
    )
    assert trace.groups.tolist() == [0, 0, 1, 2]


def test_equal_features_are_one_prompt_where_nothing_else_of_it_is_kept() -> None:
    features = [[0.1, -0.0], [0.1 + 1e-9, 0.0], [0.2, 0.0]]
    rows = [
        {"query_id": f"q{row}", "model": "a", "score": 1.0, "features": value, "featuriser": "f"}
        for row, value in enumerate(features)
    ]
    trace = from_rows(rows)
    assert trace.groups.tolist() == [0, 0, 1]
    assert trace.prompt_keys()["text"] == trace.prompt_keys()["prompt_hash"] == [None] * 3
    theirs = replace(trace, featuriser="g").prompt_keys()["features"]
    assert not set(theirs) & set(trace.prompt_keys()["features"]), "another featuriser's rows are not comparable"


def test_a_log_is_told_from_a_table(small_trace: Trace) -> None:
    assert not small_trace.is_log
    rows = [
        {"query_id": f"q{n}", "prompt": str(n), "model": "ab"[n % 2], "score": 1.0, "propensity": 0.5} for n in range(4)
    ]
    assert from_rows(rows).is_log
    both = [*rows, {**rows[0], "model": "b"}]
    assert not from_rows(both).is_log


def test_parts_of_a_trace_keep_rows_and_columns_together(gappy_trace: Trace) -> None:
    marked = replace(gappy_trace, cell_columns={"response": np.arange(240).reshape(60, 4).astype(object)})
    part = marked.take(np.array([5, 2])).select_arms(["large", "tiny"])
    assert part.arms == ("large", "tiny")
    assert part.query_ids.tolist() == ["q5", "q2"]
    assert part.cell_columns["response"].tolist() == [[22, 20], [10, 8]]
    assert np.array_equal(part.score, gappy_trace.score[[5, 2]][:, [2, 0]], equal_nan=True)
    with pytest.raises(BadInput, match="has no arm `tinny`; did you mean `tiny`"):
        marked.select_arms(["tinny"])


def test_complete_keeps_the_queries_that_every_arm_answered(gappy_trace: Trace) -> None:
    whole = gappy_trace.complete()
    assert 0 < len(whole) < len(gappy_trace)
    assert whole.observed.all()


def test_the_summary_counts_what_is_there(gappy_trace: Trace) -> None:
    summary = gappy_trace.summary()
    assert summary["queries"] == summary["prompts"] == 60
    assert summary["tasks"] == ["arithmetic", "sentiment", "spam"]
    per_arm = {arm["model"]: arm for arm in summary["per_arm"]}
    seen = gappy_trace.observed[:, 2]
    assert per_arm["large"]["observed"] == int(seen.sum())
    assert per_arm["large"]["score"] == pytest.approx(float(gappy_trace.score[seen, 2].mean()))
    unknown = replace(gappy_trace, latency_s=np.full_like(gappy_trace.latency_s, np.nan))
    assert unknown.summary()["per_arm"][0]["latency_s"] is None
    assert not unknown.has_latency
    assert unknown.has_cost


def test_the_hash_changes_with_any_outcome(small_trace: Trace) -> None:
    score = small_trace.score.copy()
    score[59, 3] = np.nan
    hashes = {
        small_trace.hash,
        replace(small_trace, score=score).hash,
        small_trace.take(slice(0, 59)).hash,
        small_trace.select_arms(small_trace.arms[::-1]).hash,
    }
    assert len(hashes) == 4
    assert replace(small_trace, name="other").hash == small_trace.hash


def test_the_hash_changes_with_everything_that_decides_what_is_learned(small_trace: Trace) -> None:
    def changed(column: Any, row: int, value: Any) -> Any:
        new = column.copy()
        new[row] = value
        return new

    nothing = np.full(60, None, dtype=object)
    split = np.array(["train"] * 50 + ["test"] * 10, dtype=object)
    features = np.zeros((60, 2), np.float32)
    unkept = replace(small_trace, prompts=nothing, features=features, featuriser="mine")
    others = [
        small_trace,
        replace(small_trace, prompts=changed(small_trace.prompts, 3, "another prompt")),
        replace(small_trace, tasks=changed(small_trace.tasks, 3, None)),
        replace(small_trace, tasks=changed(small_trace.tasks, 3, "")),
        replace(small_trace, query_columns={"split": split}),
        replace(small_trace, query_columns={"split": changed(split, 3, "test")}),
        replace(small_trace, query_columns={"prompt_hash": split}),
        replace(small_trace, cell_columns={"propensity": np.full((60, 4), 0.5, dtype=object)}),
        unkept,
        replace(unkept, features=features + 1),
        replace(unkept, featuriser="theirs"),
        replace(small_trace, arms=("a", *small_trace.arms[1:])),
    ]
    assert len({trace.hash for trace in others}) == len(others)
    assert replace(small_trace, features=features, featuriser="mine").hash == small_trace.hash, "made of the prompts"


@given(prompts=spellings())
@settings(max_examples=30, deadline=None)
def test_prompt_keys_are_equal_exactly_where_groups_are(prompts: list[str]) -> None:
    trace = asked(prompts)
    keys, groups = trace.prompt_keys()["text"], trace.groups
    assert len(set(keys)) == len(set(groups.tolist())) == len(set(zip(keys, groups.tolist(), strict=True)))
    half = trace.take(np.arange(len(trace))[::-2])
    assert set(half.prompt_keys()["text"]) <= set(keys)
    assert asked(prompts[:3]).prompt_keys()["text"] == keys[:3], "the same in every trace"


def test_a_prompt_kept_as_text_and_later_as_a_hash_is_one() -> None:
    def row(number: int, prompt: str | None, kept: str | None) -> dict[str, object]:
        features = {"features": [float(number)], "featuriser": "mine"}
        return {"query_id": f"q{number}", "prompt": prompt, "prompt_hash": kept, "model": "a", "score": 1.0, **features}

    rows = [row(0, "hello", None), row(1, "Hello", "h1"), row(2, None, "h1"), row(3, None, "h2"), row(4, "bye", "h2")]
    assert from_rows(rows).groups.tolist() == [0, 0, 0, 1, 1]
