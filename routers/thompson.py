"""Linear Thompson sampling: act on a draw from what the model believes, and know with what probability."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from env.contexts import Contexts, Floats, Ints
from routers.least_squares import Doubles
from routers.width import WidthBandit


class LinearThompson(WidthBandit):
    """Disjoint linear Thompson sampling (Agrawal, Goyal 2013, arXiv 1209.3352, algorithm 1), by scalar draws.

    A decision needs of the draw ``theta~ ~ N(theta_k, v^2 A_k^-1)`` only ``x' theta~``, and that is
    ``N(x' theta_k, v^2 x' A_k^-1 x)``: one normal number per arm gives exactly the law of drawing whole vectors,
    without factorising a matrix. The probability of an arm is then a one-dimensional integral (:func:`argmax_law`).

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        v: standard deviation of a score around its expectation, as the draws believe it; 0 is greedy.
        ridge: prior precision of the weights, which are taken to be about ``1 / sqrt(ridge)`` in size.
        prior_strength: how many observations an arm's rows of a ``fit`` count for at most; ``None`` for all of them.

    Example:
        >>> router = LinearThompson(n_arms=2, n_features=1, v=0.5)
        >>> router.law(Contexts.of(np.array([[1.0]]), n_arms=2)).round(3)
        array([[0.5, 0.5]])
    """

    name: ClassVar[str] = "linear_thompson"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        v: float = 0.5,
        ridge: float = 10.0,
        prior_strength: float | None = None,
    ) -> None:
        super().__init__(n_arms, n_features, v=v, ridge=ridge, prior_strength=prior_strength)
        self.v = np.float32(v)

    def law(self, contexts: Contexts, *, explore: bool = True) -> Doubles:
        """``(n, K)`` probability of each arm; error at most 1e-3."""
        if not explore or self.v == 0:
            return super().law(contexts, explore=False)
        worth, width = self._posterior.believe(contexts)
        law = argmax_law(worth, self.v * width)
        return np.asarray(law / law.sum(axis=1, keepdims=True), dtype=np.float64)

    def _bonus(self, n: int, rng: np.random.Generator) -> Floats:
        """``K`` normal numbers a row, ``v`` times; at ``v = 0`` nothing is drawn."""
        if self.v == 0:
            return np.zeros((n, self.n_arms), dtype=np.float32)
        return self.v * rng.standard_normal((n, self.n_arms)).astype(np.float32)

    def _propensities(self, worth: Floats, width: Floats, arms: Ints) -> Doubles:
        if self.v == 0:
            return np.ones(len(arms))
        law = np.empty(len(arms))
        for start in range(0, len(arms), _QUADRATURES):
            at = slice(start, start + _QUADRATURES)
            law[at] = argmax_law(worth[at], self.v * width[at], arms[at, None])[:, 0]
        return law


# Rows whose integrands are held in memory at once.
_QUADRATURES = 256

# Gauss-Legendre nodes on [0, 1], and how strongly they crowd towards the lower end of the integral.
_CROWDING = 4
_NODES = (np.polynomial.legendre.leggauss(48)[0] + 1) / 2
_WEIGHTS = np.polynomial.legendre.leggauss(48)[1] / 2 * _CROWDING * _NODES ** (_CROWDING - 1)
# Standard deviations outside of which a normal distribution is taken to have no mass (3e-7 on either side).
_REACH = 5.0


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
    n, n_arms = mean.shape
    asked = np.broadcast_to(np.arange(n_arms), (n, n_arms)) if arms is None else arms
    means, widths = mean.astype(np.float64), np.maximum(width.astype(np.float64), 1e-9)
    law = np.empty(asked.shape)
    for column in range(asked.shape[1]):
        law[:, column] = _is_largest(means, widths, asked[:, column])
    return law


def _is_largest(means: Doubles, widths: Doubles, arm: Ints) -> Doubles:
    """``(n,)`` for one arm a row."""
    rows = np.arange(len(means))
    possible = np.isfinite(means[rows, arm])
    own_mean, own_width = np.where(possible, means[rows, arm], 0)[:, None], widths[rows, arm][:, None]
    # Everything in units of the arm's own draw: centres and widths (n, K) of its rivals. An arm that cannot be
    # drawn stands at -inf, where it is below everything; so does the arm itself, which is not its own rival.
    center, spread = (means - own_mean) / own_width, widths / own_width
    center[rows, arm] = -np.inf
    low = (center - _REACH * spread).max(axis=1).clip(-_REACH, _REACH)[:, None]
    high = (center + _REACH * spread).max(axis=1).clip(-_REACH, _REACH)[:, None]
    z = low + (high - low) * _NODES**_CROWDING
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    density *= _normal_cdf((z[:, None, :] - center[:, :, None]) / spread[:, :, None]).prod(axis=1)
    law = _normal_cdf(-high[:, 0]) + (high - low)[:, 0] * (density @ _WEIGHTS)
    return np.where(possible, np.clip(law, 1e-12, 1.0), 0.0)


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
