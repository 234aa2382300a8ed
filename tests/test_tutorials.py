"""Pages that are read from top to bottom run from top to bottom: Python blocks and commands, in one folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import main
from tests.conftest import needs

ROOT = Path(__file__).parents[1]
_STEP = re.compile(r"^```python\n(?P<block>.*?)^```|^    pointsman (?P<command>.*?)$", re.MULTILINE | re.DOTALL)
PAGES = ("bring-your-own-logs.md", "metrics.md", "mlflow.md", "what-the-agent-sees.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page == "mlflow.md":
        needs("mlflow", "the page")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    names: dict[str, Any] = {"__name__": "page"}
    steps = list(_STEP.finditer((ROOT / "docs" / page).read_text(encoding="utf-8")))
    assert len(steps) > 3
    for step in steps:
        if step["command"] is not None:
            assert main(shlex.split(step["command"], comments=True)) == 0, step["command"]
        else:
            exec(compile(step["block"], page, "exec"), names)
