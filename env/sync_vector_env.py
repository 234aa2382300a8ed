"""Environments of longer episodes side by side, over one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from env.errors import BadInput
from env.routing_table import RoutingTable
from env.trace import Trace
from env.trace_table import TableSettings, table_of

# In the infos these are numbers, NaN with their mask False where there is none; what else may be None is an object.
_NUMBERS = ("score", "cost_usd", "latency_s", "propensity")


class SharedTableVectorEnv(SyncVectorEnv):
    """``num_envs`` environments of one class, one after the other, which read the same arrays.

    Gymnasium's ``SyncVectorEnv`` with autoreset in the same step, so that no step is wasted on a reset. Each
    sub-environment plays windows of its own: ``reset(seed=s)`` gives the i-th one the stream of seed ``s + i``, the
    one that a single environment has with that seed, whatever ``num_envs``.

    In the infos ``score``, ``cost_usd``, ``latency_s`` and ``propensity`` are float64, NaN with their ``_key`` mask
    False where the single environment has ``None``.

    Args:
        num_envs: number of sub-environments.
        trace: as the single environment takes it.
        **settings: as the single environment takes them.
    """

    env_class: ClassVar[type[gym.Env[Any, Any]]]

    def __init__(
        self, num_envs: int = 1, trace: str | Path | Trace | RoutingTable = "bundled", **settings: Any
    ) -> None:
        if num_envs < 1:
            raise BadInput(f"num_envs is 1 or more, got {num_envs}")
        of_table: Any = {key: settings.pop(key) for key in TableSettings.__annotations__ if key in settings}
        table = table_of(trace, of_table)
        make: Any = self.env_class
        super().__init__([lambda: make(table, **settings)] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
        self.table = table

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        for key, value in env_info.items():
            if key in _NUMBERS and key not in vector_infos:
                vector_infos[key] = np.full(self.num_envs, np.nan)
            elif value is None and key not in vector_infos:
                vector_infos[key] = np.full(self.num_envs, None, dtype=object)
            vector_infos.setdefault(f"_{key}", np.zeros(self.num_envs, dtype=np.bool_))
        told = {key: value for key, value in env_info.items() if value is not None}
        added: dict[str, Any] = super()._add_info(vector_infos, told, env_num)
        return added
