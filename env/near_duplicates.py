"""Prompts that are nearly the same: every pair whose word triples agree, found without comparing all pairs.

Two prompts are compared by the Jaccard index of their word 3-shingles (Broder 1997): shared ones over all of both.
Shingles that many prompts share (a few-shot prefix, the fixed words of a template) say nothing about two of them, and
do not count as shared; without that, all items of one template would be near-duplicates of each other.

Candidates come from prefix filtering (Chaudhuri et al. 2006; Bayardo et al. 2007): of two sets that agree, even the
rarest members of one cannot all be missing from the other. Unlike MinHash it draws nothing, and misses no pair whose
rare shingles agree.

The limit of it: the words of a text that is there twenty times and more, each time a little different, are themselves a
template's, and none of its pairs is told. Such texts are told as clusters instead: nearly all they say is boilerplate,
and they are alike with it. Whether they are copies, or questions behind one long prefix, is for a person to see.
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
# Chinese and Japanese put no spaces between words: each character is one.
_WORD = re.compile("[{0}]|[^\\W{0}]+|[^\\w\\s]".format("\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"))
_DIGIT = re.compile(r"\d")
_SHINGLE = 3
_WORD_BITS = 21  # three words in one 63-bit number; beyond two million different words, some would share a number
# Odd multipliers: each orders the shingles in another way, and two sets that agree have the same first in one of them.
_ORDERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Pairs of texts that are nearly the same.

    Attributes:
        pairs: ``(m, 2)`` indices of the texts, the smaller one first.
        similarity: ``(m,)`` Jaccard index of their shingles, from the least that was asked for to 1.
        other_numbers: ``(m,)`` True where the numbers in the two texts differ: two items of one template, which are
            different questions.
        clusters: indices of the texts of each large group of which nearly all is boilerplate: numbers aside, each text
            has at least that similarity to the first of its cluster.
    """

    pairs: Ints
    similarity: NDArray[np.float64]
    other_numbers: Bools
    clusters: tuple[Ints, ...] = ()


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
    sets, rarity, numeric = _shingle_sets(texts)
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
        _clusters([members[~numeric[members]] for members in sets], rarity, least, boilerplate),
    )


def _clusters(sets: Sequence[Ints], rarity: Ints, least: float, boilerplate: int) -> tuple[Ints, ...]:
    """Large groups of texts that say nearly nothing but boilerplate, each gathered around its first text."""
    leaders: defaultdict[int, list[int]] = defaultdict(list)
    found: dict[int, list[int]] = {}
    for row, members in enumerate(sets):
        if not len(members) or (rarity[members] > boilerplate).sum() < least * len(members):
            continue
        with np.errstate(over="ignore"):
            firsts = [int(members[np.argmin(members.astype(np.uint64) * np.uint64(order))]) for order in _ORDERS]
        for leader in dict.fromkeys(itertools.chain.from_iterable(leaders[first] for first in firsts)):
            shared = len(np.intersect1d(sets[leader], members, assume_unique=True))
            if shared >= least * (len(sets[leader]) + len(members) - shared):
                found[leader].append(row)
                break
        else:
            found[row] = [row]
            for first in {*firsts}:
                leaders[first].append(row)
    # A few of a group may have gathered around another of its texts.
    return tuple(np.array(rows, dtype=np.int64) for rows in found.values() if len(rows) > boilerplate // 2)


def _shingle_sets(texts: Sequence[str]) -> tuple[list[Ints], Ints, Bools]:
    """For each text the numbers of its shingles, sorted; in how many texts each number is; and which hold numerals."""
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
        return [], np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    shingles, numbered, rarity = np.unique(np.concatenate(packed), return_inverse=True, return_counts=True)
    digits = np.zeros(1 << _WORD_BITS, dtype=np.bool_)
    digits[[code & (1 << _WORD_BITS) - 1 for word, code in number.items() if _DIGIT.search(word)]] = True
    numeric = np.zeros(len(shingles), dtype=np.bool_)
    for place in range(_SHINGLE):
        numeric |= digits[shingles >> place * _WORD_BITS & (1 << _WORD_BITS) - 1]
    # Numbers rise with the shingles, so that each set is still sorted.
    return np.split(numbered, np.cumsum([len(members) for members in packed])[:-1]), rarity, numeric


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
    return Counter(word for word in _words(text) if _DIGIT.search(word))
