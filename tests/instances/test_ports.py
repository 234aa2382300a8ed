"""What the runtime asks of the outside: new policies, and a place for metrics. Their failures stay outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from env.features import default_featuriser
from instances.calls import Call
from instances.config import RuntimeConfig
from instances.ports import MetricSink, PolicySource
from instances.providers.base import ChatRequest
from instances.runtime import Runtime
from routers.policy import Policy, new_policy

HELLO = Call(ChatRequest(({"role": "user", "content": "What is 2 + 2?"},)))


class Versions:
    """A source that first fails, then has one new policy, then one that does not fit."""

    def __init__(self) -> None:
        featuriser = default_featuriser()
        self.found: list[Policy | Exception | None] = [
            OSError("registry unreachable"),
            new_policy("fixed", ["small", "large"], featuriser, arm=1),
            new_policy("fixed", ["elsewhere"], featuriser, arm=0),
        ]

    def latest(self) -> Policy | None:
        found = self.found.pop(0) if self.found else None
        if isinstance(found, Exception):
            raise found
        return found


class Sheet:
    """A sink that remembers, after failing once."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.steps: list[int] = []
        self.failed = False

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.steps.append(step)
        if not self.failed:
            self.failed = True
            raise OSError("disk full")
        self.rows.append(dict(metrics))


async def test_a_new_policy_is_served_and_a_source_that_fails_changes_nothing(
    make_config: Callable[..., RuntimeConfig],
) -> None:
    source = Versions()
    assert isinstance(source, PolicySource)
    async with Runtime(make_config(), source=source, every_s=0.01) as runtime:
        assert (await runtime.router().ask(HELLO)).model == "small"
        async with asyncio.timeout(5):
            while source.found:
                await asyncio.sleep(0.01)
        answer = await runtime.router().ask(HELLO)
        assert (answer.model, answer.policy_version) == ("large", runtime.policy.version)


async def test_aggregates_reach_the_sink_and_its_failure_stays_its_own(
    make_config: Callable[..., RuntimeConfig],
) -> None:
    sink = Sheet()
    assert isinstance(sink, MetricSink)
    async with Runtime(make_config(), metrics=sink, every_s=0.01) as runtime:
        await runtime.router().ask(HELLO)
        async with asyncio.timeout(5):
            while not sink.rows:
                await asyncio.sleep(0.01)
    assert sink.steps == list(range(1, len(sink.steps) + 1))
    assert sink.rows[-1]["small.calls"] == 1
    assert sink.rows[-1]["requests.text.answered"] == 1
    assert sink.rows[-1]["small.cost_usd"] > 0
