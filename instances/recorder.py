"""The two recorders: what an agent saw of its requests, and what each instance did with its calls.

Both write to the store and keep running sums in memory for the metrics.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from env.contexts import Contexts
from env.prompts import prompt_hash
from env.scheduling import QueueFull
from instances.calls import Answer, Attempt, Call
from instances.providers.base import Completion
from instances.queue import DeadlineExpired
from instances.rows import AnswerRow, AttemptRow, DecisionRow
from instances.store import Store

Keep = Literal["full", "hashed", "none"]
"""How much of a prompt and its answer is stored: the text, a keyed hash of the prompt, or nothing.

Errors likewise: all an upstream said, or only their kind and HTTP status."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the router decided for one request, and what it saw.

    Attributes:
        model: the instance chosen.
        pinned: True when the caller chose.
        propensity: probability with which the law that acted chooses it.
        waits: expected wait in seconds of every available arm.
        contexts: one row: features, weights and mask.
        featuriser: fingerprint of the featuriser.
        dial: 0 = cheapest, 1 = best.
        policy_version: the policy that decided.
    """

    model: str
    pinned: bool
    propensity: float
    waits: Mapping[str, float]
    contexts: Contexts
    featuriser: str
    dial: float
    policy_version: str


class LLMInterfaceRecorder:
    """Records requests as their agents see them: what was asked and decided, and how it ended."""

    def __init__(self, store: Store, model_type: str, keep: Keep = "full") -> None:
        self._store = store
        self._model_type = model_type
        self._keep = keep
        self._sums: dict[str, float] = {}

    def decided(self, request_id: str, call: Call, choice: Choice) -> asyncio.Future[None]:
        """Record a decision, starting now; the future is done when it is committed."""
        prompt = call.request.prompt
        return self._store.write_decision(
            DecisionRow(
                request_id=request_id,
                timestamp=time.time(),
                agent=call.agent,
                node=call.node,
                parent=call.parent,
                session=call.session,
                task=call.task,
                priority=int(call.priority),
                model_type=self._model_type,
                prompt=_storable(prompt) if self._keep == "full" else None,
                prompt_hash=None if self._keep == "none" else prompt_hash(prompt, self._store.hash_key),
                model=choice.model,
                pinned=choice.pinned,
                propensity=choice.propensity,
                waits=choice.waits,
                dial=choice.dial,
                cost_weight=float(choice.contexts.cost_weight[0]),
                latency_weight=float(choice.contexts.latency_weight[0]),
                features=choice.contexts.features[0],
                featuriser=choice.featuriser,
                policy_version=choice.policy_version,
            )
        )

    def answered(self, answer: Answer) -> None:
        """Record that a request was answered."""
        self._over(answer.request_id, "answered", answer.latency_s, answer.attempts, answer.model, answer.cost_usd)

    def ended(self, request_id: str, error: BaseException, latency_s: float, attempts: int) -> None:
        """Record that a request was over without an answer."""
        self._over(request_id, _status(error), latency_s, attempts, error=_told(error, self._keep))

    def _over(
        self,
        request_id: str,
        status: str,
        latency_s: float,
        attempts: int,
        model: str | None = None,
        cost_usd: float | None = None,
        error: str | None = None,
    ) -> None:
        self._sums[status] = self._sums.get(status, 0) + 1
        self._store.write_answer(
            AnswerRow(request_id, time.time(), status, model, attempts, cost_usd, latency_s, error)
        )

    def metrics(self) -> dict[str, float]:
        """Requests so far, by how they ended."""
        return {f"requests.{self._model_type}.{status}": count for status, count in self._sums.items()}


class LLMRecorder:
    """Records what one instance did: tokens, cost, latency, waits and failures of each attempt."""

    def __init__(self, store: Store, model: str, keep: Keep = "full") -> None:
        self._store = store
        self._model = model
        self._keep = keep
        self._calls = self._errors = 0
        self._cost_usd = self._latency_s = self._wait_s = 0.0

    def answered(self, attempt: Attempt, completion: Completion, cost_usd: float | None, queue_wait_s: float) -> None:
        """Record an attempt that was answered."""
        self._calls += 1
        self._cost_usd += cost_usd or 0.0
        self._latency_s += completion.latency_s
        self._wait_s += queue_wait_s
        self._store.write_attempt(
            AttemptRow(
                attempt.request_id,
                attempt.number,
                time.time(),
                self._model,
                attempt.reason,
                input_tokens=completion.input_tokens,
                output_tokens=completion.output_tokens,
                cost_usd=cost_usd,
                latency_s=completion.latency_s,
                queue_wait_s=queue_wait_s,
                ttft_s=completion.ttft_s,
                finish_reason=completion.finish_reason,
                logprob=completion.logprob,
                response=_storable(completion.text) if self._keep == "full" else None,
            )
        )

    def failed(
        self, attempt: Attempt, error: BaseException, latency_s: float | None, queue_wait_s: float | None
    ) -> None:
        """Record an attempt that was not answered; a time is ``None`` when it did not come to that."""
        self._errors += 1
        self._store.write_attempt(
            AttemptRow(
                attempt.request_id,
                attempt.number,
                time.time(),
                self._model,
                attempt.reason,
                latency_s=latency_s,
                queue_wait_s=queue_wait_s,
                error=": ".join(filter(None, (_status(error), _told(error, self._keep)))),
            )
        )

    def metrics(self) -> dict[str, float]:
        """Sums and means so far."""
        each = self._calls or math.nan
        values = {
            "calls": float(self._calls),
            "errors": float(self._errors),
            "cost_usd": self._cost_usd,
            "latency_s": self._latency_s / each,
            "queue_wait_s": self._wait_s / each,
        }
        return {f"{self._model}.{name}": value for name, value in values.items() if not math.isnan(value)}


def _storable(text: str) -> str:
    """Text that every database holds: models break emoji in two, and PostgreSQL refuses the null character."""
    return text.encode(errors="replace").decode().replace("\x00", "\ufffd")


def _told(error: BaseException, keep: Keep) -> str | None:
    """An error for the log: its text, which an upstream may quote the prompt in, or its kind and HTTP status."""
    if keep == "full":
        return _storable(str(error)) or None
    status = getattr(error, "status", None)
    return type(error).__name__ if status is None else f"{type(error).__name__} {status}"


def _status(error: BaseException) -> str:
    if isinstance(error, QueueFull):
        return "refused"
    if isinstance(error, DeadlineExpired):
        return "expired"
    # A closed stream, a gone client and Ctrl-C are not failures of a model.
    return "failed" if isinstance(error, Exception) else "cancelled"
