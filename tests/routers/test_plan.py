"""The contract of plans: several calls for one request, on recorded answers and one request at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import routers
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.trace_io import from_rows
from routers.attempts import Attempt, Attempts
from routers.base import RouterState
from routers.bundle import read_bundle, write_bundle
from routers.plan import Plan, follow, kind_of, make_plan, plan_class, plan_names, teach

ARMS, FEATURES = 3, 2
SETTINGS: dict[str, dict[str, Any]] = {
    "direct": {"router": "ridge"},
    "parallel": {"arms": [0, 2]},
    "switched": {"arm": 1, "warm_up": 0, "probe": 0.3},
    "cascade": {},
}
every_plan = pytest.mark.parametrize("name", SETTINGS)


def recorded(n: int = 240, seed: int = 0) -> tuple[Contexts, Attempts]:
    """The dearer the arm, the more often it is right; who is right is surer, and all who are right say the same."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, FEATURES)).astype(np.float32)
    right = rng.random((n, ARMS)) < np.array([0.4, 0.6, 0.8]) + 0.1 * features[:, :1]
    wrong = rng.integers(10, 99, size=(n, ARMS)).astype(str)
    attempts = Attempts(
        np.array([f"What number is row {row}?" for row in range(n)], dtype=object),
        np.zeros((n, ARMS), dtype=np.int64),
        np.where(right, "7", wrong).astype(object),
        np.where(right, -0.2, -1.5).astype(np.float32) + rng.normal(0, 0.4, (n, ARMS)).astype(np.float32),
        right.astype(np.float32),
        np.broadcast_to(np.array([0.001, 0.004, 0.016], dtype=np.float32), (n, ARMS)),
        np.broadcast_to(np.array([0.1, 0.3, 0.7], dtype=np.float32), (n, ARMS)),
    )
    return Contexts.of(features, ARMS, cost_weight=20.0), attempts


def made(name: str) -> Plan:
    plan = plan_class(name)(ARMS, FEATURES, **SETTINGS[name])
    contexts, attempts = recorded()
    if name in ("direct", "cascade"):
        plan.fit(contexts, attempts)
    plan.update(contexts, attempts)
    return plan


def masked(contexts: Contexts, seed: int = 3) -> Contexts:
    rng = np.random.default_rng(seed)
    mask = rng.random((len(contexts), ARMS)) < 0.6
    mask[np.arange(len(contexts)), rng.integers(ARMS, size=len(contexts))] = True
    return Contexts.of(contexts.features, ARMS, cost_weight=contexts.cost_weight, mask=mask)


@every_plan
def test_a_mask_is_never_violated_and_whoever_is_returned_was_asked(name: str) -> None:
    contexts, attempts = recorded(seed=1)
    contexts = masked(contexts)
    got = follow(made(name), contexts, attempts, np.random.default_rng(0))
    assert not (got.attempts.asked & ~contexts.mask).any()
    assert got.attempts.asked[np.arange(len(contexts)), got.arms].all()
    assert ((got.propensities > 0) & (got.propensities <= 1)).all()


@every_plan
def test_requests_one_at_a_time_are_answered_as_the_batch(name: str) -> None:
    contexts, attempts = recorded(40, seed=2)
    batch = follow(made(name), contexts, attempts, np.random.default_rng(0))
    plan, rng = made(name), np.random.default_rng(0)
    for row in range(len(contexts)):
        one = follow(plan, contexts.take([row]), attempts.take([row]), rng)
        assert one.arms[0] == batch.arms[row]
        assert (one.attempts.round[0] == batch.attempts.round[row]).all()
        assert one.propensities[0] == batch.propensities[row]


@every_plan
def test_saved_as_a_bundle_and_loaded_it_does_the_same(name: str, tmp_path: Path) -> None:
    plan = made(name)
    state = plan.state()
    described = json.loads(json.dumps({"plan": plan.name, "config": state.config}, allow_nan=False))
    write_bundle(tmp_path / "plan", described, state.arrays)
    document, arrays = read_bundle(tmp_path / "plan")
    loaded = plan_class(document["plan"]).from_state(RouterState(document["config"], arrays))
    contexts, attempts = recorded(seed=4)
    before, after = (follow(one, contexts, attempts, np.random.default_rng(1)) for one in (plan, loaded))
    assert (before.arms == after.arms).all() and (before.attempts.round == after.attempts.round).all()


@every_plan
def test_scores_are_not_seen_before_the_answer_is_returned(name: str) -> None:
    contexts, attempts = recorded(seed=5)
    flipped = Attempts(
        attempts.prompts, attempts.round, attempts.response, attempts.logprob, 1 - attempts.score,
        attempts.cost_usd, attempts.latency_s,
    )  # fmt: skip
    one, other = (follow(made(name), contexts, told, np.random.default_rng(0)) for told in (attempts, flipped))
    assert (one.arms == other.arms).all()


@every_plan
def test_while_calls_fail_it_goes_on_until_somebody_answers(name: str) -> None:
    """As the runtime drives it: a failed call has no response."""
    plan, (contexts, _) = made(name), recorded(1)
    rng = np.random.default_rng(0)
    calls, tried = plan.first(contexts, rng).calls, list[Attempt]()
    for number in range(ARMS):
        arms = np.flatnonzero(calls[0])
        left = ARMS - len(tried)
        # All fail but the last arm there is.
        tried += [Attempt(int(arm), "7" if left == 1 else None, round=number) for arm in arms]
        so_far = Attempts.of(tried, "What number?", ARMS)
        calls = plan.next(contexts, so_far)
        if so_far.answered.any() or so_far.asked.all():
            break
        assert calls.any(), "it stopped although nobody had answered"
    assert so_far.asked.all()
    if so_far.answered.any():
        assert so_far.answered[0, plan.answer(contexts, so_far)[0]]


def test_cost_is_the_sum_and_latency_runs_from_end_to_end() -> None:
    """Two at once, then one: the slower of the two, and the third after it."""
    calls = [
        Attempt(0, "a", cost_usd=1.0, latency_s=1.0, round=0),
        Attempt(1, "b", cost_usd=2.0, latency_s=3.0, round=0),
        Attempt(2, "c", cost_usd=4.0, latency_s=5.0, round=1),
    ]
    attempts = Attempts.of(calls, "?", n_arms=4)
    assert attempts.total_cost_usd.tolist() == [7.0]
    assert attempts.end_to_end_s.tolist() == [8.0]


def test_what_a_call_cost_that_is_not_known_leaves_the_sum_unknown() -> None:
    attempts = Attempts.of([Attempt(0, "a", cost_usd=1.0), Attempt(1, None)], "?", n_arms=2)
    assert np.isnan(attempts.total_cost_usd[0]) and np.isnan(attempts.end_to_end_s[0])


def test_a_trace_that_keeps_responses_can_be_followed() -> None:
    rows = [
        {"query_id": "q", "prompt": "2 + 2?", "model": model, "score": score, "response": text, "logprob": -0.5}
        for model, score, text in (("a", 0.0, "5"), ("b", 1.0, "4"))
    ]
    attempts = Attempts.recorded(from_rows(rows))
    assert attempts.answered.all() and attempts.response.tolist() == [["5", "4"]]
    for row in rows:
        del row["response"]
    with pytest.raises(BadInput, match="response"):
        Attempts.recorded(from_rows(rows))


@every_plan
def test_a_call_without_a_recorded_answer_has_failed_and_is_not_made_again(name: str) -> None:
    contexts, attempts = recorded(60, seed=6)
    failed = np.random.default_rng(0).random((60, ARMS)) < 0.5
    failed[failed.all(axis=1), 0] = False
    got = follow(made(name), contexts, attempts.only(~failed), np.random.default_rng(0))
    asked = got.attempts.asked
    assert (asked & failed).any() and not (got.attempts.answered & failed).any()
    assert got.attempts.answered[np.arange(60), got.arms].all()


def test_a_plan_that_calls_twice_is_told() -> None:
    class Stubborn(plan_class("parallel")):  # type: ignore[misc]  # a base that is looked up by name
        def next(self, contexts: Contexts, attempts: Attempts) -> Any:
            return contexts.mask

    contexts, attempts = recorded(3)
    with pytest.raises(ValueError, match="twice"):
        follow(Stubborn(ARMS, FEATURES), contexts, attempts, np.random.default_rng(0))


def test_a_router_is_taught_every_scored_call() -> None:
    contexts, attempts = recorded(50)
    taught, told = (routers.make("linucb", ARMS, FEATURES) for _ in range(2))
    teach(taught, contexts, attempts.only(np.tile([True, False, True], (50, 1))))
    for arm in (0, 2):
        arms = np.full(50, arm)
        told.update(
            contexts, arms, Outcomes(attempts.score, attempts.cost_usd, attempts.latency_s).at(arms), np.ones(50)
        )
    for name, learned in told.state().arrays.items():
        assert np.array_equal(learned, taught.state().arrays[name])


def test_names_of_plans_and_of_routers_lead_to_their_classes() -> None:
    assert kind_of("cascade") is plan_class("cascade") and kind_of("ridge") is routers.router_class("ridge")
    assert not set(plan_names()) & set(routers.names())
    with pytest.raises(BadInput, match="`cascade` is a plan"):
        routers.make("cascade", ARMS, FEATURES)
    with pytest.raises(BadInput, match="alhpa"):
        make_plan("cascade", ARMS, FEATURES, alhpa=1.0)


def test_an_unknown_plan_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="cascade"):
        plan_class("cascad")
