"""The router contract: one small interface that every algorithm keeps and one test file checks.

Shapes: ``n`` rows, ``d`` features, ``K`` arms. A router estimates quality, cost and latency apart and weighs
them when it decides, so that one trained router serves every setting of the dial.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.contexts import Contexts, Floats, Ints, Outcomes
from env.errors import PointsmanError

Array: TypeAlias = NDArray[Any]

# A score lies in [0, 1]: before anything is known, the middle is the least wrong guess, and centring on it
# keeps an untried arm from looking worse than every tried one (with theta = 0 and positive rewards a linear
# bandit locks onto the first arm it tries).
PRIOR_SCORE = 0.5


class Unsupported(PointsmanError):
    """A call that this router's capabilities rule out."""

    def __init__(self, router: Router, call: str) -> None:
        super().__init__(f"router `{router.name}` does not support {call}; its capabilities: {router.capabilities}")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a router can do; an unsupported call raises :class:`Unsupported`.

    Attributes:
        offline: learns from a table of outcomes through ``fit``.
        online: learns from single outcomes through ``update``.
        adds_arms: arms can be added while it runs.
        exact_propensity: the propensities it states are its law, not an estimate.
        uses_features: looks at the prompt; without features it would decide the same.
        uses_load: looks at the queues, where the contexts tell them and seconds have a price.
    """

    offline: bool = True
    online: bool = False
    adds_arms: bool = False
    exact_propensity: bool = True
    uses_features: bool = True
    uses_load: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What a router decided.

    Attributes:
        arms: ``(n,)`` the chosen arm of each row.
        propensities: ``(n,)`` probability, in (0, 1], with which the law that acted chooses that arm.
        scores: ``(n, K)`` the utility each arm was credited with; ``-inf`` where masked.
    """

    arms: Ints
    propensities: NDArray[np.float64]
    scores: Floats

    def __len__(self) -> int:
        return len(self.arms)

    @classmethod
    def joined(cls, decisions: Sequence[Decision], n_arms: int) -> Decision:
        """Decisions over ``n_arms`` arms, one after another, as one."""
        nothing = cls(np.empty(0, np.int64), np.empty(0), np.empty((0, n_arms), np.float32))
        parts = (nothing, *decisions)
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


@dataclass(frozen=True, slots=True)
class RouterState:
    """All that a router has learned: JSON-able settings and plain arrays, ready for a bundle.

    Attributes:
        config: ``n_arms``, ``n_features`` and the settings that build the same router.
        arrays: what it learned, by name.
    """

    config: dict[str, Any]
    arrays: dict[str, Array] = field(default_factory=dict)


class Router(ABC):
    """A policy over ``K`` arms.

    Subclasses set ``name`` and ``capabilities``, keep their settings in ``self.settings`` and implement
    :meth:`act`, :meth:`law` and :meth:`_arrays` / :meth:`_restore`, and :meth:`fit` or :meth:`update` (or both).
    Most derive from :class:`Estimator`, and only say what they predict.

    Randomness: one call to ``rng`` per ``act``, drawn row by row (``rng.random((n, m))``), so that deciding a
    batch and deciding its rows one after another consume the same stream and agree.

    Args:
        n_arms: number of arms ``K``.
        n_features: number of features ``d``.
        settings: keyword settings of the algorithm, kept for :meth:`state`.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    featuriser: ClassVar[str] = "default"
    """What it was made to see, a name of ``env.text_features.RECIPES``; it works on any features."""

    def __init__(self, n_arms: int, n_features: int, **settings: Any) -> None:
        if n_arms < 1:
            raise ValueError(f"a router needs one arm or more, got {n_arms}")
        self.n_arms = n_arms
        self.n_features = n_features
        self.settings = settings

    @classmethod
    def featuriser_for(cls, settings: Mapping[str, Any]) -> str:
        """What a router of these settings was made to see, a name of ``env.text_features.RECIPES``."""
        return cls.featuriser

    @abstractmethod
    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """Choose an arm for each row.

        Args:
            contexts: ``n`` rows; masked arms are never chosen.
            rng: the only source of randomness.
            explore: False for the greedy decision, as evaluation of a frozen policy wants; propensities are
                then those of that greedy law.
        """

    @abstractmethod
    def law(self, contexts: Contexts, *, explore: bool = True) -> NDArray[np.float64]:
        """``(n, K)`` the probability with which :meth:`act` chooses each arm; rows sum to 1, masked arms have 0.

        This is what lets a policy mix exploration on top and still state its true propensities.
        """

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Learn from a table.

        Args:
            contexts: ``n`` rows.
            outcomes: each ``(n, K)``; NaN where an arm was not observed.

        Raises:
            Unsupported: ``capabilities.offline`` is False.
        """
        raise Unsupported(self, "fit")

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Learn from the outcomes of chosen arms.

        Args:
            contexts: ``n`` rows, as they were decided on.
            arms: ``(n,)`` the arms that were chosen.
            outcomes: each ``(n,)``; a NaN score teaches nothing, a NaN cost or latency only itself.
            propensities: ``(n,)`` with which they were chosen.

        Raises:
            Unsupported: ``capabilities.online`` is False.
        """
        raise Unsupported(self, "update")

    def replay(self, contexts: Contexts, outcomes: Outcomes, rng: np.random.Generator) -> Decision:
        """One pass with bandit feedback: decide a row, learn the outcome of the chosen arm, go on to the next.

        Equal to calling :meth:`act` and :meth:`update` row after row; a router may do it faster.

        Args:
            contexts: ``n`` rows.
            outcomes: each ``(n, K)``; only the chosen arm's is looked at.
            rng: the only source of randomness.

        Returns:
            What was decided on each row, before it was learned from. Of arms not chosen, ``scores`` may be upper
            bounds below the chosen arm's score.

        Raises:
            Unsupported: ``capabilities.online`` is False.
        """
        decisions = []
        for row in range(len(contexts)):
            at = slice(row, row + 1)
            asked = contexts.take(at)
            decision = self.act(asked, rng)
            self.update(asked, decision.arms, outcomes.take(at).at(decision.arms), decision.propensities)
            decisions.append(decision)
        return Decision.joined(decisions, self.n_arms)

    def add_arm(self) -> None:
        """Append an arm about which nothing is known.

        Raises:
            Unsupported: ``capabilities.adds_arms`` is False.
        """
        raise Unsupported(self, "add_arm")

    def state(self) -> RouterState:
        """What the router learned, as settings and arrays."""
        config = {"n_arms": self.n_arms, "n_features": self.n_features, **self.settings}
        return RouterState(config, self._arrays())

    @classmethod
    def from_state(cls, state: RouterState) -> Self:
        """The router that :meth:`state` described; it decides the same."""
        router = cls(**state.config)
        router._restore(state.arrays)
        return router

    @abstractmethod
    def _arrays(self) -> dict[str, Array]:
        """Everything learned, by name."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what :meth:`_arrays` gave."""


class Estimator(Router):
    """A router that predicts score, cost and latency of every arm and chooses the best trade-off.

    Subclasses implement :meth:`predict`; those that explore override :meth:`act` (and :meth:`law`, where what
    they draw is random). All look at the queues, as :func:`utility` does.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(uses_load=True)
    holds_out: ClassVar[bool] = False
    """Whether :meth:`fit` leaves :attr:`held_out`, and so wants validation rows to learn from too."""

    @property
    def held_out(self) -> Outcomes | None:
        """What was expected of each row of the last ``fit`` by fits that had not seen it; ``None`` where not known."""
        return None

    @property
    def settled(self) -> dict[str, Any]:
        """The settings with every choice made that the last ``fit`` left to itself: a fit with them chooses nothing."""
        return self.settings

    @abstractmethod
    def predict(self, contexts: Contexts) -> Outcomes:
        """Expected score, cost and latency of every arm, each ``(n, K)``; NaN where nothing is known."""

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """The arm of the highest predicted utility; deterministic."""
        return greedy(utility(self.predict(contexts), contexts))

    def law(self, contexts: Contexts, *, explore: bool = True) -> NDArray[np.float64]:
        """All mass on the arm that :meth:`act` chooses, which is right for every deterministic rule."""
        return certain(self.act(contexts, np.random.default_rng(0), explore=explore).arms, self.n_arms)


def utility(estimates: Outcomes, contexts: Contexts) -> Floats:
    """``(n, K)`` score minus weighted cost and latency (with the wait in the queue); ``-inf`` where masked.

    A cost or latency about which nothing is known counts as the mean of what is known of the other arms.
    """
    worth = np.nan_to_num(estimates.score, nan=PRIOR_SCORE)
    if contexts.cost_weight.any():
        worth = worth - contexts.cost_weight[:, None] * fill_unknown(estimates.cost_usd)
    if contexts.latency_weight.any():
        wait = 0 if contexts.load is None else contexts.load
        worth = worth - contexts.latency_weight[:, None] * (fill_unknown(estimates.latency_s) + wait)
    return np.where(contexts.mask, worth, -np.inf).astype(np.float32)


def greedy(scores: Floats) -> Decision:
    """The arm of the highest score in each row, the lowest index on a tie, with propensity 1."""
    arms = np.argmax(scores, axis=1)
    return Decision(arms, np.ones(len(arms)), scores)


def sample(law: NDArray[np.float64], scores: Floats, rng: np.random.Generator) -> Decision:
    """Draw one arm a row from ``law`` ``(n, K)``, one uniform number a row."""
    edges = np.cumsum(law, axis=1)
    draws = rng.random((len(law), 1)) * edges[:, -1:]
    arms = np.argmax(draws < edges, axis=1)
    return Decision(arms, law[np.arange(len(arms)), arms], scores)


def certain(arms: Ints, n_arms: int) -> NDArray[np.float64]:
    """The law ``(n, K)`` with all mass on one arm a row."""
    return np.asarray(np.arange(n_arms) == arms[:, None], dtype=np.float64)


def uniform(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The uniform law ``(n, K)`` over the arms allowed."""
    return np.asarray(mask / mask.sum(axis=1, keepdims=True), dtype=np.float64)


def fill_unknown(values: Floats) -> Floats:
    """``(n, K)`` values with NaN replaced by the row's mean of what is known (0 where nothing is).

    Example:
        >>> fill_unknown(np.array([[1.0, 3.0, np.nan]], dtype=np.float32)).tolist()
        [[1.0, 3.0, 2.0]]
    """
    unknown = np.isnan(values)
    if not unknown.any():
        return values
    known = np.where(unknown, 0, values).sum(axis=1, keepdims=True)
    mean = known / np.maximum((~unknown).sum(axis=1, keepdims=True), 1)
    return np.where(unknown, mean, values).astype(np.float32)
