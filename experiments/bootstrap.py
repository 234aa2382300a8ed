"""Intervals: a bootstrap that is paired (every router sees the same replicates) and clustered by prompt.

A replicate draws prompts with replacement from the whole trace, and seeds with replacement from those that were
run, independently (the pigeonhole bootstrap of Owen 2007, doi:10.1214/07-AOAS122, which errs to the wide side).
A query counts as often as its prompt was drawn, under every router and seed alike, so the difference of two
routers is as precise as their common queries make it. Duplicates of a prompt are one draw, not many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.contexts import Ints

Array: TypeAlias = NDArray[np.float64]

REPLICATES = 400
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval; low and high are ``None`` where no interval was asked for."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def above_zero(self) -> bool:
        """True when the whole interval lies above 0."""
        return self.low is not None and self.low > 0

    @property
    def below_zero(self) -> bool:
        """True when the whole interval lies below 0."""
        return self.high is not None and self.high < 0


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The draws that all figures of one trace share.

    Attributes:
        prompts: ``(B, n)`` how often each query of the trace counts in each replicate.
        seeds: ``(B, S)`` how much each seed counts; rows sum to 1.
    """

    prompts: NDArray[np.float32]
    seeds: Array

    @classmethod
    def draw(cls, groups: Ints, n_seeds: int, *, replicates: int = REPLICATES, seed: int = 0) -> Bootstrap:
        """Draw the replicates.

        Args:
            groups: ``(n,)`` the prompt of each query, as a number from 0 (``Trace.groups``).
            n_seeds: number of seeds that are run.
            replicates: number of replicates ``B``.
            seed: of the draws.

        Example:
            >>> draws = Bootstrap.draw(np.array([0, 0, 1]), n_seeds=2, replicates=5)
            >>> draws.prompts.shape, bool((draws.prompts[:, 0] == draws.prompts[:, 1]).all())
            ((5, 3), True)
        """
        rng = np.random.default_rng(seed)
        n_groups = int(groups.max()) + 1
        drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=replicates)
        seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=replicates)
        return cls(drawn[:, groups].astype(np.float32), seeds / n_seeds)

    def pooled(self, per_seed: Array) -> Array:
        """Replicates pooled over seeds.

        Args:
            per_seed: ``(S, B)`` the figure of each seed in each replicate.

        Returns:
            ``(B,)`` mean over the seeds of the replicate; seeds without a value are left out.
        """
        known = np.isfinite(per_seed.T)
        weight = (self.seeds * known).sum(axis=1)
        total = (self.seeds * np.where(known, per_seed.T, 0)).sum(axis=1)
        found: Array = np.divide(total, weight, out=np.full(len(total), np.nan), where=weight > 0)
        return found


def estimate(values: Array, replicates: Array, level: float = LEVEL, *, centred: bool = True) -> Estimate | None:
    """The mean of some values, with the percentile interval of their replicates, centred on it.

    Resampling makes a curve rougher and so shifts a functional of it; centring the replicates on the estimate
    keeps their spread and drops the shift. A figure that leans on a bound which it cannot pass has another spread on
    either side, so that centring would put the interval past the bound: its percentiles are taken as they are.

    Args:
        values: ``(S,)`` the figure of each seed; NaN where it has none.
        replicates: ``(B,)`` the pooled replicates.
        level: of confidence.
        centred: whether the replicates are.

    Returns:
        ``None`` when no seed has a value.

    Example:
        >>> estimate(np.array([1.0, 3.0]), np.array([1.5, 2.0, 2.5]), level=1.0)
        Estimate(value=2.0, low=1.5, high=2.5)
    """
    seen = values[np.isfinite(values)]
    if not len(seen):
        return None
    centre = float(seen.mean())
    usable = replicates[np.isfinite(replicates)]
    if not len(usable):
        return Estimate(centre)
    tail = (1 - level) / 2
    shift = centre - usable.mean() if centred else 0.0
    low, high = np.quantile(usable, [tail, 1 - tail]) + shift
    return Estimate(centre, float(low), float(high))
