"""The native vector environment: the same queries in the same order as one environment, and no wasted step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from env.checkers import check_vector_env
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.features import Hashing
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
from env.trace import Trace
from env.vector_env import RoutingVectorEnv


def table(n: int = 11, n_arms: int = 3, **kwargs: Any) -> RoutingTable:
    rng = np.random.default_rng(5)
    score = rng.random((n, n_arms))
    score[1:, 1:][rng.random((n - 1, n_arms - 1)) < 0.3] = np.nan
    outcomes = Outcomes.of(score, rng.random((n, n_arms)))
    return RoutingTable.of(Contexts.of(rng.uniform(-1, 1, (n, 4)), n_arms), outcomes, **kwargs)


@pytest.mark.parametrize("settings_of", [{}, {"cost_weight": "observe"}, {"order": "resample"}])
@pytest.mark.parametrize("name", ["small_trace", "gappy_trace"])
def test_it_equals_a_loop_of_single_ones(
    name: str, settings_of: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    trace = request.getfixturevalue(name)
    envs = gym.make_vec("pointsman/Routing-v0", num_envs=7, trace=trace, featuriser=Hashing(16), **settings_of)
    assert isinstance(envs.unwrapped, RoutingVectorEnv)
    check_vector_env(envs)


def test_the_full_view_equals_the_single_one_too() -> None:
    check_vector_env(RoutingVectorEnv(4, table(), view="full"), RoutingEnv(table(), view="full"))


@given(num_envs=st.integers(1, 30), observe=st.booleans(), order=st.sampled_from(["shuffle", "resample"]))
@settings(max_examples=30, deadline=None)
def test_the_first_queries_do_not_depend_on_the_number_of_environments(
    num_envs: int, observe: bool, order: Any
) -> None:
    made = table(cost_weight="observe" if observe else None)
    single = RoutingEnv(made, order=order)
    alone = [single.reset(seed=3 if step == 0 else None)[1] for step in range(60)]
    envs = RoutingVectorEnv(num_envs, made, order=order)
    _, infos = envs.reset(seed=3)
    served = list(zip(infos["query_id"], infos["cost_weight"], strict=True))
    while len(served) < 60:
        *_, infos = envs.step(np.zeros(num_envs, dtype=np.int64))
        served += list(zip(infos["query_id"], infos["cost_weight"], strict=True))
    assert served[:60] == [(info["query_id"], info["cost_weight"]) for info in alone]
    assert envs.stream_hash == single.stream_hash


def test_the_last_observation_and_info_are_those_of_the_query_answered() -> None:
    envs = RoutingVectorEnv(3, table())
    shown, infos = envs.reset(seed=0)
    following, _, _, _, next_infos = envs.step(np.array([0, 1, 2]))
    assert np.array_equal(next_infos["final_obs"], shown)
    assert np.array_equal(next_infos["final_info"]["query_id"], infos["query_id"])
    assert not np.array_equal(following, shown)
    assert next_infos["_final_obs"].all()
    assert next_infos["_final_info"].all()
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_types_and_shapes() -> None:
    envs = RoutingVectorEnv(4, table())
    observations, infos = envs.reset(seed=0)
    assert observations in envs.observation_space
    assert observations.dtype == np.float32
    assert (infos["action_mask"].shape, infos["action_mask"].dtype) == ((4, 3), np.int8)
    assert np.array_equal(envs.action_masks(), infos["action_mask"] == 1)
    observations, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
    assert observations in envs.observation_space
    assert rewards.dtype == np.float64
    assert terminations.dtype == truncations.dtype == np.bool_
    final = infos["final_info"]
    refused = final["refused"]
    assert np.array_equal(np.isnan(final["score"]), refused)
    assert np.array_equal(final["_score"], ~refused)
    assert (rewards[refused] == -1).all()


def test_stated_propensities_belong_to_one_step() -> None:
    envs = RoutingVectorEnv(2, table())
    envs.reset(seed=0)
    envs.declare_propensities(np.array([0.5, 1.0]))
    infos = envs.step(np.array([0, 0]))[4]["final_info"]
    assert infos["propensity"].tolist() == [0.5, 1.0]
    assert infos["_propensity"].all()
    assert not envs.step(np.array([0, 0]))[4]["final_info"]["_propensity"].any()
    with pytest.raises(BadInput, match=r"\(2,\) numbers in \(0, 1\]"):
        envs.declare_propensities(np.array([0.5, 0.0]))


def test_what_is_handed_out_is_the_callers() -> None:
    envs = RoutingVectorEnv(11, table())
    before, infos = envs.reset(seed=0)
    kept = before.copy()
    step = envs.step(np.zeros(11, dtype=np.int64))
    for array in (before, infos["action_mask"], infos["cost_weight"], step[0], step[1], step[4]["final_obs"]):
        array[:] = 0
    assert np.array_equal(envs.reset(seed=0)[0], kept)
    assert envs.action_masks().any(axis=1).all()


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.array([0, 1, 0]), r"\(2,\) whole numbers, got \(3,\)"),
        (np.array([0.0, 1.0]), "whole numbers, got .* of float64"),
        (np.array([0, 3]), "arm 3 does not exist"),
        (np.array([-1, 0]), "arm -1 does not exist"),
    ],
)
def test_wrong_actions_are_refused(actions: np.ndarray, message: str) -> None:
    envs = RoutingVectorEnv(2, table())
    with pytest.raises(ResetNeeded):
        envs.step(np.array([0, 0]))
    envs.reset(seed=0)
    with pytest.raises(BadInput, match=message):
        envs.step(actions)


def test_one_stream_takes_one_seed() -> None:
    with pytest.raises(BadInput, match="one seed"):
        RoutingVectorEnv(2, table()).reset(seed=[1, 2])  # type: ignore[arg-type]  # as SyncVectorEnv would take it
    with pytest.raises(BadInput, match="no options"):
        RoutingVectorEnv(2, table()).reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(BadInput, match="num_envs is 1 or more"):
        RoutingVectorEnv(0, table())


def test_gymnasiums_wrappers_and_other_vectorisers_work(trace_file: Path, small_trace: Trace) -> None:
    arguments: dict[str, Any] = {"trace": str(trace_file), "featuriser": {"kind": "hashing", "n_features": 8}}
    envs = gym.wrappers.vector.RecordEpisodeStatistics(gym.make_vec("pointsman/Routing-v0", num_envs=4, **arguments))
    envs.reset(seed=0)
    infos = envs.step(np.array([0, 1, 2, 3]))[4]
    assert infos["episode"]["l"].tolist() == [1, 1, 1, 1]
    sync = gym.make_vec(
        "pointsman/Routing-v0",
        num_envs=2,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        **arguments,
    )
    sync.reset(seed=0)
    assert sync.step(np.array([0, 1]))[4]["final_info"]["score"].shape == (2,)
