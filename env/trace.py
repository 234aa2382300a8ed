"""The trace: recorded outcomes of models on queries, as dense ``(queries, arms)`` arrays.

One type for a full-information table (every model answered every query) and for a bandit log (one did):
NaN means not observed. ``env.trace_io`` reads and writes the long files of DESIGN section 4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from env.contexts import Bools, Floats, Index, Ints, Objects, Outcomes, Queries, known, mean_observed
from env.errors import BadInput, nearest
from env.prompts import normalise
from env.splits import PART_NAMES, Split, SplitBy
from env.splits import split as divide

if TYPE_CHECKING:
    from env.problem import Problem

KEY_DIGITS = 12
"""Hex digits of a prompt's key; see :meth:`Trace.prompt_keys`."""
_FEATURE_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Trace:
    """Recorded outcomes.

    Attributes:
        name: what reports call it.
        query_ids: ``(n,)`` unique ids.
        prompts: ``(n,)`` text, or ``None`` where only features or a hash were kept.
        tasks: ``(n,)`` labels, or ``None``.
        arms: the ``K`` model names, in column order.
        score: ``(n, K)`` quality in [0, 1].
        cost_usd: ``(n, K)`` dollars, 0 or more.
        latency_s: ``(n, K)`` seconds, 0 or more.
        input_tokens: ``(n, K)``.
        output_tokens: ``(n, K)``.
        features: ``(n, d)`` what the policy saw, where the log holds it.
        featuriser: fingerprint of the featuriser that made ``features``.
        query_columns: optional columns with one value a query: ``split``, ``timestamp``, ``prompt_hash``...
        cell_columns: optional columns with one value a cell, e.g. ``propensity``, ``response``, ``logprob``.
        skipped_attempts: rows of later attempts (retries, fallbacks) left out of the dense arrays.
        unread: columns of the file that are no part of a trace.
    """

    name: str
    query_ids: Objects
    prompts: Objects
    tasks: Objects
    arms: tuple[str, ...]
    score: Floats
    cost_usd: Floats
    latency_s: Floats
    input_tokens: Floats
    output_tokens: Floats
    features: Floats | None = None
    featuriser: str | None = None
    query_columns: Mapping[str, Objects] = field(default_factory=dict)
    cell_columns: Mapping[str, Objects] = field(default_factory=dict)
    skipped_attempts: int = 0
    unread: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.query_ids)

    def __repr__(self) -> str:
        gaps = 1 - float(np.isfinite(self.score).mean()) if self.score.size else 0.0
        return f"Trace({self.name!r}: {len(self)} queries x {len(self.arms)} arms, {gaps:.1%} not observed)"

    @property
    def n_arms(self) -> int:
        """Number of arms ``K``."""
        return len(self.arms)

    @property
    def outcomes(self) -> Outcomes:
        """Score, cost and latency, each ``(n, K)``."""
        return Outcomes(self.score, self.cost_usd, self.latency_s)

    @property
    def queries(self) -> Queries:
        """The queries as a policy takes them."""
        return Queries(self.prompts, self.tasks, self.features, self.featuriser)

    @property
    def observed(self) -> Bools:
        """``(n, K)`` True where a score was recorded."""
        return np.isfinite(self.score)

    @property
    def is_log(self) -> bool:
        """True for a bandit log: propensities are there and no query has two scored arms."""
        return "propensity" in self.cell_columns and not (self.observed.sum(axis=1) > 1).any()

    @property
    def has_cost(self) -> bool:
        """True when every observed cell has a cost."""
        return bool(np.isfinite(self.cost_usd[self.observed]).all())

    @property
    def has_latency(self) -> bool:
        """True when every observed cell has a latency."""
        return bool(np.isfinite(self.latency_s[self.observed]).all())

    def take(self, index: Index) -> Trace:
        """The trace of the queries at ``index``."""
        return replace(
            self,
            query_ids=self.query_ids[index],
            prompts=self.prompts[index],
            tasks=self.tasks[index],
            score=self.score[index],
            cost_usd=self.cost_usd[index],
            latency_s=self.latency_s[index],
            input_tokens=self.input_tokens[index],
            output_tokens=self.output_tokens[index],
            features=None if self.features is None else self.features[index],
            query_columns={key: column[index] for key, column in self.query_columns.items()},
            cell_columns={key: column[index] for key, column in self.cell_columns.items()},
        )

    def select_arms(self, names: Sequence[str]) -> Trace:
        """The trace of some arms, in the order given.

        Raises:
            BadInput: an arm that the trace does not have.
        """
        for name in names:
            if name not in self.arms:
                raise BadInput(f"trace {self.name} has no arm `{name}`{nearest(name, self.arms)}")
        at = [self.arms.index(name) for name in names]
        return replace(
            self,
            arms=tuple(names),
            score=self.score[:, at],
            cost_usd=self.cost_usd[:, at],
            latency_s=self.latency_s[:, at],
            input_tokens=self.input_tokens[:, at],
            output_tokens=self.output_tokens[:, at],
            cell_columns={key: column[:, at] for key, column in self.cell_columns.items()},
        )

    def complete(self) -> Trace:
        """The queries on which every arm was observed, as comparisons of fixed arms need."""
        return self.take(np.flatnonzero(self.observed.all(axis=1)))

    def prompt_keys(self) -> dict[str, list[str | None]]:
        """What names the prompt of each query, twelve hex digits each, the same in every trace; by kind of key.

        ``text``: the normalised prompt. ``prompt_hash``: the hash kept in the log, which only logs with the same
        secret share. ``features``: what a featuriser made of the exact spelling, with its fingerprint. ``None`` where
        the trace does not hold it. They tell whether a prompt was in another trace without keeping it: among a million
        prompts, the chance that a new one shares its key with any of them is below 1e-8.

        Example:
            >>> from env.trace_io import from_rows
            >>> rows = [{"query_id": text, "prompt": text, "model": "a", "score": 1.0} for text in ("Hi", " hi", "bye")]
            >>> keys = from_rows(rows).prompt_keys()["text"]
            >>> keys[0] == keys[1], keys[0] == keys[2], len(keys[0])
            (True, False, 12)
        """
        hashes = self.query_columns.get("prompt_hash", [None] * len(self))
        features: list[str | None] = [None] * len(self)
        if self.features is not None:
            # Rounded: another processor may sum in another order. Adding 0 leaves no negative one.
            rounded = np.round(self.features, _FEATURE_DECIMALS) + np.float32(0)
            maker = f"{self.featuriser} ".encode()
            features = [_key(maker + row.tobytes()) for row in rounded]
        return {
            "text": [None if prompt is None else _key(_bytes(normalise(prompt))) for prompt in self.prompts],
            "prompt_hash": [None if kept is None else _key(_bytes(f"\x00hash {kept}")) for kept in hashes],
            "features": features,
        }

    @property
    def groups(self) -> Ints:
        """``(n,)`` a number per normalised prompt: what splits and intervals are clustered by.

        Where the prompt is not kept, its ``prompt_hash`` stands in for it, failing that its features, and failing
        those the query id. A query that keeps both text and hash joins those that keep one of them.
        """
        keys = zip(*self.prompt_keys().values(), strict=True)
        names = [
            [key for key in (text, kept) if key] or [seen or f"id {self.query_ids[row]}"]
            for row, (text, kept, seen) in enumerate(keys)
        ]
        joined: dict[str, str] = {}
        for first, *others in names:
            for other in others:
                joined[_root(joined, other)] = _root(joined, first)
        number: dict[str, int] = {}
        return np.array([number.setdefault(_root(joined, first), len(number)) for first, *_ in names], dtype=np.int64)

    def split(
        self, seed: int = 0, fractions: tuple[float, float, float] = (0.6, 0.2, 0.2), by: SplitBy = "prompt"
    ) -> Split:
        """Divide the queries; no normalised prompt is in two parts, and never is the split by row.

        ``by="prompt"``: at random. A ``split`` column is obeyed: its test part stays, and the seed only re-divides
        the rest into training and validation; where a validation part is given too, the seed has nothing left to
        divide. ``by="task"``: whole tasks are held out, and ``fractions`` are of the tasks: how a policy does on
        work it has not seen. ``by="time"``: by ``timestamp``, oldest to training and newest to test, so that nothing
        is learned from the future; the seed does nothing. Both look at no ``split`` column.

        A prompt that would be in several parts is kept in the last only: test before validation before training.

        Args:
            seed: salts the split.
            fractions: shares above 0 for training, validation and test, whatever they add up to.
            by: ``"prompt"``, ``"task"`` or ``"time"``.

        Raises:
            BadInput: a part would be empty, the ``split`` column holds an unknown name, there are fewer than three
                tasks, or a query has no task or no time.
        """
        return divide(self, seed, fractions, by)

    @property
    def given_parts(self) -> frozenset[str]:
        """Which of ``train``, ``validation`` and ``test`` a ``split`` column names; empty where there is none."""
        names = self.query_columns.get("split", ())
        return frozenset(PART_NAMES[name] for name in names if name in PART_NAMES)

    @property
    def hash(self) -> str:
        """SHA-256, hex, of all that decides what is learned and reported: names the data in reports and bundles.

        Prompts, tasks, the given split, ids, arms, outcomes and propensities; features where no prompt is kept.
        """
        digest = hashlib.sha256()
        unkept = np.array([prompt is None for prompt in self.prompts], dtype=bool)
        texts: list[Iterable[Any]] = [self.arms, self.query_ids, self.prompts, self.tasks]
        texts += [self.query_columns.get(name, ()) for name in ("split", "prompt_hash")]
        if unkept.any():
            texts.append([self.featuriser])
        for column in texts:
            for text in column:
                # Its length before each text, so that no two columns of texts read the same.
                content = b"" if text is None else str(text).encode("utf-8", "surrogatepass")
                digest.update(b"%d:" % (-1 if text is None else len(content)) + content)
            digest.update(b";")
        numbers = [self.score, self.cost_usd, self.latency_s]
        if "propensity" in self.cell_columns:
            numbers.append(self.cell_columns["propensity"].astype(np.float32))
        if self.features is not None and unkept.any():
            numbers.append(self.features[unkept])
        for values in numbers:
            digest.update(b"%r" % (values.shape,) + np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def problems(self) -> list[Problem]:
        """What is wrong with the trace, or doubtful, with the mend; see :func:`env.trace_problems.problems`."""
        from env.trace_problems import problems  # which reads traces

        return problems(self)

    def summary(self) -> dict[str, Any]:
        """Counts and per-arm means, JSON-able; None where nothing was recorded."""
        means = {name: mean_observed(getattr(self, name)) for name in ("score", "cost_usd", "latency_s")}
        return {
            "name": self.name,
            "queries": len(self),
            "prompts": len(np.unique(self.groups)),
            "arms": self.n_arms,
            "tasks": sorted({str(task) for task in self.tasks if task is not None}),
            "complete_queries": int(self.observed.all(axis=1).sum()),
            "is_log": self.is_log,
            "skipped_attempts": self.skipped_attempts,
            "hash": self.hash,
            "per_arm": [
                {"model": arm, "observed": int(self.observed[:, column].sum())}
                | {name: known(values[column]) for name, values in means.items()}
                for column, arm in enumerate(self.arms)
            ],
        }


def _root(joined: dict[str, str], name: str) -> str:
    """The one name of all that were joined with this one."""
    while (above := joined.get(name, name)) != name:
        name = above
    return name


def _key(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=KEY_DIGITS // 2).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
