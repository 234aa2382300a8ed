"""The Python examples of README and CONTRIBUTING run as they stand, and the README's figures are generated."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from experiments.documents import markdown_table

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> list[object]:
    found = []
    for name in ("README.md", "CONTRIBUTING.md"):
        for number, block in enumerate(_BLOCK.findall((ROOT / name).read_text()), start=1):
            found.append(pytest.param(block, id=f"{name}-{number}"))
    return found


@pytest.mark.parametrize("source", examples())
def test_the_example_runs(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(source, "example", "exec"), {"__name__": "example"})


def test_the_readme_shows_the_comparison_that_was_run() -> None:
    rows = json.loads((ROOT / "docs" / "bundled" / "rows.json").read_text())
    assert markdown_table(rows) in (ROOT / "README.md").read_text()
