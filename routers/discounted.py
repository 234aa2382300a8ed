"""Linear bandits that forget: what happened long ago counts for less, for models and prices that change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from env.contexts import Floats
from env.errors import BadInput
from routers.base import PRIOR_SCORE, Array
from routers.least_squares import Doubles, alike_columns
from routers.linear import LinearBandit, LinearPosterior
from routers.linucb import LinUCB
from routers.thompson import LinearThompson

_KEPT = ("gram", "moment", "missing", "clock")


class DiscountedPosterior(LinearPosterior):
    """A :class:`~routers.linear.LinearPosterior` whose observations fade while its prior stays.

    After ``t`` outcomes, ``A_k = prior + sum over the arm's observations i of gamma^(t - i) x_i x_i'``, and alike for
    the moments: ``V <- gamma V + x x' + (1 - gamma) prior`` (Russac, Vernade, Cappe 2019, arXiv 1909.09146, algorithm
    1, whose wider bonus is not taken over; ParetoBandit, arXiv 2604.00136, forgets likewise). Without the last term
    the prior would fade too, and an arm not asked for long would be credited with anything. Time passes for every arm
    with every outcome, so that an arm not asked returns to the prior and is tried again.

    That term is of full rank: no rank-one formula follows it, so every ``refresh`` outcomes all arms are solved again
    from their sums, ``O(K D^3)``, and in between the arm asked learns by the rank-one update without forgetting.

    Attributes:
        gram: ``(K, D, D)`` float64, the discounted sum of ``x x'``.
        moment: ``(3, K, D)`` float64, that of ``x y`` for score, cost and latency where observed.
        missing: ``(3, K, D)`` float64, that of ``x`` where they were not.
        clock: ``(2,)`` outcomes since the last refresh, and what a new one weighs in the units of the sums.

    Args:
        n_arms: ``K``.
        n_inputs: ``D``, the constant (last) included.
        ridge: prior precision of every weight but the constant's.
        gamma: what an observation is worth one outcome later, in (0, 1].
        refresh: outcomes between two solves, 1 or more.
    """

    gram: Doubles
    moment: Doubles
    missing: Doubles
    clock: Doubles

    def __init__(self, n_arms: int, n_inputs: int, ridge: float, *, gamma: float, refresh: int) -> None:
        super().__init__(n_arms, n_inputs, ridge)
        self._gamma, self._refresh = gamma, refresh
        self._clear(n_arms, n_inputs)

    def update(self, x: Floats, arm: int, targets: Floats) -> None:
        """Learn one observation, input ``(D,)`` and targets ``(3,)``, while all others fade."""
        # Instead of shrinking every sum, the new observation weighs more: all that is read off them are ratios.
        self.clock += (1, self.clock[1] * (1 / self._gamma - 1))
        weight = self.clock[1]
        seen, wide = ~np.isnan(targets), weight * x.astype(np.float64)
        self.gram[arm] += np.outer(wide, x)
        self.moment[:, arm] += np.where(seen, targets, 0)[:, None] * wide
        self.missing[:, arm] += ~seen[:, None] * wide
        super().update(x, arm, targets)
        self.count[:, arm] += (weight - 1) * seen
        self.total[:, arm] += (weight - 1) * np.where(seen, targets, 0)
        if self.clock[0] >= self._refresh:
            self._solve()

    def fit(self, inputs: Floats, targets: Floats, strength: float = np.inf) -> None:
        """Forget all, then learn a table at once; its rows are alike recent, and all count: they fade anyway."""
        super().fit(inputs, targets)
        self._clear(*self.theta.shape[1:])
        for rows, arms in alike_columns(targets[0]):
            x = inputs[rows].astype(np.float64)
            self.gram[arms] = x.T @ x
            for row in range(3):
                values = targets[row][np.ix_(rows, arms)]
                self.moment[row, arms] = np.nan_to_num(values).T @ x
                self.missing[row, arms] = np.isnan(values).T @ x
        self._solve()

    def forget(self, arm: int) -> None:
        """Put one arm back to the prior."""
        super().forget(arm)
        self.gram[arm] = 0
        self.moment[:, arm] = self.missing[:, arm] = 0

    def add_arm(self) -> None:
        """One more arm at the prior."""
        super().add_arm()
        self.gram = np.pad(self.gram, ((0, 1), (0, 0), (0, 0)))
        self.moment = np.pad(self.moment, ((0, 0), (0, 1), (0, 0)))
        self.missing = np.pad(self.missing, ((0, 0), (0, 1), (0, 0)))

    def arrays(self) -> dict[str, Array]:
        """Everything learned, by name; copies."""
        return {**super().arrays(), **{name: getattr(self, name).copy() for name in _KEPT}}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what :meth:`arrays` gave."""
        super().restore(arrays)
        for name in _KEPT:
            setattr(self, name, arrays[name].copy())

    def _clear(self, n_arms: int, n_inputs: int) -> None:
        # Discounted counts are no whole numbers.
        self.count = self.count.astype(np.float64)
        self.gram = np.zeros((n_arms, n_inputs, n_inputs))
        self.moment = np.zeros((3, n_arms, n_inputs))
        self.missing = np.zeros((3, n_arms, n_inputs))
        self.clock = np.array([0.0, 1.0])

    def _solve(self) -> None:
        for sums in (self.gram, self.moment, self.missing, self.count, self.total):
            sums /= self.clock[1]
        self.clock[:] = 0, 1
        inverse = np.linalg.inv(self.gram + np.diag(self._precision))
        # As in a fit: costs are regressed about the arm's mean, which also stands in for one not observed.
        center = np.where(self.count > 0, self.total / np.maximum(self.count, 1e-300), 0)
        center[0] = PRIOR_SCORE
        centred = self.moment + center[:, :, None] * (self.missing - self.gram[:, :, -1])
        self.theta[:] = np.einsum("kde,rke->rkd", inverse, centred)
        self.theta[1:, :, -1] += center[1:]
        self.inverse[:] = inverse


class DiscountedLinUCB(LinUCB):
    """:class:`~routers.linucb.LinUCB` over a :class:`DiscountedPosterior`.

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        alpha: width of the bonus in score points where nothing is known; 0 is greedy.
        ridge: prior precision of the weights.
        gamma: what an outcome is worth one outcome later; it remembers about ``1 / (1 - gamma)``. 1 never forgets.
        refresh: outcomes between two solves; fewer forget more evenly, at ``O(K d^3)`` each.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> contexts, arms, sure = Contexts.of(np.zeros((200, 1)), 2), np.zeros(200, dtype=int), np.ones(200)
        >>> router = DiscountedLinUCB(2, 1, alpha=0.0, gamma=0.95)
        >>> for score in (0.9, 0.3):  # the arm got worse
        ...     router.update(contexts, arms, Outcomes.of(score * sure), sure)
        >>> router.act(contexts.take([0]), np.random.default_rng(0)).arms
        array([1])
    """

    name: ClassVar[str] = "discounted_linucb"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        alpha: float = 1.0,
        ridge: float = 10.0,
        gamma: float = 0.997,
        refresh: int = 10,
    ) -> None:
        super().__init__(n_arms, n_features, alpha=alpha, ridge=ridge)
        _discount(self, gamma, refresh)


class DiscountedThompson(LinearThompson):
    """:class:`~routers.thompson.LinearThompson` over a :class:`DiscountedPosterior`.

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        v: standard deviation of a score around its expectation, as the draws believe it; 0 is greedy.
        ridge: prior precision of the weights.
        gamma: what an outcome is worth one outcome later; it remembers about ``1 / (1 - gamma)``. 1 never forgets.
        refresh: outcomes between two solves; fewer forget more evenly, at ``O(K d^3)`` each.

    Example:
        >>> DiscountedThompson(2, 1, gamma=0.99).settings
        {'v': 0.5, 'ridge': 10.0, 'gamma': 0.99, 'refresh': 10}
    """

    name: ClassVar[str] = "discounted_thompson"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        v: float = 0.5,
        ridge: float = 10.0,
        gamma: float = 0.997,
        refresh: int = 10,
    ) -> None:
        super().__init__(n_arms, n_features, v=v, ridge=ridge)
        _discount(self, gamma, refresh)


def _discount(router: LinearBandit, gamma: float, refresh: int) -> None:
    if not 0 < gamma <= 1:
        raise BadInput(f"router `{router.name}`: gamma is {gamma}; it must be above 0 and at most 1")
    if refresh < 1:
        raise BadInput(f"router `{router.name}`: refresh is {refresh}; it must be 1 or more")
    router.settings |= {"gamma": gamma, "refresh": refresh}
    router._posterior = DiscountedPosterior(
        router.n_arms, router.n_features + 1, router.settings["ridge"], gamma=gamma, refresh=refresh
    )
