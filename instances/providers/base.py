"""The provider contract: how the runtime talks to one model, whatever stands behind it.

A provider is started once, serves many calls at once, and is closed once. It neither queues nor retries:
the queue in front of it and the router above do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from env.errors import PointsmanError
from env.prompts import render


class ProviderError(PointsmanError):
    """A call to a model failed.

    Attributes:
        status: the HTTP status, where there was one.
        retry_after_s: how long the upstream asks to be left alone, where it does.
        retryable: True when another model may well answer, False when the request itself is at fault.
        unreachable: True when no connection could be made; one that broke, or an answer that makes no sense, is not
            that.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        retryable: bool = True,
        unreachable: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.retryable = retryable
        self.unreachable = unreachable


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation to continue.

    Attributes:
        messages: OpenAI chat messages, passed on untouched.
        params: the other fields of an OpenAI request (``temperature``, ``max_tokens``, ``tools``...).
        model_type: modalities it needs, e.g. ``text+image``.
        timeout_s: longest call, where shorter than the provider's own limit.
    """

    messages: tuple[Mapping[str, Any], ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    model_type: str = "text"
    timeout_s: float | None = None

    @property
    def prompt(self) -> str:
        """The conversation as a router sees it.

        Example:
            >>> ChatRequest(({"role": "user", "content": "2 + 2?"},)).prompt
            '2 + 2?'
        """
        return render(self.messages)


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer and what it took.

    Attributes:
        text: the answer's text.
        input_tokens: prompt tokens; ``None`` where the upstream does not say.
        output_tokens: generated tokens; ``None`` where the upstream does not say.
        latency_s: seconds from the call to the last token.
        ttft_s: seconds to the first token, where it was streamed.
        logprob: mean log-probability of the generated tokens, where known.
        cost_usd: dollars, where the provider knows better than the price table.
        finish_reason: as OpenAI names them.
        message: the whole assistant message, where it holds more than text (tool calls).
        logprobs: the upstream's ``logprobs`` object, where asked for and given.
    """

    text: str
    input_tokens: int | None
    output_tokens: int | None
    latency_s: float
    ttft_s: float | None = None
    logprob: float | None = None
    cost_usd: float | None = None
    finish_reason: str = "stop"
    message: Mapping[str, Any] | None = None
    logprobs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer; the last one carries the completion.

    Attributes:
        text: new text.
        completion: the whole answer, on the last delta only.
        raw: the upstream's ``choices[0]``, to be passed on as it is (tool calls, log-probabilities).
    """

    text: str = ""
    completion: Completion | None = None
    raw: Mapping[str, Any] | None = None


class Provider(ABC):
    """One model."""

    proven_by_start: ClassVar[bool] = True
    """False where a start reaches nothing, so that only an answer shows whether the model is there."""

    async def start(self) -> None:
        """Make ready to serve; raises ``ProviderError`` when that fails."""
        return None

    async def close(self) -> None:
        """Give everything back; safe to call twice, and without a start."""
        return None

    async def healthy(self) -> bool:
        """True when a call would probably be answered; quick, and never raises."""
        return True

    @abstractmethod
    async def complete(self, request: ChatRequest) -> Completion:
        """The whole answer.

        Raises:
            ProviderError: the model did not answer.
        """

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The answer in pieces; here the whole answer as one piece.

        Raises:
            ProviderError: before the first delta or, where the upstream breaks, after it.
        """
        completion = await self.complete(request)
        yield Delta(text=completion.text, completion=completion)
