"""A call on its way through the runtime, as values: what is asked, each attempt, the answer; and its errors."""

from __future__ import annotations

from dataclasses import dataclass

from env.errors import BadInput, PointsmanError
from env.scheduling import Priority
from instances.providers.base import ChatRequest, Completion


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked, by whom, and within which bounds.

    Attributes:
        request: the conversation.
        agent: who asks.
        priority: class in the queues.
        node: the step of a stream graph that asks.
        parent: request id that this one came from.
        session: conversation that this one belongs to.
        task: label of the kind of task, where the caller knows it.
        deadline_s: seconds from now after which an answer is worth nothing.
        max_cost_usd: dollars that the answer may cost at most, by estimate.
        dial: 0 = cheapest, 1 = best; the runtime's own when not given.
        pin: name of the instance that must answer, instead of the policy's choice.
    """

    request: ChatRequest
    agent: str | None = None
    priority: Priority = Priority.NORMAL
    node: str | None = None
    parent: str | None = None
    session: str | None = None
    task: str | None = None
    deadline_s: float | None = None
    max_cost_usd: float | None = None
    dial: float | None = None
    pin: str | None = None

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            BadInput: one that means nothing.
        """
        if self.dial is not None and not 0 <= self.dial <= 1:
            raise BadInput(f"dial: {self.dial}; the dial runs from 0 (cheapest) to 1 (best)")
        if self.deadline_s is not None and not self.deadline_s > 0:
            raise BadInput(f"deadline_s: {self.deadline_s}; a deadline is in the future")
        if self.max_cost_usd is not None and not self.max_cost_usd >= 0:
            raise BadInput(f"max_cost_usd: {self.max_cost_usd}; it must be 0 or more")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one request at one instance.

    Attributes:
        request_id: the request.
        number: 0 for the instance that was decided on.
        reason: ``policy``, ``pinned`` or ``fallback``.
        agent: who asks.
        priority: class in the queue.
        deadline: on the monotonic clock.
    """

    request_id: str
    number: int
    reason: str
    agent: str = ""
    priority: Priority = Priority.NORMAL
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller gets.

    Attributes:
        request_id: names it in feedback.
        model: the instance that answered.
        completion: the answer itself.
        cost_usd: dollars; ``None`` where not known. What failed attempts cost, their upstreams do not tell.
        latency_s: seconds from the call to its end, queues and failed attempts included.
        attempts: tries it took.
        propensity: probability with which the policy chose its first instance.
        policy_version: the policy that chose.
    """

    request_id: str
    model: str
    completion: Completion
    cost_usd: float | None
    latency_s: float
    attempts: int
    propensity: float
    policy_version: str


class UnknownModel(BadInput):
    """No such model or instance."""


class NotReady(PointsmanError):
    """No instance that could answer has started yet."""


class UpstreamFailed(PointsmanError):
    """No instance answered.

    Attributes:
        status: HTTP status that tells the caller best what happened.
        retry_after_s: when to try again, where an upstream said so.
    """

    def __init__(self, message: str, *, status: int = 502, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
