"""Ctrl-C at any stage of the demo: whole files or none, and no process left behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from env.trace_io import read_trace
from routers.policy import Policy
from tests.conftest import needs

for part in ("mlflow", "train", "local"):
    needs(part, "the demo")

PATIENCE_S = 120


def wait_for(stage: str, lines: Iterable[str] | None) -> str:
    """Read until a line holds ``stage``; returns what was read."""
    said = ""
    for line in lines or ():
        said += line
        if stage in line:
            return said
    pytest.fail(f"the demo never got to {stage!r}:\n{said[-2000:]}")


@pytest.mark.parametrize(
    ("stage", "then_s"), [("2. Compare", 1.0), ("3. Train", 0.3), ("4. Serve", 0.5), ("/v1 with", 1.5)]
)
def test_an_interrupted_demo_leaves_whole_files_and_no_process(stage: str, then_s: float, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pointsman", "demo", "--out", "demo", "--seeds", "1"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said = wait_for(stage, process.stdout)
            time.sleep(then_s)
            children = psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
            rest, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()

    if stage == "/v1 with":
        assert children, "no model was running, so nothing was tested"
    assert process.returncode == 130, (said + rest)[-2000:]
    assert "Traceback" not in rest
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    folder = tmp_path / "demo"
    assert [path.name for path in folder.rglob("*") if path.name.startswith(".") or path.suffix == ".part"] == []
    if (folder / "policy").exists():
        Policy.load(folder / "policy")
    if (folder / "log.parquet").exists():
        read_trace(folder / "log.parquet")
    for database in folder.glob("*.db"):
        with sqlite3.connect(database) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_exit_status_of_an_interrupt_does_not_depend_on_where_it_came(tmp_path: Path) -> None:
    (tmp_path / "stopped.py").write_text("""import sys

from experiments.cli import app, main


@app.command("stop")
def stop() -> None:
    exec("raise KeyboardInterrupt")


sys.exit(main(["stop"]))
""")
    done = subprocess.run([sys.executable, "-m", "stopped"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")
