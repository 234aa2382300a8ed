"""No skip hides a hole: one helper decides, and where a part is required, its absence fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import PARTS, POSTGRES, needs

ROOT = Path(__file__).parents[1]
_SKIPS = re.compile(r"pytest\.skip\b|importorskip|skipif|mark\.skip|xfail|unittest|SkipTest")


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No part is there."""
    monkeypatch.setattr("tests.conftest.find_spec", lambda _name: None)
    monkeypatch.delenv(POSTGRES, raising=False)
    monkeypatch.delenv("POINTSMAN_REQUIRE", raising=False)


@pytest.mark.parametrize("part", PARTS)
def test_an_absent_part_skips(absent: None, part: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=f"this test needs `{part}`; absent: "):
        needs(part, "this test")


@pytest.mark.parametrize("part", PARTS)
def test_an_absent_part_that_is_required_fails(absent: None, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_REQUIRE", ",".join(PARTS))
    with pytest.raises(pytest.fail.Exception, match=f"this test needs `{part}`; absent: "):
        needs(part, "this test")


def test_a_part_that_is_there_does_neither(absent: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.conftest.find_spec", lambda name: name)
    monkeypatch.setenv(POSTGRES, "postgresql://somewhere")
    for part in PARTS:
        needs(part, "this test")


def test_a_misspelt_part_is_an_error(absent: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="no optional part `postgress`"):
        needs("postgress", "this test")
    monkeypatch.setenv("POINTSMAN_REQUIRE", "postgress")
    with pytest.raises(AssertionError, match="no optional part `postgress`"):
        needs("postgres", "this test")


def test_make_test_all_requires_every_part() -> None:
    required = re.search(r"POINTSMAN_REQUIRE-([a-z,]+)", (ROOT / "Makefile").read_text())
    assert required is not None
    assert set(required[1].split(",")) == set(PARTS)


def test_no_test_skips_by_itself() -> None:
    exempt = {Path(__file__), ROOT / "tests" / "conftest.py"}
    for file in sorted({*(ROOT / "tests").rglob("*.py")} - exempt):
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            assert not _SKIPS.search(line), f"{file.relative_to(ROOT)}:{number}: use `needs` of tests/conftest.py"
