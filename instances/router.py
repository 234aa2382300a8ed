"""LLMRouter: binds a learned policy to live instances: sees the queues, decides, falls back, records.

One per model type. What it decides with is ``Policy.decide``, the same call that evaluation makes.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Contexts, Queries
from env.errors import BadInput
from env.scheduling import QueueFull
from instances.calls import Answer, Call, NotReady
from instances.instance import LLMInstance
from instances.journey import FALLS_BACK, AnswerStream, Journey, first_content
from instances.manager import LLMManager
from instances.recorder import Choice, LLMInterfaceRecorder
from routers.base import Estimator
from routers.policy import Policy
from routers.wrapper import innermost

_log = logging.getLogger(__name__)

_CHARACTERS_PER_TOKEN = 4.0
_ASSUMED_OUTPUT_TOKENS = 256
"""For the estimate behind ``max_cost_usd``, when the request sets no limit itself."""


class LLMRouter:
    """Routes the calls of one model type."""

    def __init__(
        self,
        model_type: str,
        policy: Policy,
        manager: LLMManager,
        recorder: LLMInterfaceRecorder,
        *,
        dial: float = 0.5,
        exploration: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        """Bind ``policy`` to the instances of ``manager``.

        Args:
            model_type: modalities that every call needs, e.g. ``text+image``.
            policy: what decides.
            manager: owns the instances.
            recorder: records what the agents see.
            dial: for calls that name none.
            exploration: share of decisions spread uniformly over the available arms.
            rng: the only source of randomness.

        Raises:
            BadInput: none of the policy's arms is configured.
        """
        self.model_type = model_type
        self.recorder = recorder
        self._manager = manager
        self._dial = dial
        self._exploration = exploration
        self._rng = rng or np.random.default_rng()
        self.bind(policy)

    def bind(self, policy: Policy) -> None:
        """Decide with this policy from the next call on; arms without an instance are masked.

        Raises:
            BadInput: none of the policy's arms is configured; the policy bound before stays.
        """
        arms = [self._manager.get(name) for name in policy.arm_names]
        missing = [name for name, arm in zip(policy.arm_names, arms, strict=True) if arm is None]
        if len(missing) == len(arms):
            configured = ", ".join(instance.name for instance in self._manager)
            raise BadInput(
                f"none of the policy's arms ({', '.join(missing)}) is configured; the instances are {configured}"
            )
        if missing:
            _log.info("policy arms without an instance, masked: %s", ", ".join(missing))
        self.policy, self._arms = policy, arms
        # Hashes, over all its weights the one: once per policy, not per call.
        self.policy_version, self._featuriser = policy.version, policy.featuriser.fingerprint

    async def ask(self, call: Call) -> Answer:
        """Route a call and wait for the whole answer.

        Raises:
            QueueFull: every instance that could answer refuses.
            DeadlineExpired: the deadline passed before an answer began.
            UpstreamFailed: every instance that could answer failed.
            NotReady: none has started yet.
            BadInput: no instance can ever answer such a call.
            StoreError: the decision could not be recorded.
        """
        journey = Journey(call, self.recorder)
        with journey.recorded():
            for instance, attempt in journey.attempts(*self.decide(call)):
                try:
                    completion = await instance.complete(call.request, attempt)
                except FALLS_BACK as error:
                    journey.failed(instance, error)
                    continue
                await journey.committed()
                return journey.arrived(instance, completion)
            raise journey.lost()

    async def stream(self, call: Call) -> AnswerStream:
        """Route a call; returns when the answer begins, with its decision committed. Raises as ``ask`` does."""
        journey = Journey(call, self.recorder)
        with journey.recorded():
            for instance, attempt in journey.attempts(*self.decide(call)):
                deltas = instance.stream(call.request, attempt)
                try:
                    held = await first_content(deltas)
                    await journey.committed()
                except FALLS_BACK as error:
                    await deltas.aclose()
                    journey.failed(instance, error)
                    continue
                except BaseException:
                    await deltas.aclose()
                    raise
                return AnswerStream(journey, instance, held, deltas)
            raise journey.lost()

    def decide(self, call: Call) -> tuple[Choice, list[LLMInstance]]:
        """The decision, without a call, and the instances to try in order: the choice, then the best of the rest.

        Raises:
            QueueFull: every instance that could answer refuses.
            NotReady: none has started yet.
            BadInput: no instance can ever answer such a call.
        """
        if call.pin is not None:
            return self._pinned(call, self._manager[call.pin])
        waits = np.array(
            [0.0 if arm is None else arm.queue.expected_wait(call.priority) for arm in self._arms], dtype=np.float32
        )
        dial = self._dial if call.dial is None else call.dial

        @functools.cache
        def seen() -> Contexts:
            """What the policy sees: made once, and not at all for a call that is refused without it."""
            return self.policy.contexts(_query(call), dial=dial, load=waits)

        mask = self._mask(call, seen)
        contexts = replace(seen(), mask=mask[None, :])
        # Exploring is ε's part alone: it is stated and bounded, whatever the router would do by itself.
        decision = self.policy.decide(contexts, rng=self._rng, explore=False, epsilon=self._exploration)
        allowed = contexts.mask[0]
        first = int(decision.arms[0])
        best_first = np.argsort(-decision.scores[0], kind="stable")
        columns = [first, *(int(column) for column in best_first if allowed[column] and column != first)]
        order = [arm for column in columns if (arm := self._arms[column]) is not None]
        choice = self._choice(
            order[0],
            contexts,
            dial,
            propensity=float(decision.propensities[0]),
            waits={self.policy.arm_names[column]: float(waits[column]) for column in np.flatnonzero(allowed)},
        )
        return choice, order

    def _pinned(self, call: Call, instance: LLMInstance) -> tuple[Choice, list[LLMInstance]]:
        if not instance.takes(self.model_type):
            raise BadInput(f"model `{instance.name}` does not take {self.model_type}")
        if not instance.started:
            raise NotReady(f"model `{instance.name}` has not started")
        dial = self._dial if call.dial is None else call.dial
        contexts = self.policy.contexts(_query(call), dial=dial)
        waits = {instance.name: instance.queue.expected_wait(call.priority)}
        return self._choice(instance, contexts, dial, propensity=1.0, waits=waits, pinned=True), [instance]

    def _choice(
        self,
        instance: LLMInstance,
        contexts: Contexts,
        dial: float,
        *,
        propensity: float,
        waits: dict[str, float],
        pinned: bool = False,
    ) -> Choice:
        return Choice(
            model=instance.name,
            pinned=pinned,
            propensity=propensity,
            waits=waits,
            contexts=contexts,
            featuriser=self._featuriser,
            dial=dial,
            policy_version=self.policy_version,
        )

    def _mask(self, call: Call, seen: Callable[[], Contexts]) -> Bools:
        """``(K,)`` True where an arm may be chosen: able, affordable, started and, if any is, available."""
        able = [arm for arm in self._arms if arm is not None and arm.takes(self.model_type)]
        if not able:
            raise BadInput(f"no configured model takes {self.model_type}")
        if call.max_cost_usd is not None:
            costs = self._expected_costs(call, seen())
            able = [arm for arm, usd in zip(self._arms, costs, strict=True) if arm in able and usd <= call.max_cost_usd]
            if not able:
                raise BadInput(f"no model is expected to answer for {call.max_cost_usd:g} USD or less")
        started = [arm for arm in able if arm.started]
        if not started:
            raise NotReady("no model has started yet; see /readyz")
        available = [arm for arm in started if arm.available]
        if not available:
            if all(arm.queue.full for arm in started):
                wait_s = min(arm.queue.expected_wait(call.priority) for arm in started)
                raise QueueFull("every queue is full", retry_after_s=wait_s)
            available = started  # all are down or resting: a try costs little, refusing helps nobody
        return np.array([arm in available for arm in self._arms], dtype=bool)

    def _expected_costs(self, call: Call, contexts: Contexts) -> NDArray[np.float64]:
        """``(K,)`` dollars: what the price table says of prompt and limit, or what the policy learned, if that is more.

        The price table knows nothing of what an instance adds to the prompt, and not every instance has one.
        """
        priced = np.array([0.0 if arm is None else _estimated_cost(arm, call) for arm in self._arms])
        inside = innermost(self.policy.router)
        if not isinstance(inside, Estimator):
            return priced
        learned = inside.predict(contexts).cost_usd[0]
        return np.asarray(np.fmax(priced, learned), dtype=np.float64)


def _query(call: Call) -> Queries:
    return Queries.of([call.request.prompt], None if call.task is None else [call.task])


def _estimated_cost(instance: LLMInstance, call: Call) -> float:
    """Dollars, from the length of the prompt and the output limit; compute time is not known beforehand."""
    params = call.request.params
    limit = params.get("max_completion_tokens") or params.get("max_tokens") or _ASSUMED_OUTPUT_TOKENS
    return instance.settings.price.price.cost(len(call.request.prompt) / _CHARACTERS_PER_TOKEN, limit)
