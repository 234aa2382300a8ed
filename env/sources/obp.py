"""Open Bandit Pipeline: a ``bandit_feedback`` dictionary, from memory or saved by ``numpy.savez``, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from env.contexts import Floats
from env.errors import BadInput
from env.files import whole_file
from env.sources.base import SCORE_RULE, Long, Source
from env.sources.raw import Raw, Record
from env.trace import Trace
from env.trace_io import ARMS_METADATA

_NEEDED = ("context", "action", "reward", "pscore")
# What simulations add, and no log could hold.
_TRUTHS = ("expected_reward", "pi_b")
_POSITION = "position "
_PSCORE_RULE = "the chosen action's probability is in (0, 1]"


def to_long(raw: Raw) -> Long:
    """One row per round: the context becomes the features, ``pscore`` the propensity, ``position`` the task."""
    raw.need(*_NEEDED)
    feedback = raw.records[0]
    placed = feedback.get("position") is not None
    arrays = {name: _numbers(raw, name, feedback[name]) for name in (*_NEEDED, *(["position"] if placed else []))}
    context, action = arrays["context"], arrays["action"]
    n = action.size
    wanted = {name: (n, *context.shape[1:]) if name == "context" else (n,) for name in arrays}
    if context.ndim != 2 or any(arrays[name].shape != shape for name, shape in wanted.items()):
        shapes = ", ".join(f"{name} {values.shape}" for name, values in arrays.items())
        raise BadInput(f"{raw.where}: one row a round is expected in each array, and a context (n, d); got {shapes}")
    if n == 0:
        raise BadInput(f"{raw.where}: array action: no rounds")
    for name in ("action", "position") if placed else ("action",):
        if (wrong := ~np.isfinite(arrays[name]) | (arrays[name] % 1 != 0)).any():
            row = int(np.argmax(wrong))
            raw.fail(row, name, f"{arrays[name][row]:g} is no whole number")
    n_actions = _n_actions(raw, feedback, action)
    rewards = Raw.of(pa.table({name: arrays[name] for name in ("action", "reward", "pscore")}), raw.where)
    rewards.numbers("action", 0, n_actions - 1, f"an action is one of 0 ... {n_actions - 1} (n_actions)")
    rewards.numbers("reward", 0, 1, SCORE_RULE)
    chances = rewards.numbers("pscore", float(np.nextafter(0, 1)), 1, _PSCORE_RULE)
    if np.isnan(chances).any():
        raw.fail(int(np.argmax(np.isnan(chances))), "pscore", f"NaN; {_PSCORE_RULE}")
    table = pa.table(
        {
            "query_id": [f"round-{row}" for row in range(n)],
            "task": [f"{_POSITION}{int(at)}" for at in arrays["position"]] if placed else [None] * n,
            "prompt": pa.nulls(n, pa.string()),
            "model": [str(int(at)) for at in action],
            "score": arrays["reward"],
            **{name: pa.nulls(n) for name in ("input_tokens", "output_tokens", "cost_usd", "latency_s")},
            "propensity": arrays["pscore"],
            "features": pa.FixedSizeListArray.from_arrays(
                pa.array(context.astype(np.float32).ravel()), context.shape[1]
            ),
            "featuriser": ["obp context"] * n,
        }
    )
    arms = json.dumps([str(arm) for arm in range(n_actions)])
    left = [name for name in _TRUTHS if feedback.get(name) is not None]
    notes = ["the actions are numbers; costs and latencies are not recorded"]
    if left:
        notes.append(f"left out: {', '.join(left)} (truths of a simulation, which no log holds)")
    return Long(table.replace_schema_metadata({ARMS_METADATA: arms}), tuple(notes))


def _numbers(raw: Raw, name: str, given: Any) -> Floats:
    if given is None:
        raise BadInput(f"{raw.where}: array {name}: Python objects, which are never loaded; save numbers")
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{raw.where}: array {name}: not numbers ({error})") from error


def _n_actions(raw: Raw, feedback: Record, action: Floats) -> int:
    if feedback.get("n_actions") is None:
        return int(action.max()) + 1
    stated = _numbers(raw, "n_actions", feedback["n_actions"])
    if stated.size != 1 or not 1 <= stated.item() <= 1e6 or stated.item() % 1:
        raise BadInput(f"{raw.where}: array n_actions: {feedback['n_actions']} is no number of actions")
    return int(stated.item())


def to_bandit_feedback(trace: Trace) -> dict[str, Any]:
    """A bandit log as Open Bandit Pipeline's estimators take it.

    Args:
        trace: one scored arm per query, with its propensity, and features.

    Returns:
        ``n_rounds, n_actions, context (n, d), action_context (K, K), action (n,), position (n,) or None,
        reward (n,), pscore (n,)``; actions are numbers of ``trace.arms``.

    Raises:
        BadInput: the trace is no bandit log, or has no features.

    Example:
        >>> from env.trace_io import from_rows
        >>> row = {"query_id": "q", "prompt": None, "model": "a", "score": 1.0, "propensity": 0.5, "features": [0.1]}
        >>> to_bandit_feedback(from_rows([row]))["action"]
        array([0])
    """
    if not trace.is_log:
        raise BadInput(f"trace {trace.name}: no bandit log: obp takes one chosen arm per query, with its propensity")
    if trace.features is None:
        raise BadInput(f"trace {trace.name}: no features; obp's context is what the policy saw")
    scored = np.flatnonzero(trace.observed.any(axis=1))
    action = trace.observed[scored].argmax(axis=1)
    tasks = [str(task or "") for task in trace.tasks[scored]]
    placed = bool(tasks) and all(task.startswith(_POSITION) for task in tasks)
    return {
        "n_rounds": len(scored),
        "n_actions": trace.n_arms,
        "context": trace.features[scored],
        "action_context": np.eye(trace.n_arms, dtype=int),
        "action": action,
        "position": np.array([int(task.removeprefix(_POSITION)) for task in tasks]) if placed else None,
        "reward": trace.score[scored, action].astype(np.float64),
        "pscore": trace.cell_columns["propensity"][scored, action].astype(np.float64),
    }


def save_bandit_feedback(trace: Trace, path: str | Path) -> Path:
    """Write a bandit log as Open Bandit Pipeline's dictionary, by ``numpy.savez``; :func:`to_long` reads it back.

    Args:
        trace: see :func:`to_bandit_feedback`.
        path: named ``.npz``.

    Raises:
        BadInput: the file has the name of another kind, or see :func:`to_bandit_feedback`.
    """
    if Path(path).suffix != ".npz":
        raise BadInput(f"{path}: a bandit_feedback is written as .npz; name it {Path(path).with_suffix('.npz')}")
    feedback = to_bandit_feedback(trace)
    with whole_file(path) as scratch, scratch.open("wb") as file:
        # No position is no array: numpy would store None as a pickle.
        np.savez(file, **{name: values for name, values in feedback.items() if values is not None})
    return Path(path)


SOURCE = Source(
    name="obp",
    what="bandit_feedback of Open Bandit Pipeline, saved by numpy.savez: context, action, reward, pscore, position",
    home="https://github.com/st-tech/zr-obp",
    looks_like=lambda raw: {*_NEEDED} <= {*raw.columns},
    to_long=to_long,
)
