"""Outcomes that were not recorded, modelled from those that were: cross-fitted ridge regression, one per arm.

Every prompt belongs to a fold, with all its repetitions. What is said of a fold comes from the others alone, so that
no query's own outcomes, nor those of the same prompt, are in what is modelled for it (Chernozhukov et al. 2018,
doi:10.1111/ectj.12097, on cross-fitting). A modelled outcome is a mean: it has less spread than a recorded one, and a
policy that does well on modelled cells may have found the model's errors; so it is marked wherever it is told.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Floats, Ints, Outcomes
from env.errors import BadInput

FOLDS = 5
# Of squared weights, in units of rows. Features are about as long as 1, so this is what one more row says.
PENALTY = 1.0
_SEED = 0


def fill_gaps(
    features: Floats, outcomes: Outcomes, groups: Ints, arms: tuple[str, ...], *, name: str = "arrays"
) -> tuple[Outcomes, Bools]:
    """Outcomes without gaps, and which cells had one.

    Scores are clipped to [0, 1], costs and latencies to the range recorded of the arm outside the fold. A cost or a
    latency of which an arm has no record at all stays unknown.

    Args:
        features: ``(n, d)``.
        outcomes: each ``(n, K)``, NaN where not observed.
        groups: ``(n,)`` a number per prompt, as ``Trace.groups``.
        arms: names of the ``K`` arms, for errors.
        name: what errors call the data.

    Returns:
        The outcomes, and ``(n, K)`` True where any of the three was modelled.

    Raises:
        BadInput: an arm has no observed score, or on too few prompts.

    Example:
        >>> x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
        >>> score = np.repeat((x + 1) / 2, 2, axis=1)
        >>> score[0, 0] = np.nan
        >>> filled, imputed = fill_gaps(x, Outcomes.of(score), np.arange(40), ("a", "b"))
        >>> bool(filled.score[0, 0] < 0.1), imputed.sum().item(), filled.score[0, 1].item()
        (True, 1, 0.0)
    """
    score, cost, latency = outcomes.score, outcomes.cost_usd, outcomes.latency_s
    values, n_arms = np.concatenate([score, cost, latency], axis=1), len(arms)
    fold, gaps = folds(groups), np.isnan(values)
    for never in np.flatnonzero(gaps[:, :n_arms].all(axis=0)):
        raise BadInput(
            f"{name}: arm `{arms[never]}` has no observed outcome; leave it out with trace.select_arms([...])"
        )
    # Columns with the same gaps are one regression of several targets.
    alike: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(gaps.any(axis=0) & ~gaps.all(axis=0)):
        alike.setdefault(np.packbits(gaps[:, column]).tobytes(), []).append(int(column))
    filled = values.copy()
    for columns in alike.values():
        missing = gaps[:, columns[0]]
        sums = [_Sums.of(features, values[:, columns], ~missing & (fold == part)) for part in range(FOLDS)]
        for part in np.unique(fold[missing]):
            others = ~missing & (fold != part)
            if others.sum() < 2:
                what, arm = ("score", "cost", "latency")[columns[0] // n_arms], arms[columns[0] % n_arms]
                raise BadInput(
                    f"{name}: arm `{arm}`: its {what} was observed on too few prompts to model it on the others; "
                    "leave it out with trace.select_arms([...])"
                )
            wanted = missing & (fold == part)
            known = values[np.ix_(others, columns)]
            scores = np.array(columns) < n_arms
            low, high = np.where(scores, 0, known.min(axis=0)), np.where(scores, 1, known.max(axis=0))
            total = _Sums(*(sum(column) for column in zip(*(sums[:part] + sums[part + 1 :]), strict=True)))
            filled[np.ix_(wanted, columns)] = np.clip(total.predict(features[wanted]), low, high)
    imputed = (gaps & ~np.isnan(filled)).reshape(len(filled), 3, n_arms).any(axis=1)
    return Outcomes(*np.split(filled, 3, axis=1)), imputed


def folds(groups: Ints) -> Ints:
    """``(n,)`` the fold of each query: the same for all queries of a prompt, and drawn without a look at outcomes."""
    numbers, at = np.unique(groups, return_inverse=True)
    dealt = np.random.default_rng(_SEED).permutation(np.arange(len(numbers)) % FOLDS)
    return np.asarray(dealt[at], dtype=np.int64)


class _Sums(NamedTuple):
    """All that ridge regression needs to know of some rows; the sums of several folds add up."""

    n: Any
    x: Any
    y: Any
    xx: Any
    xy: Any

    @classmethod
    def of(cls, features: Floats, targets: Floats, rows: Bools) -> _Sums:
        x, y = features[rows].astype(np.float64), targets[rows].astype(np.float64)
        return cls(len(x), x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y)

    def predict(self, features: Floats) -> NDArray[np.float64]:
        """``(m, targets)``; the penalty is on the slopes, and none on the mean."""
        centre, mean = self.x / self.n, self.y / self.n
        gram = self.xx - self.n * np.outer(centre, centre)
        gram[np.diag_indices_from(gram)] += PENALTY
        slopes = np.linalg.solve(gram, self.xy - self.n * np.outer(centre, mean))
        return np.asarray((features - centre) @ slopes + mean)
