"""What a router sees (``Contexts``), what a query is (``Queries``) and what came of a choice (``Outcomes``).

Shapes: ``n`` rows, ``d`` features, ``K`` arms. All three are frozen, and hold arrays that nobody writes to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Objects: TypeAlias = NDArray[np.object_]
Index: TypeAlias = NDArray[np.int64] | slice | Sequence[int]


@dataclass(frozen=True, slots=True)
class Queries:
    """Queries as they arrive: text or, where the text is not kept, the features a policy saw.

    Attributes:
        prompts: ``(n,)`` prompts, ``None`` where only features are known.
        task: ``(n,)`` task labels given by the caller, or ``None``.
        features: ``(n, d)`` features computed before, valid only for the featuriser named beside them.
        featuriser: fingerprint of the featuriser that made ``features``.
    """

    prompts: Objects
    task: Objects | None = None
    features: Floats | None = None
    featuriser: str | None = None

    @classmethod
    def of(cls, prompts: Sequence[str], task: Sequence[str | None] | None = None) -> Queries:
        """Queries from plain prompts.

        Example:
            >>> len(Queries.of(["2 + 2?", "Is it raining?"]))
            2
        """
        return cls(_objects(prompts), None if task is None else _objects(task))

    def __len__(self) -> int:
        return len(self.prompts)

    def take(self, index: Index) -> Queries:
        """The queries at ``index``."""
        return Queries(
            self.prompts[index],
            None if self.task is None else self.task[index],
            None if self.features is None else self.features[index],
            self.featuriser,
        )


@dataclass(frozen=True, slots=True)
class Contexts:
    """What a router decides on.

    Attributes:
        features: ``(n, d)`` float32.
        cost_weight: ``(n,)`` score points per dollar.
        latency_weight: ``(n,)`` score points per second.
        mask: ``(n, K)`` True where the arm may be chosen; each row has at least one.
        load: ``(n, K)`` expected wait in seconds, or ``None`` where the queues are not known.
        task: ``(n,)`` task labels, or ``None``.
        saving_usd: ``(n, K)`` dollars that this request costs less at an arm whose prompt cache holds the
            conversation so far, or ``None`` where nothing is known of that.
    """

    features: Floats
    cost_weight: Floats
    latency_weight: Floats
    mask: Bools
    load: Floats | None = None
    task: Objects | None = None
    saving_usd: Floats | None = None

    @classmethod
    def of(
        cls,
        features: NDArray[Any],
        n_arms: int,
        *,
        cost_weight: float | NDArray[Any] = 0.0,
        latency_weight: float | NDArray[Any] = 0.0,
        mask: NDArray[Any] | None = None,
        load: NDArray[Any] | None = None,
        task: Objects | None = None,
        saving_usd: NDArray[Any] | None = None,
    ) -> Contexts:
        """Contexts with scalars spread over the rows and every arm allowed unless masked.

        Raises:
            ValueError: shapes disagree, a feature is not finite, or a row allows no arm.

        Example:
            >>> contexts = Contexts.of(np.zeros((3, 2)), n_arms=4, cost_weight=10.0)
            >>> contexts.mask.shape, contexts.cost_weight.tolist()
            ((3, 4), [10.0, 10.0, 10.0])
        """
        rows = np.asarray(features, dtype=np.float32)
        if rows.ndim != 2:
            raise ValueError(f"features must be (n, d), got shape {rows.shape}")
        if not np.isfinite(rows).all():
            bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise ValueError(f"features of row {bad} are not finite; mend them, or leave the row out")
        n = len(rows)
        allowed = np.ones((n, n_arms), dtype=bool) if mask is None else _allowed(mask, (n, n_arms))
        waits, savings = (
            None if given is None else np.broadcast_to(np.asarray(given, dtype=np.float32), (n, n_arms))
            for given in (load, saving_usd)
        )
        return cls(rows, _spread(cost_weight, n), _spread(latency_weight, n), allowed, waits, task, savings)

    @classmethod
    def joined(cls, parts: Sequence[Contexts]) -> Contexts:
        """One or more contexts, one after another; what one of them does not know, they do not know together."""
        columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(cls)}
        return cls(**{name: _end_to_end(column) for name, column in columns.items()})

    def __len__(self) -> int:
        return len(self.features)

    @property
    def n_arms(self) -> int:
        """Number of arms ``K``."""
        return int(self.mask.shape[1])

    def take(self, index: Index) -> Contexts:
        """The contexts at ``index``."""
        return Contexts(
            self.features[index],
            self.cost_weight[index],
            self.latency_weight[index],
            self.mask[index],
            None if self.load is None else self.load[index],
            None if self.task is None else self.task[index],
            None if self.saving_usd is None else self.saving_usd[index],
        )


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Quality, cost and latency, modelled apart; NaN means not observed and is never 0.

    Attributes:
        score: quality in [0, 1].
        cost_usd: dollars.
        latency_s: seconds.

    Each is ``(n,)`` (the arm that was chosen) or ``(n, K)`` (every arm).
    """

    score: Floats
    cost_usd: Floats
    latency_s: Floats

    @classmethod
    def of(
        cls, score: NDArray[Any], cost_usd: NDArray[Any] | None = None, latency_s: NDArray[Any] | None = None
    ) -> Outcomes:
        """Outcomes from arrays of any float type; what is left out is not observed (NaN)."""
        quality = np.asarray(score, dtype=np.float32)
        unknown = np.full(quality.shape, np.nan, dtype=np.float32)
        return cls(
            quality,
            unknown if cost_usd is None else np.asarray(cost_usd, dtype=np.float32),
            unknown if latency_s is None else np.asarray(latency_s, dtype=np.float32),
        )

    @classmethod
    def joined(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """One or more outcomes, one after another.

        Example:
            >>> one = Outcomes.of(np.array([0.5]))
            >>> Outcomes.joined([one, one]).score.tolist()
            [0.5, 0.5]
        """
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def __len__(self) -> int:
        return len(self.score)

    @property
    def observed(self) -> Bools:
        """True where a score was observed; same shape as ``score``."""
        return ~np.isnan(self.score)

    def take(self, index: Index) -> Outcomes:
        """The outcomes at ``index`` (rows)."""
        return Outcomes(self.score[index], self.cost_usd[index], self.latency_s[index])

    def at(self, arms: Ints) -> Outcomes:
        """The outcomes ``(n,)`` of one arm per row, from outcomes ``(n, K)``.

        Example:
            >>> Outcomes.of(np.array([[0.1, 0.9], [0.4, 0.2]])).at(np.array([1, 0])).score.tolist()
            [0.8999999761581421, 0.4000000059604645]
        """
        rows = np.arange(len(self.score))
        return Outcomes(self.score[rows, arms], self.cost_usd[rows, arms], self.latency_s[rows, arms])


def mean_observed(values: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over rows of what was observed: ``(K,)`` of ``(n, K)``, a scalar array of ``(n,)``; NaN where nothing was.

    Example:
        >>> mean_observed(np.array([[1.0, np.nan], [3.0, np.nan]])).tolist()
        [2.0, nan]
    """
    seen = np.isfinite(values)
    count = seen.sum(axis=0)
    sums = np.where(seen, values, 0).sum(axis=0, dtype=np.float64)
    return np.asarray(np.where(count > 0, sums / np.maximum(count, 1), np.nan))


def known(value: float | np.floating[Any]) -> float | None:
    """A number for JSON: ``None`` for one that was not observed.

    Example:
        >>> known(np.float32(0.5)), known(np.nan)
        (0.5, None)
    """
    return float(value) if np.isfinite(value) else None


def _end_to_end(column: Sequence[Any]) -> Any:
    return None if any(part is None for part in column) else np.concatenate(column)


def _allowed(mask: NDArray[Any], shape: tuple[int, int]) -> Bools:
    allowed = np.asarray(mask, dtype=bool)
    if allowed.ndim == 1:
        allowed = np.broadcast_to(allowed, shape)
    if allowed.shape != shape:
        raise ValueError(f"mask must be {shape}, got {allowed.shape}")
    if not allowed.any(axis=1).all():
        raise ValueError(f"no arm is allowed in row {int(np.flatnonzero(~allowed.any(axis=1))[0])}")
    return allowed


def _spread(value: float | NDArray[Any], n: int) -> Floats:
    values = np.asarray(value, dtype=np.float32)
    # A decision on one query pays for every microsecond here, and `broadcast_to` takes several.
    return values if values.shape == (n,) else np.full(n, values) if values.ndim == 0 else np.broadcast_to(values, (n,))


def _objects(values: Sequence[Any]) -> Objects:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
