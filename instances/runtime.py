"""The runtime: store, manager and routers, started and stopped together. ``get_model`` and the gateway use it.

It belongs to the event loop that started it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from env.contexts import Contexts, Outcomes, Queries
from env.errors import BadInput, PointsmanError
from env.features import default_featuriser
from instances.config import RuntimeConfig, load_config, parse_model_type
from instances.manager import LLMManager
from instances.ports import MetricSink, PolicySource
from instances.recorder import LLMInterfaceRecorder
from instances.router import LLMRouter
from instances.rows import Feedback, FeedbackStatus, Judged
from instances.store import Store
from routers.policy import Policy, new_policy

_log = logging.getLogger(__name__)

SHIPPED_POLICY = Path(__file__).parent / "data" / "policy"
"""The bundle for the arms of the shipped configuration."""


class Runtime:
    """Real models behind one learned policy.

    Example:
        >>> async def main() -> str:
        ...     async with Runtime(load_config("pointsman.yaml")) as runtime:
        ...         answer = await runtime.router("text").ask(call)
        ...         return answer.completion.text
    """

    def __init__(
        self,
        config: RuntimeConfig | None = None,
        *,
        policy: Policy | None = None,
        source: PolicySource | None = None,
        metrics: MetricSink | None = None,
        every_s: float = 10.0,
    ) -> None:
        """Build everything; nothing is started, but wrong settings are found here.

        Args:
            config: the shipped configuration when not given.
            policy: what decides; the configured one when not given.
            source: asked every ``every_s`` seconds for a newer policy.
            metrics: given aggregates every ``every_s`` seconds.
            every_s: see there.

        Raises:
            BadInput: the configuration, the policy or the store.
        """
        self.config = config or load_config()
        self.policy = policy or configured_policy(self.config)
        self.store = Store(self.config.store, synchronous=self.config.synchronous)
        self._rng = np.random.default_rng(self.config.seed)
        self._routers: dict[str, LLMRouter] = {}
        self._source, self._metrics, self._every_s = source, metrics, every_s
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        try:
            self.manager = LLMManager(self.config, self.store)
            self.router("text")
        except BaseException:
            self.store.close()
            raise

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it runs on.

        Raises:
            PointsmanError: it is not running.
        """
        if self._loop is None:
            raise PointsmanError("the runtime is not running")
        return self._loop

    @property
    def ready(self) -> bool:
        """True once every instance has started or failed to, if at least one is up."""
        return self._loop is not None and self.manager.ready

    def router(self, model_type: str = "text") -> LLMRouter:
        """The router of a model type, whatever the order in which its modalities are named.

        Raises:
            BadInput: an unknown modality.
        """
        try:
            kind = "+".join(sorted(parse_model_type(model_type), key=("text", "image", "audio").index))
        except ValueError as error:
            raise BadInput(f"model type: {error}") from None
        if kind not in self._routers:
            self._routers[kind] = LLMRouter(
                kind,
                self.policy,
                self.manager,
                LLMInterfaceRecorder(self.store, kind, self.config.store_prompts),
                dial=self.config.dial,
                exploration=self.config.exploration,
                rng=self._rng,
            )
        return self._routers[kind]

    def bind(self, policy: Policy) -> None:
        """Decide with this policy from the next call on.

        Raises:
            BadInput: none of its arms is configured; the policy bound before stays.
        """
        for router in self._routers.values():
            router.bind(policy)
        self.policy = policy

    async def start(self, *, wait: bool = True) -> None:
        """Start the instances.

        Args:
            wait: False returns at once, while they start in the background (``ready`` tells).
        """
        self._loop = asyncio.get_running_loop()
        starting = asyncio.create_task(self.manager.start())
        self._tasks.append(starting)
        if self._source is not None:
            source = self._source
            self._tasks.append(asyncio.create_task(self._repeat(lambda: self._poll(source))))
        if self._metrics is not None:
            sink = self._metrics
            self._tasks.append(asyncio.create_task(self._repeat(lambda: self._report(sink))))
        if wait:
            await starting

    async def stop(self) -> None:
        """Stop everything and close the store; safe to call twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._metrics is not None and self._tasks:
            await self._report(self._metrics)
        self._tasks.clear()
        await self.manager.close()
        await asyncio.to_thread(self.store.close)
        self._loop = None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.stop()

    async def feedback(
        self, request_id: str, score: float, *, source: str = "user", id: str | None = None
    ) -> FeedbackStatus:
        """Say how good an answer was; a policy that learns while it runs learns from it.

        Args:
            request_id: of the answer.
            score: quality in [0, 1].
            source: who judges; the last feedback of a source counts.
            id: idempotency key; a new one when not given.

        Raises:
            BadInput: a score outside [0, 1].
        """
        if not 0 <= score <= 1:
            raise BadInput(f"score: {score}; a score is a number from 0 to 1")
        given = Feedback(id or secrets.token_hex(12), request_id, source, score, time.time())
        status = await self.store.add_feedback(given)
        if status is FeedbackStatus.STORED and self.policy.router.capabilities.online:
            judged = await self.store.judged(request_id)
            # Once per request: what is learned cannot be taken back when a source changes its mind.
            if judged is not None and judged.judgements == 1:
                learn(self.policy, judged, score)
        return status

    def metrics(self) -> dict[str, float]:
        """Aggregates since the start, per instance and per model type."""
        values: dict[str, float] = {}
        for instance in self.manager:
            values |= instance.recorder.metrics()
        for router in self._routers.values():
            values |= router.recorder.metrics()
        return values

    async def _repeat(self, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await act()

    async def _poll(self, source: PolicySource) -> None:
        try:
            policy = await asyncio.to_thread(source.latest)
            if policy is not None:
                self.bind(policy)
                _log.info("serving policy %s", policy.version)
        except Exception as error:
            _log.warning("no new policy, the last one stays: %s", error)

    async def _report(self, sink: MetricSink) -> None:
        try:
            await asyncio.to_thread(sink.log, self.metrics(), int(time.time()))
        except Exception as error:
            _log.warning("metrics were not stored: %s", error)


def configured_policy(config: RuntimeConfig) -> Policy:
    """The policy that a configuration names: a bundle, or an untrained router over its instances.

    Raises:
        BadInput: no such bundle, or no such router.
    """
    if config.router == "policy":
        return Policy.load(config.policy or SHIPPED_POLICY)
    settings: Mapping[str, Any] = config.router_settings
    arms = [instance.arm for instance in config.instances]
    return new_policy(config.router, arms, default_featuriser(), **settings)


def learn(policy: Policy, judged: Judged, score: float) -> bool:
    """Update a policy's router with one judged decision, with the features it was decided on.

    Returns:
        False, and nothing is learned, when those features are not this policy's, when the answer came from
        an instance that was not the one decided on, or when that is not one of its arms.
    """
    decision = judged.decision
    if (
        decision.features is None
        or decision.featuriser != policy.featuriser.fingerprint
        or judged.answered_by != decision.model
        or decision.model not in policy.arm_names
    ):
        return False
    known = np.array([name in decision.waits for name in policy.arm_names])
    waits = np.array([decision.waits.get(name, 0.0) for name in policy.arm_names])
    contexts = Contexts.of(
        decision.features[None, :],
        len(policy.arms),
        cost_weight=decision.cost_weight,
        latency_weight=decision.latency_weight,
        mask=known,
        load=waits,
        task=None if decision.task is None else Queries.of([""], [decision.task]).task,
    )
    outcomes = Outcomes.of(
        np.array([score]),
        np.array([judged.cost_usd], dtype=np.float32),
        np.array([judged.latency_s], dtype=np.float32),
    )
    arm = np.array([policy.arm_names.index(decision.model)])
    policy.router.update(contexts, arm, outcomes, np.array([decision.propensity]))
    return True
