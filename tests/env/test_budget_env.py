"""``pointsman/RoutingBudget-v0``: a window of queries and the money for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from env import scenarios
from env.budget_env import RoutingBudgetEnv
from env.checkers import check_trace_env, check_vector_env
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.features import Hashing
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
from env.trace import Trace

HASHING = {"kind": "hashing", "n_features": 8}
PRICES = np.array([0.0, 0.01, 0.05])


def table(n: int = 40, seed: int = 5, price: np.ndarray = PRICES, **kwargs: Any) -> RoutingTable:
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.5, 1.5, (n, 1))
    outcomes = Outcomes.of(rng.random((n, len(price))), price * spread / spread.mean(), rng.random((n, len(price))))
    return RoutingTable.of(Contexts.of(rng.uniform(-1, 1, (n, 4)), len(price)), outcomes, **kwargs)


def play(env: RoutingBudgetEnv, seed: int | None, arms: Any) -> list[tuple[Any, ...]]:
    """An episode: ``(observation, question, arm, reward, info after)`` a step."""
    observation, asked = env.reset(seed=seed)
    played, over = [], False
    while not over:
        arm = int(arms(asked["action_mask"]))
        following, reward, over, truncated, info = env.step(arm)
        assert truncated is False
        played.append((observation, asked, arm, reward, info))
        observation, asked = following, info
    return played


def dearest(mask: np.ndarray) -> int:
    return int(np.flatnonzero(mask)[-1])


@pytest.mark.parametrize("name", scenarios.names())
@pytest.mark.parametrize("trace", ["small_trace", "gappy_trace"])
def test_the_checkers_pass_under_every_scenario(name: str, trace: str, request: pytest.FixtureRequest) -> None:
    env = gym.make(
        "pointsman/RoutingBudget-v0",
        trace=request.getfixturevalue(trace),
        featuriser=HASHING,
        scenario=name,
        window=10,
        budget=0.1,
    )
    check_env(env.unwrapped, skip_render_check=True)
    check_trace_env(env)


@pytest.mark.parametrize("name", ["stationary", "outage", "delayed_feedback", "missing_feedback"])
def test_its_vector_is_the_single_ones_side_by_side(name: str, gappy_trace: Trace) -> None:
    settings_of: dict[str, Any] = {"trace": gappy_trace, "featuriser": Hashing(8), "scenario": name, "window": 9}
    envs = gym.make_vec("pointsman/RoutingBudget-v0", num_envs=3, budget=0.05, **settings_of)
    check_vector_env(envs)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    one, other = (env.unwrapped.table for env in envs.unwrapped.envs[:2])  # type: ignore[attr-defined]  # the environments of a SyncVectorEnv
    assert one is other, "they share their arrays"
    assert envs.step(np.zeros(3, dtype=np.int64))[4]["score"].dtype == np.float64


def test_the_id_is_made_from_json(trace_file: Path) -> None:
    env = gym.make("pointsman/RoutingBudget-v0", trace=str(trace_file), featuriser=HASHING, window=5, budget=0.5)
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert np.array_equal(env.reset(seed=4)[0], again.reset(seed=4)[0])


def test_an_episode_is_a_window_and_the_next_one_goes_on() -> None:
    env = RoutingBudgetEnv(table(), window=10, budget=1.0)
    asked = []
    for episode in range(4):
        played = play(env, 0 if episode == 0 else None, lambda mask: 0)
        assert len(played) == 10
        assert [asked["queries_left"] for _, asked, *_ in played] == list(range(10, 0, -1))
        asked += [question["query_id"] for _, question, *_ in played]
    assert len(set(asked)) == 40, "four windows are one pass"


def test_the_reward_is_the_score_and_the_money_is_counted() -> None:
    env = RoutingBudgetEnv(table(), window=20, budget_usd=0.4)
    spent = 0.0
    for _, asked, _, reward, info in play(env, 3, dearest):
        assert reward == pytest.approx(info["score"], abs=1e-6)
        assert asked["spent_usd"] == pytest.approx(spent)
        spent += info["cost_usd"]
        assert info["spent_usd"] == pytest.approx(spent)
        assert info["left_usd"] == pytest.approx(max(0.4 - spent, 0))
        assert info["overspent_usd"] == pytest.approx(max(spent - 0.4, 0))


def test_latency_is_charged_where_asked(small_trace: Trace) -> None:
    env = RoutingBudgetEnv(small_trace, featuriser=Hashing(8), part="all", window=20, latency_weight=0.2)
    for *_, reward, info in play(env, 3, dearest):
        assert reward == pytest.approx(info["score"] - 0.2 * info["latency_s"], abs=1e-6)


def test_arms_that_cost_more_than_is_left_are_closed_and_free_ones_never() -> None:
    env = RoutingBudgetEnv(table(), window=40, budget_usd=0.3)
    prices = env.price_usd
    assert prices == pytest.approx(PRICES, rel=0.01)
    played = play(env, 0, dearest)
    for _, asked, *_ in played:
        assert np.array_equal(asked["action_mask"] == 1, prices <= asked["left_usd"])
    assert not played[-1][1]["action_mask"][1:].any()
    assert len(played) == 40, "the free arm answers to the end"


def test_the_call_that_overshoots_is_paid_in_full_and_stated() -> None:
    env = RoutingBudgetEnv(table(), window=10, budget_usd=0.06)
    ends = [play(env, seed, dearest)[-1][4] for seed in range(10)]
    assert all(end["spent_usd"] == pytest.approx(0.06 - end["left_usd"] + end["overspent_usd"]) for end in ends)
    assert 0 < max(end["overspent_usd"] for end in ends) < PRICES.max()


def test_a_closed_arm_is_refused_and_the_query_is_over() -> None:
    env = RoutingBudgetEnv(table(masked_reward=-2.5), window=40, budget_usd=0.06)
    refused = [step for step in play(env, 0, lambda mask: 2) if step[4]["refused"]]
    assert len(refused) >= 38
    for _, asked, _, reward, info in refused:
        assert reward == -2.5
        assert info["score"] is info["cost_usd"] is info["latency_s"] is None
        assert info["spent_usd"] == asked["spent_usd"]


def test_without_money_the_episode_ends_and_says_how_many_went_unanswered() -> None:
    env = RoutingBudgetEnv(table(price=np.array([0.01, 0.05])), window=30, budget_usd=0.26)
    played = play(env, 0, dearest)
    last = played[-1][4]
    assert len(played) < 30
    assert (last["queries_left"], last["unanswered"]) == (0, 30 - len(played))
    assert last["left_usd"] < 0.02
    with pytest.raises(ResetNeeded, match="opens the next one"):
        env.step(0)
    first = env.reset()[1]
    assert first["step"] == 30, "the next window begins where this one would have ended"
    assert (first["spent_usd"], first["left_usd"]) == (0.0, pytest.approx(0.26))


def test_a_query_that_only_dear_arms_can_take_goes_unanswered_and_the_next_is_asked() -> None:
    score = np.full((20, 2), 0.5)
    score[10:, 0] = np.nan
    outcomes = Outcomes.of(score, np.where(np.isnan(score), np.nan, [0.01, 1.0]))
    env = RoutingBudgetEnv(RoutingTable.of(Contexts.of(np.zeros((20, 1)), 2), outcomes), window=20, budget_usd=0.5)
    played = play(env, 1, lambda mask: 0)
    assert len(played) == 10
    assert all(asked["action_mask"].tolist() == [1, 0] for _, asked, *_ in played)
    assert played[-1][4]["unanswered"] == 10


def test_a_budget_that_buys_nothing_is_told() -> None:
    score = np.full((6, 2), 0.5)
    score[:, 0] = np.where(np.arange(6) < 1, 0.5, np.nan)
    outcomes = Outcomes.of(score, np.where(np.isnan(score), np.nan, [0.01, 1.0]))
    made = RoutingTable.of(Contexts.of(np.zeros((6, 1)), 2), outcomes, accept_gaps=True)
    env = RoutingBudgetEnv(made, window=2, budget_usd=0.5)
    assert env.reset(seed=0)[1]["action_mask"].tolist() == [1, 0], "windows without any such query are passed over"
    retired = [{"kind": "outage", "arm": "0", "at": 0, "until": None}]
    with pytest.raises(BadInput, match=r"\$0.5 pays for no arm that is open"):
        RoutingBudgetEnv(table(price=np.array([0.01, 1.0])), window=2, budget_usd=0.5, scenario=retired).reset(seed=0)


def test_the_agent_sees_what_is_left_of_budget_and_window() -> None:
    env = RoutingBudgetEnv(table(), window=8, budget_usd=0.1)
    assert env.observation_space.shape == (6,)
    played = play(env, 0, dearest)
    for observation, asked, *_ in played:
        assert observation in env.observation_space
        assert observation[-2] == pytest.approx(2 * asked["left_usd"] / 0.1 - 1, abs=1e-6)
        assert observation[-1] == pytest.approx(2 * asked["queries_left"] / 8 - 1, abs=1e-6)
    assert played[0][0][-2:].tolist() == [1.0, 1.0]


def test_a_share_lies_between_always_the_cheapest_and_always_the_dearest(small_trace: Trace) -> None:
    train = small_trace.split(0).train
    means = small_trace.cost_usd[train].mean(axis=0, dtype=np.float64)
    quarter = 0.75 * means.min() + 0.25 * means.max()
    for part in ("train", "test"):
        for share, per_query in ((0.0, means.min()), (1.0, means.max()), (None, quarter)):
            env = RoutingBudgetEnv(small_trace, part=part, featuriser=Hashing(8), window=12, budget=share)
            assert env.budget_usd == pytest.approx(12 * per_query, rel=1e-5), "list prices are the training part's"


def test_the_stream_is_that_of_the_bandit_whatever_is_spent() -> None:
    scenario = "quality_drop"
    bandit = RoutingEnv(table(), scenario=scenario)
    frugal, lavish = (RoutingBudgetEnv(table(), window=10, budget=0.2, scenario=scenario) for _ in range(2))
    asked = [bandit.reset(seed=7 if step == 0 else None)[1]["query_id"] for step in range(40)]
    for episode in range(4):
        seed = 7 if episode == 0 else None
        one, other = play(frugal, seed, lambda mask: 0), play(lavish, seed, dearest)
        here = asked[10 * episode : 10 * episode + 10]
        assert [question["query_id"] for _, question, *_ in one] == here
        assert [question["query_id"] for _, question, *_ in other] == here
    assert frugal.stream_hash == lavish.stream_hash == bandit.stream_hash


@given(seed=st.integers(0, 1000), scenario=st.sampled_from(scenarios.names()), gaps=st.sampled_from([0.0, 0.3]))
@settings(max_examples=60, deadline=None)
def test_outcomes_of_arms_not_chosen_do_not_reach_the_agent(seed: int, scenario: str, gaps: float) -> None:
    """Two worlds that differ in nothing but outcomes that were not chosen look the same, to the last bit."""
    rng = np.random.default_rng(seed)
    n, n_arms = 8, 3
    features = rng.uniform(-1, 1, (n, 4))
    score, cost, latency = rng.random((3, n, n_arms))
    score[rng.random(score.shape) < gaps] = np.nan
    score[:, 0] = 0.5
    price = np.nanmean(cost, axis=0)
    arm_of = rng.integers(n_arms, size=n)
    # Who is best or dearest, and so whom an event hits, must be the same in both worlds, and so is the mean score
    # that stands in for judgements to come: outcomes not chosen change places within their arm.
    other = [values.copy() for values in (score, cost, latency)]
    for arm in range(n_arms):
        free = np.flatnonzero((arm_of != arm) & ~np.isnan(score[:, arm]))
        moved = rng.permutation(free)
        for values, before in zip(other, (score, cost, latency), strict=True):
            values[free, arm] = before[moved, arm]

    def world(columns: Any) -> RoutingBudgetEnv:
        contexts = Contexts.of(features, n_arms, task=np.array(["a", "b"] * (n // 2), dtype=object), latency_weight=0.1)
        made = RoutingTable.of(contexts, Outcomes.of(*columns), accept_gaps=True)
        object.__setattr__(made, "price_usd", price)
        return RoutingBudgetEnv(made, window=4, budget_usd=float(price.min() * 6), scenario=scenario)

    worlds = [world(columns) for columns in ((score, cost, latency), other)]
    for episode in range(4):
        told = []
        for env in worlds:
            chosen: list[Any] = []
            observation, asked = env.reset(seed=seed if episode == 0 else None)
            over, seen = False, [repr((observation.tolist(), asked))]
            while not over:
                arm = int(arm_of[int(asked["query_id"])])
                observation, reward, over, _, asked = env.step(arm)
                seen.append(repr((observation.tolist(), reward, asked)))
                chosen.append(arm)
            told.append(seen)
        assert told[0] == told[1]


@pytest.mark.parametrize(
    ("settings_of", "message"),
    [
        ({"window": 0}, "window is a number of queries"),
        ({"window": 2.5}, "window is a number of queries"),
        ({"budget": 1.5}, "budget is a share.*dollars are `budget_usd`"),
        ({"budget": 0.5, "budget_usd": 1.0}, "not both"),
        ({"budget_usd": -1.0}, "finite and 0 or more"),
        ({"budget_usd": float("nan")}, "finite and 0 or more"),
        ({"budget_usd": 1e-9}, "no call can be paid"),
        ({"cost_weight": 1.0}, "leave `cost_weight` out"),
        ({"cost_weight": "observe"}, "leave `cost_weight` out"),
        ({"render_mode": "human"}, "render_mode `human`"),
        ({"scenario": "outtage"}, "did you mean `outage`"),
    ],
)
def test_bad_arguments_are_told_with_the_mend(small_trace: Trace, settings_of: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        RoutingBudgetEnv(small_trace, featuriser=Hashing(8), **settings_of)


def test_every_answer_needs_a_recorded_cost(small_trace: Trace) -> None:
    cost = small_trace.cost_usd.copy()
    cost[3, 2] = np.nan
    partly = replace(small_trace, cost_usd=cost)
    with pytest.raises(BadInput, match=r"arm `large` has answers without a recorded cost.*unobserved='model'"):
        RoutingBudgetEnv(partly, part="all", featuriser=Hashing(8))
    RoutingBudgetEnv(partly, part="all", featuriser=Hashing(8), unobserved="model").reset(seed=0)
    with pytest.raises(BadInput, match="all arms cost the same"):
        RoutingBudgetEnv(table(price=np.array([0.5, 0.5])))


def test_a_stated_propensity_is_in_the_info_of_that_step_only() -> None:
    env = RoutingBudgetEnv(table(), window=5, budget=1.0)
    env.reset(seed=0)
    env.declare_propensity(0.25)
    assert env.step(0)[4]["propensity"] == 0.25
    assert env.step(0)[4]["propensity"] is None


def test_judgements_that_come_late_come_with_later_answers() -> None:
    late = [{"kind": "delayed_feedback", "queries": 3}]
    env = RoutingBudgetEnv(table(), window=10, budget=1.0, scenario=late)
    played = play(env, 0, lambda mask: 0)
    assert all(info["score"] is None for *_, info in played)
    assert [len(info["judgements"]) for *_, info in played] == [0] * 3 + [1] * 7
    assert played[3][4]["judgements"][0]["query_id"] == played[0][1]["query_id"]


def test_a_budget_on_real_data(data_file: Callable[[str], Path]) -> None:
    trace = str(data_file("routerbench_5shot_subset.parquet"))
    env = RoutingBudgetEnv(trace, featuriser=HASHING, window=64, budget=0.1, latency_weight=0.0)
    check_trace_env(env, steps=20)
    last = play(env, 0, lambda mask: np.where(mask == 1, env.price_usd, -1).argmax())[-1][4]
    assert last["overspent_usd"] <= env.price_usd.max() * 10
    assert last["spent_usd"] >= env.budget_usd - env.price_usd.max()
