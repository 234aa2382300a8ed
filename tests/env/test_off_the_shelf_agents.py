"""Agents of other libraries train on the ids as they are, without a warning, and obey masks where they know them."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.conftest import needs

needs("agents", "agents of other libraries")

from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env

from env import scenarios
from env.budget_env import RoutingBudgetEnv
from env.features import Hashing
from env.routing_env import RoutingEnv
from env.sb3_vec_env import RoutingSB3VecEnv
from env.trace import Trace
from env.trace_table import trace_table
from experiments.studies.agents import (
    AGENTS,
    BUDGET,
    BUDGET_SHARE,
    ROUTING,
    Agent,
    markdown,
    play,
    references,
    study,
    train,
)

# An environment that a library has to warn about is not finished.
pytestmark = pytest.mark.filterwarnings("error")

HASHING = Hashing(8)
SMALL: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 32, "batch_size": 32},
    "A2C": {},
    "DQN": {"learning_starts": 50},
    "MaskablePPO": {"n_steps": 32, "batch_size": 32},
}


def arguments(env_id: str, trace: Trace) -> dict[str, Any]:
    own = {"window": 10, "budget": 0.2} if env_id == BUDGET else {"cost_weight": 30.0}
    return {"trace": trace, "featuriser": HASHING, **own}


@pytest.mark.parametrize("env_id", [ROUTING, BUDGET])
@pytest.mark.parametrize("name", SMALL)
def test_an_algorithm_trains_on_the_id(name: str, env_id: str, gappy_trace: Trace) -> None:
    algorithm = getattr(importlib.import_module(AGENTS[name].library), name)
    env = gym.make(env_id, **arguments(env_id, gappy_trace))
    model = algorithm("MlpPolicy", env, seed=0, device="cpu", **SMALL[name]).learn(200)
    assert model.num_timesteps >= 200


@pytest.mark.parametrize("env_id", [ROUTING, BUDGET])
def test_a_library_of_another_school_trains_on_the_native_vector(env_id: str, small_trace: Trace) -> None:
    made = trace_table(small_trace, featuriser=HASHING, cost_weight=30.0 if env_id == ROUTING else 0.0)
    agent = Agent("skrl", "PPO", 4, {"rollouts": 16})
    choose = train(agent, env_id, made, steps=200, seed=0)
    arm = choose(np.zeros(8 + 2 * (env_id == BUDGET), dtype=np.float32), np.ones(4, dtype=bool), "")
    assert 0 <= arm < 4


@pytest.mark.parametrize("name", scenarios.names())
def test_sb3s_checker_passes_under_every_scenario(name: str, gappy_trace: Trace) -> None:
    for env_id in (ROUTING, BUDGET):
        check_env(gym.make(env_id, scenario=name, **arguments(env_id, gappy_trace)).unwrapped)


@pytest.mark.parametrize("env_id", [ROUTING, BUDGET])
def test_make_vec_env_takes_the_id_though_it_asks_for_pictures(env_id: str, small_trace: Trace) -> None:
    with pytest.warns(UserWarning, match="render_mode='rgb_array' that is not in the possible"):
        envs = make_vec_env(env_id, n_envs=2, env_kwargs=arguments(env_id, small_trace))
    assert envs.reset().shape[0] == 2


@pytest.mark.parametrize("env_id", [ROUTING, BUDGET])
def test_maskable_ppo_never_chooses_a_closed_arm(env_id: str, gappy_trace: Trace) -> None:
    from sb3_contrib import MaskablePPO
    from stable_baselines3.common.callbacks import BaseCallback

    class Watch(BaseCallback):
        answers, refused, closed = 0, 0, 0

        def _on_step(self) -> bool:
            self.answers += len(self.locals["infos"])
            self.refused += sum(info["refused"] for info in self.locals["infos"])
            self.closed += int((~self.locals["action_masks"]).sum())
            return True

    envs: Any
    if env_id == ROUTING:
        envs = RoutingSB3VecEnv(4, **arguments(env_id, gappy_trace))
    else:
        undrawn = {"render_mode": None, **arguments(env_id, gappy_trace)}
        envs = make_vec_env(env_id, n_envs=4, env_kwargs=undrawn)
    watch = Watch()
    model = MaskablePPO("MlpPolicy", envs, n_steps=64, batch_size=64, seed=0, device="cpu").learn(512, watch)
    assert (watch.answers, watch.refused) == (512, 0)
    assert watch.closed > 300, "masks were there to obey"
    env: Any = gym.make(env_id, **arguments(env_id, gappy_trace)).unwrapped
    observation, info = env.reset(seed=0)
    for _ in range(100):
        arm = int(model.predict(observation, action_masks=env.action_masks(), deterministic=True)[0])
        assert info["action_mask"][arm]
        observation, _, terminated, _, info = env.step(arm)
        if terminated:
            observation, info = env.reset()


def test_the_study_plays_every_query_of_the_whole_windows_once(small_trace: Trace) -> None:
    made = trace_table(small_trace, part="all", featuriser=HASHING)
    env = RoutingBudgetEnv(made, window=25, budget_usd=float(made.price_usd.max() * 5))  # type: ignore[union-attr]  # its trace has prices
    found = play(env, lambda _, mask, __: int(np.flatnonzero(mask)[-1]))
    assert np.isfinite(found["reward"]).sum() == 50, "two windows of 25; ten queries of the pass are in neither"
    played = play(env, lambda _, mask, __: int(np.flatnonzero(mask)[0]))
    assert np.array_equal(np.isfinite(found["reward"]), np.isfinite(played["reward"]))
    assert found["cost_usd"][~np.isnan(found["cost_usd"])].sum() <= 2 * env.budget_usd + 2 * made.cost_usd.max()


@pytest.mark.parametrize("env_id", [ROUTING, BUDGET])
def test_what_agents_are_compared_with_is_in_its_order(env_id: str, small_trace: Trace, monkeypatch: Any) -> None:
    monkeypatch.setattr("experiments.studies.agents.WINDOW", 6)
    weight = 30.0 if env_id == ROUTING else 0.0
    parts = [trace_table(small_trace, part=part, cost_weight=weight) for part in ("train", "test")]  # type: ignore[arg-type]  # a name of a part from a tuple
    env = RoutingEnv(parts[1]) if env_id == ROUTING else RoutingBudgetEnv(parts[1], window=6, budget=BUDGET_SHARE)
    reward = {
        name: float(np.nanmean(play(env, choose)["reward"]))
        for name, choose in references(env_id, *parts, seed=0).items()
    }
    assert reward["random"] < reward["best single"] <= reward["ridge, full information"] + 0.05
    assert reward["ridge, full information"] <= reward["oracle"] + 1e-9


def test_the_study_has_a_row_for_each_with_intervals(small_trace: Trace, monkeypatch: Any) -> None:
    monkeypatch.setattr("experiments.studies.agents.WINDOW", 6)
    rows = study(small_trace, steps=40, seeds=2, agents={"A2C": Agent("stable_baselines3", "A2C", 4)})
    assert [(row["env"], row["agent"]) for row in rows[:5]] == [
        (ROUTING, name) for name in ("A2C", "random", "best single", "ridge, full information", "oracle")
    ]
    assert len(rows) == 10
    for row in rows:
        assert row["reward_low"] <= row["reward"] <= row["reward_high"]
        assert (row["seeds"], row["prompts"]) == (2, len(small_trace.split(0).train))
    table = markdown(rows, seconds=True)
    assert table.count("| A2C (stable_baselines3) |") == 2
    kept = [{key: value for key, value in row.items() if key != "wall_s"} for row in rows]
    assert "wall s" not in markdown(kept), "how long it took is not committed"
