"""A small recorded world: three models, two kinds of task, and prompts that say which kind they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from env.features import Featuriser, Hashing
from env.trace import Trace
from env.trace_io import from_rows, save_trace
from tests.conftest import needs

# model -> (chance of a right answer when adding, when spelling, dollars a call)
MODELS = {"small": (0.9, 0.2, 1e-4), "middle": (0.3, 0.85, 3e-4), "large": (0.92, 0.9, 2e-3)}


def recorded(n: int = 600, seed: int = 0, *, costs: bool = True, name: str = "recorded") -> Trace:
    """``n`` queries; `small` is good at adding, `middle` at spelling, `large` at both and dear."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        adding = bool(rng.random() < 0.5)
        prompt = f"add {number} and {number % 7}" if adding else f"spell the word number{number} backwards"
        for model, (adds, spells, usd) in MODELS.items():
            right = rng.random() < (adds if adding else spells)
            row = {"query_id": f"q{number}", "task": "add" if adding else "spell", "prompt": prompt, "model": model}
            numbers = {"score": float(right), "input_tokens": 8.0, "output_tokens": 4.0, "latency_s": usd * 1000}
            rows.append({**row, **numbers, "cost_usd": usd * (1 + rng.random()) if costs else None})
    return from_rows(rows, name=name)


@pytest.fixture(scope="session")
def trace() -> Trace:
    """The recorded world."""
    return recorded()


@pytest.fixture(scope="session")
def costless_trace() -> Trace:
    """The same without costs."""
    return recorded(costs=False, name="costless")


@pytest.fixture(scope="session")
def featuriser() -> Featuriser:
    """Narrow and quick."""
    return Hashing(32)


@pytest.fixture
def trace_file(trace: Trace, tmp_path: Path) -> Path:
    """The recorded world as a file."""
    return save_trace(trace, tmp_path / "recorded.parquet")


@pytest.fixture(scope="session")
def empty_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them; making one takes seconds, so it is made once."""
    needs("mlflow", "the record")
    from experiments.tracking import connect

    file = tmp_path_factory.mktemp("record") / "mlflow.db"
    connect(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def record(empty_record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty MLflow record of this test's own, which the environment names."""
    shutil.copy(empty_record, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri
