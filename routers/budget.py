"""A budget around any router: a price of money holds mean spend at so much a request, and an account enforces it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from env.contexts import Contexts, Floats, Ints, Outcomes
from env.errors import BadInput
from routers.base import Array, Capabilities
from routers.expected_cost import ExpectedCost, affordable
from routers.wrapper import Wrapper

# Score points that the budget of one request is worth: at the start where no table was seen, and at least and at most.
_WORTH, _LOWEST, _HIGHEST = 0.05, 1e-6, 1e2
# Halvings of the interval between those two in which a table's price is sought.
_HALVINGS = 24
# An empty account slows spending down to this share of the budget, never further.
_LEAST_AIM = 0.1
_SCALE_MEMORY = 100.0
# An arm that is expected to cost no more than this share of the budget is always open: even in debt, after one bill
# of a hundred budgets, it leaves half of the income to pay it back.
_THRIFTY = 0.5


class Budget(Wrapper):
    """Primal-dual pacing of any router: mean spend stays at or below so many dollars a request.

    Two mechanisms. The **price** is a dual variable that is added to the cost weight of every request: exponentiated
    gradient ascent (dual mirror descent with the entropy, Balseiro, Lu, Mirrokni 2020, arXiv 2002.10421, algorithm 1;
    bandits with knapsacks, Badanidiyuru et al. 2013, arXiv 1305.2545; with contexts Agrawal and Devanur 2016,
    arXiv 1507.06738). Its gradient is not the bill but what the router would spend in expectation at that price
    if the account were full: that hardly varies, and an account that says no cannot hide from the price that too much
    was wanted. Steps are divided by the root mean square of past gradients, as budgets span orders of magnitude.
    ``fit`` looks for the price that would have met the budget on the table.

    The **account** receives the budget at every request and pays the bills. Arms that are expected to cost more than
    ``1 / caution`` of its balance are masked, but never the cheapest allowed arm, nor one that is expected to cost half
    a budget or less. What is left over is spent within some ``window`` requests.

    **What is guaranteed**, when each bill is known before the next decision, whatever the costs: total spend exceeds
    ``T`` budgets by no more than (a) the largest excess of one bill over what was expected of it, plus (b) what calls
    to arms that are never masked cost above the budget. That the price leads to the best use of the money is proven for
    requests that are drawn independently and for known rewards, not for a router that learns.

    Rows of one batch, and calls in flight, see the same balance; together they may overdraw it.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        budget_usd: dollars a request, above 0; ``None`` for no budget (it then decides exactly as the router inside).
        step: of the price, in its logarithm for a typical gradient.
        window: requests over which the balance is spent.
        caution: how many times what an arm is expected to cost must be there, 1 or more: a dear call leaves the
            account able to pay for ordinary ones.
        router: name of the router inside; it must look at the cost weight for the price to act.
        settings: its settings.

    Raises:
        BadInput: a setting out of range, or what the router inside refuses.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> contexts = Contexts.of(np.zeros((200, 1)), n_arms=2)
        >>> outcomes = Outcomes.of(np.tile([0.6, 0.9], (200, 1)), np.tile([0.001, 0.01], (200, 1)))
        >>> router = Budget(2, 1, budget_usd=0.0055, router="zero").fit(contexts, outcomes)
        >>> decided = router.replay(contexts, outcomes, np.random.default_rng(0))
        >>> bool(outcomes.at(decided.arms).cost_usd.mean() <= 0.0055), bool(0.4 < decided.arms.mean() <= 0.5)
        (True, True)
    """

    name: ClassVar[str] = "budget"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        budget_usd: float | None = None,
        step: float = 0.02,
        window: float = 100.0,
        caution: float = 2.0,
        router: str = "linucb",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        own = {"budget_usd": budget_usd, "step": step, "window": window, "caution": caution}
        super().__init__(n_arms, n_features, router=router, settings=settings, **own)
        for name, value, least in (("step", step, 0.0), ("window", window, 1.0), ("caution", caution, 1.0)):
            if not least <= value < np.inf:
                raise BadInput(f"router `{self.name}`: {name} is {value}; it must be {least:g} or more")
        if budget_usd is not None and not 0 < budget_usd < np.inf:
            raise BadInput(f"router `{self.name}`: budget_usd is {budget_usd}; it must be above 0, or null for none")
        self.budget_usd = np.inf if budget_usd is None else float(budget_usd)
        self.step, self.window, self.caution = step, window, caution
        self.balance_usd = 0.0
        self._worth, self._scale = _WORTH, 1.0
        self._costs = ExpectedCost(n_arms)

    @property
    def price(self) -> float:
        """Score points per dollar that are added to the cost weight of every request."""
        return self._worth / self.budget_usd

    def asked(self, contexts: Contexts) -> Contexts:
        """The contexts at the price, with the arms that the account can pay for."""
        if np.isinf(self.budget_usd):
            return contexts
        limit = max((self.balance_usd + self.budget_usd) / self.caution, _THRIFTY * self.budget_usd)
        open_arms = affordable(self._costs(self.router, contexts), contexts.mask, limit)
        return replace(self._priced(contexts, self._worth), mask=open_arms)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Learn a table, open a new account, and start at the price at which the table would have met the budget."""
        super().fit(contexts, outcomes)
        self._costs.fit(outcomes)
        self.balance_usd, self._worth, self._scale = 0.0, _WORTH, 1.0
        if np.isfinite(self.budget_usd) and len(contexts):
            predicted = self._costs(self.router, contexts)
            costs = np.where(np.isnan(outcomes.cost_usd), predicted, outcomes.cost_usd)
            low, high = np.log(_LOWEST), np.log(_HIGHEST)
            for _ in range(_HALVINGS):
                middle = (low + high) / 2
                too_low = self._wanted(contexts, np.exp(middle), costs).mean() > self.budget_usd
                low, high = (middle, high) if too_low else (low, middle)
            self._worth = float(np.exp(high))
            excess = self._wanted(contexts, self._worth, costs) / self.budget_usd - 1
            self._scale = float(np.mean(excess**2))
        return self

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Pay the bills ``(n,)``, move the price, and let the router inside learn, row after row.

        A bill that is not known (NaN) is paid as expected.
        """
        learns = self.router.capabilities.online
        if np.isinf(self.budget_usd):
            if learns:
                self.router.update(contexts, arms, outcomes, propensities)
            return
        for row, arm in enumerate(arms.tolist()):
            at = slice(row, row + 1)
            asked = contexts.take(at)
            predicted = self._costs.predict(self.router, asked)
            costs = self._costs.corrected(predicted)
            self._move_price(float(self._wanted(asked, self._worth, costs)[0]))
            bill = float(outcomes.cost_usd[row])
            if np.isnan(bill):
                bill = float(costs[0, arm])
            else:
                self._costs.learn(arm, float(predicted[0, arm]), bill)
            self.balance_usd += self.budget_usd - bill
            if learns:
                self.router.update(asked, arms[at], outcomes.take(at), propensities[at])

    def add_arm(self) -> None:
        """One more arm; until it was tried it counts as dear as the dearest known one."""
        super().add_arm()
        self._costs.add_arm()

    def _move_price(self, wanted_usd: float) -> None:
        """One dual step, where the router wants to spend so much on a request."""
        aim = max(self.budget_usd + self.balance_usd / self.window, _LEAST_AIM * self.budget_usd)
        excess = (wanted_usd - aim) / self.budget_usd
        self._scale += (excess**2 - self._scale) / _SCALE_MEMORY
        raised = np.log(self._worth) + self.step * excess / np.sqrt(max(self._scale, 1e-12))
        self._worth = float(np.exp(np.clip(raised, np.log(_LOWEST), np.log(_HIGHEST))))

    def _wanted(self, contexts: Contexts, worth: float, costs: Floats) -> Array:
        """``(n,)`` dollars that the router inside would spend in expectation, were the account full."""
        return np.asarray((self.router.law(self._priced(contexts, worth)) * costs).sum(axis=1))

    def _priced(self, contexts: Contexts, worth: float) -> Contexts:
        return replace(contexts, cost_weight=contexts.cost_weight + np.float32(worth / self.budget_usd))

    def _declared(self, inside: Capabilities) -> Capabilities:
        # It learns from every bill, even where the router inside learns nothing any more.
        return replace(inside, online=True)

    def _arrays(self) -> dict[str, Array]:
        own = {"account": np.array([self.balance_usd, self._worth, self._scale]), **self._costs.arrays()}
        return {**super()._arrays(), **own}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        super()._restore(arrays)
        self.balance_usd, self._worth, self._scale = arrays["account"].tolist()
        self._costs.restore(arrays)
