"""The least cost at a minimum quality, of each request or in the mean, around any router that predicts scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from env.contexts import Contexts, Ints, Outcomes
from env.errors import BadInput
from routers.base import PRIOR_SCORE, Array, Capabilities, Estimator, fill_unknown
from routers.wrapper import Wrapper

# Score points that a call of mean cost is worth: where no table was seen, and at least and at most. At either end only
# quality and only money decide.
_WORTH, _LOWEST, _HIGHEST = 0.05, 1e-4, 1e4
# Halvings of the interval between those two in which a table's price is sought, on one row of so many.
_HALVINGS, _FOLDS = 24, 5


class QualityFloor(Wrapper):
    """A floor under quality at the least cost: under each request's expected score, or under the mean of all scores.

    ``held="each"``: the cheapest arm whose predicted score reaches the floor; where none does, the arm of the best
    predicted score. All other arms are masked, so the choice is certain: its propensity is 1 whatever the router
    inside would draw. To explore, mix (``Policy.decide(epsilon=...)``). It is as good as the predictions: what was
    really scored is not looked at, and a prediction that just reaches the floor is as likely to miss it (``margin``
    asks for more). The mean comes out above the floor where easy requests are above it anyway.

    ``held="mean"``: the router inside decides at a price of money, which takes the place of the request's own cost
    weight, and every score that comes back moves the price: up where it is above the floor, down where it is below
    (online dual descent in the price's logarithm, as the price of :class:`~routers.budget.Budget` is mirrored). **What
    is guaranteed**, whatever the predictions: over ``T`` scores, their mean is what is aimed for plus ``log(price_T /
    price_0) / (step T)``, and above that while the price stands at its highest. Only at its lowest, where the
    router inside already looks at quality alone, can the mean stay below. A single request may get any quality, and
    requests that nobody scores count for nothing. ``fit`` looks for the price that just meets the floor.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        floor: least score, in [0, 1]; ``None`` for no floor (it then decides exactly as the router inside).
        margin: score points above the floor that are aimed for.
        held: ``"each"`` or ``"mean"``.
        step: how far a score moves the price's logarithm, for each score point off the floor; for ``"mean"``.
        router: name of the router inside, one that predicts.
        settings: its settings.

    Raises:
        BadInput: a setting out of range, a router inside that predicts nothing, or what that router refuses.

    Example:
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
        held: str = "each",
        step: float = 0.05,
        router: str = "linucb",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        own = {"floor": floor, "margin": margin, "held": held, "step": step}
        super().__init__(n_arms, n_features, router=router, settings=settings, **own)
        if floor is not None and not 0 <= floor <= 1:
            raise BadInput(f"router `{self.name}`: floor is {floor}; it must be in [0, 1], or null")
        if held not in ("each", "mean"):
            raise BadInput(f"router `{self.name}`: held is {held!r}; it must be `each` or `mean`")
        if not 0 < step < np.inf:
            raise BadInput(f"router `{self.name}`: step is {step}; it must be above 0")
        if not isinstance(self.router, Estimator):
            raise BadInput(f"router `{self.name}`: `{router}` predicts no scores; take an estimator, e.g. `ridge`")
        self.least = None if floor is None else floor + margin
        # In the mean: a price of `worth` score points for `level` dollars, of which nothing is known at first.
        self._worth, self._level_usd = _WORTH, np.nan

    @property
    def price(self) -> float:
        """Score points per dollar at which the router inside decides to hold the mean; 0 before the first bill."""
        return self._worth / self._level_usd if self._level_usd > 0 else 0.0

    def asked(self, contexts: Contexts) -> Contexts:
        """The contexts at the price, or with one arm a row allowed."""
        if self.least is None:
            return contexts
        if self.settings["held"] == "mean":
            return self._priced(contexts, self.price)
        assert isinstance(self.router, Estimator)
        predicted = self.router.predict(contexts)
        score = np.where(contexts.mask, np.nan_to_num(predicted.score, nan=PRIOR_SCORE), -np.inf)
        cost = np.where(score >= self.least, fill_unknown(predicted.cost_usd), np.inf)
        tied = cost == cost.min(axis=1, keepdims=True)
        arms = np.where(tied, score, -np.inf).argmax(axis=1)
        return replace(contexts, mask=np.arange(self.n_arms) == arms[:, None])

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Learn a table; where the mean is held, start at the highest price that would have met it on unseen rows.

        Those are a fifth of the table, priced by a fit to the others: a router scores better on rows it has learned.
        """
        self._worth, self._level_usd = _WORTH, np.nan
        known = outcomes.cost_usd[~np.isnan(outcomes.cost_usd)]
        if self.least is not None and self.settings["held"] == "mean" and known.any():
            self._level_usd = float(known.mean(dtype=np.float64))
            apart = np.arange(len(contexts)) % _FOLDS == 0
            super().fit(contexts.take(np.flatnonzero(~apart)), outcomes.take(np.flatnonzero(~apart)))
            self._worth = self._met(contexts.take(np.flatnonzero(apart)), outcomes.take(np.flatnonzero(apart)))
        return super().fit(contexts, outcomes)

    def _met(self, contexts: Contexts, outcomes: Outcomes) -> float:
        """The highest worth of money at which the router inside reaches the floor in the mean."""
        assert self.least is not None and isinstance(self.router, Estimator)
        predicted = np.nan_to_num(self.router.predict(contexts).score, nan=PRIOR_SCORE)
        scores = np.where(np.isnan(outcomes.score), predicted, outcomes.score)
        low, high = np.log(_LOWEST), np.log(_HIGHEST)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            law = self.router.law(self._priced(contexts, np.exp(middle) / self._level_usd))
            enough = (law * scores).sum(axis=1).mean() >= self.least
            low, high = (middle, high) if enough else (low, middle)
        return float(np.exp(low))

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Move the price by the scores ``(n,)`` where the mean is held, and let the router inside learn."""
        if self.least is not None and self.settings["held"] == "mean":
            bills = outcomes.cost_usd[outcomes.cost_usd > 0]
            if np.isnan(self._level_usd) and len(bills):
                self._level_usd = float(bills[0])
            for score in outcomes.score[outcomes.observed]:
                moved = self._worth * np.exp(self.settings["step"] * (float(score) - self.least))
                self._worth = float(np.clip(moved, _LOWEST, _HIGHEST))
            if not self.router.capabilities.online:
                return
        super().update(contexts, arms, outcomes, propensities)

    def _priced(self, contexts: Contexts, price: float) -> Contexts:
        return replace(contexts, cost_weight=np.full(len(contexts), price, dtype=np.float32))

    def _declared(self, inside: Capabilities) -> Capabilities:
        # It learns from every score, even where the router inside learns nothing any more.
        held = self.settings["floor"] is not None and self.settings["held"] == "mean"
        return replace(inside, online=True) if held else inside

    def _arrays(self) -> dict[str, Array]:
        return {**super()._arrays(), "price": np.array([self._worth, self._level_usd])}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        super()._restore(arrays)
        self._worth, self._level_usd = arrays["price"].tolist()
