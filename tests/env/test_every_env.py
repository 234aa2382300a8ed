"""What holds for every environment id under every scenario, in one place. A new id gets all of it for free."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import env as environments
from env import scenarios
from env.checkers import check_trace_env, check_vector_env
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.routing_table import RoutingTable
from env.trace import Trace
from tests.conftest import needs

IDS = sorted(name for name in gym.registry if name.startswith("pointsman/"))
N, K = 30, 3
SETTINGS: dict[str, dict[str, Any]] = {
    "pointsman/RoutingBudget-v0": {"window": 12},
    "pointsman/RoutingTraffic-v0": {"window": 12, "rate": 1.5},
}


def table(outcomes: Outcomes | None = None, cost_weight: float = 0.0) -> RoutingTable:
    """Thirty queries of two tasks, three arms with a price each, a gap in every tenth cell."""
    rng = np.random.default_rng(3)
    drawn = rng.random((N, K)) * 0.3 + [0.1, 0.4, 0.7]
    drawn[::10, 1] = np.nan
    cost, latency = rng.uniform(0.5, 1.5, (N, K)) * [0.001, 0.01, 0.1], rng.random((N, K)) + 0.5
    tasks = np.array(["maths", "mail"] * (N // 2), dtype=object)
    contexts = Contexts.of(rng.uniform(-1, 1, (N, 4)), K, latency_weight=0.02, task=tasks)
    recorded = Outcomes.of(drawn, cost, latency) if outcomes is None else outcomes
    return RoutingTable.of(contexts, recorded, cost_weight=cost_weight, arms=("small", "middle", "large"))


def make(name: str, scenario: Any, of: RoutingTable | None = None) -> gym.Env[Any, Any]:
    made = table() if of is None else of
    return gym.make(name, trace=made, scenario=scenario, disable_env_checker=True, **SETTINGS.get(name, {}))


def test_the_ids_are_those_of_the_docs() -> None:
    assert environments.__doc__ is not None
    assert len(IDS) >= 3
    for name in IDS:
        assert f"``{name}``" in environments.__doc__


MISSPELT = [("cost_wieght", "cost_weight"), ("ordr", "order"), ("scenarios", "scenario"), ("parts", "part")]
MISSPELT_OF = {
    "pointsman/Routing-v0": [("veiw", "view")],
    "pointsman/RoutingTraffic-v0": [("utilization", "utilisation"), ("service_tiem", "service_time")],
    "pointsman/RoutingBudget-v0": [("budgte_usd", "budget_usd"), ("widow", "window")],
}


@pytest.mark.parametrize("of", ["trace", "table"])
@pytest.mark.parametrize("name", IDS)
def test_a_misspelt_argument_is_told_with_the_nearest_one(name: str, of: str, small_trace: Trace) -> None:
    trace = small_trace if of == "trace" else table()
    for wrong, right in [*MISSPELT, *MISSPELT_OF[name]]:
        told = f"no argument `{wrong}`; did you mean `{right}`"
        with pytest.raises(BadInput, match=told):
            gym.make(name, trace=trace, **{wrong: 1})
        with pytest.raises(BadInput, match=told):
            gym.make_vec(name, num_envs=2, trace=trace, **{wrong: 1})


@pytest.mark.parametrize("scenario", scenarios.names())
@pytest.mark.parametrize("name", IDS)
def test_gymnasiums_and_our_checker_pass(name: str, scenario: str) -> None:
    check_trace_env(make(name, scenario), steps=40)


@pytest.mark.parametrize("scenario", scenarios.names())
@pytest.mark.parametrize("name", IDS)
def test_stable_baselines3s_checker_passes(name: str, scenario: str) -> None:
    needs("train", "Stable-Baselines3's checker")
    from stable_baselines3.common.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(name, scenario).unwrapped)


@pytest.mark.parametrize("scenario", scenarios.names())
@pytest.mark.parametrize("name", IDS)
def test_the_vector_environment_is_what_single_ones_are(name: str, scenario: str) -> None:
    envs = gym.make_vec(name, num_envs=3, trace=table(), scenario=scenario, **SETTINGS.get(name, {}))
    check_vector_env(envs, steps=10)


@pytest.mark.parametrize("name", IDS)
@given(seed=st.integers(0, 10_000), scenario=st.sampled_from(scenarios.names()))
@settings(max_examples=40, deadline=None)
def test_outcomes_of_arms_not_chosen_cannot_be_told(name: str, seed: int, scenario: str) -> None:
    """Two worlds that differ in nothing but what arms not chosen would bring look the same, to the last bit.

    What is public stays as it is: each arm's mean score, cost and latency, and the mean score of all, which stands in
    for what is not judged.
    """
    rng = np.random.default_rng(seed)
    arm_of = rng.integers(K, size=N)
    # Under a budget money has no other price.
    weight = 0.0 if "Budget" in name else 2.0
    one = table(cost_weight=weight)
    columns = [np.array(column) for column in (one.score, one.cost_usd, one.latency_s)]
    for column in columns:
        for arm in range(K):
            free = np.flatnonzero((arm_of != arm) & np.isfinite(column[:, arm]))
            column[free, arm] = column[rng.permutation(free), arm]
    other = table(Outcomes.of(*columns), cost_weight=weight)
    other.__dict__["mean_score"] = one.mean_score  # the same but for the order of its sum
    told: list[list[str]] = []
    for world in (one, other):
        played, env = [], make(name, scenario, world)
        observation, info = env.reset(seed=seed)
        for _ in range(60):
            played.append(repr((observation.tolist(), info)))
            arm = int(arm_of[int(info["query_id"])])
            observation, reward, terminated, _, info = env.step(arm)
            played.append(repr((observation.tolist(), reward, info)))
            if terminated:
                observation, info = env.reset()
        told.append(played)
    assert told[0] == told[1]


@pytest.mark.parametrize("name", IDS)
def test_the_stream_hash_is_the_same_in_another_process_and_whatever_is_chosen(name: str) -> None:
    code = (
        "import sys\n"
        "from tests.env.test_every_env import make, scenarios\n"
        f"for scenario in scenarios.names():\n"
        f"    env = make({name!r}, scenario); env.reset(seed=5); print(scenario, env.unwrapped.stream_hash)"
    )
    root = Path(__file__).parents[2]
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root).stdout
    hashes = []
    for scenario in scenarios.names():
        env: Any = make(name, scenario)
        _, info = env.reset(seed=5)
        hashes.append(env.unwrapped.stream_hash)
        env.step(int(np.flatnonzero(info["action_mask"])[0]))
        assert env.unwrapped.stream_hash == hashes[-1]
        assert f"{scenario} {hashes[-1]}\n" in there
    assert len(set(hashes)) == len(hashes)
