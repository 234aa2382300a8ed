"""Few-shot prompts from the nearest examples, and votes."""

from __future__ import annotations

from pathlib import Path

import pytest

from env.errors import BadInput
from instances.prompting import Example, ExamplePool, Sample, shipped_examples, vote


def test_the_nearest_example_stands_next_to_the_question() -> None:
    pool = ExamplePool([Example("How much is 3 + 4?", "7"), Example("Where is the Louvre?", "Paris")])
    assert [each.answer for each in pool.nearest("How much is 5 + 1?", 2)] == ["Paris", "7"]
    assert pool.few_shot("How much is 5 + 1?", 1).endswith("Answer: 7\n\nInput: How much is 5 + 1?\nAnswer:")


def test_more_examples_than_there_are_means_all() -> None:
    assert len(ExamplePool([Example("a", "b")]).nearest("c", 5)) == 1


def test_shipped_examples_find_the_kind_of_a_prompt() -> None:
    found = shipped_examples().nearest("Is this message spam or ham? Message: Buy pills now! Answer with one word.", 3)
    assert {example.answer for example in found} <= {"spam", "ham"}


def test_a_broken_examples_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text('{"prompt": "a"}\n')
    with pytest.raises(BadInput, match=r"examples\.jsonl: cannot read"):
        ExamplePool.load(path)
    path.write_text("")
    with pytest.raises(BadInput, match="at least one"):
        ExamplePool.load(path)


def test_the_most_frequent_answer_wins_whatever_its_case() -> None:
    won = vote([Sample("Spam", -1.0), Sample("ham", -0.1), Sample("spam.", -3.0)])
    assert won == Sample("Spam", -2.0)


def test_a_tie_goes_to_the_likelier_then_the_earlier() -> None:
    assert vote([Sample("a", -2.0), Sample("b", -1.0)]).text == "b"
    assert vote([Sample("a"), Sample("b")]).text == "a"
    assert vote([Sample("a"), Sample("b", -9.0)]).text == "b"
