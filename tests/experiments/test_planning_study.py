"""The studies of planning and of feedback: what rules see and do, what is counted, and rows with intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.routing_table import RoutingTable
from env.trace import Trace
from env.trace_table import trace_table
from experiments.studies import feedback, planning
from experiments.studies.planning import BUDGET, TRAFFIC, budget_rules, informed, made, play, traffic_rules
from tests.conftest import make_trace, needs


@pytest.fixture
def small(monkeypatch: Any) -> Trace:
    """A trace, and windows that fit its parts."""
    monkeypatch.setattr(planning, "WINDOW", 6)
    own = {env_id: {**settings, "window": 6} for env_id, settings in planning.SETTINGS.items()}
    monkeypatch.setattr(planning, "SETTINGS", own)
    monkeypatch.setattr(planning, "_PPO", {**planning._PPO, "n_steps": 6, "batch_size": 48})
    return make_trace(60)


def known(n: int = 24) -> RoutingTable:
    """A cheap arm that scores 0.5 everywhere, and a dear and slow one that is worth it on every other query."""
    score = np.array([[0.5, 1.0], [0.5, 0.6]] * (n // 2), dtype=np.float32)
    cost, latency = np.tile([0.1, 1.0], (n, 1)), np.tile([0.1, 1.0], (n, 1))
    seen = np.hstack([score, cost, latency])
    return RoutingTable.of(Contexts.of(seen, 2, latency_weight=0.05), Outcomes.of(score, cost, latency))


def test_a_price_of_money_beats_being_greedy(small: Trace) -> None:
    table = replace(known(), latency_weight=np.zeros(24))
    env = made(BUDGET, table)
    reached = {name: float(np.nanmean(play(env, rule)["score"])) for name, rule in budget_rules(table).items()}
    assert reached["greedy"] < reached["a price that follows the budget"]


def test_who_sees_the_wait_waits_less(small: Trace) -> None:
    table = known()
    env = made(TRAFFIC, table)
    waited = {name: float(np.nanmean(play(env, rule)["latency_s"])) for name, rule in traffic_rules(table).items()}
    assert waited["greedy, with the wait"] <= waited["greedy, blind to queues"]


def test_rewards_by_query_add_up_to_those_of_the_environment(small: Trace) -> None:
    table, total, steps = known(), 0.0, 0
    env = made(TRAFFIC, table)
    rule = traffic_rules(table)["greedy, with the wait"]
    told = play(env, rule)
    for window in range(planning._PASSES * (len(table) // 6)):
        seen, _ = env.reset(seed=0 if window == 0 else None)
        over = False
        while not over:
            seen, reward, over, _, _ = env.step(rule(seen, env.action_masks()))
            total, steps = total + reward, steps + 1
    assert np.nanmean(told["reward"]) == pytest.approx(total / steps)


def test_training_queries_are_expected_by_those_of_other_folds(small: Trace) -> None:
    train_on, test_on = (trace_table(small, part=part) for part in ("train", "test"))
    own, unseen = informed(train_on, test_on)
    assert own.observations.shape == (len(train_on), 12) and unseen.observations.shape == (len(test_on), 12)
    again = informed(train_on, train_on)[1]  # expected by itself
    error = [np.nanmean(np.abs(one.observations[:, :4] - train_on.score)) for one in (own, again)]
    assert error[0] > error[1]


def test_the_planning_study_has_a_row_for_each_with_intervals(small: Trace) -> None:
    needs("agents", "training MaskablePPO")
    rows = planning.study(small, steps=96, seeds=1)
    assert len(rows) == 5 + 4
    for row in rows:
        assert row["reward_low"] <= row["reward"] <= row["reward_high"]
        assert row["who"] != planning.GREEDY[row["env"]] or row["gain"] == 0
    assert "| PPO, plans |" in planning.markdown(rows)


def test_the_feedback_study_tells_gains_over_one_pass_of_linucb() -> None:
    learners = {name: one for name, one in feedback.LEARNERS.items() if not name.startswith("ppo")}
    rows = feedback.study([make_trace(120)], seeds=2, learners=learners)
    assert [row["who"] for row in rows] == list(learners)
    own = {row["who"]: row for row in rows}
    assert own[feedback.REFERENCE]["gain"] == 0
    every = own["ridge, every outcome"]
    assert every["gain"] == pytest.approx(every["reward"] - own[feedback.REFERENCE]["reward"])
    assert "| ridge, every outcome |" in feedback.markdown(rows)
