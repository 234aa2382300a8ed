"""What `auto` is worth on recorded public sets: against the reference recipe, and against the simple baselines.

python -m experiments.studies.public_sets --data FOLDER --out docs/public-sets --document docs/public-sets.md
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from env.errors import PointsmanError
from env.files import write_json
from env.sources.named import load_trace
from env.trace import Trace
from experiments.baselines import BEST_SINGLE, CHEAPEST
from experiments.compare import FIT_TIME, PLACEBO, ZERO, Report, compare
from experiments.documents import put
from experiments.metrics import aiq
from experiments.studies.public_sets_report import OWN, markdown, picture
from routers.dial import upper_hull

SETS = ("routellm", "routerbench_5shot_subset", "mmlu_pro", "bfcl", "alpaca_eval2", "paretobandit_val")
AGAINST = ("recipe", ZERO, "zero_cost", PLACEBO, "knn", "tfidf_ridge", "best_per_task")
"""Routers that every row's paired difference is told from."""
EASIER = (OWN, "recipe", ZERO, PLACEBO, "knn", "tfidf_ridge")
"""Those of which is told what they would be credited with under an easier protocol."""


def study(trace: Trace, seeds: int) -> list[dict[str, Any]]:
    """Compare on one trace.

    Returns:
        The pooled rows of the comparison, with two metrics more: ``fit_s``, and ``easier_aiq``, what a router's AIQ
        would be called where dials are read off the test queries (:func:`easier_aiq`).
    """
    with tempfile.TemporaryDirectory() as folder:
        decisions = Path(folder) / "decisions.parquet"
        (report,) = compare([trace], (OWN,), seeds=seeds, against=AGAINST, decisions=decisions)
        easier = easier_aiq(trace, decisions)
    rows = [row for row in report.rows() if row["seed"] is None]
    rows += [
        _row(report, entry.router, FIT_TIME, entry.pooled[FIT_TIME].value)
        for entry in report.entries
        if FIT_TIME in entry.pooled
    ]
    return rows + [_row(report, router, "easier_aiq", value) for router, value in easier.items()]


def easier_aiq(trace: Trace, decisions: Path) -> dict[str, float]:
    """Mean over seeds of the AIQ of the hull of each router's points *on the test queries*, by router.

    What much of the literature reports. It flatters (the hull keeps the lucky dials, even of a placebo), so it is told
    only to be held beside figures made that way. The zero router's curve, whose points were chosen on training
    queries, is taken as it is, and so are fixed arms.
    """
    table = pq.read_table(decisions, filters=[("router", "in", [*EASIER, CHEAPEST, BEST_SINGLE])])
    row, arm = (
        _places(table[column], names) for column, names in (("query_id", trace.query_ids), ("model", trace.arms))
    )
    outcomes = {"cost": trace.cost_usd[row, arm].astype(np.float64), "score": trace.score[row, arm].astype(np.float64)}
    told = pa.table(
        {"router": table["router"].cast(pa.string()), "seed": table["seed"], "dial": table["dial"], **outcomes}
    )
    means = told.group_by(["router", "seed", "dial"]).aggregate([("cost", "mean"), ("score", "mean")])
    points: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for point in means.to_pylist():
        points.setdefault((point["router"], point["seed"]), []).append((point["cost_mean"], point["score_mean"]))
    found: dict[str, list[float]] = {}
    for (router, seed), own in points.items():
        low, high = points[CHEAPEST, seed][0], points[BEST_SINGLE, seed][0]
        cost, score = np.array([low, *own]).T
        order = np.lexsort((score, cost)) if router == ZERO else upper_hull(cost, score)
        found.setdefault(router, []).append(float(aiq(cost[order], score[order], low[0], high[0])))
    return {router: float(np.mean(values)) for router, values in found.items() if router in EASIER}


def _places(column: pa.ChunkedArray, names: Iterable[str]) -> NDArray[np.int64]:
    """Which of the names each value is."""
    return np.asarray(pc.index_in(column.cast(pa.string()), pa.array(list(names))), dtype=np.int64)


def _row(report: Report, router: str, metric: str, value: float) -> dict[str, Any]:
    common = {"trace": report.trace, "router": router, "seed": None, "metric": metric}
    return {**common, "value": value, "low": None, "high": None}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study, set after set; with ``--out`` what was measured of other sets before is kept."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.public_sets")
    parser.add_argument("--trace", action="append", help="a trace by name or path; again for more (six public sets)")
    parser.add_argument("--data", type=Path, help="folder of their Parquet files; names of public sets when left out")
    parser.add_argument("--seeds", type=int, default=10, help="divisions of each trace")
    parser.add_argument("--out", type=Path, help="folder for the rows and the picture")
    parser.add_argument("--document", type=Path, help="whose tables to replace, e.g. docs/public-sets.md")
    given = parser.parse_args(arguments)
    kept = given.out / "rows.json" if given.out is not None else None
    rows: list[dict[str, Any]] = json.loads(kept.read_text()) if kept is not None and kept.exists() else []
    for name in given.trace or SETS:
        try:
            trace = load_trace(name if given.data is None else str(given.data / f"{name}.parquet"))
        except PointsmanError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        print(f"{name}: {given.seeds} seeds", file=sys.stderr, flush=True)
        rows = [row for row in rows if row["trace"] != trace.name] + study(trace, given.seeds)
        if kept is not None:
            write_json(rows, kept)
    print(markdown(rows))
    if given.out is not None:
        picture(rows, given.out)
    if given.document is not None:
        put("public-sets", markdown(rows), given.document)


if __name__ == "__main__":
    main()
