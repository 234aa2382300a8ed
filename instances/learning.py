"""Learning while serving: a policy with what it has learned from feedback since, and a name for that state."""

from __future__ import annotations

import numpy as np

from env.contexts import Contexts, Outcomes, Queries
from instances.rows import Judged
from routers.base import Router, RouterState
from routers.policy import Policy


class Learner:
    """A policy that learns from the first judgement of each answer to its own decisions.

    It learns on a copy: the policy it was given stays as it was. What has been learned is the policy and the rows
    of its version in the store, so a restart rebuilds it; decisions of other policies teach it nothing, as they may
    be the very log that it was trained on.

    Attributes:
        policy: what decides; its router learns, where it can and may.
        seen: number of the last judgement it was given; none up to it is learned again.

    Args:
        policy: to begin with.
        learn: False leaves it as it is.

    Example:
        >>> from env.features import Hashing
        >>> from routers.policy import new_policy
        >>> Learner(new_policy("fixed", ["small", "large"], Hashing(16), arm=1)).learns
        False
    """

    def __init__(self, policy: Policy, *, learn: bool = True) -> None:
        self.learns = learn and policy.router.capabilities.online
        self.policy = policy.with_router(_copy(policy)) if self.learns else policy
        self._began_as = policy.version
        self.seen = 0
        self._updates = 0

    @property
    def version(self) -> str:
        """What is logged with each decision: ``<version>`` of the policy, ``<version>+<n>`` after n updates."""
        return f"{self._began_as}+{self._updates}" if self._updates else self._began_as

    def learn(self, judged: Judged) -> bool:
        """Update the router with one judged decision, with the features it was decided on.

        Returns:
            False, and nothing is learned, when it does not learn, when it has seen the judgement before, when
            another policy decided, when the judgement came before the answer was over, or when that answer came
            from an instance that was not the one decided on or is none of the policy's arms.
        """
        if judged.number <= self.seen:
            return False
        self.seen = judged.number
        decision, arms = judged.decision, self.policy.arm_names
        if (
            not self.learns
            or policy_of(decision.policy_version) != self._began_as
            or decision.features is None
            or decision.featuriser != self.policy.featuriser.fingerprint
            or judged.answered_by != decision.model
            or decision.model not in arms
        ):
            return False
        contexts = Contexts.of(
            decision.features[None, :],
            len(arms),
            cost_weight=decision.cost_weight,
            latency_weight=decision.latency_weight,
            mask=np.array([name in decision.waits for name in arms]),
            load=np.array([decision.waits.get(name, 0.0) for name in arms]),
            task=None if decision.task is None else Queries.of([""], [decision.task]).task,
        )
        outcomes = Outcomes.of(
            np.array([judged.score]),
            np.array([judged.cost_usd], dtype=np.float32),
            np.array([judged.latency_s], dtype=np.float32),
        )
        arm = np.array([arms.index(decision.model)])
        self.policy.router.update(contexts, arm, outcomes, np.array([decision.propensity]))
        self._updates += 1
        return True


def policy_of(version: str) -> str:
    """The version of the policy that a logged version stands for, without the count of what it had learned.

    Example:
        >>> policy_of("0a1b2c3d4e5f+12")
        '0a1b2c3d4e5f'
    """
    return version.partition("+")[0]


def _copy(policy: Policy) -> Router:
    state = policy.router.state()
    # A router may hand out its own arrays, and learn in place.
    arrays = {name: array.copy() for name, array in state.arrays.items()}
    return type(policy.router).from_state(RouterState(state.config, arrays))
