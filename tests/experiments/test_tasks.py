"""Generated prompts: checkable, varied, disjoint pools; and checkers that are lenient in form, strict in content."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from env.errors import BadInput
from env.prompts import normalise
from experiments.distill import CLOSED_FAMILIES
from experiments.tasks import FAMILIES, Item, Level, Side, evaluation_items, generate, score, training_items
from experiments.tasks.__main__ import example_lines, prompt_lines
from experiments.tasks.pools import EVALUATION_COUNT
from instances.prompting import EXAMPLES


@pytest.fixture(scope="module")
def evaluation() -> list[Item]:
    return evaluation_items(EVALUATION_COUNT)


def keys(items: list[Item]) -> set[str]:
    return {normalise(item.prompt) for item in items}


def test_every_family_comes_in_every_level_equally_often(evaluation: list[Item]) -> None:
    per_family = Counter(item.task for item in evaluation)
    assert set(per_family) == set(FAMILIES)
    assert max(per_family.values()) - min(per_family.values()) <= 1
    assert {(item.task, item.level) for item in evaluation} == {(f, level) for f in FAMILIES for level in Level}


def test_the_reference_answer_scores_one_and_another_answer_does_not(evaluation: list[Item]) -> None:
    for item in evaluation:
        assert score(item.check, item.answer) == 1.0, item
        assert score(item.check, f"{item.answer.lower()}." if not item.check.get("case") else item.answer) == 1.0, item
        assert score(item.check, "I do not know") == 0.0, item


def test_repeating_the_prompt_is_no_answer(evaluation: list[Item]) -> None:
    echoed = sum(score(item.check, item.prompt) == 1.0 for item in evaluation) / len(evaluation)
    assert echoed < 0.05  # a last number that happens to be right


def test_prompts_are_unique_and_the_same_every_time(evaluation: list[Item]) -> None:
    assert len(keys(evaluation)) == len(evaluation)
    assert evaluation_items(200) == evaluation_items(200)
    assert keys(evaluation_items(200, seed=5)) != keys(evaluation_items(200))


def test_pools_never_share_a_prompt(evaluation: list[Item]) -> None:
    training = keys(training_items(2000, evaluation, CLOSED_FAMILIES))
    examples = {normalise(json.loads(line)["prompt"]) for line in example_lines()}
    assert not training & keys(evaluation)
    assert not examples & keys(evaluation)


@pytest.mark.parametrize("family", ["sentiment", "topic", "spam", "intent"])
def test_wording_differs_between_training_and_evaluation(family: str) -> None:
    sides = [generate(400, seed=1, side=side, families=[family]) for side in Side]
    words = [{word for item in side for word in normalise(item.prompt).split()} for side in sides]
    assert words[0] - words[1] and words[1] - words[0]


def test_shipped_examples_are_the_generated_ones() -> None:
    assert EXAMPLES.read_text(encoding="utf-8").splitlines() == example_lines()


def test_prompt_lines_hold_their_own_check() -> None:
    lines = [json.loads(line) for line in prompt_lines(40)]
    assert {"query_id", "task", "prompt", "check"} == set(lines[0])
    assert len({line["query_id"] for line in lines}) == 40


@pytest.mark.parametrize(
    ("check", "response", "expected"),
    [
        ({"kind": "number", "answer": 12}, "3 + 9 = 12", 1.0),
        ({"kind": "number", "answer": 12}, "12 apples and 3 pears", 0.0),
        ({"kind": "number", "answer": 0.5}, "0.50", 1.0),
        ({"kind": "number", "answer": 7}, "", 0.0),
        ({"kind": "label", "answer": "spam", "labels": ["spam", "ham"]}, "It is SPAM!", 1.0),
        ({"kind": "label", "answer": "spam", "labels": ["spam", "ham"]}, "spam, not ham", 0.0),
        ({"kind": "label", "answer": "spam", "labels": ["spam", "ham"]}, "spammy", 0.0),
        ({"kind": "exact", "answer": "Oslo"}, "The city is Oslo.", 1.0),
        ({"kind": "exact", "answer": "Oslo"}, "Oslo or Bergen", 0.0),
        ({"kind": "exact", "answer": "APPLE", "case": True}, "apple", 0.0),
        ({"kind": "exact", "answer": "9:30"}, "at 9:30", 1.0),
        ({"kind": "list", "answer": ["1", "2", "10"]}, "1,2, 10", 1.0),
        ({"kind": "list", "answer": ["1", "2", "10"]}, "1, 10, 2", 0.0),
        ({"kind": "json", "answer": {"city": "Oslo"}}, 'Here: {"city": "OSLO"} done', 1.0),
        ({"kind": "json", "answer": {"city": "Oslo", "n": 2}}, '{"city": "Oslo"}', 0.5),
        ({"kind": "json", "answer": {"city": "Oslo"}}, "{city: Oslo}", 0.0),
        ({"kind": "json", "answer": {"city": "Oslo"}}, "[1]", 0.0),
    ],
)
def test_checkers(check: dict[str, object], response: str, expected: float) -> None:
    assert score(check, response) == expected


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(BadInput, match=r"`guess`.*exact"):
        score({"kind": "guess"}, "")


def test_the_command_writes_a_prompts_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.tasks.__main__ import main

    monkeypatch.setattr("sys.argv", ["tasks", "prompts", str(tmp_path / "p.jsonl"), "--count", "19"])
    main()
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 19
