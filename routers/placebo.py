"""The placebo: ridge on features that were shuffled between queries. What a metric gives for nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

import numpy as np

from env.contexts import Contexts, Outcomes
from routers.ridge import Ridge


class Placebo(Ridge):
    """:class:`~routers.ridge.Ridge` fitted on permuted feature rows, with the same choices inside.

    Its predictions vary with the prompt as a real router's do, but mean nothing. A figure that rises for it rises
    for noise, and a router that is not above it has shown nothing.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        alpha: penalty; None chooses it as :class:`~routers.ridge.Ridge` does.
        predict_cost: predict cost and latency too, from the same shuffled features.
        seed: of the permutation.

    Example:
        >>> x = np.linspace(-1, 1, 100, dtype=np.float32)[:, None]
        >>> contexts, outcomes = Contexts.of(x, n_arms=1), Outcomes.of(0.5 + 0.4 * x)
        >>> told, untold = Ridge(1, 1).fit(contexts, outcomes), Placebo(1, 1).fit(contexts, outcomes)
        >>> bool(np.ptp(untold.predict(contexts).score) < 0.2 * np.ptp(told.predict(contexts).score))
        True
    """

    name: ClassVar[str] = "placebo"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        alpha: float | None = None,
        predict_cost: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(n_arms, n_features, alpha=alpha, predict_cost=predict_cost)
        self.settings["seed"] = seed

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Shuffle the features between the rows, then learn."""
        order = np.random.default_rng(self.settings["seed"]).permutation(len(contexts))
        return super().fit(replace(contexts, features=contexts.features[order]), outcomes)
