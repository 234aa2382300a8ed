"""A recorded trace as a model: recorded text, tokens and cost, after the recorded time."""

from __future__ import annotations

import asyncio
import functools
import math
import re
from collections.abc import AsyncGenerator
from typing import Any

from env.contexts import Floats
from env.errors import BadInput, nearest
from env.prompts import prompt_hash
from env.sources.named import load_trace
from env.trace import Trace
from instances.config import InstanceConfig
from instances.providers.base import ChatRequest, Completion, Delta, Provider, ProviderError


class ReplayProvider(Provider):
    """One arm of a trace.

    A prompt is found by its normalised text; one that was not recorded is refused, never guessed. ``speed``
    divides the waiting only: the latency that is reported is the recorded one, so that a fast replay leaves
    the same log as a slow one.
    """

    def __init__(self, settings: InstanceConfig) -> None:
        """Load the trace.

        Raises:
            BadInput: the trace cannot be read, or has no arm of the instance's ``model``.
        """
        self._name = settings.name
        self._speed = settings.speed
        try:
            self._trace, self._rows = _indexed(settings.trace or "")
        except BadInput as error:
            raise BadInput(f"instance `{settings.name}`: trace {error}") from None
        arm = settings.upstream_model
        if arm not in self._trace.arms:
            raise BadInput(
                f"instance `{settings.name}`: trace {settings.trace} has no model `{arm}`"
                f"{nearest(arm, self._trace.arms)}"
            )
        self._column = self._trace.arms.index(arm)

    async def complete(self, request: ChatRequest) -> Completion:
        """The recorded answer, after the recorded latency."""
        completion = self._recorded(request)
        await asyncio.sleep(completion.latency_s / self._speed)
        return completion

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The recorded answer word by word: the first after the recorded time to it, the rest evenly."""
        completion = self._recorded(request)
        words = re.findall(r"\s*\S+\s*$|\s*\S+", completion.text)
        first_s = completion.latency_s / (len(words) + 1) if completion.ttft_s is None else completion.ttft_s
        each_s = max(0.0, completion.latency_s - first_s) / max(1, len(words) - 1)
        for number, word in enumerate(words):
            await asyncio.sleep((each_s if number else first_s) / self._speed)
            yield Delta(text=word)
        yield Delta(completion=completion)

    def _recorded(self, request: ChatRequest) -> Completion:
        row = self._rows.get(prompt_hash(request.prompt))
        if row is None:
            raise ProviderError(
                f"instance `{self._name}`: trace {self._trace.name} does not hold this prompt; "
                "a replay only answers what was recorded",
                status=404,
            )
        error, response = self._cell("error", row), self._cell("response", row)
        cost_usd = self._number(self._trace.cost_usd, row)
        if error is not None:
            raise ProviderError(f"instance `{self._name}`: recorded failure: {error}", status=502)
        if response is None and cost_usd is None and not self._trace.observed[row, self._column]:
            raise ProviderError(
                f"instance `{self._name}`: trace {self._trace.name} holds this prompt, "
                f"but no answer of `{self._trace.arms[self._column]}`",
                status=404,
            )
        input_tokens = self._number(self._trace.input_tokens, row)
        output_tokens = self._number(self._trace.output_tokens, row)
        return Completion(
            text="" if response is None else str(response),
            input_tokens=None if input_tokens is None else round(input_tokens),
            output_tokens=None if output_tokens is None else round(output_tokens),
            latency_s=self._number(self._trace.latency_s, row) or 0.0,
            ttft_s=self._cell("ttft_s", row),
            logprob=self._cell("logprob", row),
            cost_usd=cost_usd,
        )

    def _number(self, column: Floats, row: int) -> float | None:
        # By way of its shortest decimal: the float32 nearest to 0.000123 is 0.0001230000052601099.
        value = float(str(column[row, self._column]))
        return None if math.isnan(value) else value

    def _cell(self, name: str, row: int) -> Any:
        column = self._trace.cell_columns.get(name)
        return None if column is None else column[row, self._column]


@functools.lru_cache(maxsize=4)
def _indexed(source: str) -> tuple[Trace, dict[str, int]]:
    """The trace and the row of each prompt, shared by its arms; of equal prompts the first wins."""
    trace = load_trace(source)
    rows: dict[str, int] = {}
    for row, prompt in enumerate(trace.prompts):
        if prompt is not None:
            rows.setdefault(prompt_hash(prompt), row)
    return trace, rows
