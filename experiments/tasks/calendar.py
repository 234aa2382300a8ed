"""Families about dates: weekdays, days of a month, clock times."""

from __future__ import annotations

from experiments.tasks.item import Dice, Item, Level, family
from experiments.tasks.vocabulary import EVENTS, MONTHS, NAMES, WEEKDAYS

_SHORT_WORDS = ("", "one", "two", "three", "four", "five", "six")


def _day(level: Level, prompt: str, answer: str) -> Item:
    return Item("weekday", level, prompt, answer, {"kind": "label", "answer": answer, "labels": list(WEEKDAYS)})


@family("weekday")
def weekday(dice: Dice, level: Level) -> Item:
    """The weekday before, after, or some days away from an event."""
    today = dice.number(0, 6)
    event, name, day = dice.pick(EVENTS), dice.pick(NAMES), WEEKDAYS[today]
    if level is Level.EASY:
        prompt = dice.form(
            (
                f"Today is {day}. {name} says {event} is tomorrow. On which weekday is {event}? "
                "Answer with the weekday only.",
                f"{event.capitalize()} is on the day after {day}. Which weekday is that? Answer with "
                f"one word, {name} asks.",
                f"Calendar of {name}: {event} is one day after {day}. Name the weekday only.",
            )
        )
        return _day(level, prompt, WEEKDAYS[(today + 1) % 7])
    if level is Level.MEDIUM:
        prompt = dice.form(
            (
                f"{event.capitalize()} is the day before {day}, writes {name}. Which weekday is it? Answer "
                "with the weekday only.",
                f"{name} moved {event} to the day before {day}. Reply with the weekday only.",
            )
        )
        return _day(level, prompt, WEEKDAYS[(today - 1) % 7])
    steps = dice.number(2, 4)
    prompt = dice.form(
        (
            f"Today is {day}. {name} plans {event} in {_SHORT_WORDS[steps]} days. Which weekday will "
            "it be? One word only.",
            f"{event.capitalize()} starts {_SHORT_WORDS[steps]} days after {day}. Tell {name} the "
            "weekday, nothing else.",
        )
    )
    return _day(level, prompt, WEEKDAYS[(today + steps) % 7])


@family("schedule")
def schedule(dice: Dice, level: Level) -> Item:
    """Dates and clock times: the next date, an end time, a date some days later."""
    event, name = dice.pick(EVENTS), dice.pick(NAMES)
    if level is Level.EASY:
        month, day, gap = dice.pick(MONTHS), dice.number(1, 26), dice.pick((1, 1, 2))
        words = "the day after" if gap == 1 else "two days after"
        answer = f"{month} {day + gap}"
        prompt = dice.form(
            (
                f"{event.capitalize()} was moved to {words} {month} {day}. Give the new date in the "
                "form 'Month day', nothing else.",
                f"{name} has {event} {words} {month} {day}. What date is that? Answer in the form 'Month day'.",
            )
        )
        return Item("schedule", level, prompt, answer, {"kind": "exact", "answer": answer})
    if level is Level.MEDIUM:
        hour, length = dice.number(7, 20), dice.number(1, 2)
        minute = dice.pick(("00", "30"))
        answer = f"{hour + length}:{minute}"
        plural = "hour" if length == 1 else "hours"
        prompt = dice.form(
            (
                f"{event.capitalize()} starts at {hour}:{minute} and takes {length} {plural}. When "
                "does it end? Answer with the time only.",
                f"{name} begins at {hour}:{minute} and works {length} {plural}. Give the end time as hh:mm only.",
            )
        )
        return Item("schedule", level, prompt, answer, {"kind": "exact", "answer": answer})
    hour, half = dice.number(8, 20), dice.chance(0.5)
    start = hour * 60 + (0 if half else 15)
    end = start + dice.pick((10, 15, 20, 30, 60))
    answer = f"{end // 60}:{end % 60:02d}"
    prompt = dice.form(
        (
            f"{event.capitalize()} starts at {start // 60}:{start % 60:02d} and lasts {end - start} "
            "minutes. When does it end? Time only.",
            f"{name} leaves at {start // 60}:{start % 60:02d} and travels {end - start} minutes. Give "
            "the arrival time as hh:mm only.",
        )
    )
    return Item("schedule", level, prompt, answer, {"kind": "exact", "answer": answer})
