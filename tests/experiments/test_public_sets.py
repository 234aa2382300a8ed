"""The study of public sets: every figure from the decisions, and bars that can be missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from env.trace import Trace
from experiments.compare import compare
from experiments.metrics import aiq
from experiments.studies import public_sets
from experiments.studies.public_sets_report import OWN, markdown, verdicts

ROOT = Path(__file__).parents[2]


def test_the_easier_protocol_is_the_hull_of_test_points(trace: Trace, tmp_path: Path) -> None:
    kept = tmp_path / "decisions.parquet"
    (report,) = compare([trace], ("knn",), seeds=1, decisions=kept)
    found = public_sets.easier_aiq(trace, kept)

    frame = pd.read_parquet(kept)
    row, arm = frame["query_id"].map(list(trace.query_ids).index), frame["model"].map(list(trace.arms).index)
    frame["cost"], frame["score"] = trace.cost_usd[row, arm], trace.score[row, arm]
    means = frame.groupby(["router", "dial"], observed=True)[["cost", "score"]].mean()
    low, high = means.loc["cheapest"].iloc[0], means.loc["best_single"].iloc[0]
    points = pd.concat([low.to_frame().T, means.loc["knn"]]).sort_values(["cost", "score"]).astype(float)
    # The hull of points is their least concave majorant: at each cost the highest of all chords over it.
    costs, scores = points["cost"].to_numpy(), points["score"].to_numpy()
    grid = sorted({*costs, high["cost"]})
    chords = [
        max(
            s + (t - s) * (x - c) / (d - c) if d > c else max(s, t)
            for c, s in zip(costs, scores, strict=True)
            for d, t in zip([*costs, 1.0], [*scores, scores.max()], strict=True)
            if c <= x <= d
        )
        for x in grid
    ]
    expected = aiq(*(pd.Series(v).to_numpy(float) for v in (grid, chords)), low["cost"], high["cost"])
    assert found["knn"] == pytest.approx(float(expected), abs=1e-6)
    entry = report.entry("knn")
    assert entry is not None and found["knn"] >= entry.pooled["aiq"].value


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return list(json.loads((ROOT / "docs" / "public-sets" / "rows.json").read_text()))


def test_the_page_shows_the_study_that_was_run(rows: list[dict[str, Any]]) -> None:
    assert markdown(rows) in (ROOT / "docs" / "public-sets.md").read_text()


def test_bars_can_be_missed(rows: list[dict[str, Any]]) -> None:
    def set_to(metric: str, **figures: float) -> list[dict[str, Any]]:
        return [row | figures if (row["router"], row["metric"]) == (OWN, metric) else row for row in rows]

    for place, name in enumerate(("recipe", "zero", "zero_cost", "placebo", "knn", "tfidf_ridge")):
        above = verdicts(set_to(f"delta_aiq_{name}", value=0.02, low=0.01, high=0.03))[place]
        below = verdicts(set_to(f"delta_aiq_{name}", value=-0.02, low=-0.03, high=-0.01))[place]
        level = verdicts(set_to(f"delta_aiq_{name}", value=0.01, low=-0.01, high=0.03))[place]
        assert ": met" in above and "**not met**" in below and "**not met**" in level
    assert "**not met**" in verdicts(set_to("fit_s", value=61.0))[-1]
    assert ": met" in verdicts(set_to("fit_s", value=59.0))[-1]


def test_sets_measured_before_are_kept(rows: list[dict[str, Any]], trace_file: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "out", tmp_path / "page.md"
    out.mkdir()
    page.write_text("<!-- public-sets -->\n<!-- /public-sets -->\n")
    before = [row for row in rows if row["trace"] == rows[0]["trace"]]
    (out / "rows.json").write_text(json.dumps(before))
    public_sets.main(["--trace", str(trace_file), "--seeds", "1", "--out", str(out), "--document", str(page)])
    after = json.loads((out / "rows.json").read_text())
    assert after[: len(before)] == before and {row["trace"] for row in after[len(before) :]} == {"recorded"}
    assert markdown(after) in page.read_text() and (out / "public-sets.svg").exists()
