"""Plans: several calls for one request. One decision, one or more attempts, one answer (DESIGN section 4).

A plan says which arms to call first, and after each round of answers which to call next, until it stops; then it says
whose answer to return. It is written over ``n`` requests at once: :func:`follow` runs it on recorded answers, and a
live runtime drives the same three methods with ``n = 1``.

Shapes: ``n`` requests, ``K`` arms.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Contexts, Ints, Outcomes
from env.errors import BadInput, nearest
from routers import names, router_class
from routers.attempts import Attempts
from routers.base import Array, Router, RouterState

_PLANS = {
    "direct": "routers.direct:Direct",
    "parallel": "routers.parallel:Parallel",
    "switched": "routers.switched:Switched",
    "cascade": "routers.cascade:Cascade",
}


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
    featuriser: ClassVar[str] = "default"
    """What it was made to see, a name of ``env.text_features.RECIPES``; it works on any features."""

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

    @property
    def learns_from_table(self) -> bool:
        """Whether :meth:`fit` teaches it; others learn by :meth:`update` from their own calls, or not at all."""
        return False

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


def plan_names() -> list[str]:
    """Names of all plans, sorted.

    Example:
        >>> plan_names()
        ['cascade', 'direct', 'parallel', 'switched']
    """
    return sorted(_PLANS)


def plan_class(name: str) -> type[Plan]:
    """The class behind a name of :func:`plan_names`.

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


def kind_of(name: str) -> type[Router] | type[Plan]:
    """The class behind the name of a plan or of a router; no name is both.

    Raises:
        BadInput: unknown; the message holds the nearest name.
        MissingExtra: its optional packages are not installed.

    Example:
        >>> kind_of("cascade").featuriser, kind_of("ridge").featuriser
        ('compact', 'default')
    """
    if name in _PLANS:
        return plan_class(name)
    if name not in names() and get_close_matches(name, _PLANS, n=1):
        raise BadInput(f"unknown router or plan `{name}`{nearest(name, _PLANS)}")
    return router_class(name)


def make_plan(name: str, n_arms: int, n_features: int, **settings: Any) -> Plan:
    """A fresh plan.

    Raises:
        BadInput: an unknown name or an unknown setting.

    Example:
        >>> make_plan("switched", n_arms=3, n_features=8, arm=2).name
        'switched'
    """
    try:
        return plan_class(name)(n_arms, n_features, **settings)
    except TypeError as error:
        raise BadInput(f"plan `{name}`: {error}") from error


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
        >>> from routers.attempts import Attempt
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
        made = made.joined(recorded.only(asked).in_round(number, asked))
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
