"""What is wrong with a trace is found, named with its place, and comes with a mend; a sound one has nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env.near_duplicates import near_duplicates
from env.problem import Problem
from env.sources.named import load_trace
from env.trace import Trace
from env.trace_io import from_rows, save_trace
from env.trace_problems import problems
from experiments.cli import main

STORY = (
    "A farmer walks to the market with his goat and a basket of apples. On the bridge he meets an old friend who asks "
    "for the way to the mill, and they talk until the bells of the church ring. When he comes home"
)


def objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def asked(prompts: list[str], **columns: list[Any]) -> Trace:
    """One row a prompt and two models, the second with other scores."""
    return from_rows(
        {"query_id": f"q{row}", "prompt": prompt, "model": model, "score": float((row + add) % 2)}
        | {name: values[row] for name, values in columns.items()}
        for row, prompt in enumerate(prompts)
        for add, model in enumerate("ab")
    )


def only(found: list[Problem], words: str) -> Problem:
    (one,) = [problem for problem in found if words in problem.what]
    return one


def sound(n: int = 200) -> Trace:
    """Everything recorded, nothing doubtful."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 500, (n, 2)).astype(np.float32)
    words = [" ".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 12)) for _ in range(n)]
    made = asked(words, task=["x" if row % 2 else "y" for row in range(n)], timestamp=list(range(n)))
    return replace(
        made,
        cost_usd=(tokens * 1e-6).astype(np.float32),
        latency_s=rng.uniform(0.1, 3, (n, 2)).astype(np.float32),
        input_tokens=tokens,
        output_tokens=tokens[::-1],
    )


def with_cells(trace: Trace, name: str, *cells: tuple[int, int, float]) -> Trace:
    values = getattr(trace, name).copy()
    for row, column, value in cells:
        values[row, column] = value
    return replace(trace, **{name: values})


def test_a_sound_trace_has_no_problem() -> None:
    assert sound().problems() == []


def half_graded(trace: Trace) -> Trace:
    grades = np.linspace(0, 1, 200, dtype=np.float32)
    return replace(trace, score=np.stack([trace.score[:, 0], grades], axis=1))


def column_of(name: str, value: Any, scale: bool = False) -> Callable[[Trace], Trace]:
    def changed(trace: Trace) -> Trace:
        values = getattr(trace, name).copy()
        values[:, 1] = values[:, 1] * value if scale else value
        return replace(trace, **{name: values})

    return changed


def logged(chance: Callable[[int], float], **columns: Any) -> Callable[[Trace], Trace]:
    """One model a query, by turns, with a propensity."""

    def changed(trace: Trace) -> Trace:
        score, propensity = trace.score.copy(), np.full(trace.score.shape, None, dtype=object)
        for row in range(len(trace)):
            score[row, row % 2] = np.nan
            propensity[row, 1 - row % 2] = chance(row)
        return replace(trace, score=score, cell_columns={"propensity": propensity, **columns})

    return changed


DAMAGE: dict[str, tuple[Callable[[Trace], Trace], str, str, int, str]] = {
    "score": (lambda t: with_cells(t, "score", (3, 1, 1.7)), "error", "score is impossible, for example 1.7", 1, "q3"),
    "negative cost": (lambda t: with_cells(t, "cost_usd", (0, 0, -1)), "error", "cost_usd is impossible", 1, "q0; a"),
    "negative time": (lambda t: with_cells(t, "latency_s", (9, 0, -2)), "error", "latency_s is impossible", 1, "q9"),
    "features": (
        lambda t: replace(t, features=np.full((200, 2), [0, np.nan], np.float32), featuriser="mine"),
        "error",
        "features are NaN or infinite",
        200,
        "q0, q1",
    ),
    "never seen": (column_of("score", np.nan), "error", "b: no score at all", 1, "b"),
    "constant": (column_of("score", 1.0), "warning", "b is constant: its score is always 1", 200, "b"),
    "reference": (column_of("score", 0.5), "note", "b is constant: its score is always 0.5", 200, "b"),
    "other scale": (column_of("score", 0.01, True), "warning", "scores of b never exceed 0.01, those of othe", 1, "b"),
    "graded": (half_graded, "warning", "scores are graded for b, and right or wrong for the other models", 1, "b"),
    "free once": (lambda t: with_cells(t, "cost_usd", (5, 0, 0)), "warning", "0 although tokens were used", 1, "q5; a"),
    "free": (column_of("cost_usd", 0), "note", "b: costs nothing", 1, "b"),
    "cents": (column_of("cost_usd", 1e6, True), "warning", "half of all requests to b cost more than $10", 1, "b"),
    "fixed price": (column_of("cost_usd", 0.01), "note", "b: cost_usd is the same for every request", 1, "b"),
    "no time": (lambda t: with_cells(t, "latency_s", (5, 1, 0)), "warning", "latency_s is 0", 1, "q5; b"),
    "long": (lambda t: with_cells(t, "latency_s", (5, 1, 4e3)), "warning", "exceeds an hour, up to 4000", 1, "q5; b"),
    "no input": (lambda t: with_cells(t, "input_tokens", (5, 1, 0)), "warning", "input_tokens is 0", 1, "q5; b"),
    "one query": (lambda t: replace(t, tasks=objects(["z", *t.tasks[1:]])), "warning", "1 of 3 tasks have one", 1, "z"),
    "few queries": (lambda t: replace(t, tasks=objects(["z"] * 3 + [*t.tasks[3:]])), "note", "fewer than 20", 1, "z"),
    "gap": (
        lambda t: with_cells(t, "score", (5, 1, np.nan)),
        "note",
        "199 of 200 queries have",
        1,
        "b (0.5%)",
    ),
    "nothing": (
        lambda t: with_cells(t, "score", (5, 0, np.nan), (5, 1, np.nan)),
        "warning",
        "1 queries have no score of any model",
        1,
        "q5",
    ),
    "order": (
        lambda t: replace(t, query_columns={"timestamp": objects([7.0, *range(199)])}),
        "note",
        "1 queries come before the one above them",
        1,
        "q1",
    ),
    "no order": (
        lambda t: replace(t, query_columns={"timestamp": objects([None, *range(199)])}),
        "warning",
        "query q0 has no timestamp",
        1,
        "timestamp",
    ),
    "unexplored": (logged(lambda row: 1.0), "warning", "whoever chose never explored", 200, "propensity"),
    "wrong odds": (logged(lambda row: 0.9), "warning", "averages 1.11, and should average the num", 200, "propensity"),
    "unlogged": (
        logged(lambda row: 0.5 if row else None),  # type: ignore[arg-type,return-value]  # the rule of one case among several
        "warning",
        "scored without a propensity",
        1,
        "q0; b",
    ),
    "silent": (
        lambda t: replace(column_of("output_tokens", 0.0)(t), cell_columns={"response": t.score.astype("O") + 1}),
        "warning",
        "output_tokens is 0 although there is a response",
        200,
        "b",
    ),
    "unknown part": (
        lambda t: replace(t, query_columns={"split": objects(["train", "tset"] * 100)}),
        "error",
        "split is 'tset', which is no part",
        100,
        "q1, q3",
    ),
    "no test": (
        lambda t: replace(t, query_columns={"split": objects(["train"] * 200)}),
        "error",
        "the given split has no test prompts",
        200,
        "split",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_each_damage_is_found_named_and_comes_with_a_mend(name: str) -> None:
    damage, severity, what, count, where = DAMAGE[name]
    found = only(problems(damage(sound())), what)
    assert (found.severity, found.count) == (severity, count)
    assert where in found.where
    assert found.mend
    assert "\n" not in found.what + found.where + found.mend


def test_costs_of_other_requests_are_told_from_costs_that_follow_tokens() -> None:
    shuffled = sound()
    cost = shuffled.cost_usd.copy()
    cost[:, 1] = np.random.default_rng(1).permutation(cost[:, 1])
    assert only(problems(replace(shuffled, cost_usd=cost)), "does not rise with tokens").where == "b"


@pytest.mark.parametrize("available", [False, True])
def test_propensities_that_are_right_are_not_doubted(available: bool) -> None:
    rng = np.random.default_rng(3)
    trace = sound()
    chance = rng.uniform(0.1, 0.9, 200)
    chosen = (rng.random(200) < chance).astype(int)
    rows = np.arange(200)
    score, propensity = np.full_like(trace.score, np.nan), np.full((200, 2), None, dtype=object)
    score[rows, chosen] = trace.score[rows, chosen]
    propensity[rows, chosen] = np.where(chosen == 1, chance, 1 - chance)
    columns = {"propensity": propensity}
    if available:
        # Nothing else could be chosen in the first half: a propensity of 1 is right there.
        propensity[rows[:100], chosen[:100]] = 1.0
        able = np.full((200, 2), True, dtype=object)
        able[rows[:100], 1 - chosen[:100]] = False
        columns["available"] = able
    found = problems(replace(trace, score=score, cell_columns=columns))
    assert not [problem for problem in found if "propensity" in problem.what]
    if available:
        found = problems(replace(trace, score=score, cell_columns={"propensity": propensity}))
        assert only(found, "1 / propensity averages")


def test_equal_prompts_and_their_contradictions_are_counted() -> None:
    prompts = [f"{word} is a word" for word in "abcdefgh"]
    found = problems(asked([*prompts, "A  is a word", "c IS a word", "c is a word"]))
    assert only(found, "3 queries repeat a prompt of another").count == 3
    contradiction = only(found, "several scores for one prompt, up to 1 apart")
    assert (contradiction.severity, contradiction.count) == ("warning", 2)
    assert contradiction.where == "q2"
    same = from_rows(
        {"query_id": f"q{row}", "prompt": "same", "model": "a", "score": 0.3, "cost_usd": 1.0} for row in range(3)
    )
    assert not [problem for problem in problems(same) if "several scores" in problem.what]


def test_nearly_equal_prompts_are_told_from_items_of_a_template() -> None:
    prompts = [
        f"{STORY}, what did he say?",
        f"{STORY}, what then did he say?",
        f"{STORY} at 7, what did he sell?",
        f"{STORY} at 8, what did he sell?",
        "Another prompt altogether, about ships",
    ]
    found = problems(asked(prompts))
    near = only(found, "of their word triples with another")
    assert (near.severity, near.count, near.where) == ("warning", 2, "q0 ~ q1")
    template = only(found, "with other numbers")
    assert (template.severity, template.count, template.where) == ("note", 2, "q2, q3")


def test_a_prompt_in_two_given_parts_is_a_leak_and_so_is_a_near_one() -> None:
    prompts = [f"{word} {word} {word} is a word" for word in "abcdefgh"]
    prompts += [prompts[0].upper(), f"{STORY}, what did he say?", f"{STORY}, what then did he say?"]
    parts = ["train"] * 6 + ["validation"] * 2 + ["test", "train", "test"]
    found = problems(asked(prompts, split=parts))
    exact = only(found, "1 prompts stand in several parts of the given split")
    assert (exact.severity, exact.where) == ("warning", "q0")
    assert only(found, "2 prompts are nearly equal to one of another part").where == "q9 ~ q10"
    parts[9] = "test"
    assert not [p for p in problems(asked(prompts, split=parts)) if "one of another part" in p.what]


def test_prompts_that_were_cut_at_one_length_are_told_from_long_ones() -> None:
    long = [" ".join(f"{word}{row}" for word in STORY.split()) * 9 for row in range(8)]
    cut = only(problems(asked([prompt[:1500] for prompt in long])), "exactly 1,500 characters long")
    assert (cut.count, cut.severity) == (8, "warning")
    uncut = asked([prompt[: 1500 + row] for row, prompt in enumerate(long)])
    assert not [problem for problem in problems(uncut) if "were probably cut" in problem.what]


def test_prompts_that_are_not_kept_are_compared_by_hash_alone() -> None:
    rows = [
        {"query_id": f"q{row}", "model": "a", "score": 1.0, "prompt_hash": "h", "features": [0.0], "featuriser": "f"}
        for row in range(3)
    ]
    assert only(problems(from_rows(rows)), "2 queries repeat a prompt")


@st.composite
def similar_texts(draw: st.DrawFn) -> list[str]:
    words = st.sampled_from(["ab", "cd", "ef", "12", "13", ";", "gh"])
    bases = draw(st.lists(st.lists(words, max_size=14), min_size=2, max_size=5))
    texts = []
    for base in bases:
        for _ in range(draw(st.integers(1, 4))):
            text, changed = list(base), draw(st.booleans())
            if text and changed:
                text[draw(st.integers(0, len(text) - 1))] = draw(words)
            texts.append(" ".join(text))
    return texts


@given(texts=similar_texts(), least=st.sampled_from([0.5, 0.7, 0.85, 1.0]), boilerplate=st.sampled_from([2, 4, 99]))
@settings(max_examples=200, deadline=None)
def test_no_near_duplicate_is_missed_and_none_is_made_up(texts: list[str], least: float, boilerplate: int) -> None:
    sets = []
    for text in texts:
        words = [*text.split(), "", "", ""][: max(3, len(text.split()))]
        sets.append({tuple(words[at : at + 3]) for at in range(len(words) - 2)})
    common = {shingle for found in sets for shingle in found if sum(shingle in other for other in sets) > boilerplate}
    expected = []
    for one, other in itertools.combinations(range(len(texts)), 2):
        shared, differ = len(sets[one] & sets[other] - common), len(sets[one] ^ sets[other])
        if shared and shared >= least * (shared + differ):
            expected.append([one, other])
    assert near_duplicates(texts, least, boilerplate).pairs.tolist() == expected


def test_items_that_share_a_long_prefix_are_not_near_duplicates() -> None:
    rng = np.random.default_rng(0)
    names = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), (60, 9))
    items = [f"{STORY} {STORY.upper()[::-1]} he calls {' '.join(row)}?" for row in names]
    assert len(near_duplicates(items).pairs) == 0
    assert near_duplicates([*items, items[7].replace("he calls", "he then calls")], 0.6).pairs.tolist() == [[7, 60]]
    assert len(near_duplicates(items, 0.6, boilerplate=99).pairs) == 60 * 59 / 2, "what leaving out the prefix is for"


def test_many_near_copies_are_a_cluster_though_none_of_their_pairs_is_told() -> None:
    words = f"{STORY} {STORY[::-1]}".split()
    copies = [" ".join([*words[:at], "x" * (at + 1), *words[at + 1 :]]) for at in range(0, 30)]
    few = near_duplicates(copies[:8])
    assert len(few.pairs) and not few.clusters
    found = near_duplicates(["Something else is asked here by somebody", *copies])
    assert not len(found.pairs), "their words are those of a template"
    assert [len(cluster) > 20 for cluster in found.clusters] == [True]
    assert 0 not in found.clusters[0]
    sums = [f"{STORY} What is {number} plus {number + 7}, and why?" for number in range(10, 60)]
    assert [len(cluster) for cluster in near_duplicates(sums).clusters] == [50]
    rows = [{"query_id": str(n), "prompt": text, "model": "m", "score": 1.0} for n, text in enumerate(sums)]
    assert only(problems(from_rows(rows)), "50 prompts are, numbers aside, 85% or more the same as at least 10 others")


def test_texts_without_spaces_are_cut_by_character() -> None:
    base = "快速的棕色狐狸跳过懒狗然后跑进深深的黑暗森林里再也没有回来过"
    found = near_duplicates(
        [base, base + "吗", "今天天气怎么样我们一起去公园散步吧", f"{base}3", f"{base}4"], least=0.8
    )
    assert [0, 1] in found.pairs.tolist()
    assert not (found.pairs == 2).any()
    assert found.other_numbers[found.pairs.tolist().index([3, 4])]


def validated(capsys: pytest.CaptureFixture[str], path: Path | str) -> tuple[int, Any]:
    status = main(["trace", "validate", str(path), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_validate_says_what_it_found_and_fails_on_errors_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doubtful = DAMAGE["long"][0](sound())
    status, found = validated(capsys, save_trace(doubtful, tmp_path / "doubtful.parquet"))
    assert (status, found["valid"], found["hash"]) == (0, True, doubtful.hash)
    assert [sorted(problem) for problem in found["problems"]] == [["count", "mend", "severity", "what", "where"]]
    wrong = save_trace(DAMAGE["never seen"][0](sound()), tmp_path / "wrong.parquet")
    status, found = validated(capsys, wrong)
    assert (status, found["valid"]) == (2, False)
    assert found["problems"][0]["severity"] == "error"
    assert main(["trace", "validate", str(wrong)]) == 2
    said = capsys.readouterr()
    assert "b: no score at all" in said.out
    assert "not valid, 1 to mend" in said.out
    (tmp_path / "not.csv").write_text(
        "query_id,task,prompt,model,score,input_tokens,output_tokens,cost_usd,latency_s\n"
    )
    assert main(["trace", "validate", str(tmp_path / "not.csv")]) == 2


def test_the_bundled_trace_has_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = validated(capsys, "bundled")
    assert status == 0
    assert not [problem for problem in found["problems"] if "repeat a prompt" in problem["what"]]


def test_recorded_sets_are_judged_as_their_readme_says(data_file: Callable[[str], Path]) -> None:
    mmlu = load_trace(data_file("mmlu_pro.parquet")).problems()
    assert "10326 of 12032 queries have every model" in only(mmlu, "scores are missing").what
    assert only(mmlu, "of their word triples with another").count < 200
    routellm = load_trace(data_file("routellm.parquet")).problems()
    assert only(routellm, "repeat a prompt of another").count == 105
    alpaca = load_trace(data_file("alpaca_eval2.parquet")).problems()
    assert only(alpaca, "is constant").where == "gpt4_1106_preview"
    bfcl = load_trace(data_file("bfcl.parquet")).problems()
    assert only(bfcl, "exactly 8,000 characters long")
    assert only(bfcl, "filled in").count == 108
