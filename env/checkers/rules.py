"""The rules that single and vector checks share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete

from env.errors import BadInput

OUTCOMES = ("score", "cost_usd", "latency_s")
ASKED_KEYS = ("query_id", "action_mask")
ANSWERED_KEYS = (*OUTCOMES, "refused", "propensity")
# The only tuples of numbers: they say what a queue expects of everybody, not what this query would bring.
PUBLIC_TUPLES = ("expected_wait_s",)


def require(condition: bool, message: str) -> None:
    """The one way in which a rule is broken."""
    if not condition:
        raise AssertionError(message)


def one_step(env: gym.Env[Any, Any]) -> bool:
    """True for a bandit: every answer ends an episode."""
    return bool(getattr(env.unwrapped, "one_step", True))


def arms_of(space: gym.Space[Any]) -> int:
    """Number of arms of an action space."""
    require(isinstance(space, Discrete) and space.start == 0, f"actions are the arms 0 to K - 1, not {space}")
    assert isinstance(space, Discrete)
    return int(space.n)


def check_is_env(env: object) -> None:
    """Refuse what is no environment at all."""
    if not isinstance(env, gym.Env):
        raise BadInput(f"this is a {type(env).__name__}, and no gymnasium.Env; give one that gym.make made")


def check_contract(env: gym.Env[Any, Any], seed: int) -> None:
    """Everything that a routing environment has beyond Gymnasium's interface, missing parts told all at once."""
    arms_of(env.action_space)
    _, asked = env.reset(seed=seed)
    missing = [f"info['{key}'] after reset" for key in ASKED_KEYS if key not in asked]
    if not callable(getattr(env.unwrapped, "action_masks", None)):
        missing.append("a method action_masks()")
    if not isinstance(getattr(env.unwrapped, "stream_hash", None), str):
        missing.append("an attribute stream_hash, text that names the stream of the last seed")
    arm = int(np.flatnonzero(np.asarray(asked.get("action_mask", [1])))[0])
    *_, info = env.step(arm)
    missing += [f"info['{key}'] after step (None where not known)" for key in ANSWERED_KEYS if key not in info]
    require(not missing, "the environment lacks " + "; ".join(missing))


def check_reveals_nothing(info: Mapping[str, Any]) -> None:
    """Refuse what could hold a number for each arm, whatever it is called.

    Raises:
        AssertionError: an array, a list or a tuple of numbers, other than the mask and public queues.
    """
    for name, value in leaves(info):
        known = name == "action_mask" or name.rpartition(".")[0] in PUBLIC_TUPLES
        inside_tuple = name.rpartition(".")[2].isdigit() and not known
        require(
            known or (not inside_tuple and (value is None or isinstance(value, str | bool | int | float))),
            f"info[{name!r}] is {type(value).__name__}: it could tell what other arms would have brought",
        )


def leaves(info: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of an info under its path; of tuples and mappings their parts."""
    for key, value in info.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{above}{key}.")
        elif isinstance(value, tuple):
            yield from leaves({str(index): item for index, item in enumerate(value)}, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit; NaN equals NaN."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        floats = one.dtype.kind == "f"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=floats)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
