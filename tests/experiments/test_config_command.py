"""``pointsman config``: what it shows, what it hides, and which configurations it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from env.trace import Trace
from env.trace_io import save_trace
from experiments.cli import main


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_passwords_are_not_shown(file: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    file.write_text(
        "instances: [{name: a, provider: openai, base_url: 'https://me:s3cret@example.com/v1?api-key=t0ken'}]\n"
        "store: postgresql://me:s3cret@db.example/log?password=t0ken\n"
    )
    assert main(["config", "show", str(file), *arguments]) == 0
    shown = capsys.readouterr().out
    assert "s3cret" not in shown and "t0ken" not in shown
    assert "postgresql://***@db.example/log?password=***" in shown
    assert "https://***@example.com/v1?api-key=***" in shown


def test_a_replay_needs_its_trace_and_its_model(file: Path, trace: Trace, capsys: pytest.CaptureFixture[str]) -> None:
    text = "instances: [{name: small, provider: replay, trace: recorded.parquet}]\n"
    file.write_text(text)
    assert main(["config", "check", str(file)]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("error: instance `small`: trace recorded.parquet: ") and complaint.count("\n") == 1
    save_trace(trace, file.parent / "recorded.parquet")
    assert main(["config", "check", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"valid": True, "instances": ["small"]}
    file.write_text(text.replace("trace:", "model: smal, trace:"))
    assert main(["config", "check", str(file)]) == 2
    assert "has no model `smal`; did you mean `small`?" in capsys.readouterr().err
