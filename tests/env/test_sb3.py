"""Stable-Baselines3: its checker, its algorithms, its evaluation, on the native ``VecEnv`` and without it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.conftest import needs

needs("train", "Stable-Baselines3")

from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

import routers
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.features import Hashing
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
from env.sb3_vec_env import RoutingSB3VecEnv
from env.trace import Trace
from env.trace_table import trace_table
from env.vector_env import RoutingVectorEnv
from routers.sb3_adapter import SB3Adapter

# An environment that SB3 has to warn about is not finished.
pytestmark = pytest.mark.filterwarnings("error")


def easy_table(n: int = 64, **kwargs: Any) -> RoutingTable:
    """Arm 0 is right where the feature is negative, arm 1 where it is positive."""
    features = np.linspace(-1, 1, n)[:, None]
    right = features[:, 0] > 0
    score = np.stack([~right, right], axis=1).astype(np.float32)
    return RoutingTable.of(Contexts.of(features, 2), Outcomes.of(score, np.ones((n, 2)) * [1, 2]), **kwargs)


@pytest.mark.parametrize("settings_of", [{}, {"cost_weight": "observe"}, {"view": "full"}])
@pytest.mark.parametrize("name", ["small_trace", "gappy_trace"])
def test_its_checker_passes(name: str, settings_of: dict[str, Any], request: pytest.FixtureRequest) -> None:
    env = gym.make("pointsman/Routing-v0", trace=request.getfixturevalue(name), **settings_of)
    check_env(env.unwrapped)
    check_env(env)


def test_ppo_learns_on_the_id(trace_file: Path) -> None:
    env = gym.make("pointsman/Routing-v0", trace=str(trace_file), featuriser={"kind": "hashing", "n_features": 8})
    model = PPO("MlpPolicy", env, n_steps=128, batch_size=64, seed=0, device="cpu").learn(256)
    assert model.num_timesteps == 256


def test_ppo_finds_the_right_arm_on_the_native_vec_env() -> None:
    envs = VecMonitor(RoutingSB3VecEnv(64, easy_table()))
    model = PPO("MlpPolicy", envs, n_steps=16, batch_size=256, learning_rate=3e-3, seed=0, device="cpu")
    model.learn(12_000)
    mean, _ = evaluate_policy(model, envs, n_eval_episodes=128)
    assert mean > 0.9


def test_off_policy_algorithms_run_on_the_native_vec_env() -> None:
    DQN("MlpPolicy", RoutingSB3VecEnv(4, easy_table()), learning_starts=50, seed=0, device="cpu").learn(200)


def test_it_serves_the_stream_of_the_vector_environment(gappy_trace: Trace) -> None:
    made = trace_table(gappy_trace, featuriser=Hashing(16), cost_weight="observe")
    ours, theirs = RoutingVectorEnv(5, made), RoutingSB3VecEnv(5, made)
    theirs.seed(8)
    shown, infos = ours.reset(seed=8)
    assert np.array_equal(theirs.reset(), shown)
    for _ in range(20):
        arms = ours.action_space.sample()
        assert np.array_equal(theirs.action_masks(), infos["action_mask"] == 1)
        shown, rewards, _, _, infos = ours.step(arms)
        observations, their_rewards, dones, their_infos = theirs.step(arms)
        assert np.array_equal(observations, shown)
        assert np.array_equal(their_rewards, rewards.astype(np.float32))
        assert dones.all()
        final = infos["final_info"]
        for index, info in enumerate(their_infos):
            assert info["query_id"] == final["query_id"][index]
            assert info["refused"] == final["refused"][index]
            assert np.array_equal(info["score"], final["score"][index], equal_nan=True)
            assert np.array_equal(info["terminal_observation"], infos["final_obs"][index])
            assert info["TimeLimit.truncated"] is False
    assert theirs.stream_hash == ours.stream_hash


def test_a_seed_holds_for_the_next_reset_only() -> None:
    envs = RoutingSB3VecEnv(3, easy_table())
    envs.seed(1)
    first = envs.reset()
    second = envs.reset()
    assert not np.array_equal(first, second)
    envs.seed(1)
    assert np.array_equal(envs.reset(), first)


def test_masks_reach_maskable_ppo_as_sb3_contrib_asks_for_them(gappy_trace: Trace) -> None:
    envs = RoutingSB3VecEnv(4, gappy_trace, featuriser=Hashing(8))
    envs.reset()
    assert envs.has_attr("action_masks")
    assert np.array_equal(np.stack(envs.env_method("action_masks")), envs.action_masks())
    assert envs.env_method("action_masks", indices=[2])[0].dtype == np.bool_
    dummy = DummyVecEnv([lambda: RoutingEnv(gappy_trace, featuriser=Hashing(8))])
    dummy.reset()
    assert np.stack(dummy.env_method("action_masks")).shape == (1, 4)


def test_what_cannot_be_done_to_one_sub_environment_is_refused() -> None:
    envs = RoutingSB3VecEnv(2, easy_table())
    with pytest.raises(BadInput, match="cannot be set on one"):
        envs.set_attr("view", "full")
    with pytest.raises(AttributeError, match="no method `render`"):
        envs.env_method("render")
    assert envs.env_is_wrapped(Monitor) == [False, False]
    assert not envs.has_attr("no_such_thing")
    envs.close()


@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize("observe", [False, True])
def test_a_router_is_evaluated_by_sb3(vectorised: bool, observe: bool) -> None:
    made = easy_table(cost_weight="observe" if observe else None, max_cost_weight=2.0 if observe else None)
    n = len(made)
    features, _ = made.layout.decode(made.observations)
    contexts = Contexts.of(features, 2)
    cost = np.ones((n, 2), dtype=np.float32) * [1, 2]
    router = routers.make("knn", 2, 1, k=3).fit(contexts, Outcomes.of(made.score, cost))
    adapter = SB3Adapter(router, made.layout)
    envs: Any = VecMonitor(RoutingSB3VecEnv(8, made)) if vectorised else Monitor(RoutingEnv(made))
    mean, _ = evaluate_policy(adapter, envs, n_eval_episodes=64)
    best = evaluate_policy(SB3Adapter(routers.make("random", 2, 1), made.layout), envs, n_eval_episodes=64)
    assert mean > best[0] + 0.1
    if not observe:
        assert mean > 0.9


def test_the_adapter_keeps_masks_and_refuses_other_layouts() -> None:
    made = easy_table()
    adapter = SB3Adapter(routers.make("random", 2, 1), made.layout, seed=3)
    masks = np.array([[True, False]] * 50)
    assert (adapter.predict(np.zeros((50, 1), dtype=np.float32), action_masks=masks)[0] == 0).all()
    state = (np.zeros(1),)
    arm, kept = adapter.predict(np.zeros(1, dtype=np.float32), state=state)
    assert arm.shape == ()
    assert kept is state
    with pytest.raises(ValueError, match="takes 3 features"):
        SB3Adapter(routers.make("random", 2, 3), made.layout)
    with pytest.raises(ValueError, match=r"must be \(n, 1\)"):
        adapter.predict(np.zeros((4, 2), dtype=np.float32))


def test_a_dummy_vec_env_reads_the_trace_once(trace_file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs = DummyVecEnv([lambda: gym.make("pointsman/Routing-v0", trace=str(trace_file))] * 4)
    tables = envs.get_attr("table")
    assert all(np.array_equal(one.score, tables[0].score) for one in tables)
    envs.seed(0)
    shown = envs.reset()
    assert len(np.unique(shown, axis=0)) == 4, "each has a stream of its own"
