"""A plan with all it needs to be served: featuriser, arms and dial. What a policy is to a router."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from env.arms import Arm
from env.contexts import Contexts, Queries
from env.features import Featuriser
from env.reward import DialMap, Reward
from routers.attempts import Attempt, Attempts
from routers.base import RouterState
from routers.bundle import read_bundle
from routers.plan import Plan, plan_class
from routers.policy import Bundled, Policy

Call = Callable[[int], Attempt]
"""Asks the model of an arm, given by its index, and says what came of it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one request.

    Attributes:
        arm: index of the arm whose answer is returned.
        attempts: every call made, with its round, in order.
        propensity: of the decision, which the opening calls are; all else was settled by the answers.
    """

    arm: int
    attempts: tuple[Attempt, ...]
    propensity: float

    @property
    def response(self) -> str | None:
        """The answer returned; ``None`` where every call failed."""
        return next(made.response for made in self.attempts if made.arm == self.arm)


@dataclass(frozen=True, slots=True)
class PlanPolicy(Bundled):
    """Drives a plan, one request at a time (:meth:`run`) or on recorded answers (:func:`routers.plan.follow`).

    Attributes:
        plan: the trained plan.
        arms: the ``K`` arms, in the plan's order.
        featuriser: makes what the plan sees.
        reward: the weights used where no dial is given; its latency weight always applies.
        dial_map: from the dial to a cost weight.
        metrics: what it reached on validation data, for the record.

    Example:
        >>> from env.features import Hashing
        >>> arms = (Arm("small"), Arm("large"))
        >>> policy = PlanPolicy(plan_class("parallel")(2, 16), arms, Hashing(16))
        >>> said = ["It is Paris.", "Paris"]
        >>> done = policy.run("Capital of France?", lambda arm: Attempt(arm, said[arm], logprob=arm - 1.0))
        >>> done.response, len(done.attempts)
        ('Paris', 2)
    """

    plan: Plan
    arms: tuple[Arm, ...]
    featuriser: Featuriser
    reward: Reward = field(default_factory=Reward)
    dial_map: DialMap = field(default_factory=DialMap)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "plan"

    def __post_init__(self) -> None:
        self._check()

    @property
    def decider(self) -> Plan:
        """The plan."""
        return self.plan

    @classmethod
    def _around(cls, name: str, state: RouterState, *rest: Any) -> Self:
        return cls(plan_class(name).from_state(state), *rest)

    def run(
        self,
        prompt: str,
        call: Call,
        *,
        dial: float | None = None,
        task: str | None = None,
        rng: np.random.Generator | None = None,
    ) -> Answered:
        """Make the calls that the plan asks for on one prompt; calls of one round are made in order of the arms.

        A runtime with its own clock and queues drives ``plan.first``, ``plan.next`` and ``plan.answer`` itself, with
        :meth:`contexts`.

        Args:
            prompt: of the request.
            call: made for every arm that the plan asks for; a failed call is an attempt without a response.
            dial: 0 (cheapest) to 1 (best); the default dial when not given.
            task: its label, if the plan was trained with labels.
            rng: the only source of randomness; a fresh one when not given.
        """
        contexts = self.contexts(Queries.of([prompt], [task]), dial=dial)
        opening = self.plan.first(contexts, rng or np.random.default_rng())
        asked, made = opening.calls, list[Attempt]()
        number = 0
        while asked.any():
            made += [replace(call(int(arm)), arm=int(arm), round=number) for arm in np.flatnonzero(asked[0])]
            asked, number = self.plan.next(contexts, self._so_far(prompt, made)), number + 1
        arm = int(self.plan.answer(contexts, self._so_far(prompt, made))[0])
        return Answered(arm, tuple(made), float(opening.propensities[0]))

    def learn(self, contexts: Contexts, prompt: str, answered: Answered) -> None:
        """Let the plan learn from a request that is over; attempts with a score teach."""
        self.plan.update(contexts, self._so_far(prompt, list(answered.attempts)))

    def _so_far(self, prompt: str, made: list[Attempt]) -> Attempts:
        return Attempts.of(made, prompt, len(self.arms))


def load_policy(folder: str | Path) -> Policy | PlanPolicy:
    """Whatever a bundle holds: a policy around a router, or one around a plan.

    Raises:
        BadInput: see :meth:`routers.policy.Bundled.load`.
    """
    document, _ = read_bundle(folder)
    return PlanPolicy.load(folder) if PlanPolicy.kind in document else Policy.load(folder)
