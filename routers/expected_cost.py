"""What a call is expected to cost: a router's prediction, put right by what calls turned out to cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from env.contexts import Bools, Contexts, Floats, Outcomes
from routers.base import Array, Estimator, Router
from routers.wrapper import innermost

# What the prediction is worth in bills, and how many of the last bills of an arm are remembered.
_TRUST, _MEMORY = 10.0, 100.0


class ExpectedCost:
    """Dollars of every arm: what a router predicts, times the ratio of bills to predictions.

    The ratio of an arm is ``(trust + n * paid / predicted) / (trust + n)`` over its last ``n`` bills, so that a
    prediction that is off by a factor (a price that changed, a list that was wrong) is put right within some ten
    calls. A wrapper predicts what the router inside it does; for a router that predicts no costs, the mean of the arm's
    bills is the prediction.

    Args:
        n_arms: ``K``.

    Attributes:
        bills: ``(K,)`` bills remembered; older ones count less and less.
        paid: ``(K,)`` their dollars.
        predicted: ``(K,)`` the dollars that were predicted for them.

    Example:
        >>> costs = ExpectedCost(n_arms=2)
        >>> for _ in range(200):
        ...     costs.learn(arm=0, predicted=0.01, paid=0.03)
        >>> costs.ratio.round(1).tolist()
        [2.8, 1.0]
    """

    def __init__(self, n_arms: int) -> None:
        self.bills, self.paid, self.predicted = (np.zeros(n_arms) for _ in range(3))

    @property
    def ratio(self) -> Array:
        """``(K,)`` paid over predicted; 1 where nothing is known."""
        told = np.divide(self.paid, self.predicted, out=np.ones_like(self.paid), where=self.predicted > 0)
        return np.asarray((_TRUST + self.bills * told) / (_TRUST + self.bills))

    def __call__(self, router: Router, contexts: Contexts) -> Floats:
        """``(n, K)`` expected dollars; see :meth:`corrected`."""
        return self.corrected(self.predict(router, contexts))

    def predict(self, router: Router, contexts: Contexts) -> Floats:
        """``(n, K)`` dollars before correction; NaN where nothing is known."""
        inside = innermost(router)
        if isinstance(inside, Estimator):
            return inside.predict(contexts).cost_usd
        mean = np.divide(self.paid, self.bills, out=np.full_like(self.paid, np.nan), where=self.bills > 0)
        return np.broadcast_to(mean.astype(np.float32), contexts.mask.shape)

    def corrected(self, predicted: Floats) -> Floats:
        """``(n, K)`` expected dollars; an arm of which nothing is known counts as dear as the dearest that is."""
        costs = predicted * self.ratio.astype(np.float32)
        unknown = np.isnan(costs)
        dearest = np.where(unknown, 0, costs).max(axis=1, keepdims=True)
        return np.where(unknown, dearest, costs).astype(np.float32)

    def fit(self, outcomes: Outcomes) -> None:
        """Forget all bills and take those of a table ``(n, K)``, for which a router fitted on it predicts the means."""
        seen = ~np.isnan(outcomes.cost_usd)
        count = seen.sum(axis=0)
        kept = np.minimum(1, _MEMORY / np.maximum(count, 1))
        self.bills = count * kept
        self.paid = np.where(seen, outcomes.cost_usd, 0).sum(axis=0, dtype=np.float64) * kept
        self.predicted = self.paid.copy()

    def learn(self, arm: int, predicted: float, paid: float) -> None:
        """One bill of an arm, in dollars; NaN for what was not predicted."""
        forget = 1 - 1 / _MEMORY
        self.bills[arm] = forget * self.bills[arm] + 1
        self.paid[arm] = forget * self.paid[arm] + paid
        self.predicted[arm] = forget * self.predicted[arm] + (paid if np.isnan(predicted) else predicted)

    def add_arm(self) -> None:
        """One more arm, of which nothing is known."""
        self.bills, self.paid, self.predicted = (
            np.append(kept, 0.0) for kept in (self.bills, self.paid, self.predicted)
        )

    def arrays(self) -> dict[str, Array]:
        """Everything learned, by name."""
        return {name: getattr(self, name).copy() for name in ("bills", "paid", "predicted")}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what :meth:`arrays` gave."""
        for name in ("bills", "paid", "predicted"):
            setattr(self, name, arrays[name].copy())


def affordable(costs: Floats, mask: Bools, limit_usd: float) -> Bools:
    """``(n, K)`` the arms allowed that cost no more than a limit, and the cheapest of those allowed whatever it costs.

    Example:
        >>> affordable(np.array([[0.1, 0.5, 0.2]]), np.array([[False, True, True]]), limit_usd=0.1).tolist()
        [[False, False, True]]
    """
    cheapest = np.where(mask, costs, np.inf).argmin(axis=1)
    return np.asarray(mask & ((costs <= limit_usd) | (np.arange(costs.shape[1]) == cheapest[:, None])), dtype=bool)
