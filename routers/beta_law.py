"""With what probability the draw of each arm is the largest, where every arm draws from a beta distribution."""

from __future__ import annotations

import numpy as np

from routers.least_squares import Doubles

# Each distribution is tabulated on the log-odds scale, where a beta density has one peak and thin tails whatever
# its parameters are: so many points, over so many standard deviations to either side of the peak.
_POINTS, _REACH = 256, 8.0


def beta_argmax_law(a: Doubles, b: Doubles, price: Doubles) -> Doubles:
    """``P(k) = P(draw_k - price_k is the largest)`` for independent ``draw_k ~ Beta(a_k, b_k)``.

    ``P(k) = integral of f_k(t) prod_{j != k} F_j(t + price_j - price_k) dt``, by the trapezoid rule in ``F_k`` over
    the tabulated points of all arms together, so that a sharp distribution is resolved beside a wide one.

    Args:
        a: ``(n, K)``, 0.5 or more (nearer to 0, the mass at the ends escapes the tables).
        b: ``(n, K)``, 0.5 or more.
        price: ``(n, K)`` taken off the draw, in score points; ``inf`` for an arm that cannot be drawn. At least
            one arm of each row can.

    Returns:
        ``(n, K)``; rows sum to 1, error at most 1e-3, exactly 0 where the price is infinite.

    Example:
        >>> beta_argmax_law(np.array([[1.0, 2.0]]), np.ones((1, 2)), np.zeros((1, 2))).round(3)  # 1/3, 2/3
        array([[0.333, 0.667]])
    """
    rows = np.concatenate([a, b, price], axis=1)
    # Where queries share their beliefs and prices, as those of a cluster do, one integral serves them all.
    different, which = np.unique(rows, axis=0, return_inverse=True)
    shape = (3, a.shape[1])
    laws = np.array([_one_law(*row.reshape(shape)) for row in different]).reshape(len(different), shape[1])
    return np.asarray(laws[which.reshape(-1)], dtype=np.float64)


def _one_law(a: Doubles, b: Doubles, price: Doubles) -> Doubles:
    """``(K,)`` for one row."""
    law, possible = np.zeros(len(a)), np.isfinite(price)
    a, b, price = a[possible], b[possible], price[possible]
    start, step, below = _tables(a, b)
    odds = start[:, None] + step[:, None] * np.arange(_POINTS)
    points = np.unique(_sigmoid(odds) - price[:, None])
    # F of every arm at every point, by linear interpolation in its table; 0 below it and 1 above.
    score = points + price[:, None]
    inside = np.clip(score, 1e-300, 1 - 1e-16)
    place = np.clip((np.log(inside) - np.log1p(-inside) - start[:, None]) / step[:, None], 0, _POINTS - 1)
    left = np.minimum(place.astype(np.int64), _POINTS - 2)
    low, high = np.take_along_axis(below, left, axis=1), np.take_along_axis(below, left + 1, axis=1)
    distribution = low + (place - left) * (high - low)
    distribution[score <= 0], distribution[score >= 1] = 0.0, 1.0
    shares = np.empty(len(a))
    for arm in range(len(a)):
        rivals = np.delete(distribution, arm, axis=0).prod(axis=0)
        # What the arm has below the first point stands for the tail that the table leaves out.
        mass = np.diff(distribution[arm], prepend=0.0)
        shares[arm] = mass @ (rivals + np.concatenate([rivals[:1], rivals[:-1]])) / 2
    law[possible] = shares / shares.sum()
    return law


def _tables(a: Doubles, b: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """First log-odds ``(K,)``, step ``(K,)`` and distribution function ``(K, points)`` of each arm."""
    # Peak and standard deviation of the log-odds of a beta draw: log(a / b), trigamma(a) + trigamma(b).
    reach = _REACH * np.sqrt(_trigamma(a) + _trigamma(b))
    start, step = np.log(a / b) - reach, 2 * reach / (_POINTS - 1)
    odds = start[:, None] + step[:, None] * np.arange(_POINTS)
    log_density = a[:, None] * odds - (a + b)[:, None] * np.logaddexp(0, odds)
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    below = np.zeros_like(density)
    np.cumsum(density[:, 1:] + density[:, :-1], axis=1, out=below[:, 1:])
    return start, step, below / below[:, -1:]


def _trigamma(x: Doubles) -> Doubles:
    """``psi'(x)`` to one percent, which is enough for the width of a table (Abramowitz, Stegun 1964, 6.4.12)."""
    y = x + 1
    return np.asarray(1 / (x * x) + 1 / y + 1 / (2 * y * y) + 1 / (6 * y**3), dtype=np.float64)


def _sigmoid(odds: Doubles) -> Doubles:
    return np.asarray(np.exp(-np.logaddexp(0, -odds)), dtype=np.float64)
