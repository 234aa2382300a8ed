"""Every figure that a comparison tells, once more: in pandas, from the trace and the file of decisions alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from env.features import Featuriser
from env.trace import Trace
from env.trace_io import save_trace
from experiments.compare import Report, compare
from experiments.report import json_rows

ROUTERS = ("ucb1", "linucb", "ridge")
GRID = 200_000


@pytest.fixture(scope="module")
def compared(trace: Trace, featuriser: Featuriser, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    folder = tmp_path_factory.mktemp("recomputed")
    save_trace(trace, folder / "trace.parquet")
    return compare([trace], ROUTERS, seeds=2, decisions=folder / "decisions.parquet", featuriser=featuriser)[0], folder


def recomputed(folder: Path) -> pd.DataFrame:
    """One row for each router and seed, one column for each figure."""
    cells = pd.read_parquet(folder / "trace.parquet")[["query_id", "model", "score", "cost_usd", "latency_s"]]
    right = cells[(cells.score > 0) & (cells.score == cells.groupby("query_id").score.transform("max"))]
    cells = cells.merge(right.groupby("query_id").cost_usd.min().rename("least"), on="query_id", how="left")
    cells["optimal"] = ((cells.score == 1) & (cells.cost_usd == cells.least)).where(cells.least.notna()).astype(float)
    rows = pd.read_parquet(folder / "decisions.parquet").astype({"model": str, "query_id": str, "router": str})
    rows = rows.merge(cells, on=["query_id", "model"])
    means = rows.groupby(["router", "seed", "dial"])[["cost_usd", "score", "latency_s", "optimal"]].mean()
    slow = rows.groupby(["router", "seed", "dial"]).latency_s.agg(np.quantile, q=0.95, method="inverted_cdf")
    found = {key: figures(means, slow, *key) for key in means.index.droplevel("dial").unique()}
    table = pd.DataFrame.from_dict(found, orient="index").rename_axis(["router", "seed"])
    for reference in ("zero", "placebo"):
        theirs = table.xs(reference, level="router")
        table[f"delta_aiq_{reference}"] = table.aiq - theirs.aiq
        table[f"delta_score_{reference}"] = table["score_at_dial_1"] - theirs["score_at_dial_1"]
    zero, oracle = table.aiq.xs("zero", level="router"), table.aiq.xs("oracle", level="router")
    table["gap_closed"] = (table.aiq - zero) / (oracle - zero)
    return table


def figures(means: pd.DataFrame, slow: pd.Series, router: str, seed: int) -> dict[str, float]:
    """Of one router and seed."""
    own, left, best = (
        means.loc[(router, seed)],
        means.loc[("cheapest", seed, 1.0)],
        means.loc[("best_single", seed, 1.0)],
    )
    dearest = max(means.loc[(name, seed, 1.0)].cost_usd for name in means.index.levels[0] if name.startswith("fixed:"))
    line = pd.concat([own, pd.DataFrame([left])]).sort_values(["cost_usd", "score"])

    def height(points: pd.DataFrame, low: float, high: float) -> np.ndarray:
        grid = np.linspace(low, high, GRID + 1)
        return np.interp((grid[1:] + grid[:-1]) / 2, points.cost_usd, points.score)

    corners: list[pd.Series] = []
    for _, point in line.sort_values(["cost_usd", "score"], ascending=[True, False]).iterrows():
        if corners and point.score <= corners[-1].score:
            continue
        while len(corners) > 1 and turns_up(*corners[-2:], point):
            corners.pop()
        corners.append(point)
    to_best = height(line, 0, best.cost_usd)
    reached = np.flatnonzero(to_best >= best.score - 1e-6)
    enough = own.cost_usd[own.score >= best.score - 1e-9]
    told = {
        "aiq": height(line, left.cost_usd, best.cost_usd).mean(),
        "hull_aiq": height(pd.DataFrame(corners), left.cost_usd, best.cost_usd).mean(),
        "audc": height(line, 0, dearest).mean(),
        "peak": own.score.max(),
        "perf_gain": own.score.max() / best.score - 1,
        "cost_save": max(0.0, 1 - enough.min() / best.cost_usd) if len(enough) else 0.0,
        "qnc": reached[0] / GRID if len(reached) else 1.0,
    }
    for dial in (0.5, 1):
        point = own.loc[float(dial)]
        told |= {f"score_at_dial_{dial}": point.score, f"cost_usd_at_dial_{dial}": point.cost_usd}
        told |= {f"latency_s_at_dial_{dial}": point.latency_s, f"optimal_selection_at_dial_{dial}": point.optimal}
        told[f"latency_p95_s_at_dial_{dial}"] = slow.loc[(router, seed, float(dial))]
    return told


def turns_up(first: pd.Series, second: pd.Series, third: pd.Series) -> bool:
    rise, run = second.score - first.score, second.cost_usd - first.cost_usd
    return bool((third.score - first.score) * run >= rise * (third.cost_usd - first.cost_usd))


def test_every_figure_can_be_recomputed_from_the_decisions(compared: tuple[Report, Path]) -> None:
    report, folder = compared
    table = recomputed(folder)
    best_simple = f"_{report.simple}"
    rows = [row for row in json_rows([report]) if not row["metric"].endswith(best_simple)]
    told = {row["metric"] for row in rows if not row["metric"].startswith("adjusted_p_")}
    assert told == set(table), "no figure is told that is not recomputed here, and none is recomputed in vain"
    for row in rows:
        if row["metric"] in told and row["value"] is not None:
            again = table[row["metric"]].xs(row["router"], level="router")
            value = again.mean() if row["seed"] is None else again.loc[row["seed"]]
            assert row["value"] == pytest.approx(value, abs=2e-4 if abs(value) > 0.05 else 2e-6), row


def test_a_p_value_is_told_of_every_verdict(compared: tuple[Report, Path]) -> None:
    rows = [row for row in json_rows([compared[0]]) if row["metric"].startswith("adjusted_p_")]
    judged = {row["router"] for row in rows}
    assert {"ridge", "ucb1", "knn", "zero_cost"} <= judged and not {"zero", "placebo", "random", "oracle"} & judged
    assert all(0 < row["value"] <= 1 for row in rows)
    assert {row["metric"] for row in rows} == {"adjusted_p_delta_aiq_zero", "adjusted_p_delta_aiq_placebo"}
