"""The page of a comparison: complete, self-contained, safe, and the same as its twin in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.features import Featuriser
from env.trace import Trace
from experiments.compare import Report, compare
from experiments.report.page import learn_online, online_routers, write_report
from experiments.report.summary import summary
from experiments.train import Feedback
from tests.conftest import needs
from tests.experiments.conftest import recorded

needs("train", "drawing")

ATTACK = "<script>alert(1)</script>"
_VOID = {"meta", "br", "hr", "img", "link", "input"}


class Checked(HTMLParser):
    """Reads a page, and refuses one whose elements do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


@pytest.fixture(scope="module")
def compared(trace: Trace, featuriser: Featuriser) -> tuple[Report, dict[str, Any]]:
    report = compare([trace], ("ridge", "linucb"), seeds=2, featuriser=featuriser)[0]
    online = learn_online(report, trace, scenario="quality_drop", featuriser=featuriser)
    return report, {
        "traces": [trace],
        "online": {trace.name: online},
        "command": "pointsman compare recorded --seeds 2",
    }


@pytest.fixture(scope="module")
def folder(compared: tuple[Report, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("page")
    write_report([compared[0]], target, **compared[1])
    return target


def figures_in(text: str) -> Iterator[str]:
    """Every number with its sign and point."""
    yield from re.findall(r"[-+]?[\d,]*\.?\d+(?:%|\b)", text)


def test_the_page_is_well_formed_and_loads_nothing(folder: Path) -> None:
    text = (folder / "index.html").read_text()
    page = Checked(text)
    tags = {tag for tag, _ in page.seen}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert "http" not in re.sub(r'http-equiv="[^"]*"', "", text)
    for _, attributes in page.seen:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith("#"), "a picture refers to its own parts alone"


def test_no_id_is_given_twice_and_every_one_referred_to_is_there(folder: Path) -> None:
    text = (folder / "index.html").read_text()
    ids = [attributes["id"] for _, attributes in Checked(text).seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)


def test_every_router_and_model_is_on_it(folder: Path, compared: tuple[Report, dict[str, Any]]) -> None:
    page = Checked((folder / "index.html").read_text())
    for entry in compared[0].entries:
        assert entry.router in page.words


def test_who_cannot_see_is_told_too(folder: Path) -> None:
    seen = Checked((folder / "index.html").read_text()).seen
    pictures = [attributes for tag, attributes in seen if tag == "svg"]
    assert len(pictures) == 3
    assert all(one["role"] == "img" and len(one["aria-label"] or "") > 40 for one in pictures)
    heads = [attributes for tag, attributes in seen if tag == "th"]
    assert heads and all(one.get("scope") in ("col", "row") for one in heads)
    assert [tag for tag, _ in seen].count("table") == [tag for tag, _ in seen].count("caption")
    assert ("html", {"lang": "en"}) in seen


def test_the_twin_has_the_same_figures(folder: Path) -> None:
    page, twin = ((folder / name).read_text() for name in ("index.html", "report.md"))
    without_pictures = re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", page, flags=re.DOTALL)
    body = " ".join(Checked(without_pictures).words)
    told = re.sub(r"!\[.*?\]\(.*?\)|\|[-:|]+\|", "", twin).replace("\\", "")
    assert sorted(figures_in(body)) == sorted(figures_in(told))


def test_pictures_of_the_twin_are_beside_it(folder: Path) -> None:
    names = re.findall(r"\]\((.*?)\)", (folder / "report.md").read_text())
    assert [name.partition("-")[0] for name in names] == ["frontier", "choices", "learning"]
    assert all((folder / name).is_file() for name in names)
    assert all((folder / name).with_suffix(".pdf").is_file() for name in names)


def test_the_same_comparison_gives_the_same_bytes(
    compared: tuple[Report, dict[str, Any]], folder: Path, tmp_path: Path, trace: Trace, featuriser: Featuriser
) -> None:
    report = compare([trace], ("ridge", "linucb"), seeds=2, featuriser=featuriser)[0]
    again = write_report([report], tmp_path, **compared[1])
    assert all(file.read_bytes() == (folder / file.name).read_bytes() for file in again)


def test_names_out_of_the_data_are_words_not_markup(tmp_path: Path, featuriser: Featuriser) -> None:
    plain = recorded(n=200)
    tasks = np.array([f"{ATTACK}|{task}" for task in plain.tasks], dtype=object)
    arms = (ATTACK, "$mid$dle", "_large|")
    trace = replace(plain, name=f"../{ATTACK}", arms=arms, tasks=tasks)
    report = compare([trace], ("zero",), seeds=1, featuriser=featuriser)[0]
    files = write_report([report], tmp_path, traces=[trace], command=ATTACK)
    page, twin = Checked(files[0].read_text()), files[1].read_text()
    assert "script" not in {tag for tag, _ in page.seen}
    assert any(ATTACK in words for words in page.words)
    assert "<script" not in twin
    assert {file.parent for file in files} == {tmp_path}
    assert "$mid$dle" in files[0].read_text()
    tables = [table.splitlines() for table in re.findall(r"(?:^\|.*\n)+", twin, flags=re.MULTILINE)]
    assert any("add" in line for table in tables for line in table)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1, "a bar in a name makes no column"


def test_the_page_says_who_won_and_what_is_saved(compared: tuple[Report, dict[str, Any]]) -> None:
    said = " ".join(summary(compared[0]))
    assert "over mixing fixed models blindly" in said
    assert "the best single model" in said and "per 1,000" in said


def test_it_says_so_where_nothing_beats_mixing(trace: Trace, featuriser: Featuriser) -> None:
    shuffled = replace(trace, prompts=np.random.default_rng(0).permutation(trace.prompts), tasks=np.full(600, None))
    report = compare([shuffled], ("ridge",), seeds=1, featuriser=featuriser)[0]
    assert summary(report)[0].startswith("Nothing beats mixing fixed models here")


def test_without_costs_it_speaks_of_quality_alone(
    costless_trace: Trace, featuriser: Featuriser, tmp_path: Path
) -> None:
    report = compare([costless_trace], ("ridge", "ucb1"), seeds=1, featuriser=featuriser)[0]
    online = {costless_trace.name: learn_online(report, costless_trace, featuriser=featuriser)}
    text = write_report([report], tmp_path, traces=[costless_trace], online=online)[1].read_text()
    assert "compared on the score at dial 1 alone" in text
    assert "nothing can be said of money" in text
    assert "Reward is the score." in text
    assert not re.search(r"\bnan\b|\$", text), "no figure of money, none that is none"


def test_without_prompts_or_features_only_blind_routers_are_compared(trace: Trace, tmp_path: Path) -> None:
    blind = replace(trace, prompts=np.full(len(trace), None, dtype=object))
    report = compare([blind], ("ridge", "linucb", "ucb1"), seeds=1)[0]
    assert [entry.router for entry in report.entries if entry.feedback is not None] == [
        "random", "zero", "best_per_task", "ucb1",
    ]  # fmt: skip
    text = write_report([report], tmp_path, online={blind.name: learn_online(report, blind)})[1].read_text()
    assert "only routers that look at no prompt are compared" in text
    assert online_routers(report) == ["ucb1"]


def test_tiny_tasks_are_marked_and_have_no_interval(trace: Trace, featuriser: Featuriser, tmp_path: Path) -> None:
    tasks = trace.tasks.copy()
    tasks[:30] = "rare"
    report = compare([replace(trace, tasks=tasks)], ("zero",), seeds=1, featuriser=featuriser)[0]
    text = write_report([report], tmp_path)[1].read_text()
    row = next(line for line in text.splitlines() if line.startswith("| rare"))
    assert row.startswith("| rare (tiny) |") and "[" not in row
    assert "do not read them alone: rare" in text


def test_several_traces_share_a_page(trace: Trace, featuriser: Featuriser, tmp_path: Path) -> None:
    other = replace(trace, name="recorded!")
    reports = compare([trace, other], ("zero",), seeds=1, featuriser=featuriser)
    files = write_report(reports, tmp_path)
    page = Checked(files[0].read_text())
    assert {"Trace recorded", "Trace recorded!"} <= set(page.words)
    assert len({file.name for file in files}) == len(files)
    ids = [attributes["id"] for _, attributes in page.seen if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_bandits_are_found_by_what_they_were_told(compared: tuple[Report, dict[str, Any]]) -> None:
    assert online_routers(compared[0]) == ["linucb"]
    entry = compared[0].entry("linucb")
    assert entry is not None and entry.feedback is Feedback.BANDIT
