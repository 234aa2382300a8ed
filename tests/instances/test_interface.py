"""``get_model`` and LLMInterface: plain calls from scripts, async twins from any loop, streams, feedback."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from env.errors import BadInput, PointsmanError
from env.trace_io import from_rows, table_of, write_table
from instances.api import close_runtime, get_model
from instances.config import RuntimeConfig
from instances.interface import LLMInterface
from instances.rows import FeedbackStatus
from instances.runtime import Runtime

PROMPT = "Is this spam: you won!"


@pytest.fixture
def llm(make_config: Callable[..., RuntimeConfig]) -> Iterator[LLMInterface]:
    yield get_model("text", agent="mail", priority="high", config=make_config())
    close_runtime()


def test_a_query_is_text_in_text_out_and_knows_where_it_came_from(llm: LLMInterface) -> None:
    reply = llm.query(PROMPT)
    assert reply == "yes"
    assert (reply.answer.model, reply.answer.completion.input_tokens) == ("small", 11)


def test_a_chat_returns_the_type_of_the_official_client(llm: LLMInterface) -> None:
    completion = llm.chat([{"role": "user", "content": PROMPT}], temperature=0, dial=1.0)
    assert isinstance(completion, ChatCompletion)
    assert completion.choices[0].message.content == "yes"


def test_a_stream_is_pieces_of_text(llm: LLMInterface) -> None:
    stream = llm.stream("Sort 3 1 2")
    assert list(stream) == ["1", " 3", " 2"]
    assert stream.answer is not None
    assert stream.answer.model == "small"


def test_leaving_a_stream_early_frees_the_slot(llm: LLMInterface) -> None:
    for _piece in llm.stream("Sort 3 1 2"):
        break
    assert llm._runtime.manager["small"].queue.busy == 0


def test_feedback_names_a_reply_and_the_log_knows_the_agent(llm: LLMInterface) -> None:
    reply = llm.query(PROMPT, task="spam")
    assert llm.feedback(reply, 1.0, id="f1") is FeedbackStatus.STORED
    assert llm.feedback(reply.answer.request_id, 1.0, id="f1") is FeedbackStatus.DUPLICATE
    rows = list(llm._runtime.store.rows())
    assert [(row["agent"], row["priority"], row["task"], row["score"]) for row in rows] == [("mail", 1, "spam", 1.0)]
    assert from_rows(rows).is_log


async def test_the_async_twins_work_from_another_loop(llm: LLMInterface) -> None:
    assert await llm.aquery(PROMPT) == "yes"
    assert (await llm.achat([{"role": "user", "content": PROMPT}])).model == "small"
    assert [piece async for piece in llm.astream("Sort 3 1 2")] == ["1", " 3", " 2"]
    replies = await asyncio.gather(*(llm.aquery(PROMPT) for _ in range(20)))
    assert set(replies) == {"yes"}
    assert await llm.afeedback(replies[0], 0.5) is FeedbackStatus.STORED


async def test_on_the_runtimes_own_loop_only_the_async_twins_work(runtime: Runtime) -> None:
    llm = LLMInterface(runtime, "text")
    assert await llm.aquery(PROMPT) == "yes"
    with pytest.raises(PointsmanError, match="use aquery"):
        llm.query(PROMPT)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"model_type": "text+smell"}, "unknown modality `smell`"),
        ({"priority": "urgent"}, "unknown priority `urgent`"),
        ({"config": "other.yaml"}, "the runtime already runs"),
    ],
)
def test_wrong_arguments_are_one_clear_line(llm: LLMInterface, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        get_model(**arguments)


def test_a_list_of_modalities_is_a_type(llm: LLMInterface) -> None:
    assert get_model(["image", "text"])._router.model_type == "text+image"


def test_a_misspelt_call_is_refused(llm: LLMInterface) -> None:
    with pytest.raises(BadInput, match="`pin` names an instance"):
        llm.query(PROMPT, model="small")
    with pytest.raises(BadInput, match="messages"):
        llm.chat([])


def test_closing_the_runtime_ends_the_calls_under_way(
    make_config: Callable[..., RuntimeConfig], tmp_path: Path
) -> None:
    row = {"query_id": "q", "prompt": PROMPT, "model": "small", "latency_s": 60.0, "cost_usd": 0.0}
    file = write_table(table_of([row]), tmp_path / "slow.parquet")
    slow = get_model(config=make_config(instances=[{"name": "small", "provider": "replay", "trace": str(file)}]))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(slow.query, PROMPT)
        while slow._runtime.manager["small"].queue.busy == 0:
            time.sleep(0.01)
        close_runtime()
        with pytest.raises(CancelledError):
            waiting.result(timeout=10)


SCRIPT = """
import sys
from instances.api import get_model
llm = get_model(config=sys.argv[1])
print(llm.query("What is 2 + 2?"), flush=True)
assert not {"torch", "sklearn", "mlflow"} & set(sys.modules), "the runtime must start without them"
if len(sys.argv) > 2:
    while True:
        reply = llm.query("What is 2 + 2?")
        print(reply.answer.request_id, flush=True)
"""


def _start(tmp_path: Path, recorded_file: Path, *arguments: str) -> subprocess.Popen[str]:
    config = tmp_path / "pointsman.yaml"
    config.write_text(
        f"instances: [{{name: small, provider: replay, trace: {recorded_file}}}]\n"
        f"router: random\nstore: sqlite:///{tmp_path}/pointsman.db\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(config), *arguments],
        stdout=subprocess.PIPE,
        stderr=None if arguments else subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_a_script_ends_by_itself_and_leaves_everything_stored(tmp_path: Path, recorded_file: Path) -> None:
    process = _start(tmp_path, recorded_file)
    assert process.communicate(timeout=60) == ("4\n", "")
    assert process.returncode == 0
    store = Runtime(_config(tmp_path, recorded_file)).store
    assert [row["response"] for row in store.rows()] == ["4"]
    store.close()


def test_kill_9_loses_no_decision_of_an_answered_request(tmp_path: Path, recorded_file: Path) -> None:
    process = _start(tmp_path, recorded_file, "for ever")
    assert process.stdout is not None
    answered = [process.stdout.readline().strip() for _ in range(50)][1:]
    time.sleep(0.05)
    process.kill()
    answered += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    with closing(sqlite3.connect(tmp_path / "pointsman.db")) as database:
        stored = {request_id for (request_id,) in database.execute("select request_id from decisions")}
    assert answered
    assert stored >= set(answered)


def _config(tmp_path: Path, recorded_file: Path) -> RuntimeConfig:
    from instances.config import load_config

    assert recorded_file.exists()
    return load_config(tmp_path / "pointsman.yaml")
