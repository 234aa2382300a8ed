"""The Python examples of the documents run as they stand, and their figures are generated."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
import yaml

from experiments.cli import app
from experiments.documents import markdown_table
from experiments.record import read_prompts
from experiments.studies.agents import markdown
from experiments.studies.sweeping import markdown as sweeps_markdown
from instances.config import parse_config
from tests.conftest import needs

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> list[object]:
    found = []
    pages = ("agents", "traffic", "budgets", "duels", "which-router", "off-policy", "sweeps")
    for name in ("README.md", "CONTRIBUTING.md", *(f"docs/{page}.md" for page in pages)):
        for number, block in enumerate(_BLOCK.findall((ROOT / name).read_text()), start=1):
            found.append(pytest.param(block, id=f"{name}-{number}"))
    return found


@pytest.mark.parametrize("source", examples())
def test_the_example_runs(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "stable_baselines3" in source or "sb3_contrib" in source:
        needs("agents", "the example")
    if "pm.sweep" in source:
        needs("sweep", "the example")
    monkeypatch.chdir(tmp_path)
    exec(compile(source, "example", "exec"), {"__name__": "example"})


def test_the_configuration_is_valid() -> None:
    (block,) = _YAML.findall((ROOT / "README.md").read_text())
    names = [instance.name for instance in parse_config(yaml.safe_load(block), "README.md").instances]
    assert names == ["small", "large"]


def test_the_prompts_line_is_valid(tmp_path: Path) -> None:
    line = next(word for word in re.findall(r"`(.*?)`", (ROOT / "README.md").read_text()) if '"query_id"' in word)
    (tmp_path / "prompts.jsonl").write_text(line)
    assert read_prompts(tmp_path / "prompts.jsonl")[0].query_id == "1"


def test_every_command_is_one() -> None:
    """Words and options that the documents use exist; targets of make likewise."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md", "docs/which-router.md", "docs/sweeps.md"):
        text = (ROOT / name).read_text()
        assert set(re.findall(r"\bmake ([a-z-]+)(?=`|\s\s|$)", text, re.MULTILINE)) <= targets
        for said in re.findall(r"(?:^    |`)pointsman ([^`#]*)", text, re.MULTILINE):
            command, words = typer.main.get_command(app), said.split()
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]  # type: ignore[attr-defined]  # a group, as the loop asks
            assert not hasattr(command, "commands"), said
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known, said


def test_the_readme_shows_the_comparison_that_was_run() -> None:
    rows = json.loads((ROOT / "docs" / "bundled" / "rows.json").read_text())
    assert markdown_table(rows) in (ROOT / "README.md").read_text()


def test_the_agents_are_those_of_the_study_that_was_run() -> None:
    rows = json.loads((ROOT / "docs" / "agents" / "rows.json").read_text())
    assert markdown(rows) in (ROOT / "docs" / "agents.md").read_text()


def test_the_sweeps_are_those_of_the_study_that_was_run() -> None:
    rows = json.loads((ROOT / "docs" / "sweeps" / "rows.json").read_text())
    assert sweeps_markdown(rows) in (ROOT / "docs" / "sweeps.md").read_text()
