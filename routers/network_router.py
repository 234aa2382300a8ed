"""What routers with a network share: the price of money as an input, one-step episodes to learn from, when to stop.

A trace is made a table of one-step episodes; how a network learns from the rewards of the arms that it chose is the
algorithm's own affair.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Contexts, Floats, Outcomes
from env.errors import BadInput
from env.observation import ObservationLayout
from env.reward import Reward
from env.routing_table import RoutingTable
from routers.base import Array, Capabilities, Decision, Router, certain, greedy, sample
from routers.costs import column_means
from routers.least_squares import Doubles
from routers.network import Network, blank, logits, softmax
from routers.ridge import Ridge

# Share of the rows that judge when to stop, and the prices of money (normalised, -1 is free) they are judged at.
_HELD_OUT = 0.2
_PREFERENCES = np.linspace(-1, 1, 5)

# The largest cost weight trained for, as a multiple of what makes the mean of the cheapest arm the best.
_HEADROOM = 3.0

Progress = Callable[[int, Mapping[str, float]], None]
"""Told how training goes: after how many decisions (or steps), and figures by name."""


def unheard(_step: int, _figures: Mapping[str, float]) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Lesson:
    """What a network is trained on.

    Attributes:
        table: of one-step episodes; where costs were recorded their weight is drawn anew for each, and observed.
        mean_cost: dollars of a call, over all arms; 0 where costs do not count.
        verdict: mean reward of a network's greedy choices on held-out rows, over the prices of money it is meant for.
        progress: told the verdict, and the losses of a library's algorithm, as training goes on.
    """

    table: RoutingTable
    mean_cost: float
    verdict: Callable[[Network], float]
    progress: Progress = unheard

    def even(self, rewards: NDArray[Any], observations: Floats) -> NDArray[Any]:
        """Rewards ``(m,)`` divided by ``1 + cost weight * mean cost``, which changes no preference between arms.

        A reward is then ``a * score - (1 - a) * cost / mean cost`` with ``a`` in (0, 1]: the preference vector of
        BaRP (arXiv 2510.07429). Without it the highest cost weights, where rewards are counted in tens, would drown
        all the others.

        Args:
            rewards: ``(m,)``.
            observations: ``(m, width)`` of the queries that were answered.
        """
        weights = self.table.layout.decode(observations)[1]
        return rewards if weights is None else rewards / (1 + weights * self.mean_cost)


class NetworkRouter(Router):
    """A network that sees a query and the price of money, and has a number for each arm.

    Subclasses implement :meth:`_trained`, and declare whether decisions are drawn.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        preference: take the cost weight as an input, drawn anew for each step of training, where costs were recorded:
            one network for every setting of the dial. False trains for the weights that the contexts hold, and no
            others.
        hidden: width of the two tanh layers.
        seed: of the held-out rows and of whatever the algorithm draws.
        **settings: the algorithm's; all numbers must be above 0 but those in ``may_be_zero``.
    """

    capabilities: ClassVar[Capabilities] = Capabilities()
    drawn: ClassVar[bool] = True
    """True where the outputs are logits of a law that arms are drawn from; False where the highest is chosen."""
    may_be_zero: ClassVar[tuple[str, ...]] = ("ent_coef",)

    def __init__(
        self, n_arms: int, n_features: int, *, preference: bool, hidden: int, seed: int, **settings: float
    ) -> None:
        super().__init__(n_arms, n_features, preference=preference, hidden=hidden, seed=seed, **settings)
        for name, value in {"hidden": hidden, **settings}.items():
            if not isinstance(value, bool) and not (value >= 0 if name in self.may_be_zero else value > 0):
                least = "0 or more" if name in self.may_be_zero else "above 0"
                raise BadInput(f"router `{self.name}`: {name} is {value}; it must be {least}")
        self._layout = ObservationLayout(n_features)
        self._network = blank(n_features, hidden, n_arms)

    @abstractmethod
    def _trained(self, lesson: Lesson) -> Network:
        """The network with the highest verdict that training came by."""

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """A draw from the law; without ``explore``, or where nothing is drawn, the arm of the highest output."""
        scores = self._scores(contexts)
        return sample(softmax(scores), scores, rng) if explore and self.drawn else greedy(scores)

    def law(self, contexts: Contexts, *, explore: bool = True) -> Doubles:
        """``(n, K)`` softmax of the outputs over the allowed arms, or all mass on the highest."""
        scores = self._scores(contexts)
        if explore and self.drawn:
            return softmax(scores)
        return certain(scores.argmax(axis=1), self.n_arms)

    def fit(self, contexts: Contexts, outcomes: Outcomes, *, progress: Progress = unheard) -> Self:
        """Train from scratch on a table; ``(n, K)`` outcomes, NaN where not observed.

        Args:
            contexts: of the rows.
            outcomes: of every arm on them.
            progress: told how training goes, see :class:`Lesson`.

        Raises:
            MissingExtra: the ``train`` extra is not installed, where the algorithm is a library's.
        """
        if np.isnan(outcomes.score).all():
            self._layout = ObservationLayout(self.n_features)
            self._network = blank(self.n_features, self.settings["hidden"], self.n_arms)
            return self
        whole = without_gaps(contexts, outcomes)
        judging = np.random.default_rng(self.settings["seed"]).random(len(contexts)) < _HELD_OUT
        if judging.all() or not judging.any():
            # Too few rows to hold any out: the same ones teach and judge.
            taught = judged = np.arange(len(contexts))
        else:
            taught, judged = np.flatnonzero(~judging), np.flatnonzero(judging)
        top = _top_cost_weight(whole, contexts) if self.settings["preference"] else None
        table = RoutingTable.of(
            contexts.take(taught),
            whole.take(taught),
            cost_weight=None if top is None else "observe",
            max_cost_weight=top,
            name=f"router `{self.name}`",
            accept_gaps=True,  # an arm that nobody tried is never chosen in training
        )
        mean_cost = float(np.nan_to_num(np.nanmean(whole.cost_usd))) if top else 0.0
        verdict = judge_of(contexts.take(judged), whole.take(judged), table.layout, mean_cost)
        self._network, self._layout = self._trained(Lesson(table, mean_cost, verdict, progress)), table.layout
        return self

    def _scores(self, contexts: Contexts) -> Floats:
        said = logits(self._network, self._layout.encode(contexts.features, contexts.cost_weight))
        return np.where(contexts.mask, said, -np.inf).astype(np.float32)

    def _arrays(self) -> dict[str, Array]:
        top = self._layout.max_cost_weight
        return {**self._network, "max_cost_weight": np.array([] if top is None else [top])}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        top = arrays["max_cost_weight"]
        self._layout = ObservationLayout(self.n_features, float(top[0]) if len(top) else None)
        self._network = {name: array for name, array in arrays.items() if name != "max_cost_weight"}


def without_gaps(contexts: Contexts, outcomes: Outcomes) -> Outcomes:
    """The outcomes with what was not observed predicted by ridge regression from what was."""
    if not any(np.isnan(values).any() for values in (outcomes.score, outcomes.cost_usd, outcomes.latency_s)):
        return outcomes
    model = Ridge(contexts.n_arms, contexts.features.shape[1]).fit(contexts, outcomes).predict(contexts)
    return Outcomes(
        np.where(np.isnan(outcomes.score), model.score, outcomes.score),
        np.where(np.isnan(outcomes.cost_usd), model.cost_usd, outcomes.cost_usd),
        np.where(np.isnan(outcomes.latency_s), model.latency_s, outcomes.latency_s),
    )


def _top_cost_weight(outcomes: Outcomes, contexts: Contexts) -> float | None:
    """A cost weight at which no arm is worth more than the cheapest one; None where costs do not differ."""
    score, cost = column_means(outcomes.score), column_means(outcomes.cost_usd)
    if np.isnan(cost).all():
        return None
    cheapest = int(np.nanargmin(cost))
    dearer = cost > cost[cheapest]
    if not dearer.any():
        return None
    slopes = (score - score[cheapest])[dearer] / (cost - cost[cheapest])[dearer]
    # Where the cheapest arm is the best one too, the price of one whole score point does.
    steepest = max(float(np.nan_to_num(slopes).max()), 1 / float(np.ptp(cost[~np.isnan(cost)])))
    return max(_HEADROOM * steepest, float(contexts.cost_weight.max()))


def judge_of(
    contexts: Contexts, outcomes: Outcomes, layout: ObservationLayout, mean_cost: float
) -> Callable[[Network], float]:
    """Mean reward of a network's greedy choices on rows that it does not learn from; see :class:`Lesson`."""
    prices = [contexts.cost_weight]
    if layout.max_cost_weight is not None:
        weights = layout.cost_weight(_PREFERENCES).astype(np.float32)
        prices = [np.broadcast_to(weight, (len(contexts),)) for weight in weights]
    observed = np.vstack([layout.encode(contexts.features, price) for price in prices])
    rewards = np.vstack(
        [Reward()(outcomes, price, contexts.latency_weight) / (1 + price * mean_cost)[:, None] for price in prices]
    )
    mask = np.tile(contexts.mask, (len(prices), 1)) & ~np.isnan(rewards)
    known = mask.any(axis=1)
    observed, rewards, mask = observed[known], rewards[known], mask[known]

    def verdict(network: Network) -> float:
        arms = np.where(mask, logits(network, observed), -np.inf).argmax(axis=1)
        return float(rewards[np.arange(len(arms)), arms].mean())

    return verdict
