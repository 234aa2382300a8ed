"""`pointsman serve`: which policy serves, real requests through a real server, a clean stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import openai
import pytest

from env.errors import BadInput, PointsmanError
from env.features import Featuriser
from env.trace import Trace
from env.trace_io import read_trace
from experiments.export import export_log
from experiments.serve import Server, choose_policy
from experiments.train import train
from instances.config import RuntimeConfig, load_config
from routers.policy import Policy

MAIN = "import sys; from experiments.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def policy(trace: Trace, featuriser: Featuriser) -> Policy:
    return train(trace, "ridge", featuriser=featuriser)


@pytest.fixture
def config_file(trace_file: Path, tmp_path: Path) -> Path:
    """Three models that answer from the recorded trace, at once."""
    lines = [
        f"  - {{name: {name}, provider: replay, trace: {trace_file.name}, speed: .inf}}"
        for name in ("small", "middle", "large")
    ]
    file = tmp_path / "replay.yaml"
    file.write_text(f"store: sqlite:///{tmp_path / 'live.db'}\nexploration: 0\ninstances:\n" + "\n".join(lines) + "\n")
    return file


@pytest.fixture
def config(config_file: Path) -> RuntimeConfig:
    return load_config(config_file)


@pytest.fixture
def server(config: RuntimeConfig, policy: Policy) -> Iterator[Server]:
    with Server(config, policy).in_background() as running:
        yield running


def test_requests_are_answered_judged_and_recorded(
    server: Server, trace: Trace, policy: Policy, tmp_path: Path
) -> None:
    client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
    prompt = str(trace.prompts[0])
    plain = client.chat.completions.with_raw_response.create(
        model="pointsman", messages=[{"role": "user", "content": prompt}]
    )
    assert plain.headers["x-pointsman-model"] in policy.arm_names
    assert plain.headers["x-pointsman-policy"] == policy.version
    stream = client.chat.completions.create(
        model="pointsman/best",
        messages=[{"role": "user", "content": prompt}],
        stream=True,
        stream_options={"include_usage": True},
    )
    assert [chunk for chunk in stream][-1].usage is not None
    body = json.dumps({"request_id": plain.headers["x-pointsman-request-id"], "score": 1.0, "id": "first"}).encode()
    asked = urllib.request.Request(f"{server.url}/feedback", body, {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=10) as answered:
        assert answered.status == 200

    out = tmp_path / "log.parquet"
    exported = export_log(server.runtime.config.store, out)
    assert len(exported) == 2
    assert read_trace(out).hash == exported.hash
    judged = exported.score[exported.observed]
    assert judged.tolist() == [1.0]
    assert set(exported.prompts) == {prompt}


def test_the_policy_asked_for_wins(config: RuntimeConfig, policy: Policy, tmp_path: Path) -> None:
    chosen = choose_policy(str(policy.save(tmp_path / "asked")), config)
    assert chosen.policy.version == policy.version
    assert chosen.source is None


def test_then_the_configured_one(config: RuntimeConfig, policy: Policy, tmp_path: Path) -> None:
    configured = config.model_copy(update={"policy": str(policy.save(tmp_path / "configured"))})
    assert choose_policy(None, configured).policy.version == policy.version
    untrained = config.model_copy(update={"router": "linucb"})
    assert choose_policy(None, untrained).policy.router.name == "linucb"


def test_then_the_champion_of_the_registry(record: str, config: RuntimeConfig, policy: Policy, tmp_path: Path) -> None:
    from experiments.deploy import promote

    promote(policy.save(tmp_path / "champion"))
    chosen = choose_policy(None, config)
    assert chosen.policy.version == policy.version
    assert chosen.origin == "models:/pointsman@champion"
    assert chosen.source is not None and chosen.source.latest() is None


def test_a_policy_that_is_not_there_is_named(config: RuntimeConfig, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a policy bundle"):
        choose_policy(str(tmp_path / "nothing"), config)


def test_a_port_in_use_is_one_line_with_the_mend(config: RuntimeConfig, policy: Policy, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PointsmanError, match=r"is in use; take another with --port"):
            Server(config, policy, port=taken.getsockname()[1])
    assert not (tmp_path / "live.db").exists()


def test_more_clients_than_allowed_are_told_to_come_back(config: RuntimeConfig, policy: Policy) -> None:
    two = config.model_copy(update={"max_connections": 2})
    with Server(two, policy).in_background() as server, ExitStack() as opened:
        statuses = []
        for _ in range(3):
            client = opened.enter_context(closing(HTTPConnection(server.host, server.port, timeout=10)))
            client.request("GET", "/healthz")
            answered = client.getresponse()
            answered.read()
            statuses.append(answered.status)
        assert statuses == [200, 200, 503]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(config_file: Path, policy: Policy, tmp_path: Path, number: signal.Signals) -> None:
    said, rest, errors = served(config_file, policy, tmp_path, number, until="Ctrl-C stops")
    assert errors == ""
    assert rest.endswith("stopped\n")
    for word in ("small, middle, large", policy.version, "dial     0.5"):
        assert word in said


def test_with_json_standard_output_is_json_alone_and_a_warning_is_seen(
    config_file: Path, policy: Policy, tmp_path: Path
) -> None:
    said, rest, errors = served(
        config_file, policy, tmp_path, signal.SIGINT, "--json", "--host", "0.0.0.0", until="\n}\n"
    )
    assert json.loads(said + rest)["url"].startswith("http://0.0.0.0:")
    assert errors.startswith("warning: whoever reaches 0.0.0.0 can spend money here")
    assert errors.count("\n") == 1


def served(
    config_file: Path, policy: Policy, tmp_path: Path, number: signal.Signals, *options: str, until: str
) -> tuple[str, str, str]:
    """Run `serve` and stop it; what it said until it served, what it said after, and its errors."""
    bundle = policy.save(tmp_path / "bundle")
    arguments = ["serve", "--config", str(config_file), "--policy", str(bundle), "--port", "0", *options]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.getcwd()},
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        said = ""
        while until not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        url = next(word.strip('",') for word in said.split() if word.strip('",').startswith("http"))
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/healthz", timeout=10) as answered:
            assert answered.status == 200
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    return said, rest, errors
