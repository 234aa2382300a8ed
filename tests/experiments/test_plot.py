"""The picture: everything that belongs on it is on it, with units."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from env import scenarios
from env.contexts import Contexts, Outcomes
from env.features import Featuriser
from env.routing_table import RoutingTable
from env.trace import Trace
from experiments import plot
from experiments.compare import REFERENCES, Report, compare
from experiments.plot import choices, frontier, save
from experiments.report.selection import MOST, shown
from tests.conftest import needs

needs("train", "drawing")


@pytest.fixture(scope="module")
def report(trace: Trace, featuriser: Featuriser) -> Report:
    return compare([trace], ("random", "zero", "placebo", "ridge"), seeds=1, featuriser=featuriser)[0]


def test_axes_have_units_and_every_arm_its_name(report: Report) -> None:
    axes = frontier(report).axes[0]
    assert axes.get_xscale() == "log"
    assert "US dollars per 1,000 requests" in axes.get_xlabel()
    assert "mean score" in axes.get_ylabel()
    legend = axes.get_legend()
    assert legend is not None
    named = set(shown(report))
    assert len(named) == MOST and named < set(REFERENCES)
    always = {"oracle (ceiling)", "zero (blind mixing)", "other routers", "random"}
    assert {text.get_text() for text in legend.get_texts()} == always | named
    assert {"small", "middle", "large"} <= {text.get_text() for text in axes.texts}


def test_it_is_written_for_screens_and_for_papers(report: Report, tmp_path: Path) -> None:
    files = save(frontier(report), tmp_path, "frontier")
    assert [file.suffix for file in files] == [".png", ".svg", ".pdf"]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert files[2].read_bytes().startswith(b"%PDF")
    assert len(list(tmp_path.iterdir())) == 3


def test_the_same_comparison_gives_the_same_files(report: Report, tmp_path: Path) -> None:
    once, twice = (save(frontier(report), tmp_path / folder, "frontier") for folder in ("once", "twice"))
    for one, other in zip(once, twice, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_names_do_not_cover_each_other(report: Report) -> None:
    figure = frontier(report)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 3
    for number, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[number + 1 :])


def test_a_free_model_is_on_the_picture_too(trace: Trace, featuriser: Featuriser) -> None:
    cost = trace.cost_usd.copy()
    cost[:, 0] = 0
    report = compare([replace(trace, cost_usd=cost)], ("ridge",), seeds=1, featuriser=featuriser)[0]
    axes = frontier(report).axes[0]
    assert axes.get_xscale() == "symlog"
    assert axes.get_xlim()[0] <= 0
    assert "small" in {text.get_text() for text in axes.texts}


def test_the_best_and_those_asked_for_are_in_colour(trace: Trace, featuriser: Featuriser) -> None:
    report = compare([trace], ("ucb1", "linucb"), seeds=1, featuriser=featuriser)[0]
    named = shown(report)
    assert {"ucb1", "linucb"} < set(named), "asked for, however good they are"
    best = max(report.entries, key=lambda entry: entry.pooled["aiq"].value if entry.router in REFERENCES else -1)
    assert best.router in named and len(named) == MOST


def test_choices_are_stacked_from_the_cheapest_and_add_up(report: Report) -> None:
    figure = choices(report)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == [*shown(report), "oracle"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["small", "middle", "large"]
    for axes in panels:
        first = [bar for bar in axes.patches if bar.get_x() < -0.02]
        assert sum(bar.get_height() for bar in first) == pytest.approx(1)


def test_without_costs_it_shows_scores(costless_trace: Trace, featuriser: Featuriser) -> None:
    report = compare([costless_trace], ("ridge",), seeds=1, featuriser=featuriser)[0]
    axes = frontier(report).axes[0]
    assert "the trace has no costs" in axes.get_xlabel()
    assert {"ridge", "fixed:large", "oracle"} <= {label.get_text() for label in axes.get_yticklabels()}


def test_a_scenario_is_drawn_with_every_arm_and_its_openings() -> None:
    rng = np.random.default_rng(0)
    outcomes = Outcomes.of(rng.random((200, 3)), np.tile([0.001, 0.01, 0.1], (200, 1)))
    contexts = Contexts.of(rng.uniform(-1, 1, (200, 2)), 3)
    table = RoutingTable.of(contexts, outcomes, arms=("small", "middle", "large"))
    scenario = scenarios.make("outage", arm="large", at=50, until=100) + scenarios.make("delayed_feedback", queries=20)
    true, told, cost, opened = plot.scenario(scenario, table).axes
    assert [text.get_text() for text in true.get_legend().get_texts()] == ["small", "middle", "large"]
    assert [text.get_text() for text in opened.get_yticklabels()] == ["small", "middle", "large"]
    assert "outage + delayed_feedback" in true.get_title()
    large = true.get_lines()[2].get_ydata()
    assert np.isnan(large[50:100]).all()
    assert np.isfinite(large[1:50]).all()
    assert len(opened.collections[2].get_paths()) == 2, "before the outage and after it"
    assert np.isnan(told.get_lines()[0].get_ydata()[:12]).all(), "nothing has been judged yet"
    assert cost.get_yscale() == "symlog"
