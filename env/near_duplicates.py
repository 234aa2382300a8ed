"""Prompts that are nearly the same: every pair whose word triples agree, found without comparing all pairs.

Two prompts are compared by the Jaccard index of their word 3-shingles (Broder 1997): shared ones over all of both.
Shingles that many prompts share (a few-shot prefix, the fixed words of a template) say nothing about two of them, and
do not count as shared; without that, all items of one template would be near-duplicates of each other.

Candidates come from prefix filtering (Chaudhuri et al. 2006; Bayardo et al. 2007): of two sets that agree, even the
rarest members of one cannot all be missing from the other. Unlike MinHash it misses no pair and draws nothing.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Ints
from env.prompts import normalise

LEAST_SIMILARITY = 0.85
BOILERPLATE = 20
"""A shingle in more prompts than this is part of a template."""
_WORD = re.compile(r"\w+|[^\w\s]")
_NUMBER = re.compile(r"\w*\d\w*")
_SHINGLE = 3
_WORD_BITS = 21  # three words in one 63-bit number; beyond two million different words, some would share a number


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Pairs of texts that are nearly the same.

    Attributes:
        pairs: ``(m, 2)`` indices of the texts, the smaller one first.
        similarity: ``(m,)`` Jaccard index of their shingles, from the least that was asked for to 1.
        other_numbers: ``(m,)`` True where the numbers in the two texts differ: two items of one template, which are
            different questions.
    """

    pairs: Ints
    similarity: NDArray[np.float64]
    other_numbers: Bools


def near_duplicates(
    texts: Sequence[str], least: float = LEAST_SIMILARITY, boilerplate: int = BOILERPLATE
) -> NearDuplicates:
    """Find all pairs of texts with a similarity of at least ``least``.

    Upper and lower case, white space and the order of repeats do not matter. Give each text once: equal ones would be
    pairs too. 12,000 prompts of a few kB take seconds; memory is some 60 bytes a word.

    Args:
        texts: prompts.
        least: in (0, 1].
        boilerplate: shingles that are in more texts than this do not count as shared.

    Example:
        >>> story = "the quick brown fox jumps over the lazy dog and runs far away into the deep dark wood"
        >>> sums = [f"{story}; how many of {a}?" for a in (12, 13)]
        >>> found = near_duplicates(["Hello there", f"{story} again", *sums, f"{story}, again"], least=0.75)
        >>> found.pairs.tolist(), found.other_numbers.tolist()
        ([[1, 4], [2, 3]], [False, True])
    """
    sets, rarity = _shingle_sets(texts)
    told = [members[rarity[members] <= boilerplate] for members in sets]
    pairs, similarity = [], []
    for one, other in _candidates(told, rarity, least):
        shared = len(np.intersect1d(told[one], told[other], assume_unique=True))
        # What differs counts whether it is rare or not: a common word in a template's gap is a difference too.
        differ = len(np.setxor1d(sets[one], sets[other], assume_unique=True))
        if shared >= least * (shared + differ):
            pairs.append((one, other))
            similarity.append(shared / (shared + differ))
    numbers = {row: _numbers(texts[row]) for row in {row for pair in pairs for row in pair}}
    return NearDuplicates(
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        np.array(similarity, dtype=np.float64),
        np.array([numbers[one] != numbers[other] for one, other in pairs], dtype=np.bool_),
    )


def _shingle_sets(texts: Sequence[str]) -> tuple[list[Ints], Ints]:
    """For each text the numbers of its shingles, sorted; and in how many texts each number is."""
    number: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    packed = []
    for text in texts:
        words = _words(text)
        # A text of fewer words than a shingle has is filled up, so that every text has one.
        words += [""] * (_SHINGLE - len(words))
        codes = np.fromiter(map(number.__getitem__, words), dtype=np.int64, count=len(words)) & (1 << _WORD_BITS) - 1
        shingles = codes[: len(codes) - _SHINGLE + 1]
        for place in range(1, _SHINGLE):
            shingles = shingles << _WORD_BITS | codes[place : place + len(shingles)]
        packed.append(np.unique(shingles))
    if not packed:
        return [], np.zeros(0, dtype=np.int64)
    _, numbered, rarity = np.unique(np.concatenate(packed), return_inverse=True, return_counts=True)
    # Numbers rise with the shingles, so that each set is still sorted.
    return np.split(numbered, np.cumsum([len(members) for members in packed])[:-1]), rarity


def _candidates(sets: Sequence[Ints], rarity: Ints, least: float) -> list[tuple[int, int]]:
    """Pairs that may agree: of similar size, and sharing one of the rarest shingles of both."""
    seen: defaultdict[int, list[int]] = defaultdict(list)
    found = []
    sizes = [len(members) for members in sets]
    for row, members in enumerate(sets):
        prefix = sizes[row] - math.ceil(least * sizes[row]) + 1
        rarest = members[np.lexsort((members, rarity[members]))[:prefix]]
        with_it = [seen[shingle] for shingle in rarest[rarity[rarest] > 1].tolist()]
        for earlier in set().union(*with_it):
            if min(sizes[earlier], sizes[row]) >= least * max(sizes[earlier], sizes[row]):
                found.append((earlier, row))
        for rows in with_it:
            rows.append(row)
    return sorted(found)


def _words(text: str) -> list[str]:
    return _WORD.findall(normalise(text))


def _numbers(text: str) -> Counter[str]:
    return Counter(_NUMBER.findall(normalise(text)))
