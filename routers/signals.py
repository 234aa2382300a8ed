"""Response-side signals: what an answer tells of its own quality, without a judge and without a model.

How sure the model was of its words, how much it said, whether it says what was asked for in the form that was asked
for, and whether others say the same. Prompts alone reveal little of what a model will get right; its answer reveals
more (FrugalGPT, arXiv 2305.05176; AutoMix, arXiv 2310.12963).
"""

from __future__ import annotations

import functools
import re

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Objects

SIGNALS = ("logprob", "length", "wordy", "number", "form", "echo", "quoted", "total_logprob")
"""Of each answer, in the order of the last axis of :func:`signals`:

``logprob``: mean log-probability of its tokens, NaN where not known. ``length``: logarithm of 1 + its words.
``wordy``: more than three words. ``number``: it is a number and nothing else. ``form``: it is a number where none was
asked for, or none where one was. ``echo``: share of its words that the prompt has too. ``quoted``: it stands in the
prompt as it is, as an option does. ``total_logprob``: the mean times the words.
"""

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"[-+]?\d[\d.,:]*")
_ASKS_NUMBER = re.compile(r"\b(?:number|how many|how much|digits?|hh:mm)\b", re.IGNORECASE)
_WORDY = 3
_REMEMBERED = 8192
_OUTER = " \t\n.,;:!?\"'`*"


def signals(prompts: Objects, response: Objects, logprob: NDArray[np.float32]) -> NDArray[np.float64]:
    """Facts of every answer.

    Args:
        prompts: ``(n,)`` texts, ``None`` where not kept.
        response: ``(n, K)`` texts, ``None`` where there is none.
        logprob: ``(n, K)`` mean log-probability of the tokens, NaN where not known.

    Returns:
        ``(n, K, len(SIGNALS))``; rows without a response are 0.

    Example:
        >>> prompt, answer = np.array(["How many legs has a cat?"], object), np.array([["4", "A cat"]], object)
        >>> found = signals(prompt, answer, np.array([[-0.1, -2.0]], dtype=np.float32))
        >>> dict(zip(SIGNALS, found[0, 1].round(2).tolist(), strict=True))["form"]
        1.0
    """
    found = np.zeros((*response.shape, len(SIGNALS)))
    for row, arm in np.argwhere(response != None):  # noqa: E711 - element by element
        length, *others = _facts(prompts[row] or "", response[row, arm])
        sure = float(logprob[row, arm])
        found[row, arm] = (sure, np.log1p(length), *others, sure * length)
    return found


# A plan looks at the same answers again in every round.
@functools.lru_cache(maxsize=_REMEMBERED)
def _facts(prompt: str, text: str) -> tuple[float, ...]:
    """Words, and the signals from ``wordy`` to ``quoted``."""
    asked, said = prompt.casefold(), bare(text)
    words, words_asked = _WORD.findall(said), set(_WORD.findall(asked))
    number = bool(_NUMBER.fullmatch(said))
    return (
        len(words),
        len(words) > _WORDY,
        number,
        number != bool(_ASKS_NUMBER.search(asked)),
        sum(word in words_asked for word in words) / max(len(words), 1),
        bool(said) and said in asked,
    )


def agreement(response: Objects, answered: Bools) -> NDArray[np.float64]:
    """``(n, K, K)`` how far two answers agree: 1 the same, 0.5 one within the other as whole words, 0 otherwise.

    Case and outer punctuation make no difference; the diagonal and answers that are not there are 0.

    Example:
        >>> said = np.array([["Paris.", "It is Paris", "Rome"]], dtype=object)
        >>> agreement(said, said != None)[0].tolist()
        [[0.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    n, k = response.shape
    found = np.zeros((n, k, k))
    for row in range(n):
        there = [int(arm) for arm in np.flatnonzero(answered[row])]
        said = {arm: bare(response[row, arm]) for arm in there}
        for a in there:
            for b in there:
                if a < b:
                    found[row, a, b] = found[row, b, a] = _alike(said[a], said[b])
    return found


def bare(text: str) -> str:
    """An answer without case and outer punctuation.

    Example:
        >>> bare(' "Paris." ')
        'paris'
    """
    return text.casefold().strip(_OUTER)


@functools.lru_cache(maxsize=_REMEMBERED)
def _alike(one: str, other: str) -> float:
    if one == other:
        return 1.0 if one else 0.0
    short, long = sorted((one, other), key=len)
    return 0.5 if short and re.search(rf"(?<!\w){re.escape(short)}(?!\w)", long) else 0.0
