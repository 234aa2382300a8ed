"""From a trace to the table that the environments read: the part asked for, its features, and its gaps."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np

from env.arm_masks import ArmLike, arm_masks
from env.contexts import Bools, Contexts, Floats, Ints, Outcomes, mean_observed
from env.errors import BadInput, nearest
from env.features import Featuriser, default_featuriser, from_config
from env.reward_model import fill_gaps
from env.routing_table import RoutingTable, check_choice, weight_that_decides
from env.sources.named import load_trace
from env.splits import SplitBy
from env.table_checks import log_refused
from env.trace import Trace
from env.trace_io import bundled_path

Part: TypeAlias = Literal["train", "validation", "test", "all"]
Unobserved: TypeAlias = Literal["mask", "model", "error"]

_PARTS = ("train", "validation", "test", "all")
_UNOBSERVED = ("mask", "model", "error")
# What a bandit takes beside the settings of its table.
_OF_BANDITS = ("trace", "view", "order", "scenario", "render_mode")
# A featuriser may overstep 1 by a rounding error; more than this is another scale.
_ROUNDING = 1e-5
# Tables are the same for every environment over the same trace; sixteen of them in a DummyVecEnv read it once.
KEPT_TABLES = 4


class TableSettings(TypedDict, total=False):
    """The arguments of :func:`trace_table`, which every environment takes too."""

    part: Part
    split_seed: int
    split_by: SplitBy
    featuriser: Featuriser | Mapping[str, Any] | None
    cost_weight: float | Literal["observe"]
    max_cost_weight: float | None
    latency_weight: float
    unobserved: Unobserved
    masked_reward: float
    arms: Sequence[ArmLike] | None


def trace_table(
    trace: str | Path | Trace = "bundled",
    *,
    part: Part = "train",
    split_seed: int = 0,
    split_by: SplitBy = "prompt",
    featuriser: Featuriser | Mapping[str, Any] | None = None,
    cost_weight: float | Literal["observe"] = 0.0,
    max_cost_weight: float | None = None,
    latency_weight: float = 0.0,
    unobserved: Unobserved = "mask",
    masked_reward: float = -1.0,
    arms: Sequence[ArmLike] | None = None,
) -> RoutingTable:
    """A table of one part of a trace.

    Args:
        trace: a trace, the path of one, or ``"bundled"``.
        part: ``"train"``, ``"validation"`` or ``"test"`` of ``trace.split(split_seed, by=split_by)``, or ``"all"``.
        split_seed: salts the split.
        split_by: ``"prompt"``, ``"task"`` (test on whole tasks that were not trained on) or ``"time"``.
        featuriser: makes the features, or its config; ``None`` for those kept in the trace, and for the
            default featuriser where it has none.
        cost_weight: score points per dollar, or ``"observe"``: drawn anew for each step, part of the
            observation, and charged.
        max_cost_weight: top of the drawn cost weights. ``None`` for the weight at which the mean costs of
            the dearest and the cheapest arm are one whole score point apart on the training part.
        latency_weight: score points per second.
        unobserved: what becomes of cells that the reward cannot be computed of: ``"mask"`` them, ``"error"`` if
            there are any, or ``"model"`` them, see :mod:`env.reward_model`; the part's outcomes alone go into that, and
            the environments tell of each answer whether it was modelled. A bandit log is never masked.
        masked_reward: reward of choosing an arm that is masked.
        arms: what is known of the arms: each masks the queries that are not of its ``model_types``, or do not
            fit into its ``context_window``, see :func:`env.arm_masks.arm_masks`. Queries that no arm can take
            are left out, and counted in ``left_out``. Arms that the trace says were not ``available`` are
            masked in any case.

    Raises:
        BadInput: what is wrong with the trace or the settings, and the mend.
    """
    check_choice("part", part, _PARTS)
    check_choice("unobserved", unobserved, _UNOBSERVED)
    if not 0 <= latency_weight < np.inf:
        raise BadInput(f"latency_weight is finite and 0 or more, in score points per second, got {latency_weight}")
    recorded = trace_of(trace)
    made_by = _made(json.dumps(dict(featuriser))) if isinstance(featuriser, Mapping) else featuriser
    rows, training, features = _part(SameTrace(recorded), part, split_seed, split_by, made_by)
    here = recorded.take(rows)
    if cost_weight == "observe" and max_cost_weight is None:
        max_cost_weight = weight_that_decides(recorded.take(training).outcomes, recorded.name)
    may = arm_masks(recorded, arms)[rows]
    outcomes, modelled = here.outcomes, None
    if unobserved == "model":
        outcomes, modelled = _filled(SameTrace(recorded), part, split_seed, split_by, made_by)
    name = f"trace {recorded.name}, {part} part"
    if unobserved != "error":
        _check_propensities(here, may & np.isnan(outcomes.score), name)
    contexts = Contexts.of(features, recorded.n_arms, latency_weight=latency_weight, task=here.tasks)
    table = RoutingTable.of(
        # Put in afterwards: a query that no arm can take is left out, where `Contexts.of` would refuse it.
        replace(contexts, mask=may),
        outcomes,
        cost_weight=cost_weight,
        max_cost_weight=max_cost_weight,
        masked_reward=masked_reward,
        arms=recorded.arms,
        query_ids=here.query_ids,
        name=name,
        accept_gaps=unobserved == "error",
    )
    gaps = int(may.sum()) - int(table.mask.sum())
    if unobserved == "error" and gaps:
        raise BadInput(
            f"{name}: {gaps} outcomes were not observed; "
            "trace.complete() keeps the queries without gaps, unobserved='mask' masks them"
        )
    prices = mean_observed(recorded.cost_usd[training])
    if modelled is None:
        return replace(table, price_usd=prices)
    kept = np.isin(here.query_ids.astype(str), table.query_ids.astype(str))
    return replace(table, price_usd=prices, imputed=(modelled & may)[kept])


def table_of(
    trace: str | Path | Trace | RoutingTable, settings: TableSettings, own: Iterable[str] = _OF_BANDITS
) -> RoutingTable:
    """The table an environment was asked for: one that is ready, or one made from a trace.

    Args:
        trace: what it is made from.
        settings: whatever the environment was given beside its own arguments.
        own: names of its own arguments, one of which a misspelt setting may have meant.

    Raises:
        BadInput: a setting that does not exist, with the nearest one, or any for a table that is ready.
    """
    for name in settings:
        if name not in TableSettings.__annotations__:
            raise BadInput(
                f"the environment has no argument `{name}`{nearest(name, {*TableSettings.__annotations__, *own})}"
            )
    if not isinstance(trace, RoutingTable):
        return trace_table(trace, **settings)
    if settings:
        raise BadInput(f"a RoutingTable is ready as it is; `{next(iter(settings))}` belongs where it was made")
    return trace


def arguments_of(env: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the arguments that an environment states itself, without the settings of its table.

    Example:
        >>> arguments_of(lambda trace, *, window=256, **settings: None)
        ('trace', 'window')
    """
    found = inspect.signature(env).parameters.values()
    return tuple(parameter.name for parameter in found if parameter.kind is not parameter.VAR_KEYWORD)


def trace_of(given: str | Path | Trace) -> Trace:
    """A trace as it is, or read from a path or by name, once while its file stays the same."""
    return given if isinstance(given, Trace) else _load(*_stamp(given))


@dataclass(frozen=True, eq=False)
class SameTrace:
    """A trace as a cache key: the same object, not an equal one."""

    trace: Trace

    def __hash__(self) -> int:
        return id(self.trace)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameTrace) and other.trace is self.trace


def _stamp(source: str | Path) -> tuple[str, int]:
    """A path with the time of its last change, so that a rewritten file is read again."""
    path = bundled_path() if str(source) == "bundled" else Path(source)
    return str(source), path.stat().st_mtime_ns if path.is_file() else 0


@functools.lru_cache(maxsize=KEPT_TABLES)
def _load(source: str, changed_ns: int) -> Trace:
    return load_trace(source)


@functools.lru_cache(maxsize=KEPT_TABLES)
def _made(config: str) -> Featuriser:
    return from_config(json.loads(config))


@functools.lru_cache(maxsize=KEPT_TABLES)
def _part(
    same: SameTrace, part: Part, split_seed: int, split_by: SplitBy, featuriser: Featuriser | None
) -> tuple[Ints, Ints, Floats]:
    """Rows of a part, rows of the training part (all for ``"all"``), and the features of the part."""
    trace = same.trace
    everything = np.arange(len(trace), dtype=np.int64)
    if part == "all":
        rows = training = everything
    else:
        split = trace.split(split_seed, by=split_by)
        rows = {"train": split.train, "validation": split.validation, "test": split.test}[part]
        training = split.train
    features, maker = _features(trace.take(rows), featuriser)
    finite = np.isfinite(features)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise BadInput(
            f"trace {trace.name}: query {trace.query_ids[rows[row]]}: feature {column} of {maker} is "
            f"{features[row, column]:g}; mend it, leave the query out, or give another `featuriser`"
        )
    lows_highs = np.abs(features).max(axis=0, initial=0)
    if (lows_highs > 1 + _ROUNDING).any():
        column = int(np.argmax(lows_highs > 1 + _ROUNDING))
        raise BadInput(
            f"trace {trace.name}: feature {column} of {maker} reaches {lows_highs[column]:g}; observations lie in "
            "[-1, 1], so scale the features, or give another `featuriser`"
        )
    return rows, training, np.clip(features, -1, 1)


@functools.lru_cache(maxsize=KEPT_TABLES)
def _filled(
    same: SameTrace, part: Part, split_seed: int, split_by: SplitBy, featuriser: Featuriser | None
) -> tuple[Outcomes, Bools]:
    """Outcomes of a part with its gaps modelled, and where they were."""
    rows, _, features = _part(same, part, split_seed, split_by, featuriser)
    here = same.trace.take(rows)
    return fill_gaps(features, here.outcomes, here.groups, here.arms, name=f"trace {here.name}, {part} part")


def _features(trace: Trace, featuriser: Featuriser | None) -> tuple[Floats, str]:
    if trace.features is not None and (featuriser is None or featuriser.fingerprint == trace.featuriser):
        return trace.features, trace.featuriser or "the trace"
    maker = default_featuriser() if featuriser is None else featuriser
    missing = [row for row, prompt in enumerate(trace.prompts) if prompt is None]
    if missing:
        raise BadInput(
            f"trace {trace.name}: query {trace.query_ids[missing[0]]} has no prompt, and its features were made by "
            f"{trace.featuriser or 'nothing'}, not by {maker.fingerprint}; leave `featuriser` out to use them"
        )
    return maker.transform(list(trace.prompts)), maker.fingerprint


def _check_propensities(trace: Trace, gaps: Bools, name: str) -> None:
    """Refuse to mask ``gaps`` ``(n, K)`` where propensities say that a policy chose what was recorded."""
    logged = trace.cell_columns.get("propensity")
    if logged is not None and gaps.any() and any(cell is not None for cell in logged.ravel()):
        raise log_refused(name)
