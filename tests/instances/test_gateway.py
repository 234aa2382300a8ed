"""The gateway over real HTTP, with the official client: the names outside code relies on, and every refusal."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from starlette.requests import Request

from env.features import default_featuriser
from instances.gateway.app import exposure
from instances.gateway.body import read_object
from instances.gateway.headers import answer_headers
from routers.policy import new_policy

OpenGateway = Callable[..., AbstractAsyncContextManager[Any]]
WithUpstream = Callable[..., list[dict[str, Any]]]

MESSAGES: Any = [{"role": "user", "content": "What is 2 + 2?"}]


async def post(gateway: Any, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any, Any]:
    """A raw request: status, JSON, headers."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"content-type": "application/json", **(headers or {})}
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway.url + path, data=data, headers=sent) as response,
    ):
        return response.status, json.loads(await response.read()), response.headers


async def settled(is_so: Callable[[], bool]) -> None:
    """Wait until the other side of a connection has noticed."""
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_a_plain_answer_has_the_headers_both_ways(gateway: Any) -> None:
    raw = await gateway.client.chat.completions.with_raw_response.create(
        model="pointsman",
        messages=MESSAGES,
        extra_headers={
            "x-pointsman-agent": "mail",
            "x-pointsman-priority": "high",
            "x-pointsman-node": "n2",
            "x-pointsman-parent": "req_0",
            "x-pointsman-session": "s1",
            "x-pointsman-task": "sums",
            "x-pointsman-deadline-ms": "60000",
            "x-pointsman-max-cost-usd": "1",
            "x-pointsman-dial": "0.25",
        },
    )
    completion = raw.parse()
    assert completion.choices[0].message.content == "4"
    assert completion.model == "small"
    assert completion.usage.total_tokens == 12
    headers = raw.headers
    assert headers["x-pointsman-request-id"] == completion.id == completion._request_id
    assert headers["x-pointsman-model"] == "small"
    assert float(headers["x-pointsman-propensity"]) == 1.0
    assert headers["x-pointsman-cost-usd"] == "0.001"
    assert headers["x-pointsman-policy"] == gateway.runtime.policy.version
    await gateway.runtime.store.flush()
    (row,) = gateway.runtime.store.rows()
    assert (row["agent"], row["priority"], row["node"], row["parent"]) == ("mail", 1, "n2", "req_0")
    assert (row["task"], row["dial"]) == ("sums", 0.25)


def test_the_cost_header_is_a_plain_decimal() -> None:
    costs = {
        0.0: "0",
        1e-8: "0.00000001",
        0.1 + 0.2: "0.3",
        12.5: "12.5",
    }
    for usd, text in costs.items():
        headers = answer_headers(request_id="r", model="m", propensity=1.0, policy="p", cost_usd=usd)
        assert headers["x-pointsman-cost-usd"] == text


async def test_a_streamed_answer_ends_with_usage_when_asked(gateway: Any) -> None:
    for include_usage in (True, False):
        stream = await gateway.client.chat.completions.create(
            model="pointsman/best",
            messages=[{"role": "user", "content": "Is this spam: you won!"}],
            stream=True,
            stream_options={"include_usage": include_usage},
            extra_headers={},
        )
        chunks = [chunk async for chunk in stream]
        with_choice = [chunk for chunk in chunks if chunk.choices]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in with_choice) == "yes"
        assert with_choice[0].choices[0].delta.role == "assistant"
        assert [chunk.choices[0].finish_reason for chunk in with_choice][-1] == "stop"
        assert {chunk.id for chunk in chunks} == {stream.response.headers["x-pointsman-request-id"]}
        closing = [chunk for chunk in chunks if not chunk.choices]
        assert len(closing) == include_usage
        for chunk in closing:
            assert chunk.usage.total_tokens == 13
            assert chunk.pointsman["cost_usd"] == pytest.approx(0.001)


async def test_the_decision_is_committed_before_the_first_byte(gateway: Any, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "pointsman.db")
    for stream in (False, True):
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{gateway.url}/v1/chat/completions",
                json={"model": "pointsman", "messages": MESSAGES, "stream": stream},
            ) as response,
        ):
            # Only the head has been read: the row must be there for any other process to see.
            request_id = response.headers["x-pointsman-request-id"]
            found = other.execute("select model from decisions where request_id = ?", (request_id,)).fetchall()
            assert found == [("small",)]
    other.close()


@pytest.mark.parametrize(
    ("model", "dial"), [("pointsman/cheap", 0.0), ("pointsman/best", 1.0), ("pointsman/dial=0.3", 0.3)]
)
async def test_the_model_names_the_dial(gateway: Any, model: str, dial: float) -> None:
    await gateway.client.chat.completions.create(
        model=model, messages=MESSAGES, extra_headers={"x-pointsman-dial": "0.9"}
    )
    (row,) = gateway.runtime.store.rows()
    assert row["dial"] == dial


async def test_the_bound_policy_answers_to_its_version_and_no_other_does(gateway: Any) -> None:
    version = gateway.runtime.policy.version
    raw = await gateway.client.chat.completions.with_raw_response.create(
        model=f"pointsman/{version}", messages=MESSAGES
    )
    assert raw.headers["x-pointsman-policy"] == version
    await gateway.runtime.store.flush()
    (row,) = gateway.runtime.store.rows()
    assert (row["dial"], row["propensity"]) == (gateway.runtime.config.dial, 1.0)
    gateway.runtime.bind(new_policy("fixed", ["small", "large"], default_featuriser(), arm=1))
    with pytest.raises(openai.NotFoundError) as refused:
        await gateway.client.chat.completions.create(model=f"pointsman/{version}", messages=MESSAGES)
    for name in ("pointsman/cheap", "pointsman/best", f"pointsman/{gateway.runtime.policy.version}", "small", "large"):
        assert name in refused.value.message


async def test_a_policy_that_learns_keeps_answering_to_its_version(open_gateway: OpenGateway) -> None:
    async with open_gateway(router="linucb", router_settings={}) as gateway:
        router = gateway.runtime.router("text")
        name = f"pointsman/{router.policy_version}"
        completion = await gateway.client.chat.completions.create(model=name, messages=MESSAGES)
        given = {"request_id": completion.id, "score": 1.0}
        assert (await post(gateway, "/v1/feedback", given))[0] == 200
        await settled(lambda: f"pointsman/{router.policy_version}" == f"{name}+1")
        await gateway.client.chat.completions.create(model=name, messages=MESSAGES)
        assert name in [model.id async for model in gateway.client.models.list()]


async def test_an_instance_name_pins_it(gateway: Any) -> None:
    completion = await gateway.client.chat.completions.create(model="large", messages=MESSAGES)
    assert (completion.model, completion.choices[0].message.content) == ("large", "four")


async def test_models_are_listed(gateway: Any) -> None:
    names = [model.id async for model in gateway.client.models.list()]
    policy = f"pointsman/{gateway.runtime.policy.version}"
    assert names == ["pointsman", "pointsman/cheap", "pointsman/best", policy, "small", "large"]
    for name in ("small", policy, "pointsman/dial=0.3"):
        assert (await gateway.client.models.retrieve(name)).id == name
    with pytest.raises(openai.NotFoundError):
        await gateway.client.models.retrieve("smell")


async def test_health_and_readiness(gateway: Any) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{gateway.url}/healthz") as response:
            assert response.status == 200
        async with session.get(f"{gateway.url}/readyz") as response:
            assert response.status == 200
            assert (await response.json())["instances"] == {"small": "up", "large": "up"}
        for instance in gateway.runtime.manager:
            instance.healthy = False
        async with session.get(f"{gateway.url}/readyz") as response:
            assert response.status == 503


@pytest.mark.parametrize("model", ["gpt-5", "pointsman/champion-2", "smal"])
async def test_an_unknown_model_is_a_404(gateway: Any, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await gateway.client.chat.completions.create(model=model, messages=MESSAGES)
    assert refused.value.code == "model_not_found"
    assert refused.value.param == "model"


GOOD = {"model": "pointsman", "messages": MESSAGES}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{not json", None),
        (b"[]", None),
        (b'{"temperature": NaN}', None),
        (b"[" * 100_000, None),
        (b'{"messages": [{"role": "user", "content": "\\ud83d"}]}', None),
        ({"model": "pointsman"}, "messages"),
        ({"messages": MESSAGES}, "model"),
        ({**GOOD, "messages": []}, "messages"),
        ({**GOOD, "messages": ["hi"]}, "messages[0]"),
        ({**GOOD, "messages": [{"content": "hi"}]}, "messages[0].role"),
        ({**GOOD, "messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({**GOOD, "messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content"),
        ({**GOOD, "stream": "yes"}, "stream"),
        ({**GOOD, "temperature": "hot"}, "temperature"),
        ({**GOOD, "max_tokens": 0}, "max_tokens"),
        ({**GOOD, "n": 2}, "n"),
        ({**GOOD, "model": "pointsman/dial=warm"}, "model"),
        ({**GOOD, "model": "pointsman/dial=3"}, None),
    ],
)
async def test_a_malformed_request_is_a_400_that_names_the_field(gateway: Any, body: Any, param: str | None) -> None:
    status, answer, _ = await post(gateway, "/v1/chat/completions", body)
    assert status == 400
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["param"] == param


@pytest.mark.parametrize(
    ("header", "value"),
    [("priority", "urgent"), ("deadline-ms", "soon"), ("max-cost-usd", "-1"), ("dial", "2"), ("dial", "nan")],
)
async def test_a_malformed_header_is_a_400(gateway: Any, header: str, value: str) -> None:
    name = f"x-pointsman-{header}"
    status, answer, _ = await post(gateway, "/v1/chat/completions", GOOD, {name: value})
    assert status == 400
    assert header.replace("-ms", "").replace("-", "_") in answer["error"]["message"].replace("-", "_")


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("x-pointsman-dail", "`dail`; did you mean `dial`?"),
        ("X-Pointsman-Max-Cost", "`max-cost`; did you mean `max-cost-usd`?"),
        ("x-pointsman-zzz", "`zzz`; known: agent, deadline-ms, dial, max-cost-usd, node"),
    ],
)
async def test_a_misspelt_header_is_a_400_that_names_the_nearest(gateway: Any, header: str, told: str) -> None:
    status, answer, _ = await post(gateway, "/v1/chat/completions", GOOD, {header: "0"})
    assert (status, answer["error"]["param"]) == (400, header.lower())
    assert told in answer["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/feedback"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/plain;application/json", ""])
async def test_what_a_foreign_web_page_may_send_unasked_is_refused(gateway: Any, path: str, kind: str) -> None:
    status, answer, _ = await post(gateway, path, GOOD, {"content-type": kind})
    assert (status, answer["error"]["type"]) == (415, "invalid_request_error")
    assert "content-type: application/json" in answer["error"]["message"]
    assert list(gateway.runtime.store.rows()) == []


async def test_json_may_name_its_charset(gateway: Any) -> None:
    kind = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await post(gateway, "/v1/chat/completions", GOOD, kind))[0] == 200


async def test_a_body_beyond_the_limit_is_a_413_whether_or_not_its_length_is_stated(open_gateway: OpenGateway) -> None:
    large = json.dumps({**GOOD, "user": "x" * (1 << 20)}).encode()

    async def in_pieces() -> AsyncIterator[bytes]:
        yield large

    async with open_gateway(largest_body_mib=1) as gateway, aiohttp.ClientSession() as session:
        for data in (io.BytesIO(large), in_pieces()):
            async with session.post(
                f"{gateway.url}/v1/chat/completions", data=data, headers={"content-type": "application/json"}
            ) as response:
                assert response.status == 413
                assert "larger than 1 MiB" in (await response.json())["error"]["message"]


MANY = 200_000


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "pointsman", "messages": [' + b'{"role":"user"},' * MANY + b'{"role":"user"}]}',
        b'{"model": "pointsman", "unknown": [' + b"[]," * MANY + b"[]]}",
        b'{"model": "pointsman", "unknown": ' + b"[" * MANY,
        b'"\\"' + b'"[],"' * MANY,
        ('{"model": "x\\"", "unknown": [' + "[]," * MANY + "[]]}").encode("utf-16"),
    ],
    ids=["messages", "lists", "depth", "an escaped quote", "UTF-16"],
)
async def test_a_body_of_very_many_values_is_refused_before_it_is_parsed(
    gateway: Any, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_arguments: Any, **_keywords: Any) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("instances.gateway.body.json.JSONDecoder", never)
    data = io.BytesIO(body)
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{gateway.url}/v1/chat/completions", data=data, headers={"content-type": "application/json"}
        ) as response,
    ):
        told = json.loads(await response.read())["error"]
        assert response.status in (400, 413)
    assert "more than 100000 JSON values" in told["message"] or "not UTF-8" in told["message"]


@pytest.mark.parametrize(
    "text",
    ["one, two, {three}, [four]; ", 'x = {"a": [1, 2], "b": {"c": "\\n"}}\n', "\\", '"', "è, [日本], {😀} "],
    ids=["prose", "code", "backslashes", "quotes", "other scripts"],
)
@pytest.mark.parametrize("ascii_only", [True, False])
async def test_a_long_prompt_is_text_whatever_punctuation_it_holds(text: str, ascii_only: bool) -> None:
    long = text * ((4 << 20) // len(text.encode()))
    sent = {"model": "pointsman", "messages": [{"role": "user", "content": long}]}
    blocks = [{"type": "http.request", "body": json.dumps(sent, ensure_ascii=ascii_only).encode()}]

    async def receive() -> dict[str, Any]:
        return blocks.pop()

    kind = [(b"content-type", b"application/json")]
    request = Request({"type": "http", "method": "POST", "headers": kind}, receive)
    assert await read_object(request, largest_mib=40) == sent


@pytest.mark.parametrize(
    ("host", "open_to_others"),
    [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("::", True), ("10.0.0.7", True)],
)
def test_an_address_that_others_reach_is_warned_of_in_one_line(host: str, open_to_others: bool) -> None:
    warning = exposure(host)
    assert (warning is not None) == open_to_others
    if warning is not None:
        assert host in warning and "\n" not in warning


async def test_unknown_paths_and_methods_get_openai_errors(gateway: Any) -> None:
    status, answer, _ = await post(gateway, "/v1/nonsense", {})
    assert (status, answer["error"]["type"]) == (404, "invalid_request_error")
    status, answer, _ = await post(gateway, "/v1/models", {})
    assert status == 405


async def test_feedback_is_stored_once_and_the_log_is_a_trace(gateway: Any) -> None:
    completion = await gateway.client.chat.completions.create(**GOOD)
    given = {"request_id": completion.id, "score": 0.5, "source": "checker", "id": "f1"}
    assert (await post(gateway, "/v1/feedback", given))[:2] == (
        200,
        {"id": "f1", "request_id": completion.id, "status": "stored"},
    )
    status, answer, _ = await post(gateway, "/v1/feedback", {**given, "score": 1.0})
    assert (status, answer["status"]) == (200, "duplicate")
    assert [row["score"] for row in gateway.runtime.store.rows()] == [0.5]


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"request_id": "req_unknown"}, 404, "request_id"),
        ({"score": 1.7}, 400, "score"),
        ({"score": True}, 400, "score"),
        ({"score": "good"}, 400, "score"),
        ({"source": 7}, 400, "source"),
        ({"scroe": 1}, 400, "scroe"),
    ],
)
async def test_wrong_feedback_is_refused(gateway: Any, change: dict[str, Any], status: int, param: str) -> None:
    completion = await gateway.client.chat.completions.create(**GOOD)
    found, answer, _ = await post(gateway, "/v1/feedback", {"request_id": completion.id, "score": 1.0, **change})
    assert (found, answer["error"]["param"]) == (status, param)


async def test_fields_it_does_not_know_and_tool_calls_pass_through(
    open_gateway: OpenGateway, with_upstream: WithUpstream, upstream: Any
) -> None:
    tools: Any = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    async with open_gateway(instances=with_upstream("tools")) as gateway:
        completion = await gateway.client.chat.completions.create(
            model="pointsman", messages=MESSAGES, tools=tools, extra_body={"min_p": 0.1}
        )
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.choices[0].message.tool_calls[0].function.name == "add"
    assert upstream.bodies[0]["min_p"] == 0.1
    assert upstream.bodies[0]["tools"] == tools


async def test_a_stream_from_an_upstream_is_relayed_and_recorded(
    open_gateway: OpenGateway, with_upstream: WithUpstream
) -> None:
    async with open_gateway(instances=with_upstream("ok")) as gateway:
        stream = await gateway.client.chat.completions.create(**GOOD, stream=True)
        text = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
        assert "".join(piece or "" for piece in text) == "real"
        await gateway.runtime.store.flush()
        (row,) = gateway.runtime.store.rows()
    assert (row["model"], row["response"], row["input_tokens"], row["output_tokens"]) == ("cloud", "real", 7, 3)
    assert row["ttft_s"] is not None


async def test_a_stream_that_dies_before_its_first_token_falls_back(
    open_gateway: OpenGateway, with_upstream: WithUpstream
) -> None:
    async with open_gateway(instances=with_upstream("dies-before-content")) as gateway:
        stream = await gateway.client.chat.completions.create(**GOOD, stream=True)
        assert stream.response.headers["x-pointsman-model"] == "small"
        text = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
        assert "".join(piece or "" for piece in text) == "4"
        failed, answered = gateway.runtime.store.rows()
    assert "ended before" in failed["error"]
    assert (answered["model"], answered["attempt"]) == ("small", 1)


@pytest.mark.parametrize("mode", ["dies-in-stream", "error-in-stream"])
async def test_a_stream_that_dies_after_its_first_token_ends_in_an_error(
    open_gateway: OpenGateway, with_upstream: WithUpstream, mode: str
) -> None:
    async with open_gateway(instances=with_upstream(mode)) as gateway:
        stream = await gateway.client.chat.completions.create(**GOOD, stream=True)
        seen = ""
        with pytest.raises(openai.APIError):
            async for chunk in stream:
                seen += chunk.choices[0].delta.content or ""
        assert seen == "re"
        assert gateway.runtime.manager["cloud"].queue.busy == 0
        (row,) = gateway.runtime.store.rows()
    assert row["error"]


async def test_when_everything_is_dead_the_error_says_so(
    open_gateway: OpenGateway, with_upstream: WithUpstream
) -> None:
    dead = with_upstream("ok", base_url="http://127.0.0.1:9/v1")[:1]
    async with open_gateway(instances=dead) as gateway:
        with pytest.raises(openai.APIStatusError) as refused:
            await gateway.client.chat.completions.create(**GOOD)
    assert refused.value.status_code == 502
    assert "unreachable" in refused.value.message


async def test_a_full_queue_is_a_429_with_retry_after(open_gateway: OpenGateway, with_upstream: WithUpstream) -> None:
    full = with_upstream("hang", concurrency=1, queue_length=0)[:1]
    async with open_gateway(instances=full) as gateway:
        hanging = asyncio.create_task(gateway.client.chat.completions.create(**GOOD))
        await settled(lambda: gateway.runtime.manager["cloud"].queue.busy == 1)
        with pytest.raises(openai.RateLimitError) as refused:
            await gateway.client.chat.completions.create(**GOOD)
        assert refused.value.code == "queue_full"
        assert int(refused.value.response.headers["retry-after"]) >= 1
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        await settled(lambda: gateway.runtime.manager["cloud"].queue.busy == 0)


async def test_an_upstreams_429_is_passed_on_with_its_time(
    open_gateway: OpenGateway, with_upstream: WithUpstream
) -> None:
    async with open_gateway(instances=with_upstream("error-429")[:1]) as gateway:
        with pytest.raises(openai.RateLimitError) as refused:
            await gateway.client.chat.completions.create(**GOOD)
    assert refused.value.response.headers["retry-after"] == "7"


async def test_a_passed_deadline_is_a_504_that_is_not_retried(
    open_gateway: OpenGateway, with_upstream: WithUpstream
) -> None:
    async with open_gateway(instances=with_upstream("hang", concurrency=1)[:1]) as gateway:
        hanging = asyncio.create_task(gateway.client.chat.completions.create(**GOOD))
        await settled(lambda: gateway.runtime.manager["cloud"].queue.busy == 1)
        status, answer, headers = await post(gateway, "/v1/chat/completions", GOOD, {"x-pointsman-deadline-ms": "30"})
        assert (status, answer["error"]["code"]) == (504, "deadline_expired")
        assert headers["x-should-retry"] == "false"
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_stops_the_upstream_and_frees_the_slot(
    open_gateway: OpenGateway, with_upstream: WithUpstream, upstream: Any, stream: bool
) -> None:
    async with open_gateway(instances=with_upstream("hang")) as gateway:
        queue = gateway.runtime.manager["cloud"].queue
        if stream:
            answer = await gateway.client.chat.completions.create(**GOOD, stream=True)
            assert queue.busy == 1
            await answer.close()
        else:
            asking = asyncio.create_task(gateway.client.chat.completions.create(**GOOD))
            await settled(lambda: upstream.running == 1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await settled(lambda: queue.busy == 0 and upstream.running == 0)
        await gateway.runtime.store.flush()
        (row,) = gateway.runtime.store.rows()
    assert row["error"].startswith("cancelled")


async def test_requests_are_served_by_their_priority(
    open_gateway: OpenGateway, with_upstream: WithUpstream, upstream: Any
) -> None:
    async with open_gateway(instances=with_upstream("gated", concurrency=1)[:1]) as gateway:
        queue = gateway.runtime.manager["cloud"].queue

        async def ask(priority: str) -> None:
            await gateway.client.chat.completions.create(
                **GOOD, user=priority, extra_headers={"x-pointsman-priority": priority}
            )

        async with asyncio.TaskGroup() as group:
            group.create_task(ask("normal"))
            await settled(lambda: queue.busy == 1)
            for number, priority in enumerate(["low", "normal", "high", "critical"], start=1):
                group.create_task(ask(priority))
                await settled(functools.partial(lambda wanted: queue.waiting == wanted, number))
            upstream.gate.set()
    assert [body["user"] for body in upstream.bodies] == ["normal", "critical", "high", "normal", "low"]


async def test_a_server_that_stops_says_so_to_those_it_leaves(
    open_gateway: OpenGateway, with_upstream: WithUpstream
) -> None:
    async with open_gateway(instances=with_upstream("hang")) as gateway:
        stream = await gateway.client.chat.completions.create(**GOOD, stream=True)
        plain = asyncio.create_task(gateway.client.chat.completions.create(**GOOD))
        await settled(lambda: gateway.runtime.manager["cloud"].queue.busy == 2)

        async def read() -> None:
            async for _chunk in stream:
                pass

        reading = asyncio.create_task(read())
        gateway.stop()
        for waiting in (reading, plain):
            with pytest.raises(openai.APIError, match="the server is stopping"):
                await waiting


async def readiness(gateway: Any) -> dict[str, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/readyz") as response:
        states: dict[str, str] = (await response.json())["instances"]
        return states


@pytest.mark.parametrize("mode", ["malformed", "no-choices", "error-400"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_malformed_answer_says_nothing_about_health(
    open_gateway: OpenGateway, with_upstream: WithUpstream, mode: str, stream: bool
) -> None:
    async with open_gateway(instances=with_upstream(mode)[:1]) as gateway:
        for _ in range(4):
            with pytest.raises(openai.APIStatusError):
                await gateway.client.chat.completions.create(**GOOD, stream=stream)
        assert gateway.runtime.manager["cloud"].available


@pytest.mark.parametrize("mode", ["error-500", "error-401", "hang"])
async def test_server_errors_timeouts_and_refused_keys_in_a_row_do(
    open_gateway: OpenGateway, with_upstream: WithUpstream, mode: str
) -> None:
    async with open_gateway(instances=with_upstream(mode, timeout_s=0.05)[:1]) as gateway:
        cloud = gateway.runtime.manager["cloud"]
        for failures in (1, 2, 3):
            with pytest.raises(openai.APIStatusError):
                await gateway.client.chat.completions.create(**GOOD)
            assert cloud.available == (failures < 3)
        assert (await readiness(gateway))["cloud"] == "down"


async def test_an_unreachable_upstream_is_down_at_once(open_gateway: OpenGateway, with_upstream: WithUpstream) -> None:
    async with open_gateway(instances=with_upstream("ok", base_url="http://127.0.0.1:9/v1")[:1]) as gateway:
        with pytest.raises(openai.APIStatusError):
            await gateway.client.chat.completions.create(**GOOD)
        assert (await readiness(gateway))["cloud"] == "down"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"])
async def test_one_dropped_connection_takes_no_model_down_and_three_in_a_row_do(
    open_gateway: OpenGateway, with_upstream: WithUpstream, answer: bytes
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, open_gateway(instances=with_upstream("ok", base_url=url)) as gateway:
        for expected in ("not called yet", "not called yet", "down"):
            completion = await gateway.client.chat.completions.create(**GOOD)
            assert completion.model == "small"
            assert (await readiness(gateway))["cloud"] == expected


async def test_an_endpoint_is_up_once_it_has_answered_not_before(
    open_gateway: OpenGateway, with_upstream: WithUpstream
) -> None:
    async with open_gateway(instances=with_upstream("ok")) as gateway:
        assert await readiness(gateway) == {"cloud": "not called yet", "small": "up"}
        await gateway.client.chat.completions.create(**GOOD)
        assert await readiness(gateway) == {"cloud": "up", "small": "up"}
