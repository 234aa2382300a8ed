"""A real `mlflow server`: comparisons, policies and aliases go there as into a file; an outage costs a line."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from env.features import Featuriser
from env.trace import Trace
from experiments.cli import main
from experiments.compare import compare
from experiments.deploy import MLflowPolicySource, load_policy, promote, rollback
from experiments.tracking import Tracker
from experiments.train import train
from tests.conftest import needs

needs("mlflow", "an MLflow server")

PATIENCE_S = 120


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@pytest.fixture(scope="module")
def server(empty_record: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    shutil.copy(empty_record, folder / "mlflow.db")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "a"),
    ]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    settings |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    address = f"http://127.0.0.1:{port}"
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=settings, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_for(address, process, folder / "said.txt")
        yield address
    finally:
        os.killpg(process.pid, 15)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes], said: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the server never answered:\n{said.read_text()[-2000:]}")


def test_a_comparison_goes_to_a_server_with_its_artifacts(
    server: str, trace: Trace, featuriser: Featuriser, tmp_path: Path
) -> None:
    (report,) = compare([trace], (), seeds=2, featuriser=featuriser)
    kept = tuple(entry for entry in report.entries if entry.router == "ridge")
    tracker = Tracker(server)
    run_id = tracker.comparison([replace(report, entries=kept)])
    client = tracker.client
    (router,) = tracker.find(f"tags.`mlflow.parentRunId` = '{run_id}'")
    seeds = tracker.find(f"tags.`mlflow.parentRunId` = '{router}'")
    assert [client.get_run(seed).info.status for seed in (run_id, router, *seeds)] == ["FINISHED"] * 4
    assert client.get_run(router).inputs.dataset_inputs[0].dataset.digest == trace.hash[:16]
    rows = json.loads(Path(client.download_artifacts(run_id, "rows.json", str(tmp_path))).read_text())
    assert {row["router"] for row in rows} == {"ridge"}
    assert {file.path for file in client.list_artifacts(router, "tables")} == {
        "tables/frontier.csv",
        "tables/tasks.csv",
    }
    assert tracker.address(run_id).endswith(f"/runs/{run_id}")


def test_aliases_move_on_a_server_and_mlflow_loads_what_they_name(
    server: str, trace: Trace, featuriser: Featuriser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.pyfunc
    import pandas as pd

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    versions = [
        train(trace, name, tmp_path / name, featuriser=featuriser).version for name in ("ridge", "best_per_task")
    ]
    source = None
    for name, version in zip(("ridge", "best_per_task"), versions, strict=True):
        promote(tmp_path / name)
        source = source or MLflowPolicySource()
        latest = source.latest()
        assert latest is not None and latest.version == version
    assert rollback().policy_version == versions[0] == load_policy("models:/pointsman@champion").version
    model = mlflow.pyfunc.load_model("models:/pointsman@champion")
    got = model.predict(pd.DataFrame({"prompt": ["add 1 and 2", "spell the word cat backwards"]}))
    assert set(got["arm"]) <= set(trace.arms)
    assert got["propensity"].tolist() == [1.0, 1.0]


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An address where nobody answers."""
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.chdir(tmp_path)
    return address


def test_a_comparison_is_printed_though_the_server_is_gone(
    outage: str, trace_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", str(trace_file), "--routers", "ridge", "--seeds", "1"]
    assert main([*command, "--json", "-"]) == 0
    said = capsys.readouterr()
    assert {row["router"] for row in json.loads(said.out)} >= {"ridge"}
    (line,) = [line for line in said.err.splitlines() if "MLflow" in line]
    assert line.startswith(f"warning: not logged: MLflow at {outage}: ")
    assert line.endswith("(--no-track leaves MLflow out)")
    assert Path("report/index.html").exists() and not Path("report/cells").exists()


def test_who_asks_for_a_log_is_told_before_the_work(
    outage: str, trace_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(trace_file), "--track"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: MLflow at {outage}: ")
    assert not Path("report").exists()


def test_a_policy_is_trained_though_the_server_is_gone(
    outage: str, trace_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(trace_file), "--out", "bundle"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: not logged: MLflow at {outage}: ")
    assert load_policy("bundle").router.name == "ridge"
