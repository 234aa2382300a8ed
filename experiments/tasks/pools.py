"""The three disjoint pools: evaluation prompts, few-shot examples, training prompts of the custom model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import replace

import numpy as np

from env.prompts import normalise
from experiments.tasks.item import FAMILIES, Dice, Item, Level, Side

EVALUATION_COUNT = 1_520
"""Prompts of the bundled trace: 80 of each family."""
EVALUATION_SEED = 20260
EXAMPLES_PER_FORM = 10
EXAMPLES_SEED = 20261
TRAINING_SEED = 20262

_EXAMPLE_DRAWS = 6_000
"""Draws from which the examples are taken; the rarest form comes up more than ten times."""

_TRIES = 400
"""Draws for one new prompt before a family counts as exhausted; the smallest has some thousands of prompts."""


def generate(
    count: int, *, seed: int, side: Side, taken: Set[str] = frozenset(), families: Iterable[str] | None = None
) -> list[Item]:
    """`count` items with different normalised prompts, none of them in `taken`; families and levels in turn.

    >>> items = generate(48, seed=1, side=Side.EVALUATION)
    >>> len({normalise(item.prompt) for item in items})
    48
    >>> items == generate(48, seed=1, side=Side.EVALUATION)
    True
    """
    names = sorted(families if families is not None else FAMILIES)
    levels = list(Level)
    dice = Dice(np.random.default_rng(seed), side)
    seen, items = set(taken), []
    for index in range(count):
        name = names[index % len(names)]
        level = levels[index // len(names) % len(levels)]
        for _ in range(_TRIES):
            item = FAMILIES[name](dice, level)
            item = replace(item, form=f"{name}/{level}/{dice.last_form}")
            key = normalise(item.prompt)
            if key not in seen:
                break
        else:
            raise RuntimeError(f"family {name!r} ({level}) has no more new prompts")
        seen.add(key)
        items.append(item)
    return [items[int(i)] for i in dice.rng.permutation(len(items))]


def evaluation_items(count: int, seed: int = EVALUATION_SEED) -> list[Item]:
    """The prompts of a recorded trace."""
    return generate(count, seed=seed, side=Side.EVALUATION)


def example_items(per_form: int, evaluation: Iterable[Item]) -> list[Item]:
    """Solved examples for few-shot prompts: the training side's wording, none of the evaluation prompts.

    Every form of every family comes up to `per_form` times, so that a model can be shown examples of one form.
    """
    drawn = generate(_EXAMPLE_DRAWS, seed=EXAMPLES_SEED, side=Side.TRAINING, taken=_keys(evaluation))
    kept, count = [], Counter[str]()
    for item in drawn:
        if count[item.form] < per_form:
            count[item.form] += 1
            kept.append(item)
    return sorted(kept, key=lambda item: item.form)


def training_items(count: int, evaluation: Iterable[Item], families: Iterable[str]) -> list[Item]:
    """Training prompts of the custom model; the evaluation prompts are left out."""
    return generate(count, seed=TRAINING_SEED, side=Side.TRAINING, taken=_keys(evaluation), families=families)


def _keys(items: Iterable[Item]) -> frozenset[str]:
    return frozenset(normalise(item.prompt) for item in items)
