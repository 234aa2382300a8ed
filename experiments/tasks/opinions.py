"""Families with a closed set of labels whose wording a model must understand: sentiment, topic, spam, intent.

Each half of a phrase list belongs to one side (see `Dice.phrase`), so that a classifier trained on the training
side meets mostly unknown wording in the evaluation prompts.
"""

from __future__ import annotations

from experiments.tasks import phrases
from experiments.tasks.item import Dice, Item, Level, family
from experiments.tasks.vocabulary import CITIES, NAMES, PRODUCTS, WEEKDAYS


def _labelled(task: str, level: Level, prompt: str, answer: str, labels: tuple[str, ...]) -> Item:
    return Item(task, level, prompt, answer, {"kind": "label", "answer": answer, "labels": list(labels)})


def _fill(dice: Dice, template: str) -> str:
    return template.format(
        product=dice.pick(PRODUCTS),
        name=dice.pick(NAMES),
        city=dice.pick(CITIES),
        day=dice.pick(WEEKDAYS),
        n=dice.number(2, 60),
    )


@family("sentiment")
def sentiment(dice: Dice, level: Level) -> Item:
    """A review or tweet: plain, mixed with a clear outcome, or ironic."""
    positive = dice.chance(0.5)
    answer = "positive" if positive else "negative"
    good, bad = dice.phrase(phrases.PRAISE), dice.phrase(phrases.COMPLAINT)
    opener = _fill(dice, dice.pick(phrases.REVIEW_OPENERS))
    if level is Level.EASY:
        body = good if positive else bad
    elif level is Level.MEDIUM:
        body = f"{bad}, but in the end {good}" if positive else f"{good}, but in the end {bad}"
    else:
        body = dice.phrase(phrases.UNDERSTATED_PRAISE if positive else phrases.IRONY)
    text = f"{opener} {body}."
    prompt = dice.form(
        (
            f"Is the sentiment of this review positive or negative? Review: {text} Answer with one word.",
            f'Classify the tweet as positive or negative: "{text}"',
            f"{text}\nSentiment (positive or negative), one word only.",
            f"Customer comment: {text} Does this customer sound positive or negative? One word.",
        )
    )
    return _labelled("sentiment", level, prompt, answer, ("positive", "negative"))


@family("topic")
def topic(dice: Dice, level: Level) -> Item:
    """A headline: one of five topics, the harder ones with words of another topic in them."""
    labels = tuple(phrases.HEADLINES)
    answer = dice.pick(labels)
    text = _fill(dice, dice.phrase(phrases.HEADLINES[answer]))
    if level is not Level.EASY:
        text = f"{text}, {_fill(dice, dice.phrase(phrases.SIDE_REMARKS))}"
    if level is Level.HARD:
        text = _fill(dice, dice.phrase(phrases.OBLIQUE_HEADLINES[answer]))
        text = f"{text}, {_fill(dice, dice.phrase(phrases.SIDE_REMARKS))}"
    choices = ", ".join(labels)
    prompt = dice.form(
        (
            f"Which topic is this headline about: {choices}? Headline: {text}. Answer with one word.",
            f"Classify the news item into one of {choices}. Item: {text}",
            f"{text}.\nTopic ({choices}), one word only.",
        )
    )
    return _labelled("topic", level, prompt, answer, labels)


@family("spam")
def spam(dice: Dice, level: Level) -> Item:
    """A message: crude spam or plain mail, then both dressed as the other."""
    is_spam = dice.chance(0.5)
    answer = "spam" if is_spam else "ham"
    crude, subtle = (phrases.CRUDE_SPAM, phrases.SUBTLE_SPAM) if is_spam else (phrases.PLAIN_MAIL, phrases.EAGER_MAIL)
    text = _fill(dice, dice.phrase(crude if level is Level.EASY else subtle))
    if level is Level.HARD:
        text = (
            f"{_fill(dice, dice.phrase(phrases.MAIL_OPENERS))} {text} {_fill(dice, dice.phrase(phrases.MAIL_CLOSERS))}"
        )
    prompt = dice.form(
        (
            f"Is this message spam or ham? Message: {text} Answer with one word.",
            f"Label the email as spam or ham. Email: {text}",
            f"Inbox filter, answer spam or ham only: {text}",
            f"From: {dice.pick(NAMES)}\n{text}\nSpam or ham?",
        )
    )
    return _labelled("spam", level, prompt, answer, ("spam", "ham"))


@family("intent")
def intent(dice: Dice, level: Level) -> Item:
    """What a sentence does: ask, order, promise or state; the harder ones are indirect."""
    labels = ("question", "request", "promise", "statement")
    answer = dice.pick(labels)
    source = phrases.ACTS if level is Level.EASY else phrases.INDIRECT_ACTS
    text = _fill(dice, dice.phrase(source[answer]))
    if level is Level.HARD:
        text = f"{_fill(dice, dice.phrase(phrases.MAIL_OPENERS))} {text}"
    choices = ", ".join(labels)
    prompt = dice.form(
        (
            f"Is the writer making a {choices[: choices.rfind(',')]} or statement? Text: {text} Answer with one word.",
            f'Speech act of "{text}" ({choices}), one word only.',
            f"Chat message: {text}\nClassify it as one of {choices}.",
        )
    )
    return _labelled("intent", level, prompt, answer, labels)
