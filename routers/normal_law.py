"""Which of several normal draws is the largest, and with what probability: the law of Thompson sampling."""

from __future__ import annotations

import numpy as np

from env.contexts import Floats, Ints
from routers.least_squares import Doubles

# Gauss-Legendre nodes on [0, 1], and how strongly they crowd towards the lower end of the integral.
CROWDING = 4
NODES = (np.polynomial.legendre.leggauss(48)[0] + 1) / 2
WEIGHTS = np.polynomial.legendre.leggauss(48)[1] / 2 * CROWDING * NODES ** (CROWDING - 1)
# Standard deviations outside of which a normal distribution is taken to have no mass (3e-7 on either side).
REACH = 5.0
# A draw without spread is drawn as near as makes no difference to one.
NARROWEST = 1e-9
# A draw that happened is never given probability 0.
LEAST = 1e-12
# Rows whose integrands are held in memory at once.
_AT_ONCE = 256


def argmax_law(mean: Floats, width: Floats, arms: Ints | None = None) -> Doubles:
    """Probability that an arm's normal draw is the largest of its row: P(k) = int phi(z) prod_j Phi(...) dz.

    With ``t = mean_k + width_k z``, the integrand is ``phi(z) prod_{j != k} Phi((t - mean_j) / width_j)``. Below the
    point where one rival's whole distribution lies above ``t`` it is zero, and above the point where all lie below
    ``t`` it is ``phi(z)``. In between, anything sharp (a rival of small width) can only sit at the lower end,
    however many rivals there are; so Gauss-Legendre nodes that crowd there resolve every scale. (Gauss-Hermite nodes
    know nothing of where the rivals are, and err by several percent when widths differ.)

    Args:
        mean: ``(n, K)``, ``-inf`` for an arm that cannot be drawn.
        width: ``(n, K)`` standard deviations.
        arms: ``(n, m)`` the arms asked for; all ``K`` when left out.

    Returns:
        ``(n, m)`` probabilities; error at most 1e-3. A draw that happened is never given probability 0.

    Example:
        >>> argmax_law(np.array([[0.0, 1.0]]), np.array([[3.0, 4.0]])).round(4)  # Phi(-1/5), Phi(1/5)
        array([[0.4207, 0.5793]])
    """
    asked = every_arm(mean) if arms is None else arms
    means, widths = mean.astype(np.float64), np.maximum(width.astype(np.float64), NARROWEST)
    law = np.empty(asked.shape)
    for start in range(0, len(law), _AT_ONCE):
        at = slice(start, start + _AT_ONCE)
        for column in range(asked.shape[1]):
            law[at, column] = _is_largest(means[at], widths[at], asked[at, column])
    return law


def every_arm(mean: Floats) -> Ints:
    """``(n, K)`` all arms, row after row."""
    return np.tile(np.arange(mean.shape[1]), (len(mean), 1))


def _is_largest(means: Doubles, widths: Doubles, arm: Ints) -> Doubles:
    """``(n,)`` for one arm a row."""
    rows = np.arange(len(means))
    possible = np.isfinite(means[rows, arm])
    own_mean, own_width = np.where(possible, means[rows, arm], 0)[:, None], widths[rows, arm][:, None]
    # Everything in units of the arm's own draw: centres and widths (n, K) of its rivals. An arm that cannot be
    # drawn stands at -inf, where it is below everything; so does the arm itself, which is not its own rival.
    center, spread = (means - own_mean) / own_width, widths / own_width
    center[rows, arm] = -np.inf
    low = (center - REACH * spread).max(axis=1).clip(-REACH, REACH)[:, None]
    high = (center + REACH * spread).max(axis=1).clip(-REACH, REACH)[:, None]
    z = low + (high - low) * NODES**CROWDING
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    density *= _normal_cdf((z[:, None, :] - center[:, :, None]) / spread[:, :, None]).prod(axis=1)
    law = _normal_cdf(-high[:, 0]) + (high - low)[:, 0] * (density @ WEIGHTS)
    return np.where(possible, np.clip(law, LEAST, 1.0), 0.0)


def _normal_cdf(z: Doubles) -> Doubles:
    """Standard normal distribution function; absolute error below 1.5e-7 (Abramowitz, Stegun 1964, 7.1.26).

    Example:
        >>> _normal_cdf(np.array([0.0, 1.96])).round(4)
        array([0.5  , 0.975])
    """
    # Past 9 standard deviations nothing is left, and an infinite distance (a masked rival) is as good as 9.
    x = np.minimum(np.abs(z), 9.0) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail = 0.5 * series * np.exp(-x * x)
    return np.asarray(np.where(z > 0, 1 - tail, tail), dtype=np.float64)
