"""The notebooks run from top to bottom, with the real small model."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.documents import execute
from tests.conftest import needs

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_the_notebook_runs(notebook: Path) -> None:
    needs("local", "a notebook that asks real models")
    execute(notebook, write=False)


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
