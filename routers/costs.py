"""What a call will cost and how long it will take: the predictor that the full-information routers share.

The cheapest large gain in routing: the same model costs ten times more on a long prompt than on a short one, and
mean costs hide that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from env.contexts import Floats, Outcomes, mean_observed
from routers.least_squares import Linear, fit_linear

# A linear extrapolation may go below zero or run away; a prompt is believed to cost at least a tenth and at most
# ten times the arm's mean.
_LOWEST, _HIGHEST = np.float32(0.1), np.float32(10.0)


class CostModel:
    """Cost and latency of every arm, per query or as global means.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        per_query: predict each query by ridge regression of ``cost / mean cost`` of the arm on the features,
            clipped to [0.1, 10] times the mean; False for the mean alone.

    Example:
        >>> length = np.linspace(0, 1, 50, dtype=np.float32)[:, None]
        >>> costs = CostModel(n_arms=1, n_features=1)
        >>> costs.fit(length, Outcomes.of(np.ones((50, 1)), cost_usd=0.01 + 0.02 * length))
        >>> costs.predict(np.array([[0.5]], dtype=np.float32))[0].round(3).tolist()
        [[0.019999999552965164]]
    """

    def __init__(self, n_arms: int, n_features: int, *, per_query: bool = True) -> None:
        self.n_arms, self.n_features, self.per_query = n_arms, n_features, per_query
        self._mean = {name: np.full(n_arms, np.nan, dtype=np.float32) for name in ("cost", "latency")}
        self._ratio = {name: Linear.unknown(n_features, n_arms) for name in ("cost", "latency")}

    def fit(self, features: Floats, outcomes: Outcomes) -> None:
        """Learn from features ``(n, d)`` and outcomes ``(n, K)``, NaN where not observed."""
        for name, values in (("cost", outcomes.cost_usd), ("latency", outcomes.latency_s)):
            mean = column_means(values)
            self._mean[name] = mean
            if self.per_query:
                # An arm that is always free (mean 0) stays free: its ratio is of no consequence.
                level = np.where(mean > 0, mean, 1).astype(np.float32)
                self._ratio[name] = fit_linear(features, np.asarray(values / level, dtype=np.float32))

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Dollars ``(n, K)`` and seconds ``(n, K)``; NaN for an arm never observed."""
        cost, latency = (self._predict(name, features) for name in ("cost", "latency"))
        return cost, latency

    def _predict(self, name: str, features: Floats) -> Floats:
        mean = self._mean[name]
        if not self.per_query:
            return np.broadcast_to(mean, (len(features), len(mean)))
        return np.asarray(mean * np.clip(self._ratio[name](features), _LOWEST, _HIGHEST), dtype=np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything learned, by name."""
        learned: dict[str, NDArray[Any]] = {}
        for name in ("cost", "latency"):
            learned[f"{name}_mean"] = self._mean[name]
            if self.per_query:
                learned[f"{name}_weights"] = self._ratio[name].weights
                learned[f"{name}_intercept"] = self._ratio[name].intercept
        return learned

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what :meth:`arrays` gave."""
        for name in ("cost", "latency"):
            self._mean[name] = arrays[f"{name}_mean"]
            if self.per_query:
                self._ratio[name] = Linear(arrays[f"{name}_weights"], arrays[f"{name}_intercept"], float("nan"))


def column_means(values: Floats) -> Floats:
    """``(K,)`` mean of each column of ``(n, K)`` over what was observed; NaN where nothing was.

    Example:
        >>> column_means(np.array([[1.0, np.nan], [3.0, np.nan]], dtype=np.float32)).tolist()
        [2.0, nan]
    """
    return mean_observed(values).astype(np.float32)
