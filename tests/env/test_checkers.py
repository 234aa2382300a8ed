"""The checkers catch what they claim to catch."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from env.checkers import check_trace_env, check_vector_env
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
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


@pytest.mark.parametrize(
    ("broken", "message"),
    [
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


class WrongOrder(RoutingVectorEnv):
    def step(self, actions: Any) -> Any:
        observations, *rest = super().step(actions)
        return observations[::-1], *rest


class NextStep(RoutingVectorEnv):
    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012


class NoFinalInfo(RoutingVectorEnv):
    def step(self, actions: Any) -> Any:
        *rest, infos = super().step(actions)
        del infos["final_info"]
        return *rest, infos


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (WrongOrder, "observation differs"),
        (NextStep, "reset in the same step"),
        (NoFinalInfo, "has its final_info"),
    ],
)
def test_a_vector_that_is_not_a_loop_of_single_ones_is_found(broken: type[RoutingVectorEnv], message: str) -> None:
    check_vector_env(RoutingVectorEnv(3, TABLE), RoutingEnv(TABLE))
    with pytest.raises(AssertionError, match=message):
        check_vector_env(broken(3, TABLE), RoutingEnv(TABLE))


def test_without_a_spec_the_single_environment_must_be_given() -> None:
    with pytest.raises(BadInput, match="give the single one"):
        check_vector_env(RoutingVectorEnv(3, TABLE))
