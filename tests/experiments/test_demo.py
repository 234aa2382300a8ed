"""The demo from end to end, with models that answer from a recorded trace: a real gateway and a real MLflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import RenderableType
from rich.text import Text

from env.trace_io import from_rows, read_trace, save_trace
from experiments.demo import _new_prompts, run
from experiments.deploy import status
from experiments.tasks import evaluation_items
from instances.config import parse_config
from routers.policy import Policy
from tests.conftest import needs

needs("mlflow", "the demo")
needs("train", "the demo")

MODELS = {"small": 1e-5, "large": 1e-4}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Answers of two made-up models to the prompts of the demo and others; `small` cannot do arithmetic."""
    rng = np.random.default_rng(0)
    rows = []
    for number, item in enumerate([*evaluation_items(200), *_new_prompts(4)]):
        for model, usd in MODELS.items():
            right = model == "large" or (item.task not in ("arithmetic", "sorting") and rng.random() < 0.9)
            row = {"query_id": f"q{number}", "task": item.task, "prompt": item.prompt, "model": model}
            row |= {"score": float(right), "response": item.answer if right else "no idea", "cost_usd": usd}
            rows.append({**row, "input_tokens": 9, "output_tokens": 2, "latency_s": 0.01})
    return save_trace(from_rows(rows, "source"), tmp_path / "source.parquet")


def test_the_demo_tells_the_whole_story(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    instances = [{"name": name, "provider": "replay", "trace": str(source), "speed": float("inf")} for name in MODELS]
    said: list[RenderableType] = []
    config = parse_config({"instances": instances, "exploration": 0})
    found = run("demo", requests=4, seeds=1, say=said.append, source=source, config=config)

    words = "\n".join(str(line) for line in said if isinstance(line, str | Text))
    for number in range(1, 6):
        assert f"\n{number}. " in words
    for hint in ("mlflow ui --backend-store-uri sqlite:///demo/mlflow.db", "01_the_loop.ipynb", "pointsman serve"):
        assert hint in words
    assert sorted(file.name for file in tmp_path.iterdir()) == ["demo", "source.parquet"]
    files = {"frontier.pdf", "frontier.png", "frontier.svg", "live.db", "log.parquet", "mlflow.db", "mlruns", "policy"}
    assert {file.name for file in (tmp_path / "demo").iterdir()} == files
    assert [each["stream"] for each in found["exchanges"]] == [False, True, False, True]

    log = read_trace("demo/log.parquet")
    assert len(log) == found["recorded_queries"] == 4
    recorded = [float(score) for score in log.score[log.observed]]
    assert sorted(recorded) == sorted(each["score"] for each in found["exchanges"])
    version = Policy.load("demo/policy").version
    assert status(uri="sqlite:///demo/mlflow.db")["champion"]["policy_version"] == version == found["policy"]
