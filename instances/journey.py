"""One call on its way: from the decision, over attempts and fallbacks, to an answer that is recorded."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from env.errors import PointsmanError
from env.scheduling import QueueFull
from instances.calls import Answer, Attempt, Call, UpstreamFailed
from instances.instance import LLMInstance
from instances.providers.base import Completion, Delta, ProviderError
from instances.recorder import Choice, LLMInterfaceRecorder

FALLS_BACK = (ProviderError, QueueFull)
"""What makes the next best instance try. A deadline that has passed has passed for all of them."""


class Journey:
    """Keeps the books of one call: its decision is committed before it is answered, and it ends once."""

    def __init__(self, call: Call, recorder: LLMInterfaceRecorder) -> None:
        self.request_id = f"req_{secrets.token_hex(12)}"
        self.choice: Choice | None = None
        self._call = call
        self._recorder = recorder
        self._started = time.monotonic()
        self._attempts = 0
        self._failures: list[tuple[LLMInstance, PointsmanError]] = []
        self._writing: asyncio.Future[None] | None = None
        self._over = False

    def attempts(self, choice: Choice, order: Sequence[LLMInstance]) -> Iterator[tuple[LLMInstance, Attempt]]:
        """The instances to try, each with its attempt; the decision is being written meanwhile."""
        self.choice = choice
        self._writing = self._recorder.decided(self.request_id, self._call, choice)
        deadline = None if self._call.deadline_s is None else self._started + self._call.deadline_s
        for number, instance in enumerate(order):
            self._attempts = number + 1
            reason = "pinned" if choice.pinned else "fallback" if number else "policy"
            yield (
                instance,
                Attempt(
                    self.request_id,
                    number,
                    reason,
                    agent=self._call.agent or "",
                    priority=self._call.priority,
                    deadline=deadline,
                ),
            )

    async def committed(self) -> None:
        """Return when the decision is committed; nothing of the answer may be shown before."""
        if self._writing is not None:
            await self._writing

    def failed(self, instance: LLMInstance, error: PointsmanError) -> None:
        """Take note of a failed attempt.

        Raises:
            UpstreamFailed: the request itself is at fault, so no other instance need be asked.
        """
        if isinstance(error, ProviderError) and not error.retryable:
            raise UpstreamFailed(str(error), status=error.status or 502) from error
        self._failures.append((instance, error))

    def arrived(self, instance: LLMInstance, completion: Completion) -> Answer:
        """The answer, recorded."""
        if self.choice is None:
            raise RuntimeError("a call cannot arrive before it was decided on")
        answer = Answer(
            request_id=self.request_id,
            model=instance.name,
            completion=completion,
            cost_usd=instance.settings.cost_usd(completion),
            latency_s=time.monotonic() - self._started,
            attempts=self._attempts,
            propensity=self.choice.propensity,
            policy_version=self.choice.policy_version,
        )
        self._over = True
        self._recorder.answered(answer)
        return answer

    def lost(self) -> PointsmanError:
        """The error that tells best why no instance answered."""
        errors = [error for _, error in self._failures]
        full = [error.retry_after_s for error in errors if isinstance(error, QueueFull)]
        if len(full) == len(errors):
            return QueueFull("every queue is full", retry_after_s=min(full, default=0.0))
        upstream = [error for error in errors if isinstance(error, ProviderError)]
        statuses = {error.status for error in upstream}
        same = next(iter(statuses)) if len(statuses) == 1 else None
        waits = [error.retry_after_s for error in upstream if error.retry_after_s is not None]
        return UpstreamFailed(
            "no model answered: " + "; ".join(str(error) for error in errors),
            # 404 and 429 mean the same to the caller as to us; any other status is between us and the upstream.
            status=same if same in (404, 429) else 502,
            retry_after_s=min(waits, default=None),
        )

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record the end of the call, if the block fails."""
        try:
            yield
        except BaseException as error:
            self.end(error)
            raise

    def end(self, error: BaseException) -> None:
        """Record that the call is over without an answer; only the first end counts."""
        if not self._over:
            self._over = True
            latency_s = time.monotonic() - self._started
            self._recorder.ended(self.request_id, error, latency_s, self._attempts)


class AnswerStream:
    """An answer that has begun. Iterate it inside ``async with``, which frees the slot however it ends.

    Attributes:
        request_id: names it in feedback.
        model: the instance that answers.
        choice: the decision behind it.
        answer: the whole answer, once the last piece has been read.
    """

    def __init__(
        self,
        journey: Journey,
        instance: LLMInstance,
        held: Sequence[Delta],
        deltas: AsyncGenerator[Delta, None],
    ) -> None:
        if journey.choice is None:
            raise RuntimeError("a call cannot be answered before it was decided on")
        self.request_id = journey.request_id
        self.model = instance.name
        self.choice = journey.choice
        self.answer: Answer | None = None
        self._journey = journey
        self._instance = instance
        self._held = deque(held)
        self._deltas = deltas

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        with self._journey.recorded():
            delta = self._held.popleft() if self._held else await anext(self._deltas)
        if delta.completion is not None:
            self.answer = self._journey.arrived(self._instance, delta.completion)
        return delta

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the upstream, if it still runs, and free the slot; safe to call twice."""
        await self._deltas.aclose()
        self._journey.end(asyncio.CancelledError("the caller left"))


async def first_content(deltas: AsyncGenerator[Delta, None]) -> list[Delta]:
    """Read up to the first piece that shows the caller something: until then another instance may take over."""
    held = []
    async for delta in deltas:
        held.append(delta)
        if delta.text or delta.completion is not None or _shows(delta):
            break
    return held


def _shows(delta: Delta) -> bool:
    """True for tool calls, reasoning and the like; an opening chunk holds a role and empty content."""
    fields = (delta.raw or {}).get("delta") or {}
    return any(value for name, value in fields.items() if name != "role")
