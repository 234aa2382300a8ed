"""The routing bandit as a Stable-Baselines3 ``VecEnv``, on the same arrays. Imported on demand: it imports torch.

SB3 would step single environments one by one (``DummyVecEnv``); here a step is a few array look-ups for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from gymnasium import Wrapper
from numpy.typing import NDArray

from env.contexts import Bools, Floats
from env.errors import BadInput, MissingExtra
from env.routing_table import RoutingTable
from env.scenarios import ScenarioLike
from env.stream import Order
from env.trace import Trace
from env.trace_table import TableSettings
from env.vector_env import RoutingVectorEnv, check_arms

_INFOS = ("score", "cost_usd", "latency_s", "refused", "step", "query_id", "task", "judgements", "imputed")

try:
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise MissingExtra("the environment for Stable-Baselines3", "train") from error


class RoutingSB3VecEnv(VecEnv):
    """``num_envs`` routing bandits on one stream of queries, for SB3's algorithms.

    The queries come in the order of :class:`env.vector_env.RoutingVectorEnv` with the same seed. As in every ``VecEnv``
    the seed given by :meth:`seed` (SB3's algorithms pass theirs on) takes effect at the next :meth:`reset`. Without
    one, each new environment begins a stream of its own.

    Each info holds ``score``, ``cost_usd``, ``latency_s`` (NaN where not recorded), ``refused``, ``step``,
    ``query_id``, ``task``, and SB3's ``terminal_observation`` and ``TimeLimit.truncated``. For episode statistics
    wrap it in SB3's ``VecMonitor``; leave rewards as they are (``VecNormalize`` would scale them by a discounted
    return).

    Args:
        num_envs: number of sub-environments. Large ones (256 to 1,024) with a rollout buffer of 32,000 steps learn
            fast; small buffers let PPO collapse onto few arms.
        trace: a trace, the path of one, ``"bundled"``, or a table (``RoutingTable.of`` makes one of plain arrays).
        order: see :class:`env.routing_env.RoutingEnv`.
        scenario: see there. Late judgements are in the infos as there; SB3's algorithms read rewards only.
        **settings: see there.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> table = RoutingTable.of(Contexts.of(np.zeros((5, 3)), 2), Outcomes.of(np.full((5, 2), 0.5)))
        >>> envs = RoutingSB3VecEnv(4, table)
        >>> envs.reset().shape
        (4, 3)
        >>> observations, rewards, dones, infos = envs.step(np.array([0, 1, 0, 1]))
        >>> rewards.tolist(), dones.tolist(), infos[0]["score"]
        ([0.5, 0.5, 0.5, 0.5], [True, True, True, True], 0.5)
    """

    render_mode: str | None = None

    def __init__(
        self,
        num_envs: int,
        trace: str | Path | Trace | RoutingTable = "bundled",
        *,
        order: Order = "shuffle",
        scenario: ScenarioLike = None,
        **settings: Unpack[TableSettings],
    ) -> None:
        self._envs = RoutingVectorEnv(num_envs, trace, order=order, scenario=scenario, **settings)
        self.table = self._envs.table
        self._arms = np.zeros(num_envs, dtype=np.int64)
        super().__init__(num_envs, self._envs.single_observation_space, self._envs.single_action_space)

    @property
    def stream_hash(self) -> str:
        """SHA-256 (hex) of the exogenous stream since the last seeding, see :attr:`QueryStream.hash`."""
        return self._envs.stream_hash

    def reset(self) -> Floats:
        """The next ``num_envs`` queries; the first ones of the stream if a seed was given since the last reset."""
        observations, _ = self._envs.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[np.integer[Any]]) -> None:
        """Take the arms ``(num_envs,)`` for :meth:`step_wait`."""
        self._arms = check_arms(actions, self.num_envs, self.table.n_arms)

    def step_wait(self) -> tuple[Floats, Floats, Bools, list[dict[str, Any]]]:
        """Answer the queries: next observations, rewards, dones (all True) and infos of the answers."""
        observations, rewards, dones, _, infos = self._envs.step(self._arms)
        # Lists of Python numbers first: reading arrays cell by cell would cost more than the step itself.
        final = infos["final_info"]
        keys = [key for key in _INFOS if key in final]
        columns = [final[key].tolist() for key in keys]
        told = [
            {"terminal_observation": shown, "TimeLimit.truncated": False, **dict(zip(keys, values, strict=True))}
            for shown, *values in zip(infos["final_obs"], *columns, strict=True)
        ]
        return observations, rewards.astype(np.float32), dones, told

    def action_masks(self) -> Bools:
        """``(num_envs, K)`` True where the arm may be chosen; ``env_method("action_masks")`` gives its rows."""
        return self._envs.action_masks()

    def close(self) -> None:
        """Nothing to release."""

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """An attribute of the sub-environments, which are all this one."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Refused: the sub-environments share everything."""
        raise BadInput(f"`{attr_name}` cannot be set on one sub-environment: they share one table and one stream")

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: int | Iterable[int] | None = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method; only ``action_masks`` belongs to a single sub-environment."""
        if method_name != "action_masks":
            raise AttributeError(f"sub-environments have no method `{method_name}`, only `action_masks`")
        masks = self.action_masks()
        return [masks[index] for index in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[Wrapper[Any, Any, Any, Any]], indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        """No sub-environment is wrapped."""
        return [False for _ in self._get_indices(indices)]
