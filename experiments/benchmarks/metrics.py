"""How long the whole set of metrics takes: 20 routers, 10 seeds, 12,000 prompts, 20 arms, every figure with replicates.

python -m experiments.benchmarks.metrics
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from env.contexts import Ints
from experiments import metrics as m
from experiments.bootstrap import REPLICATES, Bootstrap
from experiments.metrics import Array
from experiments.metrics.weak_strong import apgr, call_curve, cpt

ROUTERS, SEEDS, PROMPTS, ARMS, DIALS = 20, 10, 12_000, 20, 21
BAR_S = 60.0
_CLUSTERS = 14
_SHOWN = [10, 20]


class _Clock:
    """Seconds spent on each family of metrics."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, family: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[family] = self.seconds.get(family, 0.0) + time.perf_counter() - started


def measure(routers: int = ROUTERS, seeds: int = SEEDS) -> list[dict[str, Any]]:
    """Seconds of each family, all routers and seeds together; made-up outcomes cost what recorded ones do.

    Returns:
        Rows ``{metrics, seconds}``, the slowest first, then ``all`` with its ``bar``.
    """
    rng, clock = np.random.default_rng(0), _Clock()
    for seed in range(seeds):
        draws = Bootstrap.draw(np.arange(PROMPTS), 1, seed=seed).prompts
        weights = np.vstack([np.ones((1, PROMPTS)), draws])
        score = (rng.random((PROMPTS, ARMS)) < np.linspace(0.3, 0.9, ARMS)).astype(float)
        cost = rng.gamma(2.0, np.geomspace(1e-5, 1e-2, ARMS), size=(PROMPTS, ARMS))
        latency = rng.gamma(2.0, 0.5, size=(PROMPTS, ARMS))
        with clock("oracle, with luck and without"):
            for expected in (score, m.leave_one_out_means(score, rng.integers(0, _CLUSTERS, PROMPTS))):
                arms = m.oracle_arms(expected, cost)
                m.mean_over(weights, np.take_along_axis(score, arms[:, None], axis=1).T)
        with clock("zero router"):
            m.zero_router(m.mean_over(weights, cost.T), m.mean_over(weights, score.T))
        points = [_of_a_router(clock, _chosen(rng), score, cost, latency, weights) for _ in range(routers)]
        paid, got = (np.concatenate(part, axis=-1) for part in zip(*points, strict=True))
        with clock("ParetoDist"):
            for own_paid, own_got in points:
                m.pareto_distance(own_paid, own_got, paid, got)
    rows: list[dict[str, Any]] = [{"metrics": name, "seconds": spent} for name, spent in clock.seconds.items()]
    rows.sort(key=lambda row: -float(row["seconds"]))
    return [*rows, {"metrics": "all", "seconds": sum(clock.seconds.values()), "bar": BAR_S}]


def _chosen(rng: np.random.Generator) -> Ints:
    """Arms ``(D, n)`` of a router that chooses dearer ones the higher the dial."""
    wanted = np.linspace(0, ARMS - 1, DIALS)[:, None] + rng.normal(0, 3, (1, PROMPTS))
    chosen: Ints = np.clip(np.rint(wanted), 0, ARMS - 1).astype(np.int64)
    return chosen


def _of_a_router(
    clock: _Clock, arms: Ints, score: Array, cost: Array, latency: Array, weights: Array
) -> tuple[Array, Array]:
    got, paid, waited = (np.take_along_axis(table, arms.T, axis=1).T for table in (score, cost, latency))
    with clock("means at every dial"):
        paid_by, got_by = m.mean_over(weights, paid), m.mean_over(weights, got)
    left, right, best = paid_by[:, 0], paid_by[:, -1], got_by[:, -1]
    line = m.curve(paid_by, got_by, left, got_by[:, 0])
    with clock("AIQ, with the hull and without"):
        m.aiq(*line, left, right), m.hull_aiq(*line, left, right)
    with clock("AUDC, peak, PerfGain, CostSave, QNC"):
        m.audc(*line, right), m.audc(*line, right, up_to=0.5), m.peak(got_by), m.perf_gain(got_by, best)
        m.cost_save(paid_by, got_by, right, best), m.qnc(*line, right, best)
    with clock("arena score, budget utilisation"):
        m.arena_score(got_by, 1000 * paid_by), m.budget_utilisation(paid_by, 0.001)
    with clock("optimal selection, two dials"):
        m.optimal_selection(arms[_SHOWN], score, cost, weights)
    with clock("robustness, two dials"):
        m.robustness(arms[_SHOWN], arms[[11, 19]], weights)
    with clock("latency p50 and p95, two dials"):
        for at in _SHOWN:
            m.percentiles(waited[at], [0.5, 0.95], weights)
    with clock("regret, two references"):
        m.cumulative_regret(got[-1], m.reference_rewards(score, "best_recorded"))
        m.cumulative_regret(got[-1], m.reference_rewards(score, "best_arm"))
    expected = np.linspace(0, 1, PROMPTS)
    with clock("ECE"):
        m.ece(expected, got[-1], weights=weights)
    with clock("APGR, CPT"):
        calls = call_curve(expected, score[:, 0], score[:, -1], weights)
        apgr(calls), cpt(calls, 0.5), cpt(calls, 0.8)
    return paid_by, got_by


def table(rows: list[dict[str, Any]]) -> Table:
    """Seconds of each family, and their sum beside the bar."""
    size = f"{ROUTERS} routers x {SEEDS} seeds x {PROMPTS:,} prompts x {ARMS} arms, {REPLICATES} replicates each"
    shown = Table(title=size, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("metrics")
    shown.add_column("s", justify="right")
    for row in rows:
        bar = f" (bar: under {row['bar']:g})" if "bar" in row else ""
        shown.add_row(row["metrics"] + bar, f"{row['seconds']:.2f}")
    return shown


if __name__ == "__main__":
    Console().print(table(measure()))
