"""Learning from feedback while serving: once per answer, on a copy, under its own name, and again after a restart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from env.features import Hashing
from instances.calls import Answer, Call, UnknownModel
from instances.config import RuntimeConfig
from instances.gateway.models import routing_of_model
from instances.providers.base import ChatRequest
from instances.rows import FeedbackStatus, Judged
from instances.runtime import Runtime
from routers.policy import Policy, new_policy

Config = Callable[..., RuntimeConfig]
PROMPTS = ("What is 2 + 2?", "Is this spam: you won!", "Sort 3 1 2")


def call(prompt: str = PROMPTS[0], **routing: Any) -> Call:
    return Call(ChatRequest(({"role": "user", "content": prompt},)), **routing)


def untaught(**settings: Any) -> Policy:
    return new_policy("linucb", ["small", "large"], Hashing(16), **settings)


def learned(policy: Policy) -> dict[str, list[Any]]:
    return {name: array.tolist() for name, array in policy.router.state().arrays.items()}


async def ask(runtime: Runtime, prompt: str = PROMPTS[0], **routing: Any) -> Answer:
    return await runtime.router().ask(call(prompt, **routing))


async def logged_versions(runtime: Runtime) -> list[str]:
    return [row["policy_version"] for row in runtime.store.rows()]


async def test_each_answer_teaches_once_whoever_judges_it_again(make_config: Config) -> None:
    async with Runtime(make_config(), policy=untaught()) as runtime:
        answer = await ask(runtime)
        before = learned(runtime.policy)
        assert await runtime.feedback(answer.request_id, 1.0, id="f1") is FeedbackStatus.STORED
        after = learned(runtime.policy)
        assert after != before
        assert await runtime.feedback(answer.request_id, 1.0, id="f1") is FeedbackStatus.DUPLICATE
        assert await runtime.feedback(answer.request_id, 0.0, id="f2") is FeedbackStatus.STORED
        assert learned(runtime.policy) == after


async def test_of_judgements_given_at_once_exactly_one_is_learned(make_config: Config) -> None:
    async with Runtime(make_config(), policy=untaught()) as runtime:
        answers = [await ask(runtime, prompt) for prompt in PROMPTS]
        await asyncio.gather(
            *(runtime.feedback(answer.request_id, score) for answer in answers for score in (0.0, 0.5, 1.0))
        )
        assert int(runtime.policy.router.state().arrays["count"][0].sum()) == len(PROMPTS)


async def test_what_is_stored_is_learned_though_nobody_waits_for_it(make_config: Config) -> None:
    async with Runtime(make_config(), policy=untaught()) as runtime:
        answer = await ask(runtime)
        giving = asyncio.create_task(runtime.feedback(answer.request_id, 1.0))
        await asyncio.sleep(0)
        giving.cancel()
        await asyncio.gather(giving, return_exceptions=True)
        await runtime.store.flush()
        assert runtime.router().policy_version.endswith("+1")


async def test_a_policy_that_has_learned_is_logged_under_another_name(make_config: Config) -> None:
    policy = untaught()
    async with Runtime(make_config(), policy=policy) as runtime:
        first = await ask(runtime)
        await runtime.feedback(first.request_id, 1.0)
        second = await ask(runtime)
        assert (first.policy_version, second.policy_version) == (policy.version, f"{policy.version}+1")
        assert runtime.router("text+image").policy_version == f"{policy.version}+1"
        for logged in (first.policy_version, second.policy_version):
            assert routing_of_model(runtime, f"pointsman/{logged}") == {}
        for other in (untaught(alpha=0.5).version + "+1", "+1", ""):
            with pytest.raises(UnknownModel):
                routing_of_model(runtime, f"pointsman/{other}")
        assert await logged_versions(runtime) == [policy.version, f"{policy.version}+1"]


async def test_the_policy_given_stays_as_it_was(make_config: Config) -> None:
    policy = untaught()
    before, version = learned(policy), policy.version
    async with Runtime(make_config(), policy=policy) as runtime:
        await runtime.feedback((await ask(runtime)).request_id, 1.0)
        assert learned(runtime.policy) != before
    assert learned(policy) == before
    assert policy.version == version


async def test_a_restart_rebuilds_what_was_learned_to_the_last_bit(make_config: Config) -> None:
    policy, config = untaught(), make_config(exploration=0.5)
    async with Runtime(config, policy=policy) as runtime:
        for number in range(12):
            answer = await ask(runtime, PROMPTS[number % 3])
            await runtime.feedback(answer.request_id, number % 3 / 2, source="user")
            await runtime.feedback(answer.request_id, 0.0, source="second thoughts")
        after, version = learned(runtime.policy), runtime.router().policy_version
    async with Runtime(config, policy=policy) as runtime:
        assert learned(runtime.policy) == after
        assert version == runtime.router().policy_version == f"{policy.version}+12"


async def test_a_judgement_before_the_end_of_its_stream_is_the_same_after_a_restart(make_config: Config) -> None:
    policy, config = untaught(), make_config()
    async with Runtime(config, policy=policy) as runtime:
        async with await runtime.router().stream(call()) as stream:
            assert await runtime.feedback(stream.request_id, 1.0) is FeedbackStatus.STORED
            async for _delta in stream:
                pass
        after = learned(runtime.policy)
    async with Runtime(config, policy=policy) as runtime:
        assert learned(runtime.policy) == after == learned(policy)


async def test_a_policy_learns_from_its_own_decisions_and_takes_them_up_when_it_returns(make_config: Config) -> None:
    first, second = untaught(), untaught(alpha=0.5)
    async with Runtime(make_config(), policy=first) as runtime:
        answers = [await ask(runtime) for _ in range(2)]
        await runtime.feedback(answers[0].request_id, 1.0)
        runtime.bind(second)
        await runtime.feedback(answers[1].request_id, 1.0)
        assert learned(runtime.policy) == learned(second)
        assert runtime.router().policy_version == second.version
        runtime.bind(first)
        assert runtime.router().policy_version == f"{first.version}+2"


async def test_a_judgement_that_a_rebuilt_policy_has_read_is_not_learned_again(make_config: Config) -> None:
    policy = untaught()
    async with Runtime(make_config(), policy=policy) as runtime:
        answer = await ask(runtime)
        giving = asyncio.create_task(runtime.feedback(answer.request_id, 1.0))
        await asyncio.sleep(0)
        runtime.bind(policy)  # it waits for what is being written, while the loop cannot yet hear that it is
        await giving
        assert runtime.router().policy_version == f"{policy.version}+1"
        assert int(runtime.policy.router.state().arrays["count"][0].sum()) == 1


class Rollback:
    """Has one policy to give, once."""

    def __init__(self) -> None:
        self.policy: Policy | None = None

    def latest(self) -> Policy | None:
        policy, self.policy = self.policy, None
        return policy


async def test_a_judgement_that_comes_while_its_policy_is_rebuilt_is_learned(
    make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, source, config = untaught(), untaught(alpha=0.5), Rollback(), make_config()
    async with Runtime(config, policy=first, source=source, every_s=0.01) as runtime:
        answers = [await ask(runtime, prompt) for prompt in PROMPTS]
        await runtime.feedback(answers[0].request_id, 1.0)
        runtime.bind(second)
        has_read, may_return, reads = threading.Event(), threading.Event(), runtime.store.judged_of

        def held(*of: Any, **after: Any) -> Iterator[Judged]:
            yield from reads(*of, **after)
            has_read.set()
            assert may_return.wait(10)

        monkeypatch.setattr(runtime.store, "judged_of", held)
        source.policy = first
        assert await asyncio.to_thread(has_read.wait, 10)
        await runtime.feedback(answers[1].request_id, 0.5)
        may_return.set()
        async with asyncio.timeout(10):
            while runtime.router().policy_version == second.version:
                await asyncio.sleep(0.01)
        assert runtime.router().policy_version == f"{first.version}+2"
        await runtime.feedback(answers[2].request_id, 0.0)
        after = learned(runtime.policy)
    async with Runtime(config, policy=first) as runtime:
        assert learned(runtime.policy) == after
        assert runtime.router().policy_version == f"{first.version}+3"


async def test_learning_can_be_switched_off(make_config: Config) -> None:
    policy = untaught()
    for _start in range(2):
        async with Runtime(make_config(learn=False), policy=policy) as runtime:
            answer = await ask(runtime)
            assert await runtime.feedback(answer.request_id, 1.0) is FeedbackStatus.STORED
            assert learned(runtime.policy) == learned(policy)
            assert set(await logged_versions(runtime)) == {policy.version}


async def test_a_router_that_cannot_learn_online_is_served_as_it_is(make_config: Config) -> None:
    async with Runtime(make_config()) as runtime:
        answer = await ask(runtime)
        await runtime.feedback(answer.request_id, 1.0)
        assert runtime.router().policy_version == runtime.policy.version
