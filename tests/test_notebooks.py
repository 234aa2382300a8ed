"""The notebooks run from top to bottom, with the real small model."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from experiments.documents import execute

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the `local` extra")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_the_notebook_runs(notebook: Path) -> None:
    execute(notebook, write=False)


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
