"""Families about numbers: arithmetic, conversion, comparison, extremes, counting, sorting."""

from __future__ import annotations

from experiments.tasks.item import Dice, Item, Level, family
from experiments.tasks.vocabulary import CITIES, FRUITS, NAMES, PRODUCTS, SENSORS, WORDS


def _numeric(task: str, level: Level, prompt: str, answer: float) -> Item:
    text = f"{answer:g}" if isinstance(answer, float) else str(answer)
    return Item(task, level, prompt, text, {"kind": "number", "answer": answer})


@family("arithmetic")
def arithmetic(dice: Dice, level: Level) -> Item:
    """Sums, differences and small products, bare or inside a one-line story."""
    name, thing = dice.pick(NAMES), dice.pick(FRUITS)
    if level is Level.EASY:
        a, b = dice.number(1, 9), dice.number(1, 9)
        prompt = dice.form(
            (
                f"What is {a} plus {b}? Answer with the number only.",
                f"Compute {a} + {b}. Reply with just the number.",
                f"{name} has {a} {thing} and buys {b} more. How many {thing} does {name} have now? "
                "Give only the number.",
                f"Add these two readings: {a} and {b}. Number only.",
            )
        )
        return _numeric("arithmetic", level, prompt, a + b)
    if level is Level.MEDIUM:
        b = dice.number(2, 9)
        a = b + dice.number(2, 12)
        if dice.chance(0.5):
            c, a = dice.number(2, 9) * 10, dice.number(1, 9)
            prompt = dice.form(
                (
                    f"What is {c} plus {a}? Answer with the number only.",
                    f"{name} packed {c} {thing} on one shelf and {a} on another. How many in total? Number only.",
                    f"Compute {c} + {a}. Reply with just the number.",
                ),
                kind="plus",
            )
            return _numeric("arithmetic", level, prompt, c + a)
        prompt = dice.form(
            (
                f"What is {a} minus {b}? Answer with the number only.",
                f"{name} had {a} {thing} and gave away {b}. How many {thing} are left? Give only the number.",
                f"The stock was {a} and {b} units were sold. How many units remain? Number only.",
                f"Compute {a} - {b}. Reply with just the number.",
            )
        )
        return _numeric("arithmetic", level, prompt, a - b)
    a, b = dice.number(2, 12), dice.number(2, 5)
    prompt = dice.form(
        (
            f"What is {a} times {b}? Answer with the number only.",
            f"{name} ordered {a} boxes with {b} {thing} in each box. How many {thing} is that? Give only the number.",
            f"Compute {a} * {b}. Reply with just the number.",
            f"A ticket costs {b} euros. What do {a} tickets cost in euros? Number only.",
        )
    )
    return _numeric("arithmetic", level, prompt, a * b)


_WHOLE = (
    ("kilometres", "metres", 1000), ("kilograms", "grams", 1000), ("litres", "millilitres", 1000),
    ("metres", "centimetres", 100), ("euros", "cents", 100), ("centimetres", "millimetres", 10),
)  # fmt: skip
_TIMES = (
    ("hours", "minutes", 60), ("minutes", "seconds", 60), ("days", "hours", 24), ("weeks", "days", 7),
    ("years", "months", 12), ("feet", "inches", 12),
)  # fmt: skip


@family("unit_conversion")
def unit_conversion(dice: Dice, level: Level) -> Item:
    """Metric prefixes, units of time, and decimals or the way back."""
    if level is Level.EASY:
        source, target, factor = dice.pick(_WHOLE)
        value: float = dice.number(2, 60)
        answer: float = int(value) * factor
    elif level is Level.MEDIUM:
        source, target, factor = dice.pick(_TIMES)
        value = dice.number(2, 9)
        answer = int(value) * factor
    else:
        target, source, factor = dice.pick(_WHOLE + _TIMES)
        answer = dice.number(2, 30)
        value = int(answer) * factor
        if dice.chance(0.4):
            source, target, factor = dice.pick(_WHOLE)
            value = dice.number(11, 99) / 10
            answer = round(value * factor)
    quantity = f"{value:g}"
    prompt = dice.form(
        (
            f"Convert {quantity} {source} to {target}. Answer with the number only.",
            f"How many {target} are {quantity} {source}? Reply with just the number.",
            f"A log entry says {quantity} {source}. Write this in {target}, number only.",
            f"{quantity} {source} = ? {target}. Give only the number.",
            f"{dice.pick(NAMES)} noted {quantity} {source}. What is that in {target}? Only the number.",
        )
    )
    return _numeric("unit_conversion", level, prompt, answer)


@family("comparison")
def comparison(dice: Dice, level: Level) -> Item:
    """Yes or no: thresholds, order of numbers, two conditions at once."""
    place = dice.pick(SENSORS)
    if level is Level.EASY:
        a, b = dice.sample(list(range(2, 100)), 2)
        above = dice.chance(0.5)
        word = dice.pick(("greater", "larger") if above else ("smaller", "less"))
        prompt = dice.form(
            (
                f"Is {a} {word} than {b}? Answer yes or no.",
                f"The {place} reads {a}. Is this {word} than {b}? Reply yes or no.",
                f"Answer yes or no: is {a} {word} than {b}?",
            )
        )
        holds = a > b if above else a < b
    elif level is Level.MEDIUM:
        first, second = dice.sample(NAMES, 2)
        a, b = dice.sample(list(range(15, 90)), 2)
        older = dice.chance(0.5)
        prompt = dice.form(
            (
                f"{first} is {a} years old and {second} is {b}. Is {first} "
                f"{'older' if older else 'younger'} than {second}? Answer yes or no.",
                f"{first} scored {a} points, {second} scored {b}. Did {first} score "
                f"{'more' if older else 'fewer'} points than {second}? Yes or no.",
                f"Alarm rule: the {place} must stay {'above' if older else 'below'} {b}. It reads "
                f"{a}. Is the rule kept? Answer yes or no.",
            )
        )
        holds = a > b if older else a < b
    else:
        low = dice.number(5, 40)
        high = low + dice.number(8, 40)
        value = dice.number(max(1, low - 25), high + 25)
        if value in (low, high):
            value += 1 if value == high else -1
        inside = dice.chance(0.5)
        prompt = dice.form(
            (
                f"The {place} should stay between {low} and {high} degrees. It is at {value}. Is it "
                f"{'inside' if inside else 'outside'} the range? Answer yes or no.",
                f"Is {value} {'between' if inside else 'not between'} {low} and {high}? Reply yes or no.",
            )
        )
        holds = (low < value < high) == inside
    answer = "yes" if holds else "no"
    return Item("comparison", level, prompt, answer, {"kind": "label", "answer": answer, "labels": ["yes", "no"]})


@family("extreme")
def extreme(dice: Dice, level: Level) -> Item:
    """The largest or smallest of a list of readings, or who has it."""
    largest = dice.chance(0.6)
    word = dice.pick(("largest", "highest", "biggest") if largest else ("smallest", "lowest"))
    best = max if largest else min
    if level is Level.HARD:
        count = dice.number(2, 3)
        people, values = dice.sample(NAMES, count), dice.sample(list(range(10, 99)), count)
        table = ", ".join(f"{who} {value}" for who, value in zip(people, values, strict=True))
        answer = people[values.index(best(values))]
        prompt = dice.form(
            (
                f"Scores: {table}. Who has the {word} score? Answer with the name only.",
                f"{table}. Name the person with the {word} number, nothing else.",
            )
        )
        return Item("extreme", level, prompt, answer, {"kind": "exact", "answer": answer})
    count, top = (2, 60) if level is Level.EASY else (4, 100)
    values = dice.sample(list(range(1, top)), count)
    listing = ", ".join(map(str, values))
    prompt = dice.form(
        (
            f"What is the {word} number in this list: {listing}? Answer with the number only.",
            f"Readings of the {dice.pick(SENSORS)}: {listing}. Give only the {word} reading.",
            f"Temperatures in {dice.pick(CITIES)} this week: {listing}. Which is the {word}? Number only.",
        )
    )
    return _numeric("extreme", level, prompt, best(values))


@family("counting")
def counting(dice: Dice, level: Level) -> Item:
    """How many items a list has, or how often one of them occurs."""
    if level is Level.HARD:
        target, *others = dice.sample(WORDS, 3)
        times = dice.number(2, 4)
        words = [target] * times + [dice.pick(others) for _ in range(dice.number(2, 4))]
        listing = " ".join(dice.sample(words, len(words)))
        prompt = dice.form(
            (
                f'How often does the word "{target}" occur here: {listing}? Answer with the number only.',
                f'Count the word "{target}": {listing}. Number only.',
            )
        )
        return _numeric("counting", level, prompt, times)
    count = dice.number(2, 4) if level is Level.EASY else dice.number(3, 6)
    things = dice.sample(dice.pick((PRODUCTS, WORDS, NAMES, CITIES)), count)
    listing = ", ".join(things)
    prompt = dice.form(
        (
            f"How many items are in this list: {listing}? Answer with the number only.",
            f"Order: {listing}. How many things were ordered? Number only.",
            f"Count the entries and reply with just the number: {listing}",
        )
    )
    return _numeric("counting", level, prompt, count)


@family("sorting")
def sorting(dice: Dice, level: Level) -> Item:
    """Put a few numbers or words in order."""
    count = {Level.EASY: 2, Level.MEDIUM: 3, Level.HARD: 4}[level]
    if dice.chance(0.6):
        values: list[str] = [str(v) for v in dice.sample(list(range(1, 60)), count)]
        ordered = sorted(values, key=int)
        listing = ", ".join(values)
        prompt = dice.form(
            (
                f"Sort these numbers from smallest to largest: {listing}. Answer with the sorted list only.",
                f"Put the readings in ascending order, separated by commas: {listing}",
                f"Order from low to high: {listing}. Only the list.",
            ),
            kind="numbers",
        )
    else:
        values = dice.sample(WORDS, min(count, 3))
        ordered = sorted(values)
        listing = ", ".join(values)
        prompt = dice.form(
            (
                f"Sort these words alphabetically: {listing}. Answer with the sorted list only.",
                f"Put the tags in alphabetical order, separated by commas: {listing}",
            )
        )
    return Item("sorting", level, prompt, ", ".join(ordered), {"kind": "list", "answer": ordered})
