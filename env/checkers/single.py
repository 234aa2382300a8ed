"""The check of single environments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from env.checkers.leaks import channels, check_replays, replay
from env.checkers.rules import (
    OUTCOMES,
    arms_of,
    check_contract,
    check_is_env,
    check_reveals_nothing,
    one_step,
    require,
    same,
)

_EPISODES = 3


def check_trace_env(env: gym.Env[Any, Any], *, steps: int = 100, seed: int = 0) -> None:
    """Check a routing environment, wrapped or not.

    Beyond Gymnasium's ``check_env``: every step of a bandit terminates, and no step of any environment truncates;
    observations and masks are memory of their own; masks leave an arm, and a masked arm is refused without an
    outcome; outcomes are in range; infos hold no arrays that could tell of other arms; the queries, their outcomes
    and their times do not depend on the arms chosen; a seed rewinds the stream, and its hash. Of a bandit the same
    queries are also answered by each arm in turn, and no number given may agree with what another arm brought.

    What no checker can see from outside: hints in other disguises, such as a mask that depends on true costs.

    Args:
        env: the environment, a bandit unless it has an attribute ``one_step`` that is False. Then an episode ends
            after ``window`` queries at the latest, if it has that attribute, and its infos tell of the query now
            asked beside the outcome of the last one. Gymnasium's part compares infos and takes NaN for a
            difference, so of the full view only one without NaN passes.
        steps: queries to answer.
        seed: of the stream and of the arms tried.

    Raises:
        AssertionError: the first rule that is broken, or all that is missing.
        BadInput: not an environment.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> from env.routing_env import RoutingEnv
        >>> from env.routing_table import RoutingTable
        >>> scores = Outcomes.of(np.array([[0.1, 0.9], [0.5, np.nan], [0.3, 0.4]]))
        >>> check_trace_env(RoutingEnv(RoutingTable.of(Contexts.of(np.eye(3), 2), scores)))
    """
    check_is_env(env)
    check_contract(env, seed)
    check_env(env.unwrapped, skip_render_check=True)
    space, n_arms = env.observation_space, arms_of(env.action_space)
    require(isinstance(space, Box) and space.dtype == np.float32, f"observations are float32 boxes, not {space}")
    rng = np.random.default_rng(seed)
    if one_step(env):
        _check_bandit(env, n_arms, rng, seed, steps)
    else:
        _check_episodes(env, n_arms, rng, seed, steps)
    _check_hash(env, seed)


def _check_bandit(env: gym.Env[Any, Any], n_arms: int, rng: np.random.Generator, seed: int, steps: int) -> None:
    runs = [
        [_visit(env, int(rng.integers(n_arms)), n_arms, seed if step == 0 else None) for step in range(steps)]
        for _ in range(2)
    ]
    for step, (one, other) in enumerate(zip(*runs, strict=True)):
        require(
            same(one.query, other.query),
            f"step {step}: the query differs after a rewind to seed {seed} with other arms",
        )
    by_arm: list[list[_Answer]] = []

    def visit(step: int, arm: int) -> tuple[dict[str, float], dict[str, float]]:
        answer = _visit(env, arm, n_arms, seed if step == 0 else None)
        by_arm[arm].append(answer)
        return answer.told, answer.given

    replays = []
    for arm in range(n_arms):
        by_arm.append([])
        replays.append(replay(visit, arm, steps))
    for run in runs:
        for step, answer in enumerate(run):
            require(
                _agree(answer.told, by_arm[answer.arm][step].told),
                f"step {step}: what arm {answer.arm} brings depends on the arms chosen before",
            )
    if _is_bandit_view(env):
        check_replays(replays)


class _Answer:
    """One query answered: what no arm may influence, what came of the arm, and all numbers that were given."""

    def __init__(self, query: tuple[Any, ...], arm: int, info: Mapping[str, Any], given: dict[str, float]) -> None:
        self.query = query
        self.arm = arm
        self.told = {key: np.nan if info[key] is None else float(info[key]) for key in OUTCOMES}
        self.given = given


def _visit(env: gym.Env[Any, Any], arm: int, n_arms: int, seed: int | None) -> _Answer:
    """Answer one query and check all that can be seen of it."""
    observation, asked = env.reset(seed=seed)
    mask = _mask(env, asked, n_arms)
    query = (observation.copy(), mask.copy(), asked.get("query_id"))
    if _is_bandit_view(env):
        check_reveals_nothing(asked)
    answer, reward, terminated, truncated, info = env.step(arm)
    require(terminated is True, "one query is one step: terminated must be True")
    require(truncated is False, "nothing is cut short: a truncated step would make learners bootstrap")
    require(observation.base is None, "the observation of reset is a view of other memory")
    _check_step(env, answer, reward, info, refused=not mask[arm])
    require(same(answer, query[0]), "the observation after the step must not show another query")
    found = _Answer(query, arm, info, channels(observation, asked, info))
    # Whoever writes to what was handed out must not change what comes later.
    observation[:], mask[:], answer[:] = -1, 0, -1
    return found


def _check_episodes(env: gym.Env[Any, Any], n_arms: int, rng: np.random.Generator, seed: int, steps: int) -> None:
    one, other = (_play(env, n_arms, rng, seed, steps) for _ in range(2))
    for number, (first, again) in enumerate(zip(one.begun, other.begun, strict=False)):
        require(same(first, again), f"episode {number} begins with another query when other arms were chosen before")
    for step in one.asked.keys() & other.asked.keys():
        require(same(one.asked[step], other.asked[step]), f"step {step}: the query differs with other arms before it")
    for cell in one.told.keys() & other.told.keys():
        step, arm = cell
        require(
            _agree(one.told[cell], other.told[cell]), f"step {step}: what arm {arm} brings depends on the arms before"
        )


class _Played:
    """Some episodes: the first query of each, every query by its number, every outcome by number and arm."""

    def __init__(self) -> None:
        self.begun: list[tuple[Any, ...]] = []
        self.asked: dict[Any, tuple[Any, ...]] = {}
        self.told: dict[tuple[Any, int], dict[str, float]] = {}


def _play(env: gym.Env[Any, Any], n_arms: int, rng: np.random.Generator, seed: int, steps: int) -> _Played:
    """Play episodes, ``steps`` queries at least, and check all that can be seen of them."""
    played, answered = _Played(), 0
    window = int(getattr(env.unwrapped, "window", steps))
    for episode in range(_EPISODES):
        shown, asked = env.reset(seed=seed if episode == 0 else None)
        played.begun.append(_query(asked, answered))
        for length in range(1, max(window, steps) + 1):
            number, mask, arm = asked.get("step", answered), _mask(env, asked, n_arms), int(rng.integers(n_arms))
            played.asked[number] = _query(asked, answered)
            check_reveals_nothing(asked)
            following, reward, terminated, truncated, info = env.step(arm)
            answered += 1
            require(isinstance(terminated, bool), "`terminated` is a Python bool")
            require(truncated is False, "nothing is cut short: an episode ends with its window, by `terminated`")
            _check_step(env, following, reward, info, refused=not mask[arm])
            require(shown.base is None, "the observation is a view of other memory")
            played.told[number, arm] = {key: np.nan if info[key] is None else float(info[key]) for key in OUTCOMES}
            shown[:], mask[:] = -1, 0
            if terminated:
                break
            require(length < window, f"the episode goes on beyond its window of {window} queries")
            shown, asked = following, info
    return played


def _query(asked: Mapping[str, Any], answered: int) -> tuple[Any, ...]:
    # `now_s`: when it came, where an environment has a clock.
    return asked.get("step", answered), asked.get("query_id"), asked.get("task"), asked.get("now_s")


def _agree(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """The same outcome, where both times it was told: a queue may be full, a purse empty, a judge late."""
    return all(np.isnan(one[key]) or np.isnan(other[key]) or one[key] == other[key] for key in OUTCOMES)


def _is_bandit_view(env: gym.Env[Any, Any]) -> bool:
    return getattr(env.unwrapped, "view", "bandit") == "bandit"


def _check_step(env: gym.Env[Any, Any], observation: Any, reward: Any, info: Mapping[str, Any], refused: bool) -> None:
    require(isinstance(reward, float) and np.isfinite(reward), f"the reward is a finite Python float, not {reward!r}")
    require(observation.base is None, "the observation of step is a view of other memory")
    _check_outcome(info, refused=refused)
    if _is_bandit_view(env):
        check_reveals_nothing(info)


def _mask(env: gym.Env[Any, Any], info: Mapping[str, Any], n_arms: int) -> NDArray[np.int8]:
    mask = info.get("action_mask")
    require(isinstance(mask, np.ndarray), "info holds no `action_mask`")
    assert isinstance(mask, np.ndarray)
    require(mask.dtype == np.int8 and mask.shape == (n_arms,), f"`action_mask` is ({n_arms},) int8")
    require(mask.base is None, "`action_mask` is a view of other memory")
    require(bool(mask.any()), "the mask leaves no arm to choose")
    masks = getattr(env.unwrapped, "action_masks", None)
    require(callable(masks) and same(np.asarray(masks(), dtype=np.int8), mask), "`action_masks()` differs from info")
    return mask


def _check_outcome(info: Mapping[str, Any], *, refused: bool) -> None:
    require(bool(info["refused"]) == refused, "`refused` must tell whether the arm was masked")
    for key in OUTCOMES:
        value = info[key]
        require(value is None or (isinstance(value, float) and value >= 0), f"`{key}` is {value!r}")
        require(not refused or value is None, f"`{key}` of a masked arm must not be known")
    require(info["score"] is None or info["score"] <= 1, f"`score` is {info['score']}, above 1")
    propensity = info["propensity"]
    require(propensity is None or 0 < propensity <= 1, f"`propensity` is {propensity}, not in (0, 1]")


def _check_hash(env: gym.Env[Any, Any], seed: int) -> None:
    hashes = []
    for number in (seed, seed + 1, seed):
        env.reset(seed=number)
        hashes.append(env.unwrapped.stream_hash)  # type: ignore[attr-defined]  # its presence was checked
    require(hashes[0] == hashes[2], "the same seed gives another stream hash")
    # A handful of queries may come in the same order under two seeds by chance.
    few = getattr(env.unwrapped, "n_queries", 1) < 6
    require(few or hashes[0] != hashes[1], "another seed gives the same stream hash")
