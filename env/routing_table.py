"""The table behind the environments: what can be asked, what an agent sees of it, and what each arm would bring.

The single environment, the native vector environment and the one for Stable-Baselines3 read the same table, so
that they cannot differ. Its arrays are read-only and may be shared by any number of environments.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box, Space
from numpy.typing import NDArray

from env.contexts import Bools, Contexts, Floats, Ints, Objects, Outcomes
from env.errors import BadInput, nearest
from env.events import Moments
from env.observation import ObservationLayout
from env.reward import Reward
from env.table_checks import check_log, check_recorded, check_seen, check_values

# Longer ids than a UUID with a prefix are kept as objects.
_LONG_ID = 64


@dataclass(frozen=True)
class RoutingTable:
    """Queries, observations and outcomes, ready to be looked up.

    Attributes:
        name: what errors call it.
        arms: names of the ``K`` arms.
        layout: how an observation is made up.
        observations: ``(n, width)`` float32; the column of a drawn cost weight is still empty.
        score: ``(n, K)`` quality; NaN where the arm may not be chosen.
        cost_usd: ``(n, K)`` dollars; NaN where the arm may not be chosen or no cost was recorded.
        latency_s: ``(n, K)`` seconds; NaN likewise.
        mask: ``(n, K)`` int8, 1 where the arm may be chosen; each row has at least one.
        cost_weight: ``(n,)`` fixed cost weights, ``None`` where one is drawn for each step.
        latency_weight: ``(n,)`` score points per second.
        masked_reward: the reward of choosing an arm that may not be chosen.
        query_ids: ``(n,)`` text.
        tasks: ``(n,)`` labels, or ``None``.
        left_out: queries that were dropped because no arm could be chosen on them.
        imputed: ``(n, K)`` True where an outcome was modelled and not recorded; ``None`` where none was.
        price_usd: ``(K,)`` what a call to each arm costs on average, as a public price list would tell.
    """

    name: str
    arms: tuple[str, ...]
    layout: ObservationLayout
    observations: Floats
    score: Floats
    cost_usd: Floats
    latency_s: Floats
    mask: NDArray[np.int8]
    cost_weight: NDArray[np.float64] | None
    latency_weight: NDArray[np.float64]
    masked_reward: float
    query_ids: NDArray[Any]
    tasks: Objects
    left_out: int = 0
    imputed: Bools | None = None
    price_usd: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.query_ids)

    def __repr__(self) -> str:
        return f"RoutingTable({self.name!r}: {len(self)} queries x {self.n_arms} arms, {self.layout})"

    @property
    def n_arms(self) -> int:
        """Number of arms ``K``."""
        return len(self.arms)

    def observation_space(self) -> Space[Floats]:
        """The space of one observation: ``[-1, 1]``, unbounded where plain arrays had larger features."""
        bound = 1.0 if np.abs(self.observations).max() <= 1 else np.inf
        box: Space[Any] = Box(-bound, bound, (self.layout.width,), np.float32)
        return box

    @functools.cached_property
    def allowed(self) -> Bools:
        """The mask as ``(n, K)`` booleans."""
        return _frozen(self.mask == 1)

    @functools.cached_property
    def mean_score(self) -> float:
        """Mean recorded score of all cells."""
        return float(np.nanmean(self.score, dtype=np.float64))

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-256 of ids, arms, outcomes and masks: all that comes from outside, none of what is made of it."""
        digest = hashlib.sha256("\x1f".join([*self.arms, *map(str, self.query_ids)]).encode())
        for column in (self.score, self.cost_usd, self.latency_s, self.mask):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.digest()

    def observe(self, rows: Ints, seen: Floats | None) -> Floats:
        """Observations ``(m, width)`` of the queries ``rows`` ``(m,)``: memory of their own, free to be written to.

        Args:
            rows: rows of the table.
            seen: ``(m,)`` normalised cost weights, where they are part of the observation.
        """
        observations = self.observations.take(rows, axis=0)
        if seen is not None:
            observations[:, -1] = seen
        return observations

    def rewards(self, now: Moments, cost_weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(m, K)`` rewards that an agent is given at once, for moments of this table.

        The score as judged, minus what cost and latency weigh; ``masked_reward`` where masked. Where the judgement
        comes later or never, the mean score of the table stands in for it: neutral, where 0 would say that the
        answer was bad.

        Args:
            now: ``m`` moments.
            cost_weight: ``(m,)`` the weights charged.
        """
        rewards = now.told.astype(np.float64)
        rewards[np.isnan(rewards) | (now.delay > 0)[:, None]] = self.mean_score
        for weight, values in ((cost_weight, now.cost_usd), (self.latency_weight[now.rows], now.latency_s)):
            if weight.any():
                # A weight of 0 takes nothing, even where nothing was recorded.
                rewards -= np.where(weight[:, None] == 0, 0, weight[:, None] * values)
        rewards[~now.mask] = self.masked_reward
        return rewards

    @classmethod
    def of(
        cls,
        contexts: Contexts,
        outcomes: Outcomes,
        *,
        cost_weight: float | Literal["observe"] | None = None,
        max_cost_weight: float | None = None,
        masked_reward: float = -1.0,
        arms: tuple[str, ...] | None = None,
        query_ids: Objects | None = None,
        name: str = "arrays",
        accept_gaps: bool = False,
    ) -> RoutingTable:
        """A table of plain arrays, as a router's ``fit`` receives them.

        Args:
            contexts: ``n`` rows; their masks, latency weights and (unless replaced) cost weights hold.
            outcomes: each ``(n, K)``; an arm whose reward is not known on a query is masked there.
            cost_weight: one for all rows, or ``"observe"``; ``None`` for the contexts' own.
            max_cost_weight: see :class:`env.observation.ObservationLayout`; from the costs when ``None``.
            masked_reward: reward of choosing an arm that is masked.
            arms: names of the arms; their numbers when ``None``.
            query_ids: ids of the queries; their numbers when ``None``.
            name: what errors call it.
            accept_gaps: mask whatever was not observed: an arm without any outcome, and the gaps of a bandit log (see
                :func:`env.table_checks.check_log`), whose masks then tell an agent what the logging policy chose.

        Raises:
            BadInput: a value that cannot be, a bandit log, no query on which the reward of some arm is known, an arm
                without any, or no costs to observe a weight of.

        Example:
            >>> contexts = Contexts.of(np.zeros((2, 3)), n_arms=2)
            >>> outcomes = Outcomes.of(np.array([[1.0, 0.5], [np.nan, 0.2]]))
            >>> RoutingTable.of(contexts, outcomes).mask.tolist()
            [[1, 1], [0, 1]]
        """
        observe = cost_weight == "observe"
        if isinstance(cost_weight, str) and not observe:
            raise BadInput(f"cost_weight is a number or `observe`, got `{cost_weight}`")
        if max_cost_weight is not None and not observe:
            raise BadInput("max_cost_weight is for cost_weight='observe'; a fixed cost weight has no top")
        check_values(contexts, outcomes, masked_reward, name)
        if observe and max_cost_weight is None:
            max_cost_weight = weight_that_decides(outcomes, name)
        weights = np.zeros(len(contexts)) if observe else _weights(cost_weight, contexts)
        reward = Reward()(outcomes, cost_weight=weights, latency_weight=contexts.latency_weight)
        allowed = contexts.mask & np.isfinite(reward)
        if observe:
            allowed &= np.isfinite(outcomes.cost_usd)
        keep: Bools = np.any(allowed, axis=1)
        if not keep.any():
            wanted = "score" + ", cost_usd" * (observe or bool(weights.any()))
            wanted += ", latency_s" * bool(contexts.latency_weight.any())
            raise BadInput(f"{name}: the reward needs {wanted}, and no query has an arm with all of them")
        names = tuple(str(arm) for arm in range(contexts.n_arms)) if arms is None else arms
        charged = {"cost": observe or bool(weights.any()), "latency": bool(contexts.latency_weight.any())}
        check_recorded(outcomes, contexts.mask, charged, names, name)
        if not accept_gaps:
            check_log(outcomes.score, contexts.mask, name)
            check_seen(allowed, contexts.mask, names, name)
        layout = ObservationLayout(contexts.features.shape[1], max_cost_weight if observe else None)
        count = int(keep.sum())
        tasks = np.full(len(contexts), None, dtype=object) if contexts.task is None else contexts.task
        ids = np.array([str(row) for row in range(len(contexts))], dtype=object) if query_ids is None else query_ids
        return cls(
            name=name,
            arms=names,
            layout=layout,
            observations=_frozen(layout.encode(contexts.features[keep])),
            score=_hidden(outcomes.score, allowed, keep),
            cost_usd=_hidden(outcomes.cost_usd, allowed, keep),
            latency_s=_hidden(outcomes.latency_s, allowed, keep),
            mask=_frozen(allowed[keep].astype(np.int8)),
            cost_weight=None if observe else _frozen(weights[keep]),
            latency_weight=_frozen(contexts.latency_weight[keep].astype(np.float64)),
            masked_reward=masked_reward,
            query_ids=_frozen(_compact(ids[keep])),
            tasks=_frozen(_shared(tasks[keep])),
            left_out=len(contexts) - count,
        )


def weight_that_decides(outcomes: Outcomes, name: str = "outcomes") -> float:
    """The cost weight at which the price alone can decide: mean costs of the extreme arms one score point apart.

    Args:
        outcomes: each ``(n, K)``.
        name: what errors call them.

    Raises:
        BadInput: all recorded mean costs are the same, or none is recorded.

    Example:
        >>> outcomes = Outcomes.of(np.ones((2, 2)), np.array([[0.001, 0.005], [0.003, 0.005]]))
        >>> round(weight_that_decides(outcomes))
        333
    """
    seen = np.isfinite(outcomes.cost_usd)
    counts = seen.sum(axis=0)
    sums = np.where(seen, outcomes.cost_usd, 0).sum(axis=0, dtype=np.float64)
    means = sums[counts > 0] / counts[counts > 0]
    gap = float(np.ptp(means)) if len(means) else 0.0
    if gap == 0:
        raise BadInput(
            f"{name}: cost_weight='observe' needs arms of different recorded costs; give `max_cost_weight`, "
            "or a fixed `cost_weight`"
        )
    return 1 / gap


def check_choice(what: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse a value that is not one of a few."""
    if value not in allowed:
        raise BadInput(f"{what} `{value}` is unknown{nearest(str(value), map(str, allowed))}")


def _weights(cost_weight: float | str | None, contexts: Contexts) -> NDArray[np.float64]:
    given = contexts.cost_weight if cost_weight is None else np.asarray(cost_weight, dtype=np.float64)
    weights = np.broadcast_to(given, (len(contexts),)).astype(np.float64)
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise BadInput("a cost weight is finite and 0 or more, in score points per dollar")
    return weights


def _hidden(values: Floats, allowed: Bools, keep: Bools) -> Floats:
    return _frozen(np.where(allowed, values, np.float32(np.nan))[keep])


def _compact(ids: Objects) -> NDArray[Any]:
    """Ids without an object each: handing out a thousand objects costs more than handing out their observations."""
    longest = max((len(str(name)) for name in ids), default=0)
    return ids.astype(np.str_) if longest <= _LONG_ID else ids


def _shared(labels: Objects) -> Objects:
    """Equal labels as one object, for the same reason."""
    one: dict[Any, Any] = {}
    return np.array([one.setdefault(label, label) for label in labels] + [None], dtype=object)[:-1]


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
