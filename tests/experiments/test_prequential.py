"""Prequential evaluation: judged before it is told, regret against a named arm, and recovery from changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.features import Featuriser, Hashing
from env.routing_table import RoutingTable
from env.stream import QueryStream
from env.trace import Trace
from experiments.plot import learning
from experiments.prequential import band, even_price, prequential, replayed, rewards
from routers import make
from tests.conftest import needs


def stream_of(scenario: object = None, n: int = 120) -> tuple[RoutingTable, QueryStream]:
    rng = np.random.default_rng(0)
    outcomes = Outcomes.of(rng.random((n, 3)), np.tile([0.001, 0.002, 0.003], (n, 1)))
    table = RoutingTable.of(Contexts.of(rng.uniform(-1, 1, (n, 4)), 3), outcomes)
    stream = QueryStream(table, scenario=scenario)  # type: ignore[arg-type]  # names, as people give them
    stream.rewind(np.random.default_rng(1))
    return table, stream


@pytest.mark.parametrize("name", ["ucb1", "linucb", "linear_thompson"])
def test_what_is_told_at_once_is_learned_as_replay_learns_it(name: str) -> None:
    table, stream = stream_of()
    batch = stream.take(100)
    late = batch._replace(delay=np.where(np.arange(100) == 99, 1, 0))  # one judgement too late for any decision
    features = table.observations
    at_once, one_by_one = (replayed(make(name, 3, 4), features, one, 1.0, 0) for one in (batch, late))
    assert at_once.tolist() == one_by_one.tolist()


def test_what_is_never_told_is_never_learned() -> None:
    table, stream = stream_of("delayed_feedback")
    batch = stream.take(100)
    never = batch._replace(delay=np.full(100, 1_000))
    blank = replayed(make("linucb", 3, 4), table.observations, never, 0.0, 0)
    untaught = make("linucb", 3, 4).act(Contexts.of(table.observations[batch.rows], 3), np.random.default_rng(0))
    assert blank.tolist() == untaught.arms.tolist()


def test_regret_is_against_the_best_arm_between_changes(trace: Trace, featuriser: Featuriser) -> None:
    found = prequential(trace, ["ucb1"], seeds=2, scenario="quality_drop", featuriser=featuriser, cost_weight=0.0)
    (change,) = found.changes
    assert change == found.best_arm.shape[1] // 2
    course = found.courses[0]
    for stretch in (slice(0, change), slice(change, None)):
        assert (found.best_arm[:, stretch].sum(axis=1) >= found.chance[:, stretch].sum(axis=1)).all()
    assert (found.best_recorded >= course.reward).all()
    assert np.allclose(found.regret(course.reward)[:, 0], found.best_arm[:, 0] - course.reward[:, 0])
    assert (found.regret(course.reward)[:, -1] < found.regret(found.chance)[:, -1]).all(), "it learned something"
    assert course.reward.tolist() == course.score.tolist(), "money has no price here"
    (recovery,) = course.recoveries
    assert recovery.at == change and recovery.loss > 0
    assert recovery.rounds.low is not None and recovery.rounds.low <= recovery.rounds.value


def test_a_router_that_reads_prompts_gets_below_the_best_arm(trace: Trace) -> None:
    found = prequential(trace, ["linucb", "ucb1"], seeds=2, featuriser=Hashing(32))
    reads, ignores = (found.regret(course.reward)[:, -1].mean() for course in found.courses)
    assert reads < -10
    assert reads < ignores - 10


def test_the_same_call_gives_the_same_course(trace: Trace, featuriser: Featuriser) -> None:
    once, twice = (prequential(trace, ["linear_thompson"], seeds=1, featuriser=featuriser) for _ in range(2))
    assert once.courses[0].arms.tolist() == twice.courses[0].arms.tolist()


def test_at_the_even_price_the_best_and_the_cheapest_are_worth_the_same(trace: Trace, costless_trace: Trace) -> None:
    worth = trace.score.mean(axis=0) - even_price(trace) * trace.cost_usd.mean(axis=0)
    assert worth[0] == pytest.approx(worth[2], rel=1e-4)
    assert even_price(costless_trace) == 0


def test_a_closed_arm_is_worth_less_than_any(trace: Trace) -> None:
    _, stream = stream_of([{"kind": "outage", "arm": "1", "at": 10, "until": 20}])
    worth = rewards(stream.take(40), 100.0)
    assert (worth[10:20, 1] < worth[10:20, [0, 2]].min()).all()
    assert np.isfinite(worth).all()


def test_a_stream_may_be_shorter_but_not_too_short(trace: Trace, featuriser: Featuriser) -> None:
    assert prequential(trace, ["ucb1"], seeds=1, rounds=80, featuriser=featuriser).best_arm.shape == (1, 80)
    with pytest.raises(BadInput, match="too short to learn from"):
        prequential(trace, ["ucb1"], seeds=1, rounds=10, featuriser=featuriser)
    with pytest.raises(BadInput, match="`ridge` does not learn online"):
        prequential(trace, ["ridge"], seeds=1)


def test_queries_with_gaps_are_left_out_of_streams(trace: Trace, featuriser: Featuriser) -> None:
    score = trace.score.copy()
    score[::3, 0] = np.nan
    found = prequential(replace(trace, score=score), ["ucb1"], seeds=1, featuriser=featuriser)
    assert found.best_arm.shape[1] < 300
    assert np.isfinite(found.best_recorded).all()


def test_a_band_holds_its_mean() -> None:
    mean, low, high = band(np.random.default_rng(0).normal(size=(10, 50)).cumsum(axis=1))
    assert (low <= mean).all() and (mean <= high).all() and (low < high).all()


def test_the_picture_names_routers_reference_and_changes(trace: Trace, featuriser: Featuriser) -> None:
    needs("train", "drawing")
    found = prequential(trace, ["ucb1", "linucb"], seeds=2, scenario="outage", featuriser=featuriser)
    figure = learning(found)
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {"ucb1", "linucb", "choosing at random", "best single model in hindsight"}
    regret, reward = figure.axes
    assert "score points" in regret.get_ylabel() and "requests" in regret.get_xlabel()
    assert "score points" in reward.get_ylabel()
    dotted = [line for line in regret.get_lines() if len(set(line.get_xdata())) == 1]
    assert [line.get_xdata()[0] for line in dotted] == list(found.changes)
