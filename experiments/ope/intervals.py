"""Intervals around off-policy estimates: what each promises, and for how long.

- :func:`bootstrap`: for any estimator here; about right at many rows; clustered by prompt.
- :func:`empirical_bernstein`: right at every ``n`` decided beforehand, for means of rows with known bounds.
- :func:`confidence_sequence`: right at every ``n`` at once, so that one may look as often as one likes and stop when
  one likes; needs no bound on the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from env.contexts import Ints
from experiments.bootstrap import LEVEL
from experiments.ope.estimators import Parts
from experiments.ope.logs import Doubles

REPLICATES = 1_000
SCALE = 10.0
"""Weights that a confidence sequence is made for where nothing better is known: epsilon .2 over two models."""
# Of the bets of a confidence sequence: below 1, where its exponent would be infinite (Waudby-Smith and Ramdas).
_LARGEST_BET = 0.5


@dataclass(frozen=True, slots=True)
class Interval:
    """Low and high."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """True when the value is inside."""
        return self.low <= value <= self.high


def bootstrap(
    estimates: Mapping[str, Parts],
    groups: Ints,
    *,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """Studentised bootstrap over prompts: every estimate sees the same replicates.

    A replicate draws as many prompts as there are, with replacement, each with all its rows. Its distance from the
    estimate is measured in its own standard error (the bootstrap-t: Efron and Tibshirani 1993, An Introduction to the
    Bootstrap, chapter 12), because sums of heavy weights are skewed and their spread moves with them. The standard
    error of a ratio ``N / D`` is that of the prompts' sums of ``(numerator - value * denominator) / D``.

    Args:
        estimates: parts ``(n,)`` by name.
        groups: ``(n,)`` the prompt of each row, as a number.
        level: of confidence.
        replicates: how many.
        rng: of the draws.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = bootstrap({"ips": Parts(rng.random(400))}, np.arange(400), rng=rng)["ips"]
        >>> 0.44 < found.low < 0.5 < found.high < 0.56
        True
    """
    moments, places = _moments(estimates, groups)
    n_groups = len(moments)
    drawn = np.empty((replicates, moments.shape[1]))
    for replicate in range(replicates):
        counts = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)
        drawn[replicate] = counts.astype(np.float64) @ moments
    value, error = _value_and_error(moments.sum(axis=0)[None], places, n_groups)
    values, errors = _value_and_error(drawn, places, n_groups)
    tail = (1 - level) / 2
    found = {}
    for column, name in enumerate(estimates):
        centre, width = value[0, column], error[0, column]
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (values[:, column] - centre) / errors[:, column]
        usable = distance[np.isfinite(distance)]
        if not np.isfinite(centre) or not len(usable):
            # All rows alike: no replicate differs, and what the spread might be nobody can tell.
            found[name] = Interval(float(centre), float(centre))
            continue
        # Of B replicates the k-th is the k / (B + 1) quantile: anything closer in promises more than B can tell.
        low, high = np.quantile(usable, [tail, 1 - tail], method="weibull")
        found[name] = Interval(float(centre - high * width), float(centre - low * width))
    return found


def _moments(estimates: Mapping[str, Parts], groups: Ints) -> tuple[Doubles, Ints]:
    """What value and standard error of a replicate are made of, by prompt: N, D, N^2, N D and D^2.

    Returns:
        ``(G, C)`` different columns, and ``(5, E)`` which of them each estimate is made of: means share their D.
    """
    numbers, at = np.unique(groups, return_inverse=True)
    columns: dict[tuple[str, str], Doubles] = {}
    places = []

    def summed(values: Doubles | None) -> Doubles:
        return np.asarray(np.bincount(at, weights=values, minlength=len(numbers)), dtype=np.float64)

    sizes = summed(None)
    for name, parts in estimates.items():
        above = summed(parts.numerator)
        own = "" if parts.denominator is None else name
        below = sizes if parts.denominator is None else summed(parts.denominator)
        made = {
            ("N", name): above,
            ("D", own): below,
            ("NN", name): above**2,
            ("ND", name): above * below,
            ("DD", own): below**2,
        }
        columns |= made
        places.append([*made])
    number = {key: column for column, key in enumerate(columns)}
    return np.stack([*columns.values()], axis=1), np.array([[number[key] for key in keys] for keys in places]).T


def _value_and_error(sums: Doubles, places: Ints, n_groups: int) -> tuple[Doubles, Doubles]:
    """Ratios ``(B, E)`` and their standard errors from sums ``(B, C)``."""
    above, below, squares, products, below_squares = (sums[:, columns] for columns in places)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = above / below
        spread = squares - 2 * value * products + value**2 * below_squares
        error = np.sqrt(np.maximum(spread, 0.0) * n_groups / max(n_groups - 1, 1)) / np.abs(below)
    return value, error


def empirical_bernstein(values: Doubles, bounds: tuple[float, float], *, level: float = LEVEL) -> Interval:
    """Maurer and Pontil's empirical Bernstein interval (2009, arXiv 0907.3740, Theorem 4), both sides.

    ``mean +- sqrt(2 V ln(4 / alpha) / n) + 7 (high - low) ln(4 / alpha) / (3 (n - 1))``, where ``V`` is the sample
    variance: their one-sided bound at ``alpha / 2``, scaled from [0, 1].

    Args:
        values: ``(n,)`` independent, two or more.
        bounds: lowest and highest possible value, known before the data were.
        level: of confidence, ``1 - alpha``.

    Example:
        >>> found = empirical_bernstein(np.tile([0.0, 1.0], 500), (0.0, 1.0))
        >>> round(found.low, 4), round(found.high, 4)
        (0.4429, 0.5571)
    """
    n, width = len(values), bounds[1] - bounds[0]
    log = np.log(4 / (1 - level))
    reach = np.sqrt(2 * values.var(ddof=1) * log / n) + 7 * width * log / (3 * (n - 1))
    mean = float(values.mean())
    return Interval(max(bounds[0], mean - float(reach)), min(bounds[1], mean + float(reach)))


def confidence_sequence(
    weights: Doubles, rewards: Doubles, *, level: float = LEVEL, scale: float = SCALE
) -> tuple[Doubles, Doubles]:
    """An anytime-valid interval of a policy's value, after every row: ``(n,)`` lows and ``(n,)`` highs.

    With probability ``level`` the value is inside all of them at once. Off-policy as in Waudby-Smith, Wu, Ramdas,
    Karampatziakis and Mineiro 2022 (arXiv 2210.10768): ``w r`` is never negative, and that alone bounds the value
    from below, however large weights may be; the same of ``w (1 - r)`` bounds it from above. The bound is the
    predictable plug-in empirical Bernstein sequence of Waudby-Smith and Ramdas 2024 (arXiv 2010.09686), one side::

        low_t = (sum lambda_i X_i - ln(2 / alpha) - sum psi(lambda_i) (X_i - m_i)^2) / sum lambda_i
        psi(l) = -ln(1 - l) - l,  m_i in [0, 1] the mean of the rows before i
        lambda_i = min(1/2, sqrt(2 ln(2 / alpha) / (v_i j ln(1 + j)))),  v_i their variance,  j = i + 4 scale

    Any bets ``lambda`` in [0, 1) that do not look ahead are valid. Theirs start at ``j = i``; where weights are heavy,
    the first large one would cost more than the rest could win back, so these start as if ``4 scale`` rows of variance
    ``scale / 4`` had been seen.

    Weights need to average 1 given the past, which they do where the target goes nowhere that the log could not go;
    the logging policy may learn as it goes. Rows are taken one by one: it knows nothing of repeated prompts.

    Args:
        weights: ``(n,)`` in the order of time.
        rewards: ``(n,)`` in [0, 1].
        level: of confidence, ``1 - alpha``.
        scale: about how large weights will be, guessed before the log is seen; a bad guess costs width, nothing else.

    Example:
        >>> low, high = confidence_sequence(np.ones(1000), np.tile([0.0, 1.0], 500))
        >>> bool((np.diff(low) >= 0).all()), round(float(low[-1]), 2), round(float(high[-1]), 2)
        (True, 0.44, 0.56)
    """
    low = _lower(weights * rewards, level, scale)
    high = 1 - _lower(weights * (1 - rewards), level, scale)
    return low, high


def _lower(values: Doubles, level: float, scale: float) -> Doubles:
    """``(n,)`` running lower bounds of a mean in [0, 1] of values of 0 or more, one side of two."""
    if not len(values):
        return np.zeros(0)
    evidence = np.log(2 / (1 - level))
    count, guessed, rows = np.arange(1, len(values) + 1), scale / 4, 4 * scale
    # One row of 1/2 before the first, so that the first bet has a mean to go by.
    means = np.minimum((0.5 + np.cumsum(values)) / (count + 1), 1.0)
    spread = (guessed * rows + np.cumsum((values - means) ** 2)) / (count + rows)
    mean, variance = np.r_[0.5, means[:-1]], np.r_[guessed, spread[:-1]]
    bets = np.minimum(_LARGEST_BET, np.sqrt(2 * evidence / (variance * (count + rows) * np.log1p(count + rows))))
    price = (-np.log1p(-bets) - bets) * (values - mean) ** 2
    bound = (np.cumsum(bets * values) - evidence - np.cumsum(price)) / np.cumsum(bets)
    return np.maximum.accumulate(np.maximum(bound, 0.0))
