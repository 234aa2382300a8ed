"""Checkers for routing environments: Gymnasium's own, and the rules of a bandit on top. Run them on yours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from env.errors import BadInput

_OUTCOMES = ("score", "cost_usd", "latency_s")


def check_trace_env(env: gym.Env[Any, Any], *, steps: int = 100, seed: int = 0) -> None:
    """Check a routing environment, wrapped or not.

    Beyond Gymnasium's ``check_env``: every step of a bandit terminates, and no step of any environment truncates;
    observations and masks are memory of their own; masks leave an arm, and a masked arm is refused without an
    outcome; outcomes are in range; nothing in the infos could hold what other arms would have brought; the queries
    do not depend on the arms chosen; a seed rewinds the stream, and its hash.

    Args:
        env: the environment, a bandit unless it has an attribute ``one_step`` that is False. Then an episode ends
            after ``window`` queries at the latest, if it has that attribute, and its infos tell of the query now
            asked beside the outcome of the last one. Gymnasium's part compares infos and takes NaN for a
            difference, so of the full view only a table without gaps passes.
        steps: queries to answer.
        seed: of the stream and of the arms tried.

    Raises:
        AssertionError: the first rule that is broken.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> from env.routing_env import RoutingEnv
        >>> from env.routing_table import RoutingTable
        >>> scores = Outcomes.of(np.array([[0.1, 0.9], [0.5, np.nan], [0.3, 0.4]]))
        >>> check_trace_env(RoutingEnv(RoutingTable.of(Contexts.of(np.eye(3), 2), scores)))
    """
    check_env(env.unwrapped, skip_render_check=True)
    space, n_arms = env.observation_space, _arms(env.action_space)
    _require(isinstance(space, Box) and space.dtype == np.float32, f"observations are float32 boxes, not {space}")
    rng = np.random.default_rng(seed)
    if _one_step(env):
        first = [_visit(env, n_arms, rng, seed if step == 0 else None) for step in range(steps)]
        again = [_visit(env, n_arms, rng, seed if step == 0 else None) for step in range(steps)]
    else:
        first, again = _episode(env, n_arms, rng, seed, steps), _episode(env, n_arms, rng, seed, steps)
    for step, (one, other) in enumerate(zip(first, again, strict=_one_step(env))):
        _require(_same(one, other), f"step {step}: the query differs after a rewind to seed {seed} with other arms")
    _check_hash(env, seed)


def check_vector_env(
    envs: VectorEnv[Any, Any, Any], single: gym.Env[Any, Any] | None = None, *, steps: int = 20
) -> None:
    """Check a native vector environment: same-step autoreset, types, and that it equals a loop of single ones.

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
    alone = _single_of(envs) if single is None else single
    n_arms = _arms(envs.single_action_space)
    _require(
        envs.metadata.get("autoreset_mode") is AutoresetMode.SAME_STEP,
        "one-step environments reset in the same step: with next-step autoreset every other step is wasted",
    )
    _require(envs.single_observation_space == alone.observation_space, "the observation spaces differ")
    _require(envs.single_action_space == alone.action_space, "the action spaces differ")
    _require(envs.observation_space == batch_space(alone.observation_space, envs.num_envs), "observations not batched")
    _require(envs.action_space == batch_space(alone.action_space, envs.num_envs), "actions not batched")
    if not _one_step(alone):
        _check_side_by_side(envs, n_arms, steps)
        return
    rng = np.random.default_rng(0)
    shown, infos = envs.reset(seed=0)
    observation, info = alone.reset(seed=0)
    for step in range(steps):
        arms = rng.integers(n_arms, size=envs.num_envs)
        following, rewards, terminations, truncations, next_infos = envs.step(arms)
        _require(bool(terminations.all()), f"step {step}: every answer terminates")
        _check_arrays(envs, step, rewards, terminations, truncations)
        for key in ("final_obs", "final_info"):
            there = key in next_infos and bool(np.all(next_infos[f"_{key}"]))
            _require(there, f"step {step}: every sub-environment has its {key}")
        for index, arm in enumerate(arms):
            where = f"step {step}, sub-environment {index}"
            _require(_same(shown[index], observation), f"{where}: the observation differs from the single one's")
            _require(_same(_at(infos, index, info), info), f"{where}: the info differs from the single one's")
            answer, reward, _, _, answer_info = alone.step(arm)
            _require(float(rewards[index]) == reward, f"{where}: reward {rewards[index]}, single {reward}")
            _require(_same(next_infos["final_obs"][index], answer), f"{where}: final_obs differs")
            final = _at(next_infos["final_info"], index, answer_info)
            _require(_same(final, answer_info), f"{where}: final_info differs: {final}, single {answer_info}")
            observation, info = alone.reset()
        shown, infos = following, next_infos


def _check_side_by_side(envs: VectorEnv[Any, Any, Any], n_arms: int, steps: int) -> None:
    """Sub-environment ``i`` of a vector of episodes is the single one with seed + ``i``, reset as soon as it ends."""
    singles = [_single_of(envs) for _ in range(envs.num_envs)]
    rng = np.random.default_rng(0)
    shown, infos = envs.reset(seed=0)
    here = [alone.reset(seed=index) for index, alone in enumerate(singles)]
    for step in range(max(steps, 2 * int(getattr(singles[0].unwrapped, "window", 0)))):
        for index, (observation, info) in enumerate(here):
            where = f"step {step}, sub-environment {index}"
            _require(_same(shown[index], observation), f"{where}: the observation differs from the single one's")
            _require(_same(_at(infos, index, info), info), f"{where}: the info differs from the single one's")
        arms = rng.integers(n_arms, size=envs.num_envs)
        shown, rewards, terminations, truncations, infos = envs.step(arms)
        _check_arrays(envs, step, rewards, terminations, truncations)
        for index, (alone, arm) in enumerate(zip(singles, arms, strict=True)):
            where = f"step {step}, sub-environment {index}"
            observation, reward, terminated, _, info = alone.step(int(arm))
            _require(float(rewards[index]) == reward, f"{where}: reward {rewards[index]}, single {reward}")
            _require(bool(terminations[index]) == terminated, f"{where}: terminated {terminations[index]}")
            if terminated:
                _require(_same(infos["final_obs"][index], observation), f"{where}: final_obs differs")
                final = _at(infos["final_info"], index, info)
                _require(_same(final, info), f"{where}: final_info differs: {final}, single {info}")
                observation, info = alone.reset()
            here[index] = observation, info


def _check_arrays(envs: VectorEnv[Any, Any, Any], step: int, rewards: Any, terminations: Any, truncations: Any) -> None:
    _require(not truncations.any(), f"step {step}: no answer truncates")
    _require(terminations.dtype == truncations.dtype == np.bool_, "terminations and truncations are booleans")
    _require(rewards.shape == (envs.num_envs,), f"rewards are ({envs.num_envs},), got {rewards.shape}")


def _one_step(env: gym.Env[Any, Any]) -> bool:
    return bool(getattr(env.unwrapped, "one_step", True))


def _episode(env: gym.Env[Any, Any], n_arms: int, rng: np.random.Generator, seed: int, steps: int) -> list[Any]:
    """Play the first episode, ``steps`` at least, and check all that can be seen of it; returns the queries asked."""
    shown, asked = env.reset(seed=seed)
    window = int(getattr(env.unwrapped, "window", steps))
    queries = [asked.get("query_id")]
    for step in range(max(window, steps)):
        mask, arm = _mask(env, asked, n_arms), int(rng.integers(n_arms))
        following, reward, terminated, truncated, info = env.step(arm)
        _require(isinstance(terminated, bool), "`terminated` is a Python bool")
        _require(truncated is False, "nothing is cut short: an episode ends with its window, by `terminated`")
        _check_step(env, following, reward, info, refused=not mask[arm])
        _require(shown.base is None, "the observation is a view of other memory")
        shown[:], mask[:] = -1, 0
        if terminated:
            return queries
        _require(step < window - 1, f"the episode goes on beyond its window of {window} queries")
        queries.append(info.get("query_id"))
        shown, asked = following, info
    return queries


def _visit(env: gym.Env[Any, Any], n_arms: int, rng: np.random.Generator, seed: int | None) -> tuple[Any, ...]:
    """Answer one query and check all that can be seen of it; returns what no arm may influence."""
    observation, asked = env.reset(seed=seed)
    mask = _mask(env, asked, n_arms)
    kept = (observation.copy(), mask.copy(), asked.get("query_id"))
    arm = int(rng.integers(n_arms))
    answer, reward, terminated, truncated, info = env.step(arm)
    _require(terminated is True, "one query is one step: terminated must be True")
    _require(truncated is False, "nothing is cut short: a truncated step would make learners bootstrap")
    _require(observation.base is None, "the observation of reset is a view of other memory")
    _check_step(env, answer, reward, info, refused=not mask[arm])
    _require(_same(answer, kept[0]), "the observation after the step must not show another query")
    # Whoever writes to what was handed out must not change what comes later.
    observation[:], mask[:], answer[:] = -1, 0, -1
    return kept


def _check_step(env: gym.Env[Any, Any], observation: Any, reward: Any, info: Mapping[str, Any], refused: bool) -> None:
    _require(isinstance(reward, float) and np.isfinite(reward), f"the reward is a finite Python float, not {reward!r}")
    _require(observation.base is None, "the observation of step is a view of other memory")
    _check_outcome(info, refused=refused)
    if getattr(env.unwrapped, "view", "bandit") == "bandit":
        for name, value in _leaves(info):
            _require(
                name == "action_mask" or value is None or isinstance(value, str | bool | int | float),
                f"info[{name!r}] is {type(value).__name__}: it could tell what other arms would have brought",
            )


def _mask(env: gym.Env[Any, Any], info: Mapping[str, Any], n_arms: int) -> NDArray[np.int8]:
    mask = info.get("action_mask")
    _require(isinstance(mask, np.ndarray), "info holds no `action_mask`")
    assert isinstance(mask, np.ndarray)
    _require(mask.dtype == np.int8 and mask.shape == (n_arms,), f"`action_mask` is ({n_arms},) int8")
    _require(mask.base is None, "`action_mask` is a view of other memory")
    _require(bool(mask.any()), "the mask leaves no arm to choose")
    masks = getattr(env.unwrapped, "action_masks", None)
    _require(callable(masks) and _same(np.asarray(masks(), dtype=np.int8), mask), "`action_masks()` differs from info")
    return mask


def _check_outcome(info: Mapping[str, Any], *, refused: bool) -> None:
    for key in (*_OUTCOMES, "propensity", "refused"):
        _require(key in info, f"the info of a step holds no `{key}`")
    _require(bool(info["refused"]) == refused, "`refused` must tell whether the arm was masked")
    for key in _OUTCOMES:
        value = info[key]
        _require(value is None or (isinstance(value, float) and value >= 0), f"`{key}` is {value!r}")
        _require(not refused or value is None, f"`{key}` of a masked arm must not be known")
    _require(info["score"] is None or info["score"] <= 1, f"`score` is {info['score']}, above 1")
    propensity = info["propensity"]
    _require(propensity is None or 0 < propensity <= 1, f"`propensity` is {propensity}, not in (0, 1]")


def _check_hash(env: gym.Env[Any, Any], seed: int) -> None:
    hashes = []
    for number in (seed, seed + 1, seed):
        env.reset(seed=number)
        hashes.append(getattr(env.unwrapped, "stream_hash", None))
    _require(isinstance(hashes[0], str), "the environment has no `stream_hash`")
    _require(hashes[0] == hashes[2], "the same seed gives another stream hash")
    # A handful of queries may come in the same order under two seeds by chance.
    few = getattr(env.unwrapped, "n_queries", 1) < 6
    _require(few or hashes[0] != hashes[1], "another seed gives the same stream hash")


def _single_of(envs: VectorEnv[Any, Any, Any]) -> gym.Env[Any, Any]:
    if envs.spec is None:
        raise BadInput("this vector environment was not made by gym.make_vec: give the single one as `single`")
    vector_only = ("num_envs", "vectorization_mode")
    return gym.make(envs.spec.id, **{key: value for key, value in envs.spec.kwargs.items() if key not in vector_only})


def _at(infos: Mapping[str, Any], index: int, like: Mapping[str, Any]) -> dict[str, Any]:
    """The info of one sub-environment, in the single one's form: ``None`` where its mask is False."""
    found: dict[str, Any] = {}
    for key in like:
        _require(key in infos and f"_{key}" in infos, f"the vector infos lack `{key}` or its mask")
        value = infos[key][index] if infos[f"_{key}"][index] else None
        found[key] = value.item() if isinstance(value, np.generic) else value
    return found


def _leaves(info: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in info.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        elif isinstance(value, tuple):
            yield from _leaves({str(index): item for index, item in enumerate(value)}, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        floats = one.dtype.kind == "f"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=floats)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _arms(space: gym.Space[Any]) -> int:
    _require(isinstance(space, Discrete) and space.start == 0, f"actions are the arms 0 to K - 1, not {space}")
    assert isinstance(space, Discrete)
    return int(space.n)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
