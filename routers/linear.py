"""Bayesian linear regression for every arm: what LinUCB and linear Thompson sampling share.

Disjoint models, one per arm, over the features and a constant. One precision matrix per arm serves three
regressions: score, cost and latency. Everything is float32; regret equals float64 to the printed digit over 20,000
rounds, at half the memory traffic, which is what a decision costs. With the extra `fast` the same arithmetic runs
compiled (:mod:`routers.packed`); what is saved and loaded is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import ClassVar, Self

import numpy as np

from env.contexts import Contexts, Floats, Ints, Outcomes
from env.errors import BadInput
from routers.base import PRIOR_SCORE, Array, Capabilities, Estimator, fill_unknown, utility
from routers.least_squares import alike_columns

# The constant gets its own, weak prior: one observation of PRIOR_SCORE. An arm's level is then learned in a few
# pulls, while the many weights of the features stay held down by `ridge` until there is evidence for them.
_CONSTANT_PRECISION = 1.0

# What an arm never tried is taken to cost, as a share of the mean of the others.
UNTRIED_SHARE = np.float32(0.5)

# A predicted cost or latency stays within these multiples of the arm's running mean.
LOWEST_SHARE, HIGHEST_SHARE = np.float32(0.1), np.float32(10.0)


class LinearPosterior:
    """``K`` posteriors ``N(theta, A^-1)`` of linear models over ``D`` inputs, kept by rank-one updates.

    Attributes:
        compiled: whether its arithmetic is; :class:`routers.packed.PackedPosterior` is the one.
        inverse: ``(K, D, D)`` float32, ``A^-1`` with ``A = prior + sum of x x'`` over the arm's observations.
        theta: ``(3, K, D)`` float32, weights of score (about ``PRIOR_SCORE``), cost and latency.
        count: ``(3, K)`` observations of each.
        total: ``(3, K)`` their sums, float64.

    Args:
        n_arms: ``K``.
        n_inputs: ``D``, the constant (last) included.
        ridge: prior precision of every weight but the constant's.
    """

    compiled: ClassVar[bool] = False

    def __init__(self, n_arms: int, n_inputs: int, ridge: float) -> None:
        precision = np.full(n_inputs, ridge)
        precision[-1] = _CONSTANT_PRECISION
        self._precision = precision
        self.inverse = np.tile(np.diag(1.0 / precision).astype(np.float32), (n_arms, 1, 1))
        self.theta = np.zeros((3, n_arms, n_inputs), dtype=np.float32)
        self.count = np.zeros((3, n_arms), dtype=np.int64)
        self.total = np.zeros((3, n_arms))
        self._scratch = np.empty((n_inputs, n_inputs), dtype=np.float32)

    @property
    def n_arms(self) -> int:
        """``K``."""
        return len(self.inverse)

    def means(self, features: Floats) -> Floats:
        """Posterior means ``(3, n, K)`` of score, cost and latency at features ``(n, d)``; NaN cost where unseen."""
        weights = self.theta.reshape(-1, self.theta.shape[2])
        constant = weights[:, -1].copy()
        constant[: self.n_arms] += PRIOR_SCORE
        values = features @ weights[:, :-1].T
        values += constant
        with np.errstate(invalid="ignore"):
            level = (self.total[1:] / self.count[1:]).astype(np.float32).reshape(-1)
        prices = values[:, self.n_arms :]
        np.clip(prices, LOWEST_SHARE * level, HIGHEST_SHARE * level, out=prices)
        return values.reshape(len(features), 3, self.n_arms).swapaxes(0, 1)

    def widths(self, inputs: Floats) -> Floats:
        """Posterior standard deviations ``sqrt(x' A^-1 x)``, ``(n, K)``, in units of the noise."""
        n, d = inputs.shape
        if n == 1:
            # One matrix-vector product over all arms' matrices: the decision is bound by reading them once.
            variance = ((self.inverse.reshape(-1, d) @ inputs[0]).reshape(-1, d) @ inputs[0])[None]
        else:
            variance = np.empty((n, self.n_arms), dtype=np.float32)
            for arm, inverse in enumerate(self.inverse):
                variance[:, arm] = np.einsum("nd,nd->n", inputs @ inverse, inputs)
        # Rounding may push a tiny variance below zero.
        return np.asarray(np.sqrt(np.maximum(variance, 0)), dtype=np.float32)

    def worth_trying(self, features: Floats) -> Outcomes:
        """Posterior means, each ``(n, K)``, where an arm never tried costs half of what the others cost.

        Optimism, within reason. If it counted as dear as the arms known so far, a router whose first arm was a dear
        one would pay for it at any cost weight, and never learn that another is a thousand times cheaper. If it
        counted as free, every arm would be tried where money matters most.
        """
        score, cost, latency = self.means(features)
        share = np.where(self.count[0] == 0, UNTRIED_SHARE, np.float32(1))
        return Outcomes(score, fill_unknown(cost) * share, fill_unknown(latency) * share)

    def believe(self, contexts: Contexts) -> tuple[Floats, Floats]:
        """Mean utility (``-inf`` where masked) and its standard deviation, each ``(n, K)``."""
        return utility(self.worth_trying(contexts.features), contexts), self.widths(with_constant(contexts.features))

    def replay(
        self, contexts: Contexts, bonus: Floats, targets: Floats, *, skip: bool = False
    ) -> tuple[Floats, Floats, Ints]:
        """Choose the arm of the highest ``mean + bonus * width`` and learn its targets, row after row.

        Args:
            contexts: ``n`` rows.
            bonus: ``(n, K)``.
            targets: ``(3, n, K)``, NaN where not observed; an arm without a score teaches nothing.
            skip: the widths of arms that cannot be the best may be upper bounds; arms and learning are the same.

        Returns:
            Mean utilities and widths ``(n, K)`` as they were at the decision, and arms ``(n,)``.
        """
        worth, width = np.empty((2, len(contexts), self.n_arms), dtype=np.float32)
        arms = np.empty(len(contexts), dtype=np.int64)
        inputs = with_constant(contexts.features)
        for row in range(len(contexts)):
            at = slice(row, row + 1)
            worth[at], width[at] = self.believe(contexts.take(at))
            arm = arms[row] = np.argmax(worth[row] + bonus[row] * width[row])
            if not np.isnan(targets[0, row, arm]):
                self.update(inputs[row], int(arm), targets[:, row, arm])
        return worth, width, arms

    def update(self, x: Floats, arm: int, targets: Floats) -> None:
        """Learn one observation: input ``(D,)`` and targets ``(3,)``; NaN for a cost or latency not observed.

        Sherman-Morrison: with ``g = A^-1 x / (1 + x' A^-1 x)``, ``A^-1 -= g (A^-1 x)'`` and ``theta += g * residual``
        (recursive least squares). A target not observed has residual 0: it teaches nothing.
        """
        inverse = self.inverse[arm]
        spread = inverse @ x
        surprise = 1 + x @ spread
        gain = spread / surprise
        # The outer product of one vector with itself keeps the matrix symmetric to the last bit.
        root = spread / np.sqrt(surprise)
        np.multiply.outer(root, root, out=self._scratch)
        inverse -= self._scratch
        seen = ~np.isnan(targets)
        centred = targets - (PRIOR_SCORE, 0.0, 0.0)
        for row in np.flatnonzero(seen):
            theta = self.theta[row, arm]
            if row > 0 and self.count[row, arm] == 0:
                # The first cost seen is the prior mean of costs: 0 would make every new arm look cheap.
                theta[-1] = centred[row]
            theta += gain * np.float32(centred[row] - x @ theta)
        self.count[:, arm] += seen
        self.total[:, arm] += np.where(seen, targets, 0)

    def fit(self, inputs: Floats, targets: Floats, strength: float = np.inf) -> None:
        """Forget, then learn a table at once: inputs ``(n, D)``, targets ``(3, n, K)``, NaN where not observed.

        Rows without a score are left out. A cost or latency missing beside a score counts as the arm's mean.
        An arm's rows count together as ``strength`` observations where they are more.
        """
        scored = ~np.isnan(targets[0])
        seen = ~np.isnan(targets) & scored
        self.count = seen.sum(axis=1)
        self.total = np.where(seen, targets, 0).sum(axis=1, dtype=np.float64)
        self._set_inverse(slice(None), np.diag(1.0 / self._precision))
        self.theta[:] = 0
        # Costs are centred on the arm's mean, which stands for the unpenalised constant of a batch fit.
        center = np.where(self.count > 0, self.total / np.maximum(self.count, 1), 0)
        center[0] = PRIOR_SCORE
        self.theta[1:, :, -1] = center[1:]
        for rows, arms in alike_columns(targets[0]):
            x = inputs[rows].astype(np.float64)
            weighted = x.T * min(1.0, strength / len(x))
            inverse = np.linalg.inv(weighted @ x + np.diag(self._precision))
            for row in range(3):
                residual = np.nan_to_num(targets[row][np.ix_(rows, arms)] - center[row, arms])
                self.theta[row, arms] += ((inverse @ (weighted @ residual)).T).astype(np.float32)
            self._set_inverse(arms, inverse)
        kept = np.minimum(self.count, np.ceil(min(strength, len(inputs)))).astype(np.int64)
        self.total *= kept / np.maximum(self.count, 1)
        self.count = kept

    def forget(self, arm: int) -> None:
        """Put one arm back to the prior."""
        self._set_inverse(np.array([arm]), np.diag(1.0 / self._precision))
        for learned in (self.theta, self.count, self.total):
            learned[:, arm] = 0

    def add_arm(self) -> None:
        """One more arm at the prior."""
        prior = np.diag(1.0 / self._precision).astype(np.float32)
        self.inverse = np.concatenate([self.inverse, prior[None]])
        self.theta = np.concatenate([self.theta, np.zeros_like(self.theta[:, :1])], axis=1)
        self.count = np.pad(self.count, ((0, 0), (0, 1)))
        self.total = np.pad(self.total, ((0, 0), (0, 1)))

    def arrays(self) -> dict[str, Array]:
        """Everything learned, by name; copies, as the posterior goes on learning in place."""
        return {name: getattr(self, name).copy() for name in ("inverse", "theta", "count", "total")}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what :meth:`arrays` gave."""
        for name in ("inverse", "theta", "count", "total"):
            setattr(self, name, arrays[name].copy())

    def _set_inverse(self, arms: Ints | slice, matrix: Array) -> None:
        self.inverse[arms] = matrix


def make_posterior(n_arms: int, n_inputs: int, ridge: float) -> LinearPosterior:
    """A posterior at its prior; a compiled one where the extra `fast` is installed."""
    if find_spec("numba") is None:
        return LinearPosterior(n_arms, n_inputs, ridge)
    from routers.packed import PackedPosterior

    return PackedPosterior(n_arms, n_inputs, ridge)


class LinearBandit(Estimator):
    """Base of the routers over a :class:`LinearPosterior`; they differ in how they explore.

    ``fit`` starts again from the prior and learns a table in one solve; ``update`` learns row after row.

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        ridge: prior precision of the weights.
        prior_strength: how many observations an arm's rows of a ``fit`` count for at most, so that what comes after
            a warm start can outweigh it; ``None`` for as many as they are.
        settings: what else a subclass keeps; none may be negative.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(online=True, adds_arms=True, uses_load=True)

    def __init__(
        self, n_arms: int, n_features: int, *, ridge: float, prior_strength: float | None = None, **settings: float
    ) -> None:
        super().__init__(n_arms, n_features, **settings, ridge=ridge)
        if prior_strength is not None:
            # Left out where it is not given: policies saved before there was such a setting keep their version.
            self.settings["prior_strength"] = prior_strength
        for name, value in self.settings.items():
            if not value >= 0 or (name in ("ridge", "prior_strength") and value == 0):
                raise BadInput(f"router `{self.name}`: {name} is {value}; it must be positive")
        self._posterior = make_posterior(n_arms, n_features + 1, ridge)

    def predict(self, contexts: Contexts) -> Outcomes:
        """Posterior means of score, cost and latency, each ``(n, K)``."""
        score, cost, latency = self._posterior.means(contexts.features)
        return Outcomes(score, cost, latency)

    def _worth_trying(self, features: Floats) -> Outcomes:
        return self._posterior.worth_trying(features)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Warm start from a table ``(n, K)``, NaN where not observed; what was learned before is forgotten."""
        strength = self.settings.get("prior_strength", np.inf)
        self._posterior.fit(with_constant(contexts.features), stack(outcomes), strength)
        return self

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Learn the outcomes ``(n,)`` of the arms chosen, one row after another; rows without a score are skipped."""
        inputs, targets = with_constant(contexts.features), stack(outcomes)
        for row in (~np.isnan(targets[0])).nonzero()[0]:
            self._posterior.update(inputs[row], int(arms[row]), targets[:, row])

    def add_arm(self) -> None:
        """One more arm, at the prior."""
        self.n_arms += 1
        self._posterior.add_arm()

    def _arrays(self) -> dict[str, Array]:
        return self._posterior.arrays()

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._posterior.restore(arrays)


def with_constant(features: Floats) -> Floats:
    """Inputs ``(n, d + 1)``: the features and a 1."""
    inputs = np.empty((features.shape[0], features.shape[1] + 1), dtype=np.float32)
    inputs[:, :-1] = features
    inputs[:, -1] = 1
    return inputs


def stack(outcomes: Outcomes) -> Floats:
    """Score, cost and latency as one array ``(3, ...)``."""
    table = np.empty((3, *outcomes.score.shape), dtype=np.float32)  # np.stack takes three times as long for one row
    table[0], table[1], table[2] = outcomes.score, outcomes.cost_usd, outcomes.latency_s
    return table
