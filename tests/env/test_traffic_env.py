"""``pointsman/RoutingTraffic-v0``: waiting costs what it should, nothing of other arms is told, the stream is given."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from env import scenarios
from env.arrivals import Arrivals
from env.checkers import check_trace_env, check_vector_env
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.features import Hashing
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
from env.trace import Trace
from env.traffic import ServiceTime
from env.traffic_env import RoutingTrafficEnv, rate_of
from tests.conftest import make_trace, needs

ID = "pointsman/RoutingTraffic-v0"
N, K = 30, 3


def table(latency_weight: float = 0.05, change: Any = None, **kwargs: Any) -> RoutingTable:
    rng = np.random.default_rng(5)
    score, cost, latency = rng.random((N, K)), rng.random((N, K)), 0.2 + rng.random((N, K))
    if change is not None:
        score, cost, latency = (np.where(change, 1 - column, column) for column in (score, cost, latency))
    contexts = Contexts.of(rng.uniform(-1, 1, (N, 4)), K, latency_weight=latency_weight)
    return RoutingTable.of(contexts, Outcomes.of(score, cost, np.abs(latency)), **kwargs)


def play(env: Any, choose: Any, episodes: int = 1, seed: int | None = 0) -> list[tuple[Any, ...]]:
    """Every step of some episodes: what was seen before it, the arm, and what came of it."""
    played = []
    for episode in range(episodes):
        observation, info = env.reset(seed=seed if episode == 0 else None)
        over = False
        while not over:
            arm = choose(info)
            answer, reward, over, truncated, next_info = env.step(arm)
            assert truncated is False
            played.append((observation, info, arm, answer, reward, next_info))
            observation, info = answer, next_info
    return played


def at_random(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return lambda info: int(rng.choice(np.flatnonzero(info["action_mask"])))


SETTINGS = [
    {},
    {"arrivals": "bursty", "utilisation": 1.5, "deadline_s": 1.5},
    {"cost_weight": 0.3, "latency_weight": 0.0, "concurrency": [1, 2, 3, 4], "requests_per_s": 3.0},
    {"cost_weight": "observe", "max_length": 1, "utilisation": 3.0},
    {"arrivals": {"kind": "bursty", "cv": 2.0}, "rate": 5.0, "order": "resample", "part": "all"},
]


@pytest.mark.parametrize("given_settings", SETTINGS)
@pytest.mark.parametrize("name", ["small_trace", "gappy_trace"])
def test_all_checkers_pass(name: str, given_settings: dict[str, Any], request: pytest.FixtureRequest) -> None:
    env = gym.make(ID, trace=request.getfixturevalue(name), window=20, **given_settings)
    check_env(env.unwrapped)
    check_trace_env(env)


@pytest.mark.parametrize("scenario", scenarios.names())
def test_all_checkers_pass_under_every_scenario(scenario: str, small_trace: Trace) -> None:
    made = {"trace": small_trace, "part": "all", "window": 25, "scenario": scenario, "deadline_s": 3.0}
    env = gym.make(ID, **made)
    check_env(env.unwrapped)
    check_trace_env(env)
    check_vector_env(gym.make_vec(ID, num_envs=2, **made))


@pytest.mark.parametrize("given_settings", SETTINGS)
def test_sb3s_checker_passes(given_settings: dict[str, Any], gappy_trace: Trace) -> None:
    needs("train", "Stable-Baselines3")
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    env = gym.make(ID, trace=gappy_trace, window=20, **given_settings)
    sb3_check_env(env.unwrapped)
    sb3_check_env(env)


def test_dqn_and_ppo_run_on_it(small_trace: Trace) -> None:
    needs("train", "Stable-Baselines3")
    from stable_baselines3 import DQN, PPO

    env = gym.make(ID, trace=small_trace, window=16)
    PPO("MlpPolicy", env, n_steps=64, batch_size=32, gamma=1.0, seed=0, device="cpu").learn(128)
    DQN("MlpPolicy", env, learning_starts=32, gamma=1.0, seed=0, device="cpu").learn(128)


@pytest.mark.parametrize("scenario", [None, "slowdown", "outage"])
@pytest.mark.parametrize("deadline_s", [None, 0.9])
def test_rewards_add_up_to_scores_minus_what_was_paid_and_waited(scenario: Any, deadline_s: float | None) -> None:
    made = table(latency_weight=0.3, cost_weight=0.5)
    env = RoutingTrafficEnv(
        made, utilisation=1.4, window=N, deadline_s=deadline_s, max_length=3, requests_per_s=3.0, scenario=scenario
    )
    played = play(env, at_random())
    service_s = env.truth(N).latency_s
    ended = [request for *_, after in played for request in after["completed"]]
    assert sorted(request["step"] for request in ended) == list(range(N))
    expected = 0.0
    for request in ended:
        expected += request["score"] - 0.5 * request["cost_usd"] - 0.3 * request["latency_s"]
        if not request["failed"]:
            took = service_s[request["step"], request["arm"]]
            assert request["latency_s"] == pytest.approx(request["wait_s"] + took)
        else:
            assert request["score"] == 0.0
    assert sum(step[4] for step in played) == pytest.approx(expected)
    assert any(request["failed"] for request in ended) == (deadline_s is not None)


def test_without_queues_it_pays_what_routing_v0_pays() -> None:
    made = table(cost_weight=0.5)
    env = RoutingTrafficEnv(made, rate=0.01, window=N)
    alone = RoutingEnv(made)
    total = sum(step[4] for step in play(env, lambda info: info["step"] % K))
    expected = 0.0
    for step in range(N):
        _, info = alone.reset(seed=0 if step == 0 else None)
        expected += alone.step(info["step"] % K)[1]
    assert total == pytest.approx(expected)


def test_the_first_choice_makes_the_next_one_wait() -> None:
    scores = Outcomes.of(np.ones((4, 2)), latency_s=np.full((4, 2), 10.0))
    made = RoutingTable.of(Contexts.of(np.zeros((4, 1)), 2, latency_weight=0.01), scores)
    env = RoutingTrafficEnv(made, rate=10.0, window=2)
    same = sum(step[4] for step in play(env, lambda info: 0))
    apart = sum(step[4] for step in play(env, lambda info: info["step"]))
    gap = play(env, lambda info: 0)[1][1]["now_s"]
    assert apart - same == pytest.approx(0.01 * (10.0 - gap))


def test_what_is_seen_of_the_queues() -> None:
    scores = Outcomes.of(np.ones((4, 2)), latency_s=np.full((4, 2), 3.0))
    made = RoutingTable.of(Contexts.of(np.full((4, 1), 0.25), 2, latency_weight=0.01), scores)
    arrivals = Arrivals.of([0.0, 1.0, 4.0, 4.5, 5.0])
    env = RoutingTrafficEnv(made, arrivals=arrivals, rate=arrivals.rate, window=5, concurrency=[1, 2], wait_scale_s=3.0)
    for seed in range(50):  # a window begins anywhere in the record; here it should begin where it does
        env.reset(seed=seed)
        rows, infos = zip(*[(step[3].tolist(), step[5]) for step in play(env, lambda info: 0, seed=None)], strict=True)
        if infos[0]["now_s"] == 1.0:
            break
    assert rows[0] == [0.25, 0.0, 0.0, 0.5, 0.0]  # no call has ended: nothing is known of waits
    # Two arrived, the first was answered after 3 s, the third queued behind the second: (1 + 1) * 3 s.
    assert np.allclose(rows[2], [0.25, 6 / 9, 0.0, 2 / 3, 0.0])
    assert infos[2]["expected_wait_s"] == (6.0, 0.0)
    assert rows[-1] == [0.25, 0.0, 0.0, 0.0, 0.0]  # after the last: empty queues


def test_full_queues_are_masked_and_refuse() -> None:
    env = RoutingTrafficEnv(table(), rate=100.0, window=10, max_length=1)
    env.reset(seed=0)
    rewards, infos = zip(*[env.step(0)[1::3] for _ in range(3)], strict=True)
    assert [info["action_mask"].tolist() for info in infos] == [[1, 1, 1], [0, 1, 1], [0, 1, 1]]
    assert not infos[1]["refused"] and infos[2]["refused"]
    (end,) = infos[2]["completed"]
    assert (end["step"], end["failed"], end["score"], end["cost_usd"]) == (2, True, 0.0, 0.0)
    assert rewards[2] > -0.1  # nothing but the time of the other two
    assert env.action_masks().tolist() == [False, True, True]


def test_where_all_queues_are_full_none_is_masked_and_all_fail() -> None:
    env = RoutingTrafficEnv(table(), rate=1000.0, window=10, max_length=0)
    _, info = env.reset(seed=0)
    for arm in range(K):
        _, _, _, _, info = env.step(arm)
    assert info["action_mask"].tolist() == [1, 1, 1]
    _, _, _, _, info = env.step(2)
    assert not info["refused"] and info["score"] is None and info["completed"][-1]["failed"]


def test_a_masked_arm_is_not_called(gappy_trace: Trace) -> None:
    env = RoutingTrafficEnv(gappy_trace, window=30, masked_reward=-7.0, latency_weight=0.0)
    masked = lambda info: int(np.argmin(info["action_mask"]))  # noqa: E731 - one line is clearer here
    for _, info, arm, _, reward, after in play(env, masked):
        assert after["refused"] == (not info["action_mask"][arm])
        assert (reward == -7.0) == after["refused"]


def test_no_judgement_comes_of_an_answer_that_never_came() -> None:
    late = {"kind": "delayed_feedback", "queries": 3}
    env = RoutingTrafficEnv(table(), utilisation=3.0, window=N, deadline_s=0.8, scenario=late)
    played = play(env, lambda info: 0)
    failed: set[int] = set()
    judged: set[int] = set()
    for _, info, *_, after in played:
        failed |= {end["step"] for end in after["completed"] if end["failed"]}
        assert not failed & {judgement["step"] for judgement in after["judgements"]}
        judged |= {judgement["step"] for judgement in after["judgements"]}
        assert after["score"] is None, info
    assert failed and judged


@pytest.mark.parametrize("queries", [1, 20])
def test_a_judgement_comes_after_its_request_has_ended_also_in_a_later_window(queries: int) -> None:
    late = {"kind": "delayed_feedback", "queries": queries}
    env = RoutingTrafficEnv(table(), utilisation=3.0, window=16, deadline_s=1.0, scenario=late)
    answered: set[int] = set()
    judged: list[int] = []
    for *_, after in play(env, lambda info: 0, episodes=8):
        answered |= {end["step"] for end in after["completed"] if not end["failed"]}
        judged += [judgement["step"] for judgement in after["judgements"]]
        assert answered >= set(judged)
    assert len(judged) == len(set(judged)) > 10
    assert answered - set(judged) <= set(range(8 * 16 - queries, 8 * 16)), "each answer is judged in the end"


def test_of_a_window_left_early_nothing_on_its_way_is_judged_and_a_rewind_forgets_all() -> None:
    env = RoutingTrafficEnv(table(), rate=1000.0, window=16, scenario={"kind": "delayed_feedback", "queries": 20})
    for _ in range(2):
        env.reset(seed=0)
        for _ in range(8):
            assert not env.step(0)[4]["completed"]
        judged = {j["step"] for *_, after in play(env, lambda info: 0, 3, seed=None) for j in after["judgements"]}
        assert judged and min(judged) >= 16
    judged = {j["step"] for *_, after in play(env, lambda info: 0, 3) for j in after["judgements"]}
    assert min(judged) == 0


def test_the_outcome_of_a_request_is_told_when_it_ends_and_a_failed_one_scores_0() -> None:
    env = RoutingTrafficEnv(table(), utilisation=6.0, window=N, deadline_s=0.9, max_length=1)
    played = play(env, lambda info: info["step"] % K)
    true = env.truth(N)
    ended = [end for *_, after in played for end in after["completed"]]
    for end in ended:
        at = end["step"], end["arm"]
        assert end["score"] == (0.0 if end["failed"] else true.score[at])
        never_called = end["failed"] and end["wait_s"] == end["latency_s"]
        assert end["cost_usd"] == (0.0 if never_called else true.cost_usd[at])
    assert any(end["failed"] and end["cost_usd"] for end in ended) and any(end["cost_usd"] == 0 for end in ended)
    for *_, after in played:
        assert after["score"] is after["cost_usd"] is after["latency_s"] is None


def test_what_is_judged_later_or_wrongly_is_told_as_judged() -> None:
    late = RoutingTrafficEnv(table(), window=N, scenario={"kind": "delayed_feedback", "queries": 3})
    ended = [end for *_, after in play(late, lambda info: 0) for end in after["completed"]]
    assert {end["score"] for end in ended if not end["failed"]} == {None}
    noisy = RoutingTrafficEnv(table(), window=N, scenario="noisy_judge")
    ended = [end for *_, after in play(noisy, lambda info: 0) for end in after["completed"]]
    true = noisy.truth(N).score
    assert any(end["score"] != true[end["step"], 0] for end in ended if not end["failed"])


# The prompt shift is to a task, and these queries have none.
WITHOUT_TASKS = [name for name in scenarios.names() if name != "prompt_shift"]


@given(seed=st.integers(0, 10**6), scenario=st.sampled_from(WITHOUT_TASKS), deadline=st.sampled_from([None, 0.5]))
@settings(max_examples=60, deadline=None)
def test_outcomes_of_arms_not_chosen_cannot_be_told(seed: int, scenario: str, deadline: float | None) -> None:
    """Where every cell that was not chosen is another one, nothing that an agent gets to see differs."""
    arm = {"arm": "1"} if any("arm" in event for event in scenarios.make(scenario).to_json()) else {}
    happens: Any = {"kind": scenario, **arm}
    ask = {"rate": 4.0, "window": 12, "scenario": happens, "deadline_s": deadline, "max_length": 2}
    there = play(RoutingTrafficEnv(table(cost_weight=0.1), **ask), at_random(seed), seed=seed)
    chosen = np.zeros((N, K), dtype=bool)
    for _, info, arm, *_ in there:
        chosen[int(info["query_id"]), arm] = True
    other = table(cost_weight=0.1, change=~chosen)
    if scenario in ("delayed_feedback", "missing_feedback"):
        # The mean score of the table stands in for a judgement that is not there, and is public.
        other.__dict__["mean_score"] = table(cost_weight=0.1).mean_score
    here = play(RoutingTrafficEnv(other, **ask), at_random(seed), seed=seed)
    for one, two in zip(there, here, strict=True):
        assert one[2] == two[2] and one[4] == two[4]
        assert np.array_equal(one[0], two[0]) and np.array_equal(one[3], two[3])
        for left, right in ((one[1], two[1]), (one[5], two[5])):
            assert left.keys() == right.keys()
            assert all(np.array_equal(left[key], right[key]) for key in left if key != "completed")
            assert left.get("completed") == right.get("completed")


def test_the_stream_does_not_depend_on_the_arms_chosen_and_a_window_is_a_window() -> None:
    one, other = (RoutingTrafficEnv(table(), window=8, utilisation=1.2, deadline_s=1.0) for _ in range(2))
    first, second = play(one, lambda info: 0, episodes=3), play(other, at_random(3), episodes=3)
    assert [(s[1]["query_id"], s[1]["step"], s[1]["now_s"]) for s in first] == [
        (s[1]["query_id"], s[1]["step"], s[1]["now_s"]) for s in second
    ]
    assert one.stream_hash == other.stream_hash
    other.reset(seed=0)
    other.step(0)
    _, info = other.reset()  # a window that is left early is over as a whole
    assert info["step"] == 8 == first[8][1]["step"] and info["query_id"] == first[8][1]["query_id"]


def test_the_hash_tells_arrivals_seeds_and_queries_apart() -> None:
    def hash_of(seed: int = 0, **given_settings: Any) -> str:
        env = RoutingTrafficEnv(table(), **{"window": 8, "rate": 1.0, **given_settings})
        env.reset(seed=seed)
        return env.stream_hash

    hashes = [hash_of(), hash_of(1), hash_of(rate=2.0), hash_of(arrivals="bursty"), hash_of(scenario="outage")]
    assert len({*hashes}) == len(hashes)
    assert hash_of() == hashes[0] == hash_of(concurrency=2)  # what the arms can do is not the stream


def test_the_same_seed_gives_the_same_stream_in_another_process() -> None:
    script = (
        "import gymnasium, env; made = gymnasium.make('pointsman/RoutingTraffic-v0', arrivals='bursty', window=32); "
        "made.reset(seed=7); print(made.unwrapped.stream_hash, [made.step(0)[1] for _ in range(32)])"
    )
    root = Path(__file__).parents[2]
    runs = {
        subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1 and len(runs.pop()) > 64


def test_it_is_made_again_from_its_spec(trace_file: Path) -> None:
    env = gym.make(
        ID,
        trace=str(trace_file),
        arrivals={"kind": "bursty", "cv": 3.0},
        window=9,
        scenario="outage",
        concurrency=[1, 1, 2, 1],
    )
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    env.reset(seed=4)
    again.reset(seed=4)
    assert env.unwrapped.stream_hash == again.unwrapped.stream_hash  # type: ignore[attr-defined]  # ours has one
    assert env.step(1)[1] == again.step(1)[1]


def test_side_by_side_each_has_queues_and_a_seed_of_its_own(small_trace: Trace) -> None:
    envs = gym.make_vec(ID, num_envs=3, trace=small_trace, window=6)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    check_vector_env(envs)
    tokens = replace(small_trace, latency_s=np.full_like(small_trace.latency_s, np.nan))
    times = {"ttft_s": 0.2, "s_per_output_token": 0.01}
    check_vector_env(gym.make_vec(ID, num_envs=2, trace=tokens, window=6, service_time=times, part="all"))


def test_tokens_stand_in_for_latencies(small_trace: Trace) -> None:
    tokens = replace(small_trace, latency_s=np.full_like(small_trace.latency_s, np.nan))
    env = RoutingTrafficEnv(tokens, window=5, part="all", service_time={"ttft_s": 0.5, "s_per_output_token": 0.1})
    _, info = env.reset(seed=0)
    row = int(np.flatnonzero(tokens.query_ids == info["query_id"])[0])
    over, ended = False, []
    while not over:
        _, _, over, _, info = env.step(2)
        ended += info["completed"]
    assert ended[0]["latency_s"] - ended[0]["wait_s"] == pytest.approx(0.5 + 0.1 * tokens.output_tokens[row, 2])


class _Counted(Hashing):
    """Counts how often it is asked."""

    asked = 0

    def transform(self, prompts: Any) -> Any:
        self.asked += 1
        return super().transform(prompts)


def test_environments_with_equal_service_times_are_featurised_once(trace_file: Path) -> None:
    featuriser = _Counted(8)
    shared: dict[str, Any] = {"trace": str(trace_file), "window": 5, "featuriser": featuriser}
    for times in ({"ttft_s": 0.5, "s_per_output_token": [0.1] * 4}, ServiceTime(0.5, np.full(4, 0.1))):
        for _ in range(3):
            RoutingTrafficEnv(service_time=times, **shared)
        gym.make_vec(ID, num_envs=2, service_time=times, **shared)
    assert featuriser.asked == 1
    RoutingTrafficEnv(service_time={"ttft_s": 0.25, "s_per_output_token": 0.1}, **shared)
    assert featuriser.asked == 2


@pytest.mark.parametrize("action", [1.0, None, "1", np.array([1])])
def test_an_action_that_is_no_whole_number_is_refused_in_one_line(action: Any) -> None:
    for env in (RoutingTrafficEnv(table(), window=3), RoutingEnv(table())):
        env.reset(seed=0)
        with pytest.raises(BadInput, match="an action is an arm, a whole number of 0 to 2, got"):
            env.step(action)
        env.step(np.array(1))  # type: ignore[arg-type]  # as some libraries give it


def test_an_arm_that_no_query_may_choose_needs_no_warning() -> None:
    mask = np.array([True, True, False])
    scores = Outcomes.of(np.full((N, K), 0.5), latency_s=np.ones((N, K)))
    made = RoutingTable.of(Contexts.of(np.zeros((N, 1)), K, mask=mask), scores)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RoutingTrafficEnv(made, utilisation=0.5).rate == pytest.approx(0.5)


def test_the_rate_is_that_of_the_best_arm() -> None:
    made = table()
    best = int(made.score.mean(axis=0).argmax())
    expected = 0.6 / made.latency_s[:, best].mean()
    assert rate_of(made, 0.6) == pytest.approx(expected, rel=1e-5)
    assert rate_of(made, 0.6, concurrency=[2, 2, 2]) == pytest.approx(2 * expected, rel=1e-5)
    assert rate_of(made, 0.5, requests_per_s=0.01) == pytest.approx(0.005)
    assert RoutingTrafficEnv(made, utilisation=0.6).rate == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rate": 1.0, "utilisation": 0.5}, "not both"),
        ({"rate": -1.0}, "above 0 requests per second"),
        ({"utilisation": 0.0}, "utilisation is above 0"),
        ({"window": 0}, "1 or more"),
        ({"deadline_s": 0.0}, "deadline_s is above 0"),
        ({"arrivals": {"kind": "bursty", "sv": 1}}, "have no `sv`; known: cv"),
        ({"concurrency": [1, 2]}, "one for each of 4 arms"),
        ({"service_time": {"ttft": 1.0}}, "service_time is"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str, small_trace: Trace) -> None:
    with pytest.raises(BadInput, match=message):
        RoutingTrafficEnv(small_trace, **wrong)


def test_a_trace_without_latencies_is_refused_with_the_mend() -> None:
    trace = make_trace()
    without = replace(trace, latency_s=np.full_like(trace.latency_s, np.nan))
    mend = r'no answer has a `latency_s`.*service_time=\{"ttft_s": \.\.\., "s_per_output_token": \.\.\.\}'
    for weight in ({}, {"latency_weight": 0.0}):
        with pytest.raises(BadInput, match=mend):
            gym.make(ID, trace=without, **weight)
        with pytest.raises(BadInput, match=mend):
            gym.make_vec(ID, num_envs=2, trace=without, **weight)


def test_without_latencies_and_tokens_no_service_time_helps() -> None:
    trace = make_trace()
    unknown = np.full_like(trace.latency_s, np.nan)
    without = replace(trace, latency_s=unknown, output_tokens=unknown)
    with pytest.raises(BadInput, match="makes one of `output_tokens`, and the trace has none"):
        RoutingTrafficEnv(without, service_time={"ttft_s": 0.1, "s_per_output_token": 0.01})


def test_a_step_needs_a_window() -> None:
    env = RoutingTrafficEnv(table(), window=1)
    with pytest.raises(ResetNeeded):
        env.step(0)
    with pytest.raises(ResetNeeded):
        env.action_masks()
    env.reset(seed=0)
    env.declare_propensity(0.5)
    _, _, terminated, truncated, info = env.step(0)
    assert terminated and not truncated and info["propensity"] == 0.5
    with pytest.raises(ResetNeeded):
        env.step(0)
