"""What a table is refused for, in one line: values that cannot be, a bandit log, arms of which no reward is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from env.budget_env import RoutingBudgetEnv
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
from env.trace import Trace
from env.trace_io import from_rows
from env.traffic_env import RoutingTrafficEnv

N, K = 100, 3
EVERY_ENV = [RoutingEnv, RoutingBudgetEnv, RoutingTrafficEnv]


def outcomes(**changed: np.ndarray) -> Outcomes:
    rng = np.random.default_rng(0)
    columns = {name: rng.random((N, K)) for name in ("score", "cost_usd", "latency_s")}
    return Outcomes.of(**{**columns, **changed})


def table(made: Outcomes, **settings: Any) -> RoutingTable:
    features = np.random.default_rng(1).uniform(-1, 1, (N, 2))
    return RoutingTable.of(Contexts.of(features, K, latency_weight=0.02), made, **settings)


def logged(fallbacks: int, full: int = 0) -> np.ndarray:
    """Scores of one arm a query, drawn by a policy; of two on some, of all on others."""
    rng = np.random.default_rng(2)
    seen = np.eye(K, dtype=bool)[rng.integers(K, size=N)]
    seen[:fallbacks, :2] = True
    seen[N - full :] = True
    return np.where(seen, rng.random((N, K)), np.nan)


def as_trace(score: np.ndarray, cost: np.ndarray | None = None, **cell: Any) -> Trace:
    """One row for each cell that was scored."""
    return from_rows(
        [
            {
                "query_id": f"q{row}",
                "prompt": f"prompt number {row}",
                "model": "abc"[arm],
                "score": float(score[row, arm]),
                "cost_usd": 0.01 if cost is None or not np.isnan(cost[row, arm]) else None,
                "latency_s": 1.0,
                **cell,
            }
            for row, arm in np.argwhere(~np.isnan(score))
        ]
    )


@pytest.mark.parametrize("fallbacks", [0, 1, 20])
def test_a_few_fallbacks_do_not_unmake_a_bandit_log(fallbacks: int) -> None:
    score = logged(fallbacks)
    with pytest.raises(BadInput, match="bandit log"):
        table(outcomes(score=score))
    with pytest.raises(BadInput, match=r"bandit log.*unobserved='model'"):
        RoutingEnv(as_trace(score), part="all")
    assert table(outcomes(score=score), accept_gaps=True).mask.sum() == (~np.isnan(score)).sum()
    assert RoutingEnv(as_trace(score), part="all", unobserved="model").table.mask.all()


def test_a_log_among_queries_that_every_arm_answered_is_one_still() -> None:
    with pytest.raises(BadInput, match=r"bandit log \(40 of 100 queries"):
        table(outcomes(score=logged(0, full=60)))


def test_a_few_answers_that_failed_make_no_log() -> None:
    score = np.asarray(outcomes().score).copy()
    score[:8, 1:] = np.nan
    assert table(outcomes(score=score)).mask[0].tolist() == [1, 0, 0]
    assert RoutingEnv(as_trace(score), part="all").n_queries == N


def test_of_two_arms_a_gap_leaves_one_and_only_their_number_tells() -> None:
    score = np.random.default_rng(3).random((N, 2))
    contexts = Contexts.of(np.zeros((N, 1)), 2)
    score[:50, 0] = np.nan
    assert RoutingTable.of(contexts, Outcomes.of(score)).mask[:50, 0].sum() == 0
    score[50:60, 1] = np.nan
    with pytest.raises(BadInput, match="bandit log"):
        RoutingTable.of(contexts, Outcomes.of(score))


def test_arms_that_a_query_forbids_are_no_gaps() -> None:
    mask = np.eye(K, dtype=bool)[np.arange(N) % K]
    contexts = Contexts.of(np.zeros((N, 1)), K, mask=mask)
    assert RoutingTable.of(contexts, outcomes()).allowed.tolist() == mask.tolist()


def test_a_full_table_with_an_arm_never_priced_is_no_log() -> None:
    score = np.random.default_rng(4).random((60, 2))
    cost = np.full_like(score, 0.01)
    cost[:, 1] = np.nan
    trace = as_trace(score, cost)
    mend = "arm `b` has no recorded cost, and cost_weight is above 0; record it, set cost_weight to 0"
    for unobserved in ("mask", "model"):
        with pytest.raises(BadInput, match=mend):
            RoutingEnv(trace, part="all", cost_weight=1.0, unobserved=unobserved)
    assert RoutingEnv(trace, part="all").table.mask.all()


def test_modelling_a_log_of_which_an_arm_was_never_priced_says_so_and_not_to_model_it() -> None:
    score = logged(0)
    cost = np.full_like(score, 0.01)
    cost[:, 2] = np.nan
    with pytest.raises(BadInput, match="arm `c` has no recorded cost, and cost_weight is above 0"):
        RoutingEnv(as_trace(score, cost, propensity=1 / 3), part="all", cost_weight=1.0, unobserved="model")


@pytest.mark.parametrize("env_class", EVERY_ENV)
@pytest.mark.parametrize("columns", [("score",), ("score", "cost_usd", "latency_s")])
def test_every_environment_says_the_same_of_an_arm_without_any_outcome(env_class: Any, columns: Any) -> None:
    hole = np.where(np.arange(K) == 1, np.nan, np.random.default_rng(0).random((N, K)))
    with pytest.raises(BadInput, match="arm `1` has no observed outcome; leave it out"):
        env_class(table(outcomes(**dict.fromkeys(columns, hole))))


def wrong(value: float) -> np.ndarray:
    values = np.full((N, K), 0.5)
    values[7, 2] = value
    return values


@pytest.mark.parametrize(
    ("changed", "settings", "message"),
    [
        ({"score": wrong(3.0)}, {}, "score of arm 2 in row 7 is 3; it is 0 to 1, NaN where unknown"),
        ({"score": wrong(-0.5)}, {}, "score of arm 2 in row 7 is -0.5"),
        ({"cost_usd": wrong(-1.0)}, {}, "cost_usd of arm 2 in row 7 is -1; it is finite and 0 or more"),
        ({"latency_s": wrong(np.inf)}, {}, "latency_s of arm 2 in row 7 is inf"),
        ({"score": np.ones((N, 2))}, {}, r"score is \(queries, arms\) = \(100, 3\), got \(100, 2\)"),
        ({}, {"masked_reward": float("nan")}, "masked_reward is a finite number, got nan"),
    ],
)
def test_values_that_cannot_be_are_refused_in_one_line(changed: Any, settings: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        table(outcomes(**changed), **settings)
    assert "\n" not in str(caught.value)


def test_contexts_that_nobody_checked_are() -> None:
    none, ones = np.zeros(N, dtype=np.float32), np.ones((N, K), dtype=bool)
    features = np.zeros((N, 2), dtype=np.float32)
    features[4, 1] = np.nan
    with pytest.raises(BadInput, match="features of row 4 are not finite"):
        RoutingTable.of(Contexts(features, none, none, ones), outcomes())
    with pytest.raises(BadInput, match="contexts have no features"):
        RoutingTable.of(Contexts.of(np.zeros((N, 0)), K), outcomes())
    with pytest.raises(BadInput, match="a latency weight is finite and 0 or more"):
        RoutingTable.of(Contexts.of(np.zeros((N, 1)), K, latency_weight=-1.0), outcomes())
