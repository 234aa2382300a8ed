"""LLMInstance: one model as the runtime drives it: its provider, its queue, its recorder, its health."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

from env.arms import Arm
from env.errors import PointsmanError
from instances.calls import Attempt
from instances.config import InstanceConfig, parse_model_type
from instances.providers.base import ChatRequest, Completion, Delta, Provider, ProviderError
from instances.queue import DeadlineExpired, InstanceQueue
from instances.recorder import LLMRecorder

_log = logging.getLogger(__name__)

_FAILURES_UNTIL_DOWN = 3
"""Server errors, broken connections, timeouts or refused keys in a row after which an instance counts as down; an
unreachable one does at once."""
_REFUSED_KEY = (401, 403)
_REST_S = 1.0
"""How long an upstream that said 429 without a time is left alone."""


@dataclass(slots=True)
class _Progress:
    """How far an attempt came."""

    queue_wait_s: float | None = None
    granted: float | None = None


class LLMInstance:
    """One model.

    ``complete`` and ``stream`` wait for a slot of the queue, call the provider, and record the attempt
    however it ends. What the provider raises comes out as ``ProviderError``; the queue's refusals as they are.
    """

    def __init__(
        self, settings: InstanceConfig, provider: Provider, recorder: LLMRecorder, *, ageing_s: float = 5.0
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.arm: Arm = settings.arm
        self.recorder = recorder
        self.queue = InstanceQueue(
            concurrency=settings.concurrency, max_length=settings.queue_length, ageing_s=ageing_s
        )
        self.started = False
        self.healthy = False
        self._provider = provider
        self._proven = False
        self._modalities = frozenset[str]().union(*map(parse_model_type, settings.model_types))
        self._failures = 0
        self._rests_until = 0.0

    @property
    def available(self) -> bool:
        """True when a call would probably be answered, and the queue takes it."""
        return self.healthy and time.monotonic() >= self._rests_until and not self.queue.full

    @property
    def state(self) -> str:
        """``not started``, ``down``, ``up``, or ``not called yet``: started, but nothing has shown that it answers."""
        if not self.started:
            return "not started"
        if not self.healthy:
            return "down"
        return "up" if self._proven else "not called yet"

    def takes(self, model_type: str) -> bool:
        """True when it takes every modality of ``model_type``."""
        return parse_model_type(model_type) <= self._modalities

    async def start(self) -> None:
        """Start the provider; an instance that cannot start stays down and is tried again by ``check``."""
        try:
            await self._provider.start()
        except PointsmanError as error:
            _log.warning("%s did not start: %s", self.name, error)
        except Exception:
            _log.exception("%s did not start", self.name)
        else:
            self.started = self.healthy = True
            self._proven = self._provider.proven_by_start

    async def check(self) -> None:
        """Look whether an instance that is down has come back."""
        if not self.started:
            await self.start()
        elif not self.healthy and await self._provider.healthy():
            _log.info("%s is back", self.name)
            self.healthy = self._proven = True
            self._failures = 0

    async def close(self) -> None:
        """Close the provider."""
        self.started = self.healthy = False
        await self._provider.close()

    async def complete(self, request: ChatRequest, attempt: Attempt) -> Completion:
        """The whole answer.

        Raises:
            ProviderError: the model did not answer.
            QueueFull: too many wait.
            DeadlineExpired: the deadline passed, in the queue or while the model answered.
        """
        progress = _Progress()
        with self._recorded(attempt, progress):
            async with self._slot(attempt, progress):
                limited, limit_s = self._within(request, attempt)
                async with asyncio.timeout(limit_s):
                    completion = await self._provider.complete(limited)
            self._answered(attempt, progress, completion)
            return completion

    async def stream(self, request: ChatRequest, attempt: Attempt) -> AsyncGenerator[Delta, None]:
        """The answer in pieces, the last with the completion; closing the stream frees the slot.

        Raises:
            ProviderError: before the first piece or, when the upstream breaks, after it.
            QueueFull: too many wait.
            DeadlineExpired: the deadline passed, in the queue or while the model answered.
        """
        progress = _Progress()
        last: Delta | None = None
        with self._recorded(attempt, progress):
            async with self._slot(attempt, progress):
                limited, limit_s = self._within(request, attempt)
                ends = asyncio.get_running_loop().time() + limit_s
                async with aclosing(self._provider.stream(limited)) as deltas:
                    # A limit on each piece, not around them all: pieces may be asked for by different tasks.
                    while (delta := await _next_until(deltas, ends)) is not None:
                        if delta.completion is not None:
                            last = delta
                            break
                        yield delta
            if last is None or last.completion is None:
                raise ProviderError(f"instance `{self.name}`: the stream ended before the answer did")
            self._answered(attempt, progress, last.completion)
        # Outside the slot: a caller that is slow to take the last piece holds nobody up.
        yield last

    def _within(self, request: ChatRequest, attempt: Attempt) -> tuple[ChatRequest, float]:
        """The request with no more time than the instance allows and its deadline leaves, and that time."""
        limit_s = min(self.settings.timeout_s, request.timeout_s or self.settings.timeout_s)
        if attempt.deadline is not None:
            limit_s = min(limit_s, max(1e-3, attempt.deadline - time.monotonic()))
        return replace(request, timeout_s=limit_s), limit_s

    @asynccontextmanager
    async def _slot(self, attempt: Attempt, progress: _Progress) -> AsyncIterator[None]:
        async with self.queue.slot(
            priority=attempt.priority, agent=attempt.agent, deadline=attempt.deadline
        ) as waited_s:
            progress.queue_wait_s = waited_s
            progress.granted = time.monotonic()
            yield

    @contextmanager
    def _recorded(self, attempt: Attempt, progress: _Progress) -> Iterator[None]:
        """Record a failure, learn about health from it, and let nothing but the stated errors out."""
        try:
            yield
        except BaseException as error:
            latency_s = None if progress.granted is None else time.monotonic() - progress.granted
            failure = error
            timed_out = isinstance(error, TimeoutError) or (isinstance(error, ProviderError) and error.status == 504)
            if timed_out and attempt.deadline is not None and time.monotonic() >= attempt.deadline:
                # The caller's limit, not the model's fault.
                failure = DeadlineExpired("the deadline passed while the model answered")
            elif isinstance(error, TimeoutError):
                failure = ProviderError(f"instance `{self.name}`: no answer in time", status=504)
            elif isinstance(error, Exception) and not isinstance(error, PointsmanError):
                _log.exception("%s: its provider broke its contract", self.name)
                failure = ProviderError(f"instance `{self.name}`: {type(error).__name__}: {error}", status=500)
            self.recorder.failed(attempt, failure, latency_s, progress.queue_wait_s)
            if isinstance(failure, ProviderError):
                self._note(failure)
            if failure is error:
                raise
            raise failure from error

    def _answered(self, attempt: Attempt, progress: _Progress, completion: Completion) -> None:
        self._failures = 0
        self.healthy = self._proven = True
        wait_s = progress.queue_wait_s or 0.0
        self.recorder.answered(attempt, completion, self.settings.cost_usd(completion), wait_s)

    def _note(self, failure: ProviderError) -> None:
        if failure.status == 429:
            rest_s = _REST_S if failure.retry_after_s is None else failure.retry_after_s
            self._rests_until = time.monotonic() + rest_s
        elif failure.unreachable or (failure.status or 0) >= 500 or failure.status in _REFUSED_KEY:
            self._failures += 1
            if failure.unreachable or self._failures >= _FAILURES_UNTIL_DOWN:
                if self.healthy:
                    # What an upstream says of a request may quote it; that nobody is there quotes nothing.
                    why = str(failure) if failure.unreachable else f"status {failure.status}"
                    _log.warning("%s is down: %s", self.name, why)
                self.healthy = False


async def _next_until(deltas: AsyncGenerator[Delta, None], ends: float) -> Delta | None:
    async with asyncio.timeout_at(ends):
        return await anext(deltas, None)
