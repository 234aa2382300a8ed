"""Features that are fitted on prompts, never on outcomes: n-grams weighed and reduced, the form of a text, rotations.

What is learned is arrays, so that serving needs numpy alone. Whoever fits gives training prompts only: a direction
that the test prompts pointed out would be a small leak, and nobody could serve it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Floats
from env.errors import BadInput, MissingExtra
from env.features import (
    CODE,
    NUMBER,
    OPTION,
    WORD,
    Concatenated,
    Featuriser,
    PromptFacts,
    WordLlama,
    as_featuriser,
    default_featuriser,
    readable,
    unit_rows,
)

_SPACE = re.compile(r"\s+")
_MATHS = re.compile(r"[=+*/^<>\\]")
_STOP = re.compile(r"[.!;:]")

# Odd multipliers that spread 32-bit words (Knuth's golden ratio, and one of xxHash).
_SPREAD, _MIX = np.uint32(2654435761), np.uint32(2246822519)

_ENOUGH = 4_096

Hashes = NDArray[np.uint32]


class Ends(Featuriser):
    """A featuriser on the last characters of the prompt, where the question stands.

    Args:
        of: the featuriser, or its config.
        n: characters.
    """

    kind = "ends"

    def __init__(self, of: Featuriser | Mapping[str, Any], n: int = 400) -> None:
        self._of, self._n = as_featuriser(of), n
        self.d = self._of.d

    def transform(self, prompts: Sequence[str]) -> Floats:
        """Features ``(n, d)`` of the ends."""
        return self._of.transform([prompt[-self._n :] for prompt in prompts])

    def config(self) -> dict[str, Any]:
        """Settings."""
        return {"kind": self.kind, "of": self._of.config(), "n": self._n}


class NGrams(Featuriser):
    """n-grams of words or characters, TF-IDF weighed and projected on their leading singular directions, unit length.

    ``(1 + log tf) (1 + log((1 + n) / (1 + df)))`` on rows of unit length (Salton, Buckley 1988), then a truncated
    singular value decomposition (latent semantic analysis: Deerwester et al. 1990). n-grams are known by a 32-bit
    hash; those of fewer than two training prompts are left out.

    Args:
        of: ``"words"`` or ``"characters"``.
        shortest: n-grams from here
        longest: to here.
        terms: n-grams kept at most, those in most prompts.
        rank: width ``d``; directions that the training prompts lack are zeros.
        within: characters of a prompt that are looked at, from its beginning.

    Raises:
        BadInput: settings that are none.

    Example:
        >>> made = NGrams("words", 1, 2, rank=2)
        >>> made.transform(["not fitted"]).tolist()
        [[0.0, 0.0]]
    """

    kind = "ngrams"

    def __init__(
        self, of: str, shortest: int, longest: int, *, terms: int = 20_000, rank: int = 128, within: int = 16_000
    ) -> None:
        if of not in ("words", "characters") or not 1 <= shortest <= longest or min(terms, rank, within) < 1:
            raise BadInput(
                f"featuriser `{self.kind}`: of={of!r}, {shortest} to {longest}, {terms} terms, rank {rank}; it takes "
                "`words` or `characters`, lengths from 1 up and sizes above 0"
            )
        self.of, self.shortest, self.longest, self.terms, self.within = of, shortest, longest, terms, within
        self.d = rank
        self._hashes = np.zeros(0, dtype=np.uint32)
        self._idf = np.zeros(0, dtype=np.float32)
        self._projection = np.zeros((0, rank), dtype=np.float32)

    def fit(self, prompts: Sequence[str]) -> Self:
        """Weights and directions of these prompts.

        Raises:
            MissingExtra: scikit-learn, which decomposes the sparse table, is not installed.
        """
        try:
            from scipy.sparse import csr_array
            from sklearn.utils.extmath import randomized_svd
        except ImportError as error:
            raise MissingExtra(f"fitting the `{self.kind}` featuriser", "train") from error
        made = self._like()
        counted = [self._counted(prompt) for prompt in prompts]
        every, documents = np.unique(
            np.concatenate([np.zeros(0, np.uint32), *(h for h, _ in counted)]), return_counts=True
        )
        often = np.flatnonzero(documents >= 2)
        often = np.sort(often[np.argsort(-documents[often], kind="stable")[: self.terms]])
        made._hashes = every[often]
        made._idf = (1 + np.log((1 + len(prompts)) / (1 + documents[often]))).astype(np.float32)
        weighed = [made._weighed(*found) for found in counted]
        rank = min(self.d, len(often), len(prompts))
        made._projection = np.zeros((len(often), self.d), dtype=np.float32)
        if rank:
            ends = np.cumsum([0, *(len(columns) for columns, _ in weighed)])
            table = csr_array(
                (np.concatenate([w for _, w in weighed]), np.concatenate([c for c, _ in weighed]), ends),
                shape=(len(prompts), len(often)),
            )
            _, _, directions = randomized_svd(table, rank, n_iter=3, random_state=0)
            made._projection[:, :rank] = directions.T
        return made

    def transform(self, prompts: Sequence[str]) -> Floats:
        """Features ``(n, rank)``; a prompt without a known n-gram is all zeros."""
        rows = np.zeros((len(prompts), self.d), dtype=np.float32)
        for row, prompt in zip(rows, prompts, strict=True):
            columns, weights = self._weighed(*self._counted(prompt))
            row[:] = weights @ self._projection[columns]
        return unit_rows(rows)

    def _counted(self, prompt: str) -> tuple[Hashes, NDArray[np.int64]]:
        """Hashes of the different n-grams of a prompt, ascending, and how often each occurs."""
        text = readable(prompt)[: self.within].casefold()
        if self.of == "words":
            units = np.array([zlib.crc32(word.encode()) for word in WORD.findall(text)], dtype=np.uint32)
        else:
            units = np.frombuffer(_SPACE.sub(" ", text).encode("utf-32-le"), dtype=np.uint32)
        grams, longer = [], units * _SPREAD
        for length in range(1, self.longest + 1):
            if length > 1:
                longer = (longer[:-1] ^ (longer[:-1] >> np.uint32(15))) * _MIX + units[length - 1 :] * _SPREAD
            if length >= self.shortest:
                grams.append(longer ^ np.uint32(length))
            if len(longer) < 2:
                break
        return np.unique(np.concatenate([np.zeros(0, np.uint32), *grams]), return_counts=True)

    def _weighed(self, hashes: Hashes, counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
        """Columns of the known n-grams and their weights, of unit length together."""
        if not len(self._hashes):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        columns = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        known = self._hashes[columns] == hashes
        columns, counts = columns[known], counts[known]
        weights = ((1 + np.log(counts)) * self._idf[columns]).astype(np.float32)
        return columns, weights / max(float(np.linalg.norm(weights)), 1e-12)

    def _like(self) -> Self:
        return type(self)(self.of, self.shortest, self.longest, terms=self.terms, rank=self.d, within=self.within)

    def config(self) -> dict[str, Any]:
        """Settings."""
        names = ("of", "shortest", "longest", "terms", "within")
        return {"kind": self.kind, "version": 1, "rank": self.d, **{name: getattr(self, name) for name in names}}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Hashes, weights and directions."""
        # As int64: readers of arrays are not all at home with unsigned integers.
        return {"hashes": self._hashes.astype(np.int64), "idf": self._idf, "projection": self._projection}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`arrays` gave."""
        self._hashes = arrays["hashes"].astype(np.uint32)
        self._idf, self._projection = arrays["idf"], arrays["projection"]


class Form(Featuriser):
    """What a text looks like rather than says: lengths, numbers, options, brackets, quotes, code, mathematics.

    Twenty facts, each less its mean and divided by its spread over the training prompts, cut at 4, together of
    length ``scale``.

    Args:
        scale: length of a row.
    """

    kind = "form"
    d = 20

    def __init__(self, scale: float = 0.5) -> None:
        self._scale = scale
        self._mean, self._spread = np.zeros(self.d, dtype=np.float32), np.ones(self.d, dtype=np.float32)

    def fit(self, prompts: Sequence[str]) -> Self:
        """Mean and spread of each fact."""
        made = type(self)(self._scale)
        rows = _forms(prompts)
        made._mean, made._spread = rows.mean(axis=0), rows.std(axis=0) + np.float32(1e-6)
        return made

    def transform(self, prompts: Sequence[str]) -> Floats:
        """Features ``(n, 20)``."""
        rows = np.clip((_forms(prompts) - self._mean) / self._spread, -4, 4)
        return np.asarray(unit_rows(rows) * np.float32(self._scale), dtype=np.float32)

    def config(self) -> dict[str, Any]:
        """Settings."""
        return {"kind": self.kind, "version": 1, "scale": self._scale}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Mean and spread."""
        return {"mean": self._mean, "spread": self._spread}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`arrays` gave."""
        self._mean, self._spread = arrays["mean"], arrays["spread"]


def _forms(prompts: Sequence[str]) -> Floats:
    return np.array([_form(readable(prompt), len(prompt)) for prompt in prompts], dtype=np.float32).reshape(-1, Form.d)


def _form(text: str, length: int) -> list[float]:
    size = max(len(text), 1)
    words, numbers = WORD.findall(text), NUMBER.findall(text)
    counts = (
        length,
        len(words),
        len(numbers),
        text.count("?"),
        text.count("\n"),
        len(OPTION.findall(text)),
        text.count("{"),
        text.count("["),
        text.count('"'),
        text.count('"name"'),  # one for each tool that a function-calling prompt offers
        text.count(","),
        len(_MATHS.findall(text)),
        text.count("$"),
        max(map(len, text.split("\n"))),
        len(_STOP.findall(text)),
    )
    shares = (
        sum(map(len, words)) / max(len(words), 1),
        sum(map(len, numbers)) / size,
        max(map(len, numbers), default=0),
        float(bool(CODE.search(text))),
        sum(map(str.isupper, text)) / size,
    )
    return [*np.log1p(counts), *shares]


class Reduced(Featuriser):
    """A featuriser's leading principal components on the training prompts (Pearson 1901).

    Fewer columns make every learner faster and a policy smaller; on recorded sets 256 of 852 lose nothing.

    Args:
        of: the featuriser, or its config.
        rank: width ``d``; directions that the training prompts lack are zeros.

    Example:
        >>> from env.features import Hashing
        >>> made = Reduced(Hashing(64), rank=2).fit(["a b", "b c", "c d", "d e"])
        >>> made.transform(["a b", "x"]).shape
        (2, 2)
    """

    kind = "reduced"

    def __init__(self, of: Featuriser | Mapping[str, Any], rank: int = 256) -> None:
        self._of, self.d = as_featuriser(of), rank
        self._mean = np.zeros(self._of.d, dtype=np.float32)
        self._basis = np.zeros((self._of.d, rank), dtype=np.float32)

    def fit(self, prompts: Sequence[str]) -> Self:
        """Fit what it reduces, then the components."""
        made = type(self)(self._of.fit(prompts), self.d)
        # A few thousand prompts show where a few hundred directions lead.
        drawn = np.random.default_rng(0).permutation(len(prompts))[:_ENOUGH]
        rows = made._of.transform([prompts[at] for at in drawn]).astype(np.float64)
        made._mean = rows.mean(axis=0).astype(np.float32)
        rows -= made._mean
        strength, basis = np.linalg.eigh(rows.T @ rows)
        lead = np.flatnonzero(strength > 1e-9 * max(strength[-1], 1e-30))[::-1][: self.d]
        made._basis = np.zeros((made._of.d, self.d), dtype=np.float32)
        made._basis[:, : len(lead)] = basis[:, lead]
        return made

    def transform(self, prompts: Sequence[str]) -> Floats:
        """Features ``(n, rank)``."""
        rows = self._of.transform(prompts) - self._mean
        # One row at a time: a product of many rows differs in its last bits, and a row must not hang on its batch.
        return np.array([row @ self._basis for row in rows], dtype=np.float32).reshape(len(rows), self.d)

    def config(self) -> dict[str, Any]:
        """Settings of it and of what it reduces."""
        return {"kind": self.kind, "of": self._of.config(), "rank": self.d}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Mean and components, and what the featuriser below learned."""
        below = {f"of.{name}": array for name, array in self._of.arrays().items()}
        return {"mean": self._mean, "basis": self._basis, **below}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`arrays` gave."""
        self._mean, self._basis = arrays["mean"], arrays["basis"]
        self._of.restore({name[len("of.") :]: array for name, array in arrays.items() if name.startswith("of.")})


def tfidf() -> Featuriser:
    """TF-IDF of words and pairs of words, in 384 directions, and the cheap facts (for what a call costs).

    Example:
        >>> tfidf().d
        398
    """
    return Concatenated([NGrams("words", 1, 2, rank=384), PromptFacts()])


def rich() -> Featuriser:
    """Meaning of the prompt and of its end, its words, its characters and its form: 852 columns.

    Example:
        >>> rich().config()["parts"][-1]["kind"]
        'form'
    """
    words, characters = NGrams("words", 1, 2, rank=192), NGrams("characters", 2, 4, rank=128, within=2_000)
    try:
        meaning: list[Featuriser] = [WordLlama(), Ends(WordLlama())]
    except BadInput:
        meaning = []
    return Concatenated([*meaning, words, characters, Form()])


def compact() -> Featuriser:
    """The 256 leading components of :func:`rich`."""
    return Reduced(rich())


RECIPES: dict[str, Callable[[], Featuriser]] = {
    "default": default_featuriser,
    "tfidf": tfidf,
    "rich": rich,
    "compact": compact,
}
"""What a router may ask for by name."""
