"""The compiled twin of :func:`routers.normal_law.argmax_law`: the same nodes in float32, a fortieth of the time.

A normal distribution function with an exponential in it is not turned into vector instructions; a power of a
polynomial is. Everything else is :mod:`routers.normal_law`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from env.contexts import Floats, Ints
from routers import normal_law
from routers.least_squares import Doubles
from routers.normal_law import CROWDING, every_arm
from routers.packed_kernels import compiled

_ZERO, _HALF, _ONE, _32ND = np.float32(0), np.float32(0.5), np.float32(1), np.float32(1 / 32)
_REACH, _NARROWEST, _LEAST = np.float32(normal_law.REACH), np.float32(normal_law.NARROWEST), normal_law.LEAST
_PLACES = (normal_law.NODES**CROWDING).astype(np.float32)
_WEIGHTS = normal_law.WEIGHTS.astype(np.float32)
# Abramowitz, Stegun 1964, 7.1.28: erf(x) = 1 - (1 + a1 x + ... + a6 x^6)^-16, error below 3e-7.
_A1, _A2, _A3 = np.float32(0.0705230784), np.float32(0.0422820123), np.float32(0.0092705272)
_A4, _A5, _A6 = np.float32(0.0001520143), np.float32(0.0002765672), np.float32(0.0000430638)
# exp(u) = 1 + u + u^2 / 2 + ...
_E2, _E3, _E4, _E5, _E6 = (np.float32(1 / factorial) for factorial in (2, 6, 24, 120, 720))
_ROOT_HALF, _PEAK = np.float32(np.sqrt(0.5)), np.float32(1 / np.sqrt(2 * np.pi))
_FAR = np.float32(9 * np.sqrt(0.5))  # past it nothing is left, and the power would overflow


def argmax_law(mean: Floats, width: Floats, arms: Ints | None = None) -> Doubles:
    """As :func:`routers.normal_law.argmax_law`, within 1e-5 of it.

    Example:
        >>> mean, width = np.array([[0, 1]], dtype=np.float32), np.array([[3, 4]], dtype=np.float32)
        >>> argmax_law(mean, width).round(4)
        array([[0.4207, 0.5793]])
    """
    asked = every_arm(mean) if arms is None else np.ascontiguousarray(arms)
    law = np.empty(asked.shape)
    _laws(mean, width, asked, law, np.empty_like(_PLACES), _PLACES, _WEIGHTS)
    return law


@compiled
def _laws(
    mean: Floats, width: Floats, arms: Ints, law: Doubles, density: Floats, places: Floats, weights: Floats
) -> None:
    for row in range(len(mean)):
        for column in range(arms.shape[1]):
            arm = arms[row, column]
            if mean[row, arm] == -np.inf:
                law[row, column] = 0.0
            else:
                law[row, column] = _is_largest(mean[row], width[row], arm, density, places, weights)


@compiled
def _is_largest(mean: Floats, width: Floats, arm: int, density: Floats, places: Floats, weights: Floats) -> Any:
    """The integral over the arm's own draw ``z``, which is within ``REACH``; ``density`` is scratch for the nodes."""
    own_mean, own_width = mean[arm], max(width[arm], _NARROWEST)
    low, high = -_REACH, -_REACH
    for k in range(mean.size):
        if k != arm:
            center, spread = (mean[k] - own_mean) / own_width, max(width[k], _NARROWEST) / own_width
            low = max(low, min(center - _REACH * spread, _REACH))
            high = max(high, min(center + _REACH * spread, _REACH))
    span = high - low
    for i in range(places.size):
        density[i] = weights[i] * _normal_density(low + span * places[i])
    for k in range(mean.size):
        center, spread = (mean[k] - own_mean) / own_width, max(width[k], _NARROWEST) / own_width
        # The rival's distance at the lower end and how it grows from there: the difference of two large numbers
        # would tell a narrow rival nothing. Where the end is above all that a rival draws, it is no rival.
        start, slope = (low - center) / spread, span / spread
        if k != arm and start < _REACH:
            for i in range(places.size):
                density[i] *= _normal_cdf(start + slope * places[i])
    total = _ZERO
    for i in range(places.size):
        total += density[i]
    return min(max(_normal_cdf(-high) + span * total, _LEAST), 1.0)


@compiled
def _normal_cdf(z: Any) -> Any:
    x = abs(z) * _ROOT_HALF
    x = x if x < _FAR else _FAR
    power = _ONE + x * (_A1 + x * (_A2 + x * (_A3 + x * (_A4 + x * (_A5 + x * _A6)))))
    for _ in range(4):
        power *= power
    tail = _HALF / power
    return tail if z < 0 else _ONE - tail


@compiled
def _normal_density(z: Any) -> Any:
    """``exp(-z^2 / 2)`` as ``exp(z^2 / 32)^-16``, normalised; error below 1e-6 for ``|z| <= 5``."""
    u = z * z * _32ND
    power = _ONE + u * (_ONE + u * (_E2 + u * (_E3 + u * (_E4 + u * (_E5 + u * _E6)))))
    for _ in range(4):
        power *= power
    return _PEAK / power
