"""From a chat to a prompt, and when two prompts are the same one."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.prompts import normalise, prompt_hash, render


def test_a_lone_user_message_is_its_bare_text() -> None:
    assert render([{"role": "user", "content": "  2 + 2?\n"}]) == "  2 + 2?\n"
    assert render([{"role": "system", "content": "Be brief."}]) == "system: Be brief."


def test_the_whole_conversation_is_rendered() -> None:
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Capital of France?"},
        {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": "And of Italy?"},
    ]
    assert render(chat).split("\n\n") == [
        "system: Be brief.",
        "user: Capital of France?",
        "assistant: Paris.",
        "user: And of Italy?",
    ]
    assert render(chat) != render(chat[-1:])


def test_parts_that_are_not_text_are_named() -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:..."}}]
    assert render([{"role": "user", "content": parts}]) == "What is this?\n[image_url]"
    assert render([{"role": "user", "content": None}]) == ""
    assert render([]) == ""


def test_the_text_of_the_responses_api_is_text() -> None:
    parts = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": "data:..."}]
    assert render([{"role": "user", "content": parts}]) == "What is this?\n[input_image]"


def test_calls_of_tools_are_part_of_the_conversation() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    chat = [
        {"role": "user", "content": "Rain in Rome?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "sunny"},
    ]
    assert render(chat).split("\n\n")[1:] == ['assistant: [call weather({"city": "Rome"})]', "tool: sunny"]


@given(st.text())
def test_normalising_twice_changes_nothing_more(prompt: str) -> None:
    assert normalise(normalise(prompt)) == normalise(prompt)


@pytest.mark.parametrize(
    "variant",
    [
        "What is caf\u00e9 \u00bd?\u200b",
        "\ufeffWhat is caf\u00e9 \u00bd?",
        "What is cafe\u0301 \u00bd?",
        "What is ca\u00adf\u200de\u200b\u0301 1\u20442?",
        "\uff37hat is caf\u00e9\u00a0\u00bd\uff1f",
    ],
)
def test_what_looks_the_same_is_the_same_prompt(variant: str) -> None:
    prompt = "What is caf\u00e9 \u00bd?"
    assert variant != prompt
    assert normalise(variant) == normalise(prompt)
    assert prompt_hash(variant) == prompt_hash(prompt)


def test_no_character_is_changed_by_normalising_again() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    assert [c for c in characters if normalise(f"a{c}b") != normalise(normalise(f"a{c}b"))] == []


@given(st.text())
def test_how_a_text_is_composed_does_not_make_another_prompt(prompt: str) -> None:
    assert normalise(unicodedata.normalize("NFD", prompt)) == normalise(unicodedata.normalize("NFC", prompt))


@pytest.mark.parametrize("marks", ["\u0300\u0316", "\u0f73", "\u0345\u0323"])
def test_a_million_marks_keep_nobody_waiting(marks: str) -> None:
    # Put in order they would take hours: the test ends at all.
    once = normalise("A" + marks * 500_000)
    assert once.startswith("a")
    assert normalise("A" + marks * 10) != normalise("A" + marks * 9)


@given(st.lists(st.text("abcß", min_size=1), min_size=1), st.sampled_from([" ", "\n", "\t  "]))
def test_case_and_white_space_do_not_make_another_prompt(words: list[str], gap: str) -> None:
    assert prompt_hash(gap.join(words).upper()) == prompt_hash(f" {' '.join(words)} ")


def test_the_key_of_a_site_keeps_its_hashes_apart() -> None:
    assert len({prompt_hash("hello"), prompt_hash("hello", b"one"), prompt_hash("hello", b"two")}) == 3


def test_any_text_and_any_key_has_a_hash() -> None:
    cut = "\ud83d"
    assert prompt_hash(cut) != prompt_hash("\ud83e")
    assert prompt_hash("hello", key=b"k" * 200) not in (prompt_hash("hello"), prompt_hash("hello", key=b"k" * 64))
