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

from env.errors import BadInput, PointsmanError
from env.features import default_featuriser
from instances.config import RuntimeConfig, load_config, parse_model_type
from instances.learning import Learner, policy_of
from instances.manager import LLMManager
from instances.ports import MetricSink, PolicySource
from instances.recorder import LLMInterfaceRecorder
from instances.router import LLMRouter
from instances.rows import Feedback, FeedbackStatus, Taken
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
        policy = policy or configured_policy(self.config)
        self.store = Store(self.config.store, synchronous=self.config.synchronous)
        self._rng = np.random.default_rng(self.config.seed)
        self._routers: dict[str, LLMRouter] = {}
        self._source, self._metrics, self._every_s = source, metrics, every_s
        self._tasks: list[asyncio.Task[None]] = []
        self._reports = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        try:
            self.manager = LLMManager(self.config, self.store)
            self._learner = self._rebuilt(policy)
            self.router("text")
        except BaseException:
            self.store.close()
            raise

    @property
    def policy(self) -> Policy:
        """What decides, with all that it has learned from feedback; a copy of the one given, where it learns."""
        return self._learner.policy

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
            router = LLMRouter(
                kind,
                self.policy,
                self.manager,
                LLMInterfaceRecorder(self.store, kind, self.config.store_prompts),
                dial=self.config.dial,
                exploration=self.config.exploration,
                rng=self._rng,
            )
            router.policy_version = self._learner.version
            self._routers[kind] = router
        return self._routers[kind]

    def bind(self, policy: Policy) -> None:
        """Decide with this policy from the next call on, with what it learned when it served before.

        Raises:
            BadInput: none of its arms is configured; the policy bound before stays.
        """
        self._bind(self._rebuilt(policy))

    def _bind(self, learner: Learner) -> None:
        for router in self._routers.values():
            router.bind(learner.policy)
        self._learner = learner
        self._name_policy()

    def _name_policy(self) -> None:
        for router in self._routers.values():
            router.policy_version = self._learner.version

    def _rebuilt(self, policy: Policy) -> Learner:
        """The policy after every judgement of its decisions that the store holds, in their order."""
        learner = Learner(policy, learn=self.config.learn)
        self._catch_up(learner)
        if learner.learns:
            _log.info("policy %s, rebuilt from the store", learner.version)
        return learner

    def _catch_up(self, learner: Learner) -> None:
        if learner.learns:
            for judged in self.store.judged_of(policy_of(learner.version), after=learner.seen):
                learner.learn(judged)

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
        """Say how good an answer was.

        A policy that can learn online learns from the first judgement of each answer, unless ``learn: false`` is
        configured. From then on its decisions are logged as ``<version>+<n>``, n the answers it has learned from.

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
        taken = self.store.add_feedback(given)
        # By callback: what is committed is learned in that order, as it will be after a restart, even if the caller
        # stops waiting.
        taken.add_done_callback(self._learn)
        return (await asyncio.shield(taken)).status

    def _learn(self, taken: asyncio.Future[Taken]) -> None:
        if taken.cancelled() or taken.exception() is not None:
            return
        first = taken.result().first
        if first is not None and self._learner.learn(first):
            self._name_policy()

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
                learner = await asyncio.to_thread(self._rebuilt, policy)
                # What was judged meanwhile went to the policy bound now, which learns nothing from it. On the loop,
                # so that no judgement comes between this and the binding.
                self._catch_up(learner)
                self._bind(learner)
                _log.info("serving policy %s", self._learner.version)
        except Exception as error:
            _log.warning("no new policy, the last one stays: %s", error)

    async def _report(self, sink: MetricSink) -> None:
        self._reports += 1
        try:
            await asyncio.to_thread(sink.log, self.metrics(), self._reports)
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
