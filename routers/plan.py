"""Plans: several calls for one request. One decision, one or more attempts, one answer (DESIGN section 4).

A plan says which arms to call first, and after each round of answers which to call next, until it stops; then it says
whose answer to return. It is written over ``n`` requests at once: :func:`follow` runs it on recorded answers, and a
live runtime drives the same three methods with ``n = 1``.

Shapes: ``n`` requests, ``K`` arms.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Contexts, Floats, Index, Ints, Objects, Outcomes
from env.errors import BadInput, nearest
from env.trace import Trace
from routers.base import Array, Router, RouterState

NOT_ASKED = -1
_SPREAD = ("round", "response", "logprob", "score", "cost_usd", "latency_s")

_PLANS = {
    "direct": "routers.direct:Direct",
    "parallel": "routers.parallel:Parallel",
    "switched": "routers.switched:Switched",
    "cascade": "routers.cascade:Cascade",
}


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

    def in_round(self, number: int) -> Attempts:
        """The same, all asked in one round."""
        return Attempts(self.prompts, **{**self._columns(), "round": np.where(self.asked, number, NOT_ASKED)})

    def joined(self, later: Attempts) -> Attempts:
        """These and those made later; the later count where both have a call."""
        after = later.asked
        both = {name: np.where(after, getattr(later, name), getattr(self, name)) for name in _SPREAD}
        return Attempts(self.prompts, **both)

    def _columns(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in _SPREAD}


@dataclass(frozen=True, slots=True)
class Opening:
    """The decision: which arms to call first.

    Attributes:
        calls: ``(n, K)`` True for the arms of the first round; each row has at least one.
        propensities: ``(n,)`` probability with which the plan opens so. What follows is settled by the answers.
    """

    calls: Bools
    propensities: NDArray[np.float64]


class Plan(ABC):
    """How one request may become several calls.

    Nothing is random after :meth:`first`, so that the propensity of the decision is that of everything the plan did.
    A masked arm is never called, and no arm twice. A call that failed counts as asked, not as answered; as long as
    nothing has answered and an allowed arm was not asked, a plan does not stop.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        settings: of the plan, kept for :meth:`state`.
    """

    name: ClassVar[str]

    def __init__(self, n_arms: int, n_features: int, **settings: Any) -> None:
        if n_arms < 1:
            raise ValueError(f"a plan needs one arm or more, got {n_arms}")
        self.n_arms = n_arms
        self.n_features = n_features
        self.settings = settings

    @abstractmethod
    def first(self, contexts: Contexts, rng: np.random.Generator) -> Opening:
        """The first round of calls; one draw from ``rng`` a row, if any."""

    @abstractmethod
    def next(self, contexts: Contexts, attempts: Attempts) -> Bools:
        """``(n, K)`` the calls to make next, at once; a row without any stops."""

    @abstractmethod
    def answer(self, contexts: Contexts, attempts: Attempts) -> Ints:
        """``(n,)`` the arm whose answer is returned; one that answered, where any did."""

    def fit(self, contexts: Contexts, recorded: Attempts) -> Self:
        """Learn from answers of all arms with their scores; plans that do not learn so refuse.

        Raises:
            BadInput: this plan learns from its own attempts, or not at all.
        """
        raise BadInput(f"plan `{self.name}` does not learn from a table")

    def update(self, contexts: Contexts, attempts: Attempts) -> None:  # noqa: B027 - most plans learn nothing live
        """Learn from requests that are over; calls with a score teach, others do not."""

    def state(self) -> RouterState:
        """What the plan learned, as settings and arrays, as a router's."""
        return RouterState({"n_arms": self.n_arms, "n_features": self.n_features, **self.settings}, self._arrays())

    @classmethod
    def from_state(cls, state: RouterState) -> Self:
        """The plan that :meth:`state` described; it decides the same."""
        plan = cls(**state.config)
        plan._restore(state.arrays)
        return plan

    def _arrays(self) -> dict[str, Array]:
        return {}

    def _restore(self, arrays: Mapping[str, Array]) -> None:  # noqa: B027 - a plan may have nothing to learn
        """Take back what :meth:`_arrays` gave."""


def plan_class(name: str) -> type[Plan]:
    """The plan of a name: ``direct``, ``parallel``, ``switched`` or ``cascade``.

    Raises:
        BadInput: an unknown name.

    Example:
        >>> plan_class("parallel").name
        'parallel'
    """
    if name not in _PLANS:
        raise BadInput(f"unknown plan `{name}`{nearest(name, _PLANS)}")
    module, _, attribute = _PLANS[name].partition(":")
    found: type[Plan] = getattr(importlib.import_module(module), attribute)
    return found


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of a plan on recorded answers.

    Attributes:
        arms: ``(n,)`` whose answer was returned.
        propensities: ``(n,)`` of the decision.
        attempts: the calls made, with their rounds and scores.
    """

    arms: Ints
    propensities: NDArray[np.float64]
    attempts: Attempts

    @property
    def outcomes(self) -> Outcomes:
        """Each ``(n,)``: the score of the answer returned, the cost of all calls, the seconds from end to end."""
        score = self.attempts.score[np.arange(len(self.arms)), self.arms]
        return Outcomes(score, self.attempts.total_cost_usd, self.attempts.end_to_end_s)


def follow(plan: Plan, contexts: Contexts, recorded: Attempts, rng: np.random.Generator) -> Followed:
    """Run a plan on recorded answers. It sees what the calls it makes bring, scores never.

    Args:
        plan: what is run; it learns nothing here.
        contexts: ``n`` requests.
        recorded: an answer of every arm that may be called.
        rng: the only source of randomness.

    Example:
        >>> from env.contexts import Contexts
        >>> made = [Attempt(0, "4", score=1.0, cost_usd=1, latency_s=2), Attempt(1, "5", score=0.0, cost_usd=2)]
        >>> recorded, contexts = Attempts.of(made, "2 + 2?", n_arms=2), Contexts.of(np.zeros((1, 1)), n_arms=2)
        >>> both = plan_class("parallel")(2, 1)
        >>> float(follow(both, contexts, recorded, np.random.default_rng(0)).outcomes.cost_usd[0])
        3.0
    """
    opening = plan.first(contexts, rng)
    made = Attempts.none(recorded.prompts, contexts.n_arms)
    calls, number = opening.calls, 0
    going = np.arange(len(contexts))
    while len(going):
        asked = np.zeros(calls.shape, dtype=bool) if number else calls
        if number:
            asked[going] = plan.next(contexts.take(going), made.take(going).hidden())
            if (asked & (made.asked | ~contexts.mask)).any():
                raise ValueError(f"plan `{plan.name}` calls an arm twice, or one that is masked")
        made = made.joined(recorded.only(asked).in_round(number))
        going, number = np.flatnonzero(asked.any(axis=1)), number + 1
    return Followed(plan.answer(contexts, made.hidden()), opening.propensities, made)


def teach(router: Router, contexts: Contexts, attempts: Attempts) -> None:
    """Let an online router learn every scored call, not the returned one alone; those were asked whatever it thought.

    Args:
        router: whose capabilities include ``online``.
        contexts: ``n`` requests.
        attempts: of theirs.
    """
    scored = attempts.answered & np.isfinite(attempts.score)
    for arm in np.flatnonzero(scored.any(axis=0)):
        rows = np.flatnonzero(scored[:, arm])
        arms = np.full(len(rows), arm, dtype=np.int64)
        router.update(contexts.take(rows), arms, attempts.outcomes.take(rows).at(arms), np.ones(len(rows)))
