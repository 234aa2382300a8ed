"""How a small model is asked so that it answers better: the nearest solved examples, and votes."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from env.errors import BadInput
from env.features import WordLlama

EXAMPLES = Path(__file__).parent / "data" / "examples.jsonl"
"""The shipped examples; written by ``python -m experiments.tasks examples``."""

STOP = "\n"
"""A few-shot answer ends with its line."""


@dataclass(frozen=True, slots=True)
class Example:
    """A solved prompt."""

    prompt: str
    answer: str


class ExamplePool:
    """Solved examples, found by what they mean (static embeddings, cosine); no label of the prompt is needed.

    Example:
        >>> pool = ExamplePool([Example("1 + 1?", "2"), Example("Where is Big Ben?", "London")])
        >>> pool.nearest("2 + 5?", 1)
        [Example(prompt='1 + 1?', answer='2')]
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        if not examples:
            raise BadInput("an example pool needs at least one example")
        self._examples = tuple(examples)
        self._embed = WordLlama().transform
        self._embeddings = self._embed([example.prompt for example in examples])

    @classmethod
    def load(cls, path: Path = EXAMPLES) -> ExamplePool:
        """The examples in a JSON-lines file with the fields of `Example`."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            return cls([Example(**json.loads(line)) for line in lines if line.strip()])
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(f"{path}: cannot read the few-shot examples: {error}") from None

    def nearest(self, prompt: str, count: int) -> list[Example]:
        """The `count` nearest examples, the nearest last: what stands next to the question weighs most."""
        similarity = self._embeddings @ self._embed([prompt])[0]
        order = np.argsort(-similarity, kind="stable")[:count]
        return [self._examples[index] for index in reversed(order)]

    def few_shot(self, prompt: str, count: int) -> str:
        r"""The text to continue: the nearest solved examples, then the prompt.

        Example:
            >>> ExamplePool([Example("1 + 1?", "2")]).few_shot("2 + 5?", 1)
            'Input: 1 + 1?\nAnswer: 2\n\nInput: 2 + 5?\nAnswer:'
        """
        solved = "".join(f"Input: {each.prompt}\nAnswer: {each.answer}\n\n" for each in self.nearest(prompt, count))
        return f"{solved}Input: {prompt}\nAnswer:"


@functools.cache
def shipped_examples() -> ExamplePool:
    """The examples that come with the package, embedded once per process."""
    return ExamplePool.load()


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled answer with the mean log-probability of its tokens, where known."""

    text: str
    logprob: float | None = None


def vote(samples: Sequence[Sample]) -> Sample:
    """The most frequent answer; among equals the likelier, then the earlier one.

    Case and outer punctuation do not split a vote; the first wording of the winner is returned, with the mean
    log-probability of all samples that agree with it.

    Example:
        >>> vote([Sample("12"), Sample("14"), Sample("12.")]).text
        '12'
    """
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.text.casefold().strip(" .\"'")].append(sample)

    def weight(key: str) -> tuple[int, float]:
        return len(groups[key]), _mean_logprob(groups[key]) or -np.inf

    winners = groups[max(groups, key=weight)]
    return Sample(winners[0].text, _mean_logprob(winners))


def _mean_logprob(samples: Sequence[Sample]) -> float | None:
    known = [sample.logprob for sample in samples if sample.logprob is not None]
    return sum(known) / len(known) if known else None
