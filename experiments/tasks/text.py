"""Families about strings: extraction from messages, edits."""

from __future__ import annotations

import json

from experiments.tasks.item import Dice, Item, Level, family
from experiments.tasks.vocabulary import CITIES, MONTHS, NAMES, PRODUCTS, WORDS

_DOMAINS = ("example.com", "mail.example", "shop.example", "post.example")


def _code(dice: Dice) -> str:
    letters = "".join(dice.pick("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(2))
    return f"{letters}-{dice.number(1000, 9999)}"


@family("extraction")
def extraction(dice: Dice, level: Level) -> Item:
    """One field out of a short message, one out of a longer message, or two fields as JSON."""
    name, city, product = dice.pick(NAMES), dice.pick(CITIES), dice.pick(PRODUCTS)
    count, code = dice.number(2, 40), _code(dice)
    if level is Level.EASY:
        message, fields = dice.pick(
            (
                (f"Hello, my order {code} has not arrived. Regards, {name}", {"order number": code, "name": name}),
                (f"{name} from {city} bought a {product}.", {"city": city, "product": product, "name": name}),
                (f"Please ship the {product} to {city}.", {"city": city, "product": product}),
            )
        )
    else:
        mail = f"{name.lower()}{dice.number(1, 99)}@{dice.pick(_DOMAINS)}"
        date, price = f"{dice.pick(MONTHS)} {dice.number(1, 28)}", f"{dice.number(5, 400)}.{dice.number(10, 99)}"
        other = dice.pick([town for town in CITIES if town != city])
        message, fields = dice.pick(
            (
                (
                    f"Order {code}: {count} pieces of {product}, from {other} to {city}, due {date}. Contact {mail}.",
                    {"order number": code, "email address": mail, "due date": date, "destination city": city},
                ),
                (
                    f"Hi, {name} here. On {date} I paid {price} euros for a {product} in {other}, but "
                    f"I live in {city}. Ticket {code}.",
                    {"ticket number": code, "price": price, "product": product, "date": date},
                ),
                (
                    f"Invoice {code} for {name}, {city}: {count} x {product}, total {price} euros, pay before {date}.",
                    {"invoice number": code, "total": price, "customer name": name, "city": city},
                ),
            )
        )
    if level is Level.HARD:
        chosen = dice.sample(list(fields), 2)
        answer = {field.split()[-1]: fields[field] for field in chosen}  # "due date" is asked for as "date"
        keys = " and ".join(f'"{key}"' for key in answer)
        prompt = dice.form(
            (
                f"Extract {' and '.join('the ' + f for f in chosen)} as JSON with the keys {keys}. Message: {message}",
                f"{message}\nReturn a JSON object with the keys {keys} ({', '.join(chosen)}).",
            )
        )
        return Item("extraction", level, prompt, json.dumps(answer), {"kind": "json", "answer": answer})
    field = dice.pick(list(fields))
    prompt = dice.form(
        (
            f"Extract the {field} from this message: {message} Answer with the {field} only.",
            f'Message: "{message}" What is the {field}? Reply with it and nothing else.',
            f"{message}\nGive only the {field}.",
        ),
        kind=f"{field} ",
    )
    return Item("extraction", level, prompt, fields[field], {"kind": "exact", "answer": fields[field]})


@family("string_edit")
def string_edit(dice: Dice, level: Level) -> Item:
    """First or last word, upper case or removal, and letter-level edits."""
    words = dice.sample(WORDS, dice.number(3, 5))
    text = " ".join(words)
    cased = False
    if level is Level.EASY:
        last = dice.chance(0.5)
        answer = words[-1] if last else words[0]
        prompt = dice.form(
            (
                f"What is the {'last' if last else 'first'} word of: {text}? Answer with that word only.",
                f'Return only the {"last" if last else "first"} word of the text "{text}".',
            )
        )
    elif level is Level.MEDIUM:
        if dice.chance(0.5):
            word = dice.pick(words)
            answer, cased = word.upper(), True
            prompt = dice.form(
                (
                    f"Write the word {word} in capital letters. Answer with the word only.",
                    f'Convert "{word}" to upper case. Only the result.',
                    f"Tag {dice.number(2, 99)}: turn {word} into upper case, nothing else.",
                ),
                kind="upper",
            )
        else:
            word = dice.pick(words)
            answer = " ".join(w for w in words if w != word)
            prompt = dice.form(
                (
                    f'Remove the word "{word}" from this text and return the rest: {text}',
                    f"Delete {word} from: {text}. Answer with the remaining words only.",
                )
            )
    elif dice.chance(0.5):
        answer = " ".join(reversed(words[:3]))
        prompt = dice.form(
            (
                f"Write these words in reverse order: {' '.join(words[:3])}. Only the words.",
                f'Reverse the word order of "{" ".join(words[:3])}". Answer with the words only.',
            ),
            kind="reverse",
        )
    else:
        index = dice.number(1, len(words) - 2)
        answer = words[index]
        place = ("first", "second", "third", "fourth")[index]
        prompt = dice.form(
            (
                f"What is the {place} word of: {text}? Answer with that word only.",
                f'Return only the {place} word of the text "{text}".',
            )
        )
    check = {"kind": "exact", "answer": answer} | ({"case": True} if cased else {})
    return Item("string_edit", level, prompt, answer, check)
