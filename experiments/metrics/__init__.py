"""The measures of a router, one function each; ``docs/metrics.md`` is the catalogue.

Every function is vectorised over leading axes, so that one call does all bootstrap replicates of a figure.
"""

from experiments.metrics.arena import arena_score
from experiments.metrics.calibration import Reliability, ece, reliability
from experiments.metrics.choices import optimal_selection, robustness
from experiments.metrics.frontier import Array, Frontier, aiq, curve, first_at, height_at, mean_over
from experiments.metrics.hull import hull_aiq, non_decreasing_hull, zero_router
from experiments.metrics.landmarks import audc, cost_save, peak, perf_gain, qnc
from experiments.metrics.latency import percentiles
from experiments.metrics.oracle import leave_one_out_means, oracle_arms
from experiments.metrics.pareto import pareto_distance, pareto_front
from experiments.metrics.regret import budget_utilisation, cumulative_regret, reference_rewards
from experiments.metrics.weak_strong import CallCurve, apgr, call_curve, cpt, pgr

__all__ = [
    "Array",
    "CallCurve",
    "Frontier",
    "Reliability",
    "aiq",
    "apgr",
    "arena_score",
    "audc",
    "budget_utilisation",
    "call_curve",
    "cost_save",
    "cpt",
    "cumulative_regret",
    "curve",
    "ece",
    "first_at",
    "height_at",
    "hull_aiq",
    "leave_one_out_means",
    "mean_over",
    "non_decreasing_hull",
    "optimal_selection",
    "oracle_arms",
    "pareto_distance",
    "pareto_front",
    "peak",
    "percentiles",
    "perf_gain",
    "pgr",
    "qnc",
    "reference_rewards",
    "reliability",
    "robustness",
    "zero_router",
]
