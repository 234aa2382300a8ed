"""From a chat to a prompt, and when two prompts are the same one."""

from __future__ import annotations

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


@given(st.text())
def test_normalising_twice_changes_nothing_more(prompt: str) -> None:
    assert normalise(normalise(prompt)) == normalise(prompt)


@given(st.lists(st.text("abcß", min_size=1), min_size=1), st.sampled_from([" ", "\n", "\t  "]))
def test_case_and_white_space_do_not_make_another_prompt(words: list[str], gap: str) -> None:
    assert prompt_hash(gap.join(words).upper()) == prompt_hash(f" {' '.join(words)} ")


def test_the_key_of_a_site_keeps_its_hashes_apart() -> None:
    assert len({prompt_hash("hello"), prompt_hash("hello", b"one"), prompt_hash("hello", b"two")}) == 3


def test_any_text_and_any_key_has_a_hash() -> None:
    cut = "\ud83d"
    assert prompt_hash(cut) != prompt_hash("\ud83e")
    assert prompt_hash("hello", key=b"k" * 200) not in (prompt_hash("hello"), prompt_hash("hello", key=b"k" * 64))
