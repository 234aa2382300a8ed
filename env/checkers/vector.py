"""The check of vector environments."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from env.checkers.rules import arms_of, one_step, require, same
from env.errors import BadInput

_FINAL = ("final_obs", "final_info")


def check_vector_env(
    envs: VectorEnv[Any, Any, Any], single: gym.Env[Any, Any] | None = None, *, steps: int = 20
) -> None:
    """Check a vector environment: same-step autoreset, types, and that it equals single ones, no more and no less.

    A vector of bandits is one stream: in (step, sub-environment) order it serves what a single one serves. A vector of
    episodes is single ones side by side, the i-th with seed + i.

    Args:
        envs: the vector environment.
        single: the environment it is the vector of; made from ``envs.spec`` when ``None``.
        steps: steps to take.

    Raises:
        AssertionError: the first rule that is broken.
        BadInput: no ``single``, and no spec to make it from.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> from env.routing_env import RoutingEnv
        >>> from env.routing_table import RoutingTable
        >>> from env.vector_env import RoutingVectorEnv
        >>> table = RoutingTable.of(Contexts.of(np.eye(3), 2), Outcomes.of(np.full((3, 2), 0.5)))
        >>> check_vector_env(RoutingVectorEnv(2, table), RoutingEnv(table))
    """
    if not isinstance(envs, VectorEnv):
        raise BadInput(f"this is a {type(envs).__name__}, and no gymnasium VectorEnv; give one that gym.make_vec made")
    alone = _single_of(envs) if single is None else single
    n_arms = arms_of(envs.single_action_space)
    require(
        envs.metadata.get("autoreset_mode") is AutoresetMode.SAME_STEP,
        "one-step environments reset in the same step: with next-step autoreset every other step is wasted",
    )
    require(envs.single_observation_space == alone.observation_space, "the observation spaces differ")
    require(envs.single_action_space == alone.action_space, "the action spaces differ")
    require(envs.observation_space == batch_space(alone.observation_space, envs.num_envs), "observations not batched")
    require(envs.action_space == batch_space(alone.action_space, envs.num_envs), "actions not batched")
    if one_step(alone):
        _check_one_stream(envs, alone, n_arms, steps)
    else:
        _check_side_by_side(envs, alone, n_arms, steps)


def _check_one_stream(envs: VectorEnv[Any, Any, Any], alone: gym.Env[Any, Any], n_arms: int, steps: int) -> None:
    rng = np.random.default_rng(0)
    shown, infos = envs.reset(seed=0)
    observation, info = alone.reset(seed=0)
    for step in range(steps):
        _check_masks(envs, step, infos)
        arms = rng.integers(n_arms, size=envs.num_envs)
        following, rewards, terminations, truncations, next_infos = envs.step(arms)
        require(bool(terminations.all()), f"step {step}: every answer terminates")
        _check_arrays(envs, step, rewards, terminations, truncations)
        for key in _FINAL:
            there = key in next_infos and bool(np.all(next_infos[f"_{key}"]))
            require(there, f"step {step}: every sub-environment has its {key}")
        for index, arm in enumerate(arms):
            where = f"step {step}, sub-environment {index}"
            require(same(shown[index], observation), f"{where}: the observation differs from the single one's")
            _check_info(infos, index, info, f"{where}: info")
            answer, reward, _, _, answer_info = alone.step(arm)
            require(float(rewards[index]) == reward, f"{where}: reward {rewards[index]}, single {reward}")
            require(same(next_infos["final_obs"][index], answer), f"{where}: final_obs differs")
            _check_info(next_infos["final_info"], index, answer_info, f"{where}: final_info")
            observation, info = alone.reset()
        shown, infos = following, next_infos
    # Without a seed, `reset` goes on: what was shown last stays unanswered.
    shown, infos = envs.reset()
    for _ in range(envs.num_envs):
        observation, info = alone.reset()
    require(same(shown[0], observation), "reset() without a seed must go on to the next queries of the stream")


def _check_side_by_side(envs: VectorEnv[Any, Any, Any], alone: gym.Env[Any, Any], n_arms: int, steps: int) -> None:
    """Sub-environment ``i`` of a vector of episodes is the single one with seed + ``i``, reset as soon as it ends."""
    singles = [copy.deepcopy(alone) for _ in range(envs.num_envs)]
    rng = np.random.default_rng(0)
    shown, infos = envs.reset(seed=0)
    here = [one.reset(seed=index) for index, one in enumerate(singles)]
    for step in range(max(steps, 2 * int(getattr(alone.unwrapped, "window", 0)))):
        for index, (observation, info) in enumerate(here):
            where = f"step {step}, sub-environment {index}"
            require(same(shown[index], observation), f"{where}: the observation differs from the single one's")
            _check_info(infos, index, info, f"{where}: info")
        arms = rng.integers(n_arms, size=envs.num_envs)
        shown, rewards, terminations, truncations, infos = envs.step(arms)
        _check_arrays(envs, step, rewards, terminations, truncations)
        for index, (one, arm) in enumerate(zip(singles, arms, strict=True)):
            where = f"step {step}, sub-environment {index}"
            observation, reward, terminated, _, info = one.step(int(arm))
            require(float(rewards[index]) == reward, f"{where}: reward {rewards[index]}, single {reward}")
            require(bool(terminations[index]) == terminated, f"{where}: terminated {terminations[index]}")
            if terminated:
                require(all(key in infos for key in _FINAL), f"{where}: it ended, and there is no final_obs")
                require(same(infos["final_obs"][index], observation), f"{where}: final_obs differs")
                _check_info(infos["final_info"], index, info, f"{where}: final_info")
                observation, info = one.reset()
            here[index] = observation, info


def _check_masks(envs: VectorEnv[Any, Any, Any], step: int, infos: Mapping[str, Any]) -> None:
    masks = getattr(envs, "action_masks", None)
    if callable(masks):
        require(same(np.asarray(masks(), dtype=np.int8), infos["action_mask"]), f"step {step}: action_masks() differs")


def _check_arrays(envs: VectorEnv[Any, Any, Any], step: int, rewards: Any, terminations: Any, truncations: Any) -> None:
    require(not truncations.any(), f"step {step}: no answer truncates")
    require(terminations.dtype == truncations.dtype == np.bool_, "terminations and truncations are booleans")
    require(rewards.shape == (envs.num_envs,), f"rewards are ({envs.num_envs},), got {rewards.shape}")
    require(rewards.dtype.kind == "f", f"rewards are floats, got {rewards.dtype}")


def _single_of(envs: VectorEnv[Any, Any, Any]) -> gym.Env[Any, Any]:
    if envs.spec is None:
        raise BadInput("this vector environment was not made by gym.make_vec: give the single one as `single`")
    vector_only = ("num_envs", "vectorization_mode")
    return gym.make(envs.spec.id, **{key: value for key, value in envs.spec.kwargs.items() if key not in vector_only})


def _check_info(infos: Mapping[str, Any], index: int, like: Mapping[str, Any], where: str) -> None:
    """The info of one sub-environment is the single one's: ``None`` where its mask is False, and nothing besides."""
    more = sorted(
        key for key in infos if not key.startswith("_") and key not in like and key not in _FINAL and key != "episode"
    )
    # In a vector of episodes some have just begun, and others tell of an answer.
    more = [key for key in more if bool(infos.get(f"_{key}", np.ones(index + 1, dtype=bool))[index])]
    require(not more, f"{where} tells `{more[0] if more else ''}`, which the single one does not")
    for key, expected in like.items():
        require(key in infos and f"_{key}" in infos, f"{where} lacks `{key}` or its mask")
        value = infos[key][index] if infos[f"_{key}"][index] else None
        found = value.item() if isinstance(value, np.generic) else value
        require(same(found, expected), f"{where}: `{key}` differs: {found}, single {expected}")
