"""Who can answer what: masks ``(queries, arms)`` from modality, context window and recorded availability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from env.arms import Arm
from env.contexts import Bools, Floats
from env.errors import BadInput, nearest
from env.trace import Trace

ArmLike: TypeAlias = Arm | Mapping[str, Any]


def arm_masks(trace: Trace, arms: Sequence[ArmLike] | None = None) -> Bools:
    """``(n, K)`` True where the arm can take the query.

    An arm can take a query if it takes all modalities of it (the trace's column ``model_type``, e.g.
    ``"text+image"``; text where there is none), if the prompt fits into its context window (its own
    ``input_tokens``; where they were not recorded, the most that any arm counted; where none were, it fits), and
    unless the trace's column ``available`` says that it could not be chosen.

    Args:
        trace: the queries.
        arms: what is known of the trace's arms, in any order, or their ``to_json``; ``None`` for nothing.

    Raises:
        BadInput: an arm of the trace is not described or twice, another one is, or one can take no query at all.

    Example:
        >>> from env.trace_io import from_rows
        >>> ask = {"query_id": "q1", "prompt": "Sum up this book: ...", "score": 0.5, "input_tokens": 60_000}
        >>> more = {"query_id": "q2", "prompt": "2 + 2?", "score": 1.0, "input_tokens": 7}
        >>> trace = from_rows([{**row, "model": model} for row in (ask, more) for model in ("small", "large")])
        >>> arm_masks(trace, [Arm("small", context_window=8_192), Arm("large")]).tolist()
        [[False, True], [True, True]]
    """
    may = availability(trace)
    if arms is not None:
        known = _described(trace, arms)
        may &= _modalities(trace, known) & _windows(trace, known)
        idle = np.flatnonzero(~may.any(axis=0))
        if len(idle) and len(trace):
            raise BadInput(
                f"trace {trace.name}: arm `{trace.arms[int(idle[0])]}` can take no query: none is of its model_types "
                "and fits into its context_window; mend its entry in `arms`, or leave it out with trace.select_arms"
            )
    return may


def _described(trace: Trace, arms: Sequence[ArmLike]) -> list[Arm]:
    found: dict[str, Arm] = {}
    for given in arms:
        try:
            arm = given if isinstance(given, Arm) else Arm.from_json(given)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"arms: {given!r} is no arm ({error}); give pm.Arm(...), or its to_json()") from error
        if arm.name not in trace.arms:
            raise BadInput(f"arms: trace {trace.name} has no arm `{arm.name}`{nearest(arm.name, trace.arms)}")
        if arm.name in found:
            raise BadInput(f"arms: `{arm.name}` is there twice")
        found[arm.name] = arm
    for name in trace.arms:
        if name not in found:
            raise BadInput(
                f"arms: nothing is said of `{name}`; give pm.Arm('{name}', model_types=..., context_window=...)"
            )
    return [found[name] for name in trace.arms]


def _modalities(trace: Trace, arms: Sequence[Arm]) -> Bools:
    column = trace.query_columns.get("model_type")
    asked = ["text"] * len(trace) if column is None else ["text" if kind is None else str(kind) for kind in column]
    taken = [frozenset[str]().union(*map(_parts, arm.model_types)) for arm in arms]
    takes = {kind: [_parts(kind) <= modalities for modalities in taken] for kind in set(asked)}
    return np.array([takes[kind] for kind in asked], dtype=bool).reshape(len(trace), len(arms))


def _parts(model_type: str) -> frozenset[str]:
    return frozenset(part.strip() for part in model_type.split("+"))


def _windows(trace: Trace, arms: Sequence[Arm]) -> Bools:
    counted = np.where(np.isnan(trace.input_tokens), -np.inf, trace.input_tokens)
    most = counted.max(axis=1, keepdims=True, initial=-np.inf)
    tokens: Floats = np.where(np.isnan(trace.input_tokens), most, trace.input_tokens)
    windows = np.array([np.inf if arm.context_window is None else arm.context_window for arm in arms])
    return np.asarray(tokens <= windows)


def availability(trace: Trace, arms: Sequence[str] | None = None) -> Bools:
    """``(n, K)`` False where the trace's column ``available`` says that an arm could not be chosen.

    It says so in either of two ways: true or false for each arm, or, as the runtime writes it, in the cell of the arm
    that was chosen a list of all that could have been.

    Args:
        trace: the queries.
        arms: the columns wanted; the trace's arms when not given. An arm that the trace lacks is False in rows with a
            list that leaves it out.

    Raises:
        BadInput: a cell is neither.

    Example:
        >>> from env.trace_io import from_rows
        >>> row = {"query_id": "q1", "prompt": "2 + 2?", "score": 1.0}
        >>> trace = from_rows([{**row, "model": "a", "available": ["a", "c"]}, {**row, "model": "b"}])
        >>> availability(trace, ["a", "b", "c"]).tolist()
        [[True, False, True]]
    """
    names = list(trace.arms if arms is None else arms)
    may = np.ones((len(trace), len(names)), dtype=bool)
    column = trace.cell_columns.get("available")
    if column is None:
        return may
    place = {name: at for at, name in enumerate(names)}
    known = [at for at, name in enumerate(trace.arms) if name in place]
    may[:, [place[trace.arms[at]] for at in known]] = column[:, known] != False  # noqa: E712 - elementwise on objects
    for row, arm in np.argwhere((column != None) & (column != True) & (column != False)):  # noqa: E711, E712 - likewise
        listed = column[row, arm]
        if not isinstance(listed, list):
            raise BadInput(
                f"trace {trace.name}: query {trace.query_ids[row]}, arm `{trace.arms[arm]}`: available is {listed!r}; "
                "it must be true or false, null where not recorded, or a list of the arms that could be chosen"
            )
        may[row] = [name in listed for name in names]
    return may
