"""Attempts: the calls that one request has become so far, and what they brought.

Shapes: ``n`` requests, ``K`` arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Floats, Index, Ints, Objects, Outcomes
from env.errors import BadInput
from env.trace import Trace

NOT_ASKED = -1
_SPREAD = ("round", "response", "logprob", "score", "cost_usd", "latency_s")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of one request, as a runtime saw it.

    Attributes:
        arm: index of the arm called.
        response: its text; ``None`` where the call failed.
        logprob: mean log-probability of the generated tokens; NaN where not told.
        score: quality in [0, 1], where it is known already; else NaN.
        cost_usd: dollars, NaN where not known.
        latency_s: seconds, NaN where not known.
        round: calls of one round were made at once.
        reason: ``plan`` where the plan asked for it, ``fallback`` where it stands in for a call that failed. A fallback
            was not drawn from the plan's law: off-policy estimates leave it out.
    """

    arm: int
    response: str | None
    logprob: float = float("nan")
    score: float = float("nan")
    cost_usd: float = float("nan")
    latency_s: float = float("nan")
    round: int = 0
    reason: str = "plan"


@dataclass(frozen=True, slots=True)
class Attempts:
    """What has been asked and answered so far, request by request.

    Attributes:
        prompts: ``(n,)`` texts; ``None`` where they are not kept.
        round: ``(n, K)`` the round in which the arm was called, ``NOT_ASKED`` where it was not.
        response: ``(n, K)`` texts; ``None`` where not asked, or failed.
        logprob: ``(n, K)`` mean log-probability of the generated tokens, NaN where not known.
        score: ``(n, K)`` in [0, 1]; NaN where not known, as it mostly is when a plan must go on or stop.
        cost_usd: ``(n, K)`` dollars.
        latency_s: ``(n, K)`` seconds.
    """

    prompts: Objects
    round: Ints
    response: Objects
    logprob: Floats
    score: Floats
    cost_usd: Floats
    latency_s: Floats

    @classmethod
    def none(cls, prompts: Objects, n_arms: int) -> Self:
        """Nothing asked yet."""
        shape = (len(prompts), n_arms)
        unknown = np.full(shape, np.nan, dtype=np.float32)
        return cls(prompts, np.full(shape, NOT_ASKED), np.full(shape, None, object), unknown, unknown, unknown, unknown)

    @classmethod
    def of(cls, made: Sequence[Attempt], prompt: str | None, n_arms: int) -> Self:
        """The attempts of one request.

        Example:
            >>> so_far = Attempts.of([Attempt(1, "42", cost_usd=0.5), Attempt(0, None, round=1)], "6 * 7?", n_arms=3)
            >>> so_far.asked.tolist(), so_far.answered.tolist()
            ([[True, True, False]], [[False, True, False]])
        """
        one = np.empty(1, dtype=object)
        one[0] = prompt
        found = cls.none(one, n_arms)
        # ``none`` shares one array among the unknown columns.
        columns = {name: getattr(found, name).copy() for name in _SPREAD}
        for attempt in made:
            for name in _SPREAD:
                columns[name][0, attempt.arm] = getattr(attempt, name)
        return cls(one, **columns)

    @classmethod
    def recorded(cls, trace: Trace) -> Self:
        """Every answer of a trace that keeps responses, as if all arms had been asked at once.

        Raises:
            BadInput: the trace has no responses.
        """
        if "response" not in trace.cell_columns:
            raise BadInput(
                f"trace {trace.name} has no column `response`: what plans look at was not kept; record it again"
            )
        response = trace.cell_columns["response"]
        kept = trace.cell_columns.get("logprob")
        logprob = np.full(trace.score.shape, np.nan) if kept is None else kept
        there = np.array([[text is not None for text in row] for row in response], dtype=bool)
        return cls(
            trace.prompts,
            np.where(there.reshape(trace.score.shape), 0, NOT_ASKED),
            response,
            logprob.astype(np.float32),
            trace.score,
            trace.cost_usd,
            trace.latency_s,
        )

    @classmethod
    def stacked(cls, parts: Sequence[Self]) -> Self:
        """The requests of all parts, one part after the other."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _SPREAD}
        return cls(np.concatenate([part.prompts for part in parts]), **columns)

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def asked(self) -> Bools:
        """``(n, K)`` True where a call was made."""
        return np.asarray(self.round != NOT_ASKED, dtype=bool)

    @property
    def answered(self) -> Bools:
        """``(n, K)`` True where a call was made and brought an answer."""
        return np.asarray(self.asked & (self.response != None), dtype=bool)  # noqa: E711 - element by element

    @property
    def outcomes(self) -> Outcomes:
        """Score, cost and latency of every call, each ``(n, K)``."""
        return Outcomes(self.score, self.cost_usd, self.latency_s)

    @property
    def total_cost_usd(self) -> Floats:
        """``(n,)`` dollars of all calls; NaN where one of them is not known."""
        return np.asarray(np.where(self.asked, self.cost_usd, 0).sum(axis=1), dtype=np.float32)

    @property
    def end_to_end_s(self) -> Floats:
        """``(n,)`` seconds: of each round its slowest call, one round after the other; NaN where one is not known."""
        total = np.zeros(len(self), dtype=np.float32)
        for number in range(int(self.round.max(initial=NOT_ASKED)) + 1):
            total += np.where(self.round == number, self.latency_s, 0).max(axis=1)
        return total

    def take(self, index: Index) -> Attempts:
        """The attempts of the requests at ``index``."""
        return Attempts(self.prompts[index], **{name: getattr(self, name)[index] for name in _SPREAD})

    def hidden(self) -> Attempts:
        """The same answers without their scores: what a plan sees when it is served."""
        return Attempts(self.prompts, **{**self._columns(), "score": np.full(self.score.shape, np.nan, np.float32)})

    def only(self, asked: Bools) -> Attempts:
        """What is left when only the calls ``asked`` ``(n, K)`` were made."""
        empty = Attempts.none(self.prompts, asked.shape[1])
        kept = {name: np.where(asked, getattr(self, name), getattr(empty, name)) for name in _SPREAD}
        return Attempts(self.prompts, **kept)

    def in_round(self, number: int, asked: Bools) -> Attempts:
        """The same, the calls ``asked`` ``(n, K)`` made in one round; one of them without an answer has failed."""
        return Attempts(self.prompts, **{**self._columns(), "round": np.where(asked, number, NOT_ASKED)})

    def joined(self, later: Attempts) -> Attempts:
        """These and those made later; the later count where both have a call."""
        after = later.asked
        both = {name: np.where(after, getattr(later, name), getattr(self, name)) for name in _SPREAD}
        return Attempts(self.prompts, **both)

    def _columns(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in _SPREAD}
