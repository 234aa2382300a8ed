"""The checkers catch what they claim to catch."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from env.budget_env import RoutingBudgetEnv, RoutingBudgetVectorEnv
from env.checkers import check_trace_env, check_vector_env
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
from env.traffic_env import RoutingTrafficEnv
from env.vector_env import RoutingVectorEnv

_RNG = np.random.default_rng(0)
TABLE = RoutingTable.of(
    Contexts.of(_RNG.uniform(-1, 1, (20, 3)), 3),
    Outcomes.of(np.where(np.eye(20, 3) == 1, np.nan, _RNG.random((20, 3)))),
)


class Truncates(RoutingEnv):
    def step(self, action: Any) -> Any:
        observation, reward, _, _, info = super().step(action)
        return observation, reward, False, True, info


class LeaksOutcomes(RoutingEnv):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        assert self._asked is not None
        return observation, reward, terminated, truncated, {**info, "debug": {"all": self._asked.score[0].tolist()}}


class LeaksThroughTheBase(RoutingEnv):
    def reset(self, **kwargs: Any) -> Any:
        _, info = super().reset(**kwargs)
        assert self._asked is not None
        return self.table.observations[self._asked.rows[0]], info


class ShowsTheNextQuery(RoutingEnv):
    def step(self, action: Any) -> Any:
        _, reward, terminated, truncated, info = super().step(action)
        return np.full(3, 0.5, dtype=np.float32), reward, terminated, truncated, info


class ForgetsTheMask(RoutingEnv):
    def action_masks(self) -> Any:
        return np.ones(3, dtype=np.bool_)


class AnswersMaskedArms(RoutingEnv):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated, truncated, {**info, "refused": False, "score": 0.5}


class DependsOnTheArms(RoutingEnv):
    def step(self, action: Any) -> Any:
        self._stream.take(int(action))
        return super().step(action)


class TellsAtReset(RoutingEnv):
    def reset(self, **kwargs: Any) -> Any:
        observation, info = super().reset(**kwargs)
        assert self._asked is not None
        return observation, {**info, "all_score": self._asked.score[0].copy()}


class TellsTheBestArm(RoutingEnv):
    def reset(self, **kwargs: Any) -> Any:
        observation, info = super().reset(**kwargs)
        assert self._asked is not None
        return observation, {**info, "hint": int(np.nanargmax(self._asked.score[0]))}


class TellsInATuple(RoutingEnv):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        assert self._asked is not None
        return observation, reward, terminated, truncated, {**info, "scores": tuple(self._asked.score[0].tolist())}


class TellsTheBestScore(RoutingEnv):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        assert self._asked is not None
        return observation, reward, terminated, truncated, {**info, "best": float(np.nanmax(self._asked.score[0]))}


class TellsInWords(RoutingEnv):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        assert self._asked is not None
        return observation, reward, terminated, truncated, {**info, "log": str(self._asked.score[0].tolist())}


class TellsInTheObservation(RoutingEnv):
    def _observation(self, asked: Any) -> Any:
        observation = super()._observation(asked)
        observation[-1] = np.nan_to_num(asked.score[0, 0])
        return observation


class OutcomesDependOnTheLastArm(RoutingEnv):
    last = 0

    def reset(self, **kwargs: Any) -> Any:
        if kwargs.get("seed") is not None:
            self.last = 0
        told = super().reset(**kwargs)
        if self.last == 1 and self._asked is not None:
            self._asked = self._asked._replace(told=self._asked.told * 0)
        return told

    def step(self, action: Any) -> Any:
        self.last = int(action)
        return super().step(action)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (TellsAtReset, "all_score.*ndarray: it could tell"),
        (TellsTheBestArm, "hint.* of reset tells the score of the best arm by its number"),
        (TellsInATuple, "scores.*float: it could tell"),
        (TellsTheBestScore, "best.* of step tells the score of"),
        (TellsInWords, "log.* of step, number .* tells the score of"),
        (TellsInTheObservation, r"observation\[2\] tells the score of arm 0"),
        (OutcomesDependOnTheLastArm, "depends on the arms chosen before"),
        (Truncates, "truncates|terminated must be True"),
        (LeaksOutcomes, "debug.all.*list: it could tell"),
        (LeaksThroughTheBase, "view of other memory|share an object"),
        (ShowsTheNextQuery, "must not show another query"),
        (ForgetsTheMask, "`action_masks\\(\\)` differs"),
        (AnswersMaskedArms, "`refused` must tell"),
        (DependsOnTheArms, "differs after a rewind"),
    ],
)
def test_a_broken_rule_is_found(broken: type[RoutingEnv], message: str) -> None:
    check_trace_env(RoutingEnv(TABLE))
    with pytest.raises(AssertionError, match=message):
        check_trace_env(broken(TABLE))


def test_wrapped_environments_are_checked(small_trace: Any) -> None:
    check_trace_env(gym.wrappers.RecordEpisodeStatistics(gym.make("pointsman/Routing-v0", trace=small_trace)), steps=5)


def test_everything_that_is_missing_is_told_at_once() -> None:
    class Toy(gym.Env[Any, Any]):
        observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        action_space = gym.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return np.zeros(2, dtype=np.float32), {}

        def step(self, action: Any) -> Any:
            return np.zeros(2, dtype=np.float32), 0.5, True, False, {"score": 0.5}

    with pytest.raises(AssertionError) as caught:
        check_trace_env(Toy())
    for part in ("query_id", "action_mask", "action_masks()", "stream_hash", "cost_usd", "latency_s", "propensity"):
        assert part in str(caught.value)
    with pytest.raises(BadInput, match="this is a int, and no gymnasium"):
        check_trace_env(3)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(BadInput, match="no gymnasium VectorEnv"):
        check_vector_env(RoutingEnv(TABLE))  # type: ignore[arg-type]  # on purpose


PRICED = RoutingTable.of(
    Contexts.of(_RNG.uniform(-1, 1, (40, 2)), 3, latency_weight=0.02),
    Outcomes.of(_RNG.random((40, 3)), _RNG.random((40, 3)) * [0.001, 0.01, 0.1], _RNG.random((40, 3)) + 0.5),
)


class LaterWindowsDependOnArms(RoutingBudgetEnv):
    def step(self, action: Any) -> Any:
        if int(action) == 0:
            self._stream.take(1)
        return super().step(action)


class ArrivalsDependOnArms(RoutingTrafficEnv):
    def step(self, action: Any) -> Any:
        self._times[self._at + 1 :] += 0.5 * int(action)
        return super().step(action)


@pytest.mark.parametrize(
    ("sound", "broken", "message"),
    [
        (RoutingBudgetEnv, LaterWindowsDependOnArms, "begins with another query"),
        (RoutingTrafficEnv, ArrivalsDependOnArms, "the query differs with other arms before it"),
    ],
)
def test_a_broken_rule_of_episodes_is_found(sound: Any, broken: Any, message: str) -> None:
    check_trace_env(sound(PRICED, window=12))
    with pytest.raises(AssertionError, match=message):
        check_trace_env(broken(PRICED, window=12))


@pytest.mark.parametrize("seed", range(20))
def test_a_budget_that_skips_queries_is_sound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.random((40, 3))
    score[rng.random(score.shape) < 0.3] = np.nan
    score[:, 2] = 0.5
    cost = np.tile([0.001, 0.01, 0.1], (40, 1))
    gappy = RoutingTable.of(Contexts.of(rng.uniform(-1, 1, (40, 2)), 3), Outcomes.of(score, cost))
    check_trace_env(RoutingBudgetEnv(gappy, window=20), seed=seed)


class WrongOrder(RoutingVectorEnv):
    def step(self, actions: Any) -> Any:
        observations, *rest = super().step(actions)
        return observations[::-1], *rest


class NextStep(RoutingVectorEnv):
    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 - as in Gymnasium


class NoFinalInfo(RoutingVectorEnv):
    def step(self, actions: Any) -> Any:
        *rest, infos = super().step(actions)
        del infos["final_info"]
        return *rest, infos


class TellsAll(RoutingVectorEnv):
    def step(self, actions: Any) -> Any:
        *rest, infos = super().step(actions)
        assert self._asked is not None
        infos["all_score"] = self._asked.score.copy()
        return *rest, infos


class WrongMasks(RoutingVectorEnv):
    def action_masks(self) -> Any:
        return np.zeros((self.num_envs, 9), dtype=bool)


class ObjectRewards(RoutingVectorEnv):
    def step(self, actions: Any) -> Any:
        observations, rewards, *rest = super().step(actions)
        return observations, rewards.astype(object), *rest


class AlwaysRewinds(RoutingVectorEnv):
    def reset(self, **kwargs: Any) -> Any:
        return super().reset(seed=0)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (TellsAll, "tells `all_score`, which the single one does not"),
        (WrongMasks, "action_masks\\(\\) differs"),
        (ObjectRewards, "rewards are floats"),
        (AlwaysRewinds, "must go on to the next queries"),
        (WrongOrder, "observation differs"),
        (NextStep, "reset in the same step"),
        (NoFinalInfo, "has its final_info"),
    ],
)
def test_a_vector_that_is_not_a_loop_of_single_ones_is_found(broken: type[RoutingVectorEnv], message: str) -> None:
    check_vector_env(RoutingVectorEnv(3, TABLE), RoutingEnv(TABLE))
    with pytest.raises(AssertionError, match=message):
        check_vector_env(broken(3, TABLE), RoutingEnv(TABLE))


def test_a_vector_of_episodes_is_compared_with_the_single_one_that_is_given() -> None:
    check_vector_env(RoutingBudgetVectorEnv(2, PRICED, window=5), RoutingBudgetEnv(PRICED, window=5))
    with pytest.raises(AssertionError, match="differs"):
        check_vector_env(RoutingBudgetVectorEnv(2, PRICED, window=5), RoutingBudgetEnv(PRICED, window=6))


def test_without_a_spec_the_single_environment_must_be_given() -> None:
    with pytest.raises(BadInput, match="give the single one"):
        check_vector_env(RoutingVectorEnv(3, TABLE))
