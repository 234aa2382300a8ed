"""Families that need a little knowledge: places, translation, word forms, language, category."""

from __future__ import annotations

from experiments.tasks import facts
from experiments.tasks.item import Dice, Item, Level, family
from experiments.tasks.vocabulary import NAMES


def _exact(task: str, level: Level, prompt: str, answer: str) -> Item:
    return Item(task, level, prompt, answer, {"kind": "exact", "answer": answer})


@family("geography")
def geography(dice: Dice, level: Level) -> Item:
    """The country of a capital, the capital of a country, both for less known places too."""
    country, capital = dice.fact(facts.LESS_KNOWN_CAPITALS if level is Level.HARD else facts.CAPITALS)
    name = dice.pick(NAMES)
    if level is Level.EASY:
        prompt = dice.form(
            (
                f"In which country is {capital}? Answer with the country only.",
                f"{name} flies to {capital}. Which country is that? Country only.",
            )
        )
        return _exact("geography", level, prompt, country)
    prompt = dice.form(
        (
            f"What is the capital of {country}? Answer with the city only.",
            f"{name} moves to the capital of {country}. Which city is that? City only.",
        )
    )
    return _exact("geography", level, prompt, capital)


@family("translation")
def translation(dice: Dice, level: Level) -> Item:
    """Single words into Spanish, French or German; the hard ones are less common."""
    word, *versions = dice.fact(facts.LESS_COMMON_WORDS if level is Level.HARD else facts.COMMON_WORDS)
    index = dice.number(0, 2) if level is not Level.EASY else 0
    language, answer = ("Spanish", "French", "German")[index], versions[index]
    prompt = dice.form(
        (
            f"Translate the word {word} into {language}. Answer with one word.",
            f"What is the {language} word for {word}? One word only.",
            f"{dice.pick(NAMES)} needs the {language} for '{word}'. Only the word.",
        ),
        kind=f"{language} ",
    )
    return _exact("translation", level, prompt, answer)


@family("word_form")
def word_form(dice: Dice, level: Level) -> Item:
    """Plurals, past tenses and opposites, regular ones first."""
    kind = {Level.EASY: "plural", Level.MEDIUM: "past tense", Level.HARD: "opposite"}[level]
    word, answer = dice.fact(facts.WORD_FORMS[kind])
    prompt = dice.form(
        (
            f"What is the {kind} of {word}? Answer with one word.",
            f"Give only the {kind} of the word '{word}'.",
            f"{dice.pick(NAMES)} asks for the {kind} of {word}. One word.",
        )
    )
    return _exact("word_form", level, prompt, answer)


@family("language")
def language(dice: Dice, level: Level) -> Item:
    """The language of a message; the harder ones are short or full of names."""
    labels = tuple(facts.SENTENCES)
    answer = dice.pick(labels)
    text = dice.fact(facts.SENTENCES[answer])
    if level is Level.MEDIUM:
        text = " ".join(text.split()[:4])
    if level is Level.HARD:
        text = f"{' '.join(text.split()[:2])}, {dice.pick(NAMES)}!"
    choices = ", ".join(labels)
    name = dice.pick(NAMES)
    prompt = dice.form(
        (
            f"Which language is this message from {name}: {choices}? Message: {text} Answer with one word.",
            f"{name} wrote: {text}\nLanguage ({choices}), one word only.",
        )
    )
    return Item("language", level, prompt, answer, {"kind": "label", "answer": answer, "labels": list(labels)})


@family("category")
def category(dice: Dice, level: Level) -> Item:
    """What kind of thing a word names."""
    labels = tuple(facts.KINDS)
    answer = dice.pick(labels)
    words = facts.KINDS[answer]
    half = len(words) // 2
    word = dice.fact(words[:half] if level is Level.EASY else words[half:])
    choices = ", ".join(labels)
    if level is Level.HARD:
        word = f"{dice.fact(words)} and {word}"
    prompt = dice.form(
        (
            f"Is '{word}' a kind of {choices}? Answer with one of these words.",
            f"Tag the item {dice.number(1, 99)}, {word}, as one of {choices}.",
        )
    )
    return Item("category", level, prompt, answer, {"kind": "label", "answer": answer, "labels": list(labels)})
