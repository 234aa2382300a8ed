"""One generated prompt with its exactly checkable answer, and the registry of families."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
Check = dict[str, Any]
"""How an answer is judged, as plain JSON: ``{"kind": ..., "answer": ...}`` (see `experiments.tasks.check`)."""


class Level(StrEnum):
    """Graded difficulty inside a family; never shown to a router."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


class Side(StrEnum):
    """Which half of the subjective vocabulary a pool may use, so that a classifier must generalise."""

    TRAINING = "training"
    EVALUATION = "evaluation"


@dataclass(frozen=True)
class Item:
    """A prompt, its family and wording (`form`), the answer a perfect model gives, and how answers are judged."""

    task: str
    level: Level
    prompt: str
    answer: str
    check: Check
    form: str = ""


class Dice:
    """A seeded source of choices; a thin wrapper that keeps the families readable.

    >>> dice = Dice(np.random.default_rng(0), Side.EVALUATION)
    >>> dice.number(3, 3)
    3
    """

    def __init__(self, rng: np.random.Generator, side: Side) -> None:
        self.rng = rng
        self.side = side
        self.last_form = ""

    def number(self, low: int, high: int) -> int:
        """An integer in ``[low, high]``, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[int(self.rng.integers(len(options)))]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """`count` different options, in random order."""
        return [options[int(i)] for i in self.rng.permutation(len(options))[:count]]

    def form(self, wordings: tuple[str, ...], kind: str = "") -> str:
        """One of the wordings of a prompt; which one is kept as the item's form, with the `kind` of exercise."""
        index = int(self.rng.integers(len(wordings)))
        self.last_form = f"{kind}{index}"
        return wordings[index]

    def phrase(self, options: tuple[str, ...]) -> str:
        """One of the options that this pool's side may use.

        Of every five phrases two belong to training, two to evaluation and one to both: a classifier trained on
        one side meets mostly unknown phrases on the other.
        """
        hidden = (2, 3) if self.side is Side.TRAINING else (0, 1)
        allowed = [text for i, text in enumerate(options) if i % 5 not in hidden]
        return self.pick(allowed)

    def fact(self, options: Sequence[T]) -> T:
        """One of the half of the options that belongs to this pool's side; the other side never asks for it."""
        return self.pick(options[self.side is Side.EVALUATION :: 2])


Family = Callable[[Dice, Level], Item]
"""Makes one item of a family at a level of difficulty."""

FAMILIES: dict[str, Family] = {}


def family(name: str) -> Callable[[Family], Family]:
    """Register a maker of items under the name that becomes the trace's ``task`` column."""

    def register(make: Family) -> Family:
        FAMILIES[name] = make
        return make

    return register
