"""Features: from prompt text to the vector a router sees, without a download and without a network.

The default is static word embeddings (the weights ship inside the ``wordllama`` wheel; about 0.04 ms a
prompt) beside a few cheap facts of the text. Where that wheel is not installed, hashed word n-grams stand in.
Those here are pure functions of the prompt: no fitting, so nothing can leak from test prompts into them; those that
are fitted stand in ``env.text_features``. They read no more than ``READS`` characters of one: a server features prompts
between two requests, and whoever may send a long prompt must not keep all the others waiting.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import logging
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from env.contexts import Floats
from env.errors import BadInput, nearest

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
WORD = re.compile(r"\w+")
OPTION = re.compile(r"(?:^|\n|\s)\(?[A-J][).:]\s")
CODE = re.compile(r"```|\bdef \w+\(|\bclass \w+|[;{}]\s*\n|\breturn\b")

READS = 16_000
"""Characters of a prompt that are read at most: as many of its beginning as of its end."""

# Each fact is scaled to about [-1, 1], then by this, so that all of them weigh as much as one embedding.
_FACTS_SCALE = 0.25


class Featuriser(ABC):
    """Turns prompts into ``(n, d)`` float32 rows; equal prompts give equal rows, whatever the batch.

    Most are pure functions; those that learn directions or weights from prompts say so by :meth:`fit` and
    :meth:`arrays`. None ever sees an outcome.
    """

    kind: ClassVar[str]
    d: int

    @abstractmethod
    def transform(self, prompts: Sequence[str]) -> Floats:
        """Features ``(n, d)`` of ``n`` prompts."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """JSON-able settings from which :func:`from_config` builds the same featuriser."""

    def fit(self, prompts: Sequence[str]) -> Featuriser:
        """A featuriser fitted on these prompts; itself where there is nothing to learn."""
        return self

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What :meth:`fit` learned, by name."""
        return {}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`arrays` gave; only for one that was just built.

        Raises:
            BadInput: arrays for one that learns nothing.
        """
        if arrays:
            raise BadInput(f"featuriser `{self.kind}` learns nothing, but was given {', '.join(sorted(arrays))}")

    @functools.cached_property
    def fingerprint(self) -> str:
        """Names what this featuriser computes: features with another fingerprint are not its own."""
        digest = hashlib.sha256(json.dumps(self.config(), sort_keys=True).encode())
        for name, array in sorted(self.arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return f"{self.kind}-{digest.hexdigest()[:12]}"


def from_config(config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None) -> Featuriser:
    """The featuriser that ``config()`` and ``arrays()`` described.

    Raises:
        BadInput: an unknown kind, unknown settings, or one whose package is not installed.

    Example:
        >>> from_config({"kind": "hashing", "n_features": 64}).d
        64
    """
    if not isinstance(config, Mapping):
        raise BadInput(f"featuriser: {config!r} is no config; it is an object with a `kind` and its settings")
    settings = dict(config)
    kind = settings.pop("kind", "")
    kinds = _kinds()
    if not isinstance(kind, str) or kind not in kinds:
        raise BadInput(f"unknown featuriser `{kind}`{nearest(str(kind), kinds)}")
    fixed = {name: settings.pop(name) for name in ("version", "reads") if name in settings}
    try:
        made = kinds[kind](**settings)
    except TypeError as error:
        raise BadInput(f"featuriser `{kind}`: {error}") from error
    here = made.config()
    for name, asked in fixed.items():
        if asked != here.get(name):
            raise BadInput(f"featuriser `{kind}`: {name} {asked} is asked for, {here.get(name)} is here")
    if arrays:
        made.restore(arrays)
    return made


def as_featuriser(given: Featuriser | Mapping[str, Any]) -> Featuriser:
    """A featuriser as it is, or built from its config."""
    return given if isinstance(given, Featuriser) else from_config(given)


@functools.cache
def _kinds() -> dict[str, Callable[..., Featuriser]]:
    # Imported here: those that are fitted build on these.
    from env.text_features import Ends, Form, NGrams, Reduced

    kinds = (WordLlama, Hashing, PromptFacts, NoText, Concatenated, Ends, Form, NGrams, Reduced)
    return {kind.kind: kind for kind in kinds}


@functools.cache
def default_featuriser() -> Featuriser:
    """Static word embeddings and prompt facts; without the ``wordllama`` wheel hashed n-grams and facts.

    Example:
        >>> default_featuriser().transform(["What is 2 + 2?"]).dtype
        dtype('float32')
    """
    try:
        return Concatenated([WordLlama(), PromptFacts()])
    except BadInput:
        return Concatenated([Hashing(), PromptFacts()])


class WordLlama(Featuriser):
    """Mean-pooled static token embeddings of the ``wordllama`` wheel (256 dimensions), L2-normalised.

    Raises:
        BadInput: the wheel is not installed.
    """

    kind = "wordllama"
    d = 256

    def __init__(self) -> None:
        self._model, self._version = _load_wordllama()

    def transform(self, prompts: Sequence[str]) -> Floats:
        """Features ``(n, 256)``; a prompt without a known token is all zeros."""
        rows = np.empty((len(prompts), self.d), dtype=np.float32)
        for row, prompt in zip(rows, prompts, strict=True):
            self._pool(readable(prompt) or " ", row)
        return unit_rows(rows)

    def _pool(self, text: str, mean: Floats) -> None:
        """What the model's own ``embed`` gives of one text, to the last bit, at a third of the cost.

        One text at a time: a batch pads, and padding changes the last bits of the mean. A row must not depend on its
        neighbours, or the server and the environment would disagree.
        """
        tokens = self._model.tokenizer.encode(text, add_special_tokens=False).ids
        known = self._model.embedding.take(np.array(tokens, dtype=np.int64), axis=0, mode="clip")
        np.divide(known.sum(axis=0), np.float32(max(len(tokens), 1)), out=mean)

    def config(self) -> dict[str, Any]:
        """Settings, with the version of the weights: another version is another featuriser."""
        return {"kind": self.kind, "version": self._version, "reads": READS}


@functools.cache
def _load_wordllama() -> tuple[Any, str]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        import wordllama
    except ImportError as error:
        raise BadInput("the `wordllama` featuriser needs its wheel: pip install wordllama") from error
    finally:
        # It sets up logging for the whole process when imported, which is for the application to do.
        root.handlers[:] = handlers
        root.setLevel(level)
    # The wheel holds weights and tokenizer, but looks for the tokenizer in a download cache unless told.
    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    return model, "l2_supercat_256"


class Hashing(Featuriser):
    """Word 1-2-grams hashed to a fixed width with signs, sublinear counts, L2-normalised (no vocabulary).

    Args:
        n_features: width ``d``.

    Raises:
        BadInput: a width that is none.
    """

    kind = "hashing"

    def __init__(self, n_features: int = 512) -> None:
        if type(n_features) is not int or n_features < 1:
            raise BadInput(f"featuriser `hashing`: n_features is {n_features!r}; it must be a whole number above 0")
        self.d = n_features

    def transform(self, prompts: Sequence[str]) -> Floats:
        """Features ``(n, n_features)``."""
        rows = np.zeros((len(prompts), self.d), dtype=np.float32)
        for row, prompt in zip(rows, prompts, strict=True):
            words = WORD.findall(readable(prompt).casefold())
            for gram in [*words, *map(" ".join, itertools.pairwise(words))]:
                code = zlib.crc32(gram.encode())
                row[code % self.d] += 1.0 if code >> 31 else -1.0
        return unit_rows(np.sign(rows) * np.log1p(np.abs(rows)))

    def config(self) -> dict[str, Any]:
        """Settings."""
        return {"kind": self.kind, "n_features": self.d, "reads": READS}


class PromptFacts(Featuriser):
    """Cheap facts: length, numbers, questions, options, code, JSON, lines; each in [-1, 1] before scaling."""

    kind = "facts"
    d = 14

    def transform(self, prompts: Sequence[str]) -> Floats:
        """Features ``(n, 14)``."""
        rows = np.array([_facts(prompt) for prompt in prompts], dtype=np.float32).reshape(len(prompts), self.d)
        return np.minimum(np.maximum(rows, -1), 1) * np.float32(_FACTS_SCALE)  # np.clip takes longer for one row

    def config(self) -> dict[str, Any]:
        """Settings."""
        return {"kind": self.kind, "version": 1, "reads": READS}


class NoText(Featuriser):
    """Nothing: one column of zeros, for routers that look at no prompt where there is none to look at.

    Example:
        >>> NoText().transform(["a", "b"]).tolist()
        [[0.0], [0.0]]
    """

    kind = "no_text"
    d = 1

    def transform(self, prompts: Sequence[str]) -> Floats:
        """Features ``(n, 1)``."""
        return np.zeros((len(prompts), 1), dtype=np.float32)

    def config(self) -> dict[str, Any]:
        """Settings."""
        return {"kind": self.kind}


def _facts(prompt: str) -> list[float]:
    text = readable(prompt)
    length = max(len(text), 1)
    words = WORD.findall(text)
    numbers = NUMBER.findall(text)
    digits = sum(map(len, numbers))
    return [
        np.log1p(max(len(prompt), 1)) / 5 - 1,  # of all of it: what a call costs hangs on it
        np.log1p(len(words)) / 4 - 1,
        sum(map(len, words)) / max(len(words), 1) / 5 - 1,
        np.log1p(len(numbers)) / 2,
        min(digits / length * 4, 1.0),
        max((len(number) for number in numbers), default=0) / 6,
        min(text.count("?"), 3) / 3,
        min(text.count("\n"), 20) / 20,
        np.log1p(len(OPTION.findall(text))) / 2,
        1.0 if CODE.search(text) else 0.0,
        min(text.count("{") + text.count("["), 8) / 8,
        min(text.count('"'), 12) / 12,
        min(text.count(","), 12) / 12,
        sum(map(str.isupper, text)) / length * 4,
    ]


class Concatenated(Featuriser):
    """Featurisers side by side.

    Args:
        parts: featurisers, or the configs of featurisers, in column order.

    Example:
        >>> Concatenated([Hashing(64), PromptFacts()]).transform(["a", "b"]).shape
        (2, 78)
    """

    kind = "concatenated"

    def __init__(self, parts: Sequence[Featuriser | Mapping[str, Any]]) -> None:
        self._parts = [as_featuriser(part) for part in parts]
        self.d = sum(part.d for part in self._parts)

    def fit(self, prompts: Sequence[str]) -> Featuriser:
        """Fit every part."""
        return Concatenated([part.fit(prompts) for part in self._parts])

    def transform(self, prompts: Sequence[str]) -> Floats:
        """Features ``(n, d)``, the parts' columns in order."""
        return np.concatenate([part.transform(prompts) for part in self._parts], axis=1)

    def config(self) -> dict[str, Any]:
        """Settings of every part."""
        return {"kind": self.kind, "parts": [part.config() for part in self._parts]}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What the parts learned, each under its place."""
        return {f"{at}.{name}": array for at, part in enumerate(self._parts) for name, array in part.arrays().items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`arrays` gave."""
        for at, part in enumerate(self._parts):
            part.restore({name[len(f"{at}.") :]: array for name, array in arrays.items() if name.startswith(f"{at}.")})


def readable(prompt: str) -> str:
    """The prompt, or both ends of a long one, as text that every tokenizer takes: half a surrogate pair is none."""
    if len(prompt) > READS:
        prompt = f"{prompt[: READS // 2]}\n{prompt[-READS // 2 :]}"
    return prompt.encode(errors="replace").decode()


def unit_rows(rows: Floats) -> Floats:
    """Rows ``(n, d)`` scaled to length 1; a row of zeros stays.

    Example:
        >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).round(3).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    norms[norms == 0] = 1
    return np.asarray(rows / norms, dtype=np.float32)
