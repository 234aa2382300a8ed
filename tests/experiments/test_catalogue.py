"""The page that says which router to use: every router is on it, every link leads somewhere, no figure is its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from experiments.catalogue import markdown
from routers import names, router_class

ROOT = Path(__file__).parents[2]
# A setting of the server, and plans.
ELSEWHERE = ("exploration", "cascade", "parallel", "switched")
PAGE = (ROOT / "docs" / "which-router.md").read_text()


@pytest.mark.parametrize("name", names())
def test_every_registered_router_is_listed(name: str) -> None:
    if router_class(name).__module__.startswith("routers."):
        assert f"| [`{name}`](" in PAGE, "python -m experiments.catalogue docs/which-router.md"


def test_the_page_holds_what_the_registry_says_now() -> None:
    assert markdown() in PAGE


def test_the_catalogue_says_what_a_router_learns_from() -> None:
    rows = {
        cells[1].split("`")[1]: cells[2].strip() for line in markdown().splitlines()[2:] if (cells := line.split("|"))
    }
    assert rows["fgts"] == "a table, its choices, duels"
    assert rows["ridge"] == "a table"
    assert rows["round_robin"] == "its choices"
    assert rows["random"] == "nothing"
    assert rows["budget"] == "as inside"


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


def test_every_router_named_before_the_catalogue_is_one() -> None:
    advice = PAGE.split("## By what you have")[1].split("A log of one model")[0]
    for cells in re.findall(r"^\| [^|]+ \| ([^|]+) \|", advice, re.MULTILINE):
        for word in re.findall(r"`([a-z0-9_]+)`", cells):
            assert word in names() or word in ELSEWHERE, word


def test_figures_are_those_of_the_pages_that_measure() -> None:
    measured = "".join(
        path.read_text() for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"] if "which" not in path.name
    )
    for figure in re.findall(r"\S+ \[[+-]?[\d.]+, [+-]?[\d.]+\]", PAGE):
        assert figure in measured
