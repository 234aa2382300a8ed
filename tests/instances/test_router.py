"""LLMRouter: what is masked, what is recorded, who answers when the first choice does not."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.contexts import Floats, Outcomes
from env.errors import BadInput
from env.features import Hashing, default_featuriser
from env.reward import DialMap
from env.scheduling import Priority, QueueFull
from env.trace_io import from_rows, table_of, write_table
from instances.calls import Call, NotReady, UnknownModel, UpstreamFailed
from instances.config import RuntimeConfig
from instances.providers.base import ChatRequest
from instances.queue import DeadlineExpired
from instances.rows import FeedbackStatus
from instances.runtime import Runtime
from routers.policy import Policy, new_policy

PROMPT = "What is 2 + 2?"


def call(prompt: str = PROMPT, *, params: dict[str, Any] | None = None, **routing: Any) -> Call:
    return Call(ChatRequest(({"role": "user", "content": prompt},), params or {}), **routing)


def answers(tmp_path: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(tmp_path / "pointsman.db")
    rows = connection.execute("select status, model, attempts from answers order by timestamp").fetchall()
    connection.close()
    return rows


async def test_an_answer_comes_with_tokens_cost_and_its_decision(runtime: Runtime) -> None:
    answer = await runtime.router().ask(call(agent="mail", task="sums", priority=Priority.HIGH))
    assert (answer.completion.text, answer.model) == ("4", "small")
    assert answer.cost_usd == pytest.approx(0.001)
    await runtime.store.flush()
    (row,) = runtime.store.rows()
    assert (row["agent"], row["task"], row["priority"], row["propensity"]) == ("mail", "sums", 1, 1.0)
    assert (row["input_tokens"], row["output_tokens"], row["response"]) == (10, 2, "4")
    assert row["available"] == ["small", "large"]


async def test_exploration_is_mixed_in_and_its_law_is_logged(make_config: Callable[..., RuntimeConfig]) -> None:
    async with Runtime(make_config(exploration=0.5)) as runtime:
        answers = [await runtime.router().ask(call()) for _ in range(40)]
    assert {(a.model, a.propensity) for a in answers} == {("small", 0.75), ("large", 0.25)}


@pytest.mark.parametrize("dial", [0.0, 0.3, 1.0])
async def test_the_served_bundle_decides_as_the_policy_did_where_it_was_trained(
    make_config: Callable[..., RuntimeConfig], tmp_path: Path, dial: float
) -> None:
    policy, prompts = _trained(), [f"What is {number} + {number * number}?" for number in range(500)]
    offline = policy.decide(prompts, dial=dial, rng=np.random.default_rng(7), explore=False, epsilon=0.3)
    bundle = policy.save(tmp_path / "bundle")
    config = make_config(exploration=0.3, seed=7, dial=dial, router="policy", policy=str(bundle))
    async with Runtime(config) as runtime:
        choices = [runtime.router().decide(call(prompt))[0] for prompt in prompts]
    assert [policy.arm_names.index(choice.model) for choice in choices] == offline.arms.tolist()
    assert len(set(offline.arms.tolist())) == 2
    np.testing.assert_allclose([choice.propensity for choice in choices], offline.propensities, rtol=1e-6)


async def test_feedback_after_a_restart_still_finds_its_request(make_config: Callable[..., RuntimeConfig]) -> None:
    async with Runtime(make_config()) as runtime:
        answer = await runtime.router().ask(call())
    async with Runtime(make_config()) as runtime:
        assert await runtime.feedback(answer.request_id, 0.5) is FeedbackStatus.STORED
        assert from_rows(runtime.store.rows()).score.tolist() == [[0.5]]


@pytest.mark.parametrize("mode", ["error-500", "error-429", "malformed", "no-choices"])
async def test_when_the_first_choice_fails_the_next_best_answers_and_both_are_recorded(
    make_config: Callable[..., RuntimeConfig], with_upstream: Callable[..., list[dict[str, Any]]], mode: str
) -> None:
    async with Runtime(make_config(instances=with_upstream(mode))) as runtime:
        answer = await runtime.router().ask(call())
        await runtime.feedback(answer.request_id, 1.0)
        failed, answered = runtime.store.rows()
    assert (answer.model, answer.attempts) == ("small", 2)
    assert (failed["model"], failed["attempt"], failed["propensity"]) == ("cloud", 0, 1.0)
    assert failed["error"]
    assert (answered["model"], answered["attempt"], answered["propensity"]) == ("small", 1, None)
    assert (answered["error"], answered["score"]) == (None, 1.0)


async def test_a_dead_upstream_is_masked_until_it_is_back(
    make_config: Callable[..., RuntimeConfig], with_upstream: Callable[..., list[dict[str, Any]]]
) -> None:
    dead = with_upstream("ok", base_url="http://127.0.0.1:9/v1")
    async with Runtime(make_config(instances=dead)) as runtime:
        assert (await runtime.router().ask(call())).attempts == 2
        second = await runtime.router().ask(call())
        assert (second.model, second.attempts) == ("small", 1)
        cloud = runtime.manager["cloud"]
        await cloud.check()
        assert not cloud.healthy


async def test_an_instance_that_is_back_is_used_again(
    make_config: Callable[..., RuntimeConfig], with_upstream: Callable[..., list[dict[str, Any]]]
) -> None:
    async with Runtime(make_config(instances=with_upstream("ok"))) as runtime:
        cloud = runtime.manager["cloud"]
        cloud.healthy = False
        assert (await runtime.router().ask(call())).model == "small"
        await cloud.check()
        assert (await runtime.router().ask(call())).model == "cloud"


async def test_a_request_at_fault_is_not_tried_elsewhere(
    make_config: Callable[..., RuntimeConfig], with_upstream: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    async with Runtime(make_config(instances=with_upstream("error-400"))) as runtime:
        with pytest.raises(UpstreamFailed, match="too hot") as refused:
            await runtime.router().ask(call())
    assert refused.value.status == 400
    assert answers(tmp_path) == [("failed", None, 1)]


async def test_a_prompt_that_nobody_recorded_is_a_clear_404(runtime: Runtime) -> None:
    with pytest.raises(UpstreamFailed, match="a replay only answers what was recorded") as refused:
        await runtime.router().ask(call("What is the meaning of life?"))
    assert refused.value.status == 404


async def test_a_pin_overrides_the_policy(runtime: Runtime) -> None:
    answer = await runtime.router().ask(call(pin="large"))
    assert (answer.model, answer.completion.text, answer.propensity) == ("large", "four", 1.0)
    with pytest.raises(UnknownModel, match="did you mean `large`"):
        await runtime.router().ask(call(pin="lrage"))


async def test_arms_without_an_instance_are_masked_and_none_left_is_refused(
    make_config: Callable[..., RuntimeConfig],
) -> None:
    featuriser = default_featuriser()
    async with Runtime(make_config(), policy=new_policy("random", ["small", "gone"], featuriser)) as runtime:
        answers = [await runtime.router().ask(call()) for _ in range(10)]
        assert {(a.model, a.propensity) for a in answers} == {("small", 1.0)}
        with pytest.raises(BadInput, match="none of the policy's arms"):
            runtime.bind(new_policy("random", ["gone"], featuriser))
        assert (await runtime.router().ask(call())).model == "small"
    with pytest.raises(BadInput, match=r"none of the policy's arms \(gone\) is configured"):
        Runtime(make_config(), policy=new_policy("random", ["gone"], featuriser))


async def test_an_arm_that_cannot_take_the_modality_is_masked(
    make_config: Callable[..., RuntimeConfig], recorded_file: Path
) -> None:
    replay = {"provider": "replay", "trace": str(recorded_file)}
    instances = [{"name": "small", **replay}, {"name": "large", "model_types": ["text+image"], **replay}]
    async with Runtime(make_config(instances=instances)) as runtime:
        assert (await runtime.router("image+text").ask(call())).model == "large"
        with pytest.raises(BadInput, match=r"no configured model takes text\+audio"):
            await runtime.router("text+audio").ask(call())
        with pytest.raises(BadInput, match=r"model `small` does not take text\+image"):
            await runtime.router("text+image").ask(call(pin="small"))


async def test_a_maximum_cost_masks_what_is_dearer(
    make_config: Callable[..., RuntimeConfig], recorded_file: Path
) -> None:
    replay = {"provider": "replay", "trace": str(recorded_file)}
    dear = {"name": "large", "price": {"request_usd": 0.5}, **replay}
    async with Runtime(make_config(instances=[dear, {"name": "small", **replay}])) as runtime:
        assert (await runtime.router().ask(call())).model == "large"
        assert (await runtime.router().ask(call(max_cost_usd=0.1))).model == "small"
    async with Runtime(make_config(instances=[dear])) as runtime:
        with pytest.raises(BadInput, match=r"0\.1 USD or less"):
            await runtime.router().ask(call(max_cost_usd=0.1))


@pytest.mark.parametrize("name", ["zero", "budget"])
async def test_a_maximum_cost_believes_what_was_learned_where_the_price_says_less(
    make_config: Callable[..., RuntimeConfig], name: str
) -> None:
    """The instances have no price; that `large` costs half a dollar is known from the trace alone."""
    inside = {} if name == "zero" else {"router": "zero"}
    policy = new_policy(name, ["small", "large"], default_featuriser(), **inside)
    table = Outcomes.of(np.tile([0.2, 0.9], (4, 1)), np.tile([0.001, 0.5], (4, 1)))
    policy.router.fit(policy.contexts([PROMPT] * 4), table)
    async with Runtime(make_config(), policy=policy) as runtime:
        assert (await runtime.router().ask(call())).model == "large"
        assert (await runtime.router().ask(call(max_cost_usd=0.1))).model == "small"


class Counting(Hashing):
    """Counts the prompts that it features."""

    seen = 0

    def transform(self, prompts: Sequence[str]) -> Floats:
        self.seen += len(prompts)
        return super().transform(prompts)


@pytest.mark.parametrize("bounds", [{}, {"max_cost_usd": 0.1}, {"pin": "small"}], ids=["plain", "max_cost", "pinned"])
async def test_a_prompt_is_featured_once_a_request(
    make_config: Callable[..., RuntimeConfig], bounds: dict[str, Any]
) -> None:
    featuriser = Counting(16)
    policy = new_policy("linucb", ["small", "large"], featuriser)
    async with Runtime(make_config(exploration=0.5), policy=policy) as runtime:
        await runtime.router().ask(call(**bounds))
        assert featuriser.seen == 1


async def test_a_request_that_nothing_can_answer_now_is_refused_before_it_is_featured(
    make_config: Callable[..., RuntimeConfig],
) -> None:
    featuriser = Counting(16)
    runtime = Runtime(make_config(), policy=new_policy("linucb", ["small", "large"], featuriser))
    with pytest.raises(NotReady):
        runtime.router().decide(call())
    await runtime.stop()
    assert featuriser.seen == 0, "whoever refuses under load must do it cheaply"


async def test_a_full_queue_spills_to_the_next_arm_and_full_everywhere_is_refused(
    make_config: Callable[..., RuntimeConfig], with_upstream: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    instances = with_upstream("hang", concurrency=1, queue_length=0)
    async with Runtime(make_config(instances=instances)) as runtime:
        hanging = asyncio.create_task(runtime.router().ask(call()))
        await asyncio.sleep(0.05)
        spilled = await runtime.router().ask(call())
        assert (spilled.model, spilled.attempts) == ("small", 1)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
    async with Runtime(make_config(instances=instances[:1])) as runtime:
        hanging = asyncio.create_task(runtime.router().ask(call()))
        await asyncio.sleep(0.05)
        with pytest.raises(QueueFull):
            await runtime.router().ask(call())
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        assert runtime.manager["cloud"].queue.busy == 0
    statuses = [status for status, _, _ in answers(tmp_path)]
    assert statuses == ["answered", "cancelled", "refused", "cancelled"]


async def test_a_deadline_ends_the_wait_and_costs_nothing(
    make_config: Callable[..., RuntimeConfig],
    with_upstream: Callable[..., list[dict[str, Any]]],
    upstream: Any,
    tmp_path: Path,
) -> None:
    instances = with_upstream("hang", concurrency=1)[:1]
    async with Runtime(make_config(instances=instances)) as runtime:
        hanging = asyncio.create_task(runtime.router().ask(call()))
        await asyncio.sleep(0.05)
        with pytest.raises(DeadlineExpired):
            await runtime.router().ask(call(deadline_s=0.05))
        assert upstream.calls == 1
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
    assert answers(tmp_path) == [("expired", None, 1), ("cancelled", None, 1)]


async def test_a_call_that_takes_too_long_is_given_up_whatever_the_provider(
    make_config: Callable[..., RuntimeConfig], tmp_path: Path
) -> None:
    row = {"query_id": "q", "prompt": PROMPT, "model": "small", "latency_s": 60.0, "cost_usd": 0.0, "response": "4"}
    file = write_table(table_of([row]), tmp_path / "slow.parquet")
    slow = {"name": "small", "provider": "replay", "trace": str(file), "timeout_s": 0.05}
    async with Runtime(make_config(instances=[slow])) as runtime:
        with pytest.raises(UpstreamFailed, match="no answer in time"):
            await runtime.router().ask(call())
        with pytest.raises(UpstreamFailed, match="no answer in time"):
            await runtime.router().stream(call())
        assert runtime.manager["small"].queue.busy == 0


async def test_every_call_ends_exactly_once_under_more_load_than_fits(
    make_config: Callable[..., RuntimeConfig], tmp_path: Path
) -> None:
    row = {"query_id": "q", "prompt": PROMPT, "model": "small", "latency_s": 0.01, "cost_usd": 0.0, "response": "4"}
    file = write_table(table_of([row]), tmp_path / "busy.parquet")
    busy = {"name": "small", "provider": "replay", "trace": str(file), "concurrency": 2, "queue_length": 20}
    async with Runtime(make_config(instances=[busy])) as runtime:

        async def ask(number: int) -> None:
            deadline_s = 0.02 if number % 3 == 0 else None
            asked = call(priority=Priority(number % 4), deadline_s=deadline_s)
            working = asyncio.create_task(runtime.router().ask(asked))
            if number % 5 == 0:
                await asyncio.sleep(0.015)
                working.cancel()
            await asyncio.gather(working, return_exceptions=True)

        await asyncio.gather(*(ask(number) for number in range(60)))
        assert (runtime.manager["small"].queue.busy, runtime.manager["small"].queue.waiting) == (0, 0)
    statuses = [status for status, _, _ in answers(tmp_path)]
    assert len(statuses) == 60
    assert set(statuses) <= {"answered", "refused", "expired", "cancelled"}


async def test_without_stored_prompts_the_log_is_still_a_trace(make_config: Callable[..., RuntimeConfig]) -> None:
    async with Runtime(make_config(store_prompts="hashed")) as runtime:
        await runtime.router().ask(call())
        await runtime.router().ask(call("  what is 2 + 2? "))
        trace = from_rows(runtime.store.rows())
    assert trace.prompts.tolist() == [None, None]
    assert trace.groups.tolist() == [0, 0]
    assert trace.cell_columns["response"].tolist() == [[None], [None]]


def test_bounds_that_mean_nothing_are_refused() -> None:
    for name, value in (("dial", 1.5), ("deadline_s", 0.0), ("max_cost_usd", -1.0)):
        with pytest.raises(BadInput):
            call(PROMPT, params=None, **{name: value})


def _trained() -> Policy:
    policy = replace(_linucb(), dial_map=DialMap((0.0, 1.0), (20.0, 0.0)))
    rng = np.random.default_rng(0)
    contexts = policy.contexts([f"What is {number} + {number}?" for number in range(200)])
    arms = rng.integers(0, 2, 200)
    scores = np.clip(0.4 + 0.2 * arms + 0.3 * contexts.features[:, 0] + rng.normal(0, 0.2, 200), 0, 1)
    policy.router.update(contexts, arms, Outcomes.of(scores, 0.001 + 0.01 * arms), np.full(200, 0.5))
    return policy


def _linucb() -> Policy:
    return new_policy("linucb", ["small", "large"], default_featuriser())
