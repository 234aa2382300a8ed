"""The benchmark of the metrics times every metric that there is; how fast is no test's business."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from experiments import metrics
from experiments.benchmarks import metrics as bench

READ_BY_OTHERS = {"first_at", "height_at", "non_decreasing_hull", "pareto_front", "reliability", "pgr"}
IMPORTED_BY_NAME = {"apgr", "call_curve", "cpt"}


def test_every_metric_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    called: set[str] = set()

    def watched(name: str, made: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **settings: Any) -> Any:
            called.add(name)
            return made(*args, **settings)

        return call

    functions = {name for name in metrics.__all__ if name[0].islower()}
    for name in functions:
        monkeypatch.setattr(metrics, name, watched(name, getattr(metrics, name)))
    monkeypatch.setattr(bench, "PROMPTS", 300)
    *families, total = rows = bench.measure(routers=2, seeds=1)
    assert functions - called == READ_BY_OTHERS | IMPORTED_BY_NAME
    assert "APGR, CPT" in {row["metrics"] for row in families}
    assert total["seconds"] == pytest.approx(sum(row["seconds"] for row in families)) and total["bar"] == 60
    assert bench.table(rows).row_count == len(rows)
