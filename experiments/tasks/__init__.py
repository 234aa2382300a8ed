"""Prompts with exactly checkable answers, as an agent on streams of messages and readings would send them."""

from __future__ import annotations

from experiments.tasks import calendar, knowledge, opinions, quantities, text
from experiments.tasks.check import score
from experiments.tasks.item import FAMILIES, Item, Level, Side
from experiments.tasks.pools import evaluation_items, example_items, generate, training_items

__all__ = [
    "FAMILIES",
    "Item",
    "Level",
    "Side",
    "calendar",
    "evaluation_items",
    "example_items",
    "generate",
    "knowledge",
    "opinions",
    "quantities",
    "score",
    "text",
    "training_items",
]
