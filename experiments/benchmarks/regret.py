"""Whether float32 costs regret: LinUCB's replay beside the same algorithm in float64, line by line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

import routers
from env.contexts import Ints
from experiments.benchmarks.rounds import ARMS, Problem
from routers.base import PRIOR_SCORE

ROUNDS = 20_000
_ALPHA, _RIDGE = 0.3, 1.0
_SAME = 10  # decimals to which two scores must agree to be a tie


def measure(sizes: Sequence[int] = (384, 64), n: int = ROUNDS) -> list[dict[str, Any]]:
    """Regret over ``n`` rounds in float32 and in float64, for each number of features.

    Returns:
        Rows ``features, rounds, float32, float64, random``: summed over rounds, in score points.
    """
    rows = []
    for n_features in sizes:
        problem = Problem.drawn(n_features, n)
        router = routers.make("linucb", ARMS, n_features, alpha=_ALPHA, ridge=_RIDGE)
        own = router.replay(problem.contexts, problem.outcomes, np.random.default_rng(0)).arms
        best = problem.expected.max(axis=1)
        rows.append(
            {
                "features": n_features,
                "rounds": n,
                "float32": float((best - problem.expected[np.arange(n), own]).sum()),
                "float64": float((best - problem.expected[np.arange(n), exact(problem, _ALPHA, _RIDGE)]).sum()),
                "random": float((best - problem.expected.mean(axis=1)).sum()),
            }
        )
    return rows


def exact(problem: Problem, alpha: float, ridge: float) -> Ints:
    """``(n,)`` the arms that LinUCB chooses in float64: one inverse an arm, one rank-one update a round."""
    # The very numbers that the router sees.
    x: NDArray[np.float64] = np.c_[problem.contexts.features, np.ones(len(problem.contexts))].astype(np.float64)
    d = x.shape[1]
    inverse = np.tile(np.diag([1 / ridge] * (d - 1) + [1.0]), (ARMS, 1, 1))
    theta, arms = np.zeros((ARMS, d)), np.empty(len(x), dtype=np.int64)
    for row, own in enumerate(x):
        spread = inverse @ own
        variance = spread @ own
        # Arms of which nothing is known are as good as each other, whatever the last bit of a sum says.
        arm = arms[row] = np.argmax((theta @ own + alpha * np.sqrt(variance)).round(_SAME))
        gain = spread[arm] / (1 + variance[arm])
        theta[arm] += gain * (float(problem.outcomes.score[row, arm]) - PRIOR_SCORE - theta[arm] @ own)
        inverse[arm] -= np.outer(gain, spread[arm])
    return arms


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table."""
    shown = Table(title="regret of LinUCB", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for head in ("features", "rounds", "float32", "float64", "random arms"):
        shown.add_column(head, justify="right")
    for row in rows:
        numbers = (f"{row[key]:,.2f}" for key in ("float32", "float64", "random"))
        shown.add_row(str(row["features"]), f"{row['rounds']:,}", *numbers)
    return shown
