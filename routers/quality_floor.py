"""The least cost at a minimum quality, around any router that predicts scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from env.contexts import Contexts
from env.errors import BadInput
from routers.base import PRIOR_SCORE, Estimator, fill_unknown
from routers.wrapper import Wrapper


class QualityFloor(Wrapper):
    """The cheapest arm whose predicted score reaches a floor; where none does, the arm of the best predicted score.

    All other arms are masked, so the choice is certain: its propensity is 1 whatever the router inside would draw.
    To explore, mix (``Policy.decide(epsilon=...)``). A prediction that just reaches the floor is as likely to miss it:
    ``margin`` asks for more. Equal costs go to the better score.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        floor: least predicted score, in [0, 1]; ``None`` for no floor (it then decides exactly as the router inside).
        margin: score points above the floor that a prediction must reach.
        router: name of the router inside, one that predicts.
        settings: its settings.

    Raises:
        BadInput: a floor outside [0, 1], a router inside that predicts nothing, or what that router refuses.

    Example:
        >>> from env.contexts import Outcomes
        >>> contexts = Contexts.of(np.zeros((2, 1)), n_arms=3)
        >>> outcomes = Outcomes.of(np.tile([0.6, 0.9, 0.8], (2, 1)), np.tile([0.001, 0.01, 0.002], (2, 1)))
        >>> for floor in (0.5, 0.7, 0.95):
        ...     router = QualityFloor(3, 1, floor=floor, router="zero").fit(contexts, outcomes)
        ...     print(router.act(contexts, np.random.default_rng(0)).arms.tolist())
        [0, 0]
        [2, 2]
        [1, 1]
    """

    name: ClassVar[str] = "quality_floor"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        floor: float | None = None,
        margin: float = 0.0,
        router: str = "linucb",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(n_arms, n_features, router=router, settings=settings, floor=floor, margin=margin)
        if floor is not None and not 0 <= floor <= 1:
            raise BadInput(f"router `{self.name}`: floor is {floor}; it must be in [0, 1], or null")
        if not isinstance(self.router, Estimator):
            raise BadInput(f"router `{self.name}`: `{router}` predicts no scores; take an estimator, e.g. `ridge`")
        self.least = None if floor is None else floor + margin

    def asked(self, contexts: Contexts) -> Contexts:
        """The contexts with one arm a row allowed."""
        if self.least is None:
            return contexts
        assert isinstance(self.router, Estimator)
        predicted = self.router.predict(contexts)
        score = np.where(contexts.mask, np.nan_to_num(predicted.score, nan=PRIOR_SCORE), -np.inf)
        cost = np.where(score >= self.least, fill_unknown(predicted.cost_usd), np.inf)
        tied = cost == cost.min(axis=1, keepdims=True)
        arms = np.where(tied, score, -np.inf).argmax(axis=1)
        return replace(contexts, mask=np.arange(self.n_arms) == arms[:, None])
