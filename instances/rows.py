"""What the runtime records, as values: one class per table of ``instances.schema``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from env.contexts import Floats


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """What was decided for one request, on what grounds."""

    request_id: str
    timestamp: float
    agent: str | None
    node: str | None
    parent: str | None
    session: str | None
    task: str | None
    priority: int
    model_type: str
    prompt: str | None
    prompt_hash: str | None
    model: str
    pinned: bool
    propensity: float
    waits: Mapping[str, float]
    """Expected wait in seconds of every arm that was available."""
    dial: float
    cost_weight: float
    latency_weight: float
    features: Floats | None
    featuriser: str | None
    policy_version: str


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One call to one instance."""

    request_id: str
    attempt: int
    timestamp: float
    model: str
    reason: str
    """``policy``, ``pinned`` or ``fallback``."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    queue_wait_s: float | None = None
    ttft_s: float | None = None
    finish_reason: str | None = None
    logprob: float | None = None
    response: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """What the agent saw when the request was over."""

    request_id: str
    timestamp: float
    status: str
    """``answered``, ``refused`` (a full queue), ``expired``, ``failed`` or ``cancelled``."""
    model: str | None
    attempts: int
    cost_usd: float | None
    latency_s: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Feedback:
    """How good an answer was, by one source.

    Attributes:
        id: idempotency key: the same feedback sent twice counts once.
        request_id: the request that was answered.
        source: who judges; the last feedback of a source replaces its earlier ones.
        score: quality in [0, 1].
        timestamp: seconds since the epoch.
    """

    id: str
    request_id: str
    source: str
    score: float
    timestamp: float


class FeedbackStatus(StrEnum):
    """What became of a feedback."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    """Its id was used before, for another request."""
    UNKNOWN_REQUEST = "unknown_request"


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision with what came of it, as learning wants it."""

    decision: DecisionRow
    number: int
    """Of its first judgement, in the order in which judgements were stored."""
    score: float
    """Of its first judgement: what is learned cannot be taken back when a source changes its mind."""
    answered_by: str | None
    """Of an answer that was over when it was judged, as are its cost and latency."""
    cost_usd: float | None
    latency_s: float | None


@dataclass(frozen=True, slots=True)
class Taken:
    """A feedback that was given.

    Attributes:
        status: what became of it.
        first: what it judges, if it was stored and is the first judgement of its request.
    """

    status: FeedbackStatus
    first: Judged | None = None
