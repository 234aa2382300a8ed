"""LLMInterface: what an agent holds. It performs no query itself: it hands each call to its router."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from env.errors import BadInput
from env.scheduling import Priority
from instances.background import Bridge
from instances.calls import Answer, Call
from instances.journey import AnswerStream
from instances.openai_format import completion_body
from instances.providers.base import ChatRequest
from instances.router import LLMRouter
from instances.rows import FeedbackStatus
from instances.runtime import Runtime

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

Messages = Sequence[Mapping[str, Any]]

_ROUTING = frozenset(field.name for field in fields(Call)) - {"request", "agent", "priority"}


class Reply(str):
    """The text of an answer, which knows where it came from.

    Attributes:
        answer: model, cost, latency, tokens, and the request id for feedback.
    """

    answer: Answer

    def __new__(cls, answer: Answer) -> Self:
        """The text of ``answer``."""
        reply = super().__new__(cls, answer.completion.text)
        reply.answer = answer
        return reply


class LLMInterface:
    """A model of some type, behind which the best instance for each prompt answers.

    Every method takes the parameters of an OpenAI chat request (``temperature``, ``max_tokens``...) and,
    beside them, what concerns the routing: ``dial``, ``task``, ``node``, ``parent``, ``session``,
    ``deadline_s``, ``max_cost_usd`` and ``pin`` (see ``instances.calls.Call``).

    Synchronous calls need a runtime in the background, as ``get_model`` makes; the async twins work from any
    event loop.
    """

    def __init__(
        self, runtime: Runtime, model_type: str, *, agent: str | None = None, priority: Priority = Priority.NORMAL
    ) -> None:
        self.model_type = model_type
        self.agent = agent
        self.priority = priority
        self._runtime = runtime
        self._router: LLMRouter = runtime.router(model_type)
        self._bridge = Bridge(runtime)

    def query(self, prompt: str, **options: Any) -> Reply:
        """Text in, text out."""
        return self._bridge.wait(self._query(prompt, options))

    async def aquery(self, prompt: str, **options: Any) -> Reply:
        """Text in, text out."""
        return await self._bridge.on(self._query(prompt, options))

    def chat(self, messages: Messages, **options: Any) -> ChatCompletion:
        """A conversation in, an ``openai`` chat completion out."""
        return _as_openai(self._bridge.wait(self._router.ask(self._call(messages, options))))

    async def achat(self, messages: Messages, **options: Any) -> ChatCompletion:
        """A conversation in, an ``openai`` chat completion out."""
        return _as_openai(await self._bridge.on(self._router.ask(self._call(messages, options))))

    def stream(self, prompt: str | Messages, **options: Any) -> TextStream:
        """A prompt or a conversation in, pieces of text out."""
        return TextStream(self._astream(prompt, options), self._bridge)

    def astream(self, prompt: str | Messages, **options: Any) -> AsyncTextStream:
        """A prompt or a conversation in, pieces of text out."""
        return self._astream(prompt, options)

    def feedback(
        self, about: Reply | Answer | str, score: float, *, source: str = "user", id: str | None = None
    ) -> FeedbackStatus:
        """Say how good an answer was; see ``Runtime.feedback``.

        Args:
            about: a reply, an answer, or a request id.
            score: quality in [0, 1].
            source: who judges.
            id: idempotency key.
        """
        return self._bridge.wait(self._runtime.feedback(_request_id(about), score, source=source, id=id))

    async def afeedback(
        self, about: Reply | Answer | str, score: float, *, source: str = "user", id: str | None = None
    ) -> FeedbackStatus:
        """Say how good an answer was; see ``feedback``."""
        return await self._bridge.on(self._runtime.feedback(_request_id(about), score, source=source, id=id))

    async def _query(self, prompt: str, options: Mapping[str, Any]) -> Reply:
        return Reply(await self._router.ask(self._call(prompt, options)))

    def _astream(self, prompt: str | Messages, options: Mapping[str, Any]) -> AsyncTextStream:
        call = self._call(prompt, options)
        return AsyncTextStream(lambda: self._router.stream(call), self._bridge)

    def _call(self, prompt: str | Messages, options: Mapping[str, Any]) -> Call:
        messages = ({"role": "user", "content": prompt},) if isinstance(prompt, str) else tuple(prompt)
        if not messages or not all(isinstance(message, Mapping) for message in messages):
            raise BadInput("messages: a conversation is one or more mappings with `role` and `content`")
        if "model" in options or "stream" in options:
            raise BadInput("options: `pin` names an instance, and streams have their own method")
        routing = {name: value for name, value in options.items() if name in _ROUTING}
        params = {name: value for name, value in options.items() if name not in _ROUTING}
        request = ChatRequest(messages, params, self.model_type)
        return Call(request, agent=self.agent, priority=self.priority, **routing)


@dataclass(slots=True)
class AsyncTextStream:
    """Pieces of an answer's text; begins when it is iterated.

    Attributes:
        answer: the whole answer, once the last piece has been read.
    """

    _open: Callable[[], Coroutine[Any, Any, AnswerStream]]
    _bridge: Bridge
    answer: Answer | None = None

    async def __aiter__(self) -> AsyncGenerator[str, None]:
        stream = await self._bridge.on(self._open())
        try:
            while (text := await self._bridge.on(_next_text(stream))) is not None:
                yield text
            self.answer = stream.answer
        finally:
            await self._bridge.on(stream.aclose())


@dataclass(slots=True)
class TextStream:
    """Pieces of an answer's text, for a plain ``for`` loop; leaving the loop stops the upstream.

    Attributes:
        answer: the whole answer, once the last piece has been read.
    """

    _stream: AsyncTextStream
    _bridge: Bridge
    answer: Answer | None = None

    def __iter__(self) -> Generator[str, None, None]:
        stream = self._bridge.wait(self._stream._open())
        try:
            while (text := self._bridge.wait(_next_text(stream))) is not None:
                yield text
            self.answer = stream.answer
        finally:
            self._bridge.wait(stream.aclose())


async def _next_text(stream: AnswerStream) -> str | None:
    async for delta in stream:
        if delta.text:
            return delta.text
    return None


def _as_openai(answer: Answer) -> ChatCompletion:
    # Imported here: it takes a second, which `query` alone need not wait for.
    from openai.types.chat import ChatCompletion

    return ChatCompletion.model_validate(completion_body(answer))


def _request_id(about: Reply | Answer | str) -> str:
    if isinstance(about, Reply):
        return about.answer.request_id
    return about.request_id if isinstance(about, Answer) else about


def parse_priority(priority: str | int | None) -> Priority:
    """A priority by name or number; normal when not given.

    Raises:
        BadInput: unknown; the message holds the nearest.
    """
    try:
        return Priority.NORMAL if priority is None else Priority.parse(priority)
    except ValueError as error:
        raise BadInput(f"priority: {error}") from None
