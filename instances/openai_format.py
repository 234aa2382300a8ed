"""Answers in the shape of the OpenAI API: what the gateway sends and what ``LLMInterface.chat`` returns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from instances.calls import Answer
from instances.providers.base import Completion, Delta


def completion_body(answer: Answer) -> dict[str, Any]:
    """A ``chat.completion`` object. Its ``id`` is the request id that feedback names.

    Example:
        >>> answer = Answer("req_1", "small", Completion("4", 9, 1, 0.2), 0.0, 0.2, 1, 1.0, "p1")
        >>> body = completion_body(answer)
        >>> body["id"], body["choices"][0]["message"], body["usage"]["total_tokens"]
        ('req_1', {'role': 'assistant', 'content': '4'}, 10)
    """
    completion = answer.completion
    message = completion.message or {"role": "assistant", "content": completion.text}
    return {
        "id": answer.request_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", **message},
                "logprobs": completion.logprobs,
                "finish_reason": completion.finish_reason,
            }
        ],
        "usage": usage_body(completion),
        "pointsman": _facts(answer),
    }


def usage_body(completion: Completion) -> dict[str, int] | None:
    """Tokens; ``None`` where the upstream did not count them."""
    if completion.input_tokens is None or completion.output_tokens is None:
        return None
    return {
        "prompt_tokens": completion.input_tokens,
        "completion_tokens": completion.output_tokens,
        "total_tokens": completion.input_tokens + completion.output_tokens,
    }


class ChunkWriter:
    """Turns the deltas of one streamed answer into ``chat.completion.chunk`` objects."""

    def __init__(self, request_id: str, model: str) -> None:
        self._head = {
            "id": request_id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._opened = False
        self._finished = False

    def chunks(self, delta: Delta) -> list[dict[str, Any]]:
        """The chunks of one delta; the last delta also says why the answer is over, if nothing has yet."""
        found = []
        if delta.raw is not None:
            found.append(self._chunk({**delta.raw, "index": 0}))
        elif delta.text:
            opening = {} if self._opened else {"role": "assistant"}
            found.append(self._chunk(_choice({**opening, "content": delta.text})))
        if delta.completion is not None and not self._finished:
            found.append(self._chunk(_choice({}, delta.completion.finish_reason)))
        return found

    def usage(self, answer: Answer) -> dict[str, Any]:
        """The closing chunk, without choices: tokens, and what the answer cost and took."""
        return {
            **self._head,
            "choices": [],
            "usage": usage_body(answer.completion),
            "pointsman": _facts(answer),
        }

    def _chunk(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        self._opened = True
        self._finished = self._finished or choice.get("finish_reason") is not None
        return {**self._head, "choices": [choice]}


def _facts(answer: Answer) -> dict[str, Any]:
    """What the OpenAI objects have no field for; their types keep unknown fields."""
    return {
        "cost_usd": answer.cost_usd,
        "latency_s": answer.latency_s,
        "attempts": answer.attempts,
        "propensity": answer.propensity,
        "policy": answer.policy_version,
    }


def _choice(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}
