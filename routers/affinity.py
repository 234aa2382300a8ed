"""Session affinity: in a conversation, another model is chosen only where it is worth a lost prompt cache.

A model that answered before has the beginning of the conversation in its provider's cache and reads it at a lower
rate. :class:`Sessions` keeps, for a bounded number of conversations, who read how much when, and says what a cache
would save now; the contexts carry that (``saving_usd``), and :class:`Affinity` weighs it. So a decision stays a
function of its contexts alone: a batch equals the loop, the log holds what was decided on, and the router has no
memory of conversations to save, to bound or to share between replicas.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from env.arms import Price
from env.contexts import Contexts, Floats, Ints
from env.errors import BadInput
from routers.base import Decision
from routers.wrapper import Wrapper

_PER_MTOK = 1_000_000
KEPT_SESSIONS = 10_000
CACHE_S = 300.0
"""Seconds for which a prompt cache is believed to last after it was read; providers promise about five minutes."""


class Affinity(Wrapper):
    """Any router, that stays with an arm which holds the conversation unless a change is worth its price.

    The router inside chooses. Where an arm holds part of the conversation, what its cache saves is added to its worth:
    ``cost_weight * saving_usd + margin``. The best of those holders takes the place of the arm chosen, unless that one
    is worth more. For a router that takes the arm of the highest worth, this is the arm of the highest worth with the
    savings in it. For one that draws, the mass of every arm that the holder beats moves to the holder, and the
    propensities are those of that law, which acted. Worth is what the router inside credits arms with when it does
    not explore. Without ``saving_usd`` it decides as the router inside.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        margin: score points that a change must bring beyond the money, 0 or more; another model in the middle of a
            conversation may cost more than its tokens.
        router: name of the router inside.
        settings: its settings.

    Raises:
        BadInput: a negative margin, or what the router inside refuses.

    Example:
        >>> saving = np.array([[0.03, 0.0], [0.0, 0.0]])
        >>> contexts = Contexts.of(np.zeros((2, 1)), n_arms=2, cost_weight=10.0, saving_usd=saving)
        >>> from env.contexts import Outcomes
        >>> router = Affinity(2, 1, router="zero_cost").fit(contexts, Outcomes.of(np.array([[0.5, 0.7], [0.5, 0.7]])))
        >>> router.act(contexts, np.random.default_rng(0)).arms.tolist()  # the saving is worth 0.3, the change 0.2
        [0, 1]
    """

    name: ClassVar[str] = "affinity"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        margin: float = 0.0,
        router: str = "linucb",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(n_arms, n_features, router=router, settings=settings, margin=margin)
        if not 0 <= margin < np.inf:
            raise BadInput(f"router `{self.name}`: margin is {margin}; it must be 0 or more")
        self.margin = margin

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """The choice of the router inside, or the arm that holds the conversation in its place."""
        decision = self.router.act(contexts, rng, explore=explore)
        if contexts.saving_usd is None:
            return decision
        worth, holder = self._worth(contexts)
        rows = np.arange(len(contexts))
        stays = _gives_way(worth, holder)
        arms = np.where(stays[rows, decision.arms], holder, decision.arms)
        if (decision.propensities == 1).all():
            return Decision(arms, decision.propensities, worth)
        return Decision(arms, self._moved(contexts, explore, stays, holder)[rows, arms], worth)

    def law(self, contexts: Contexts, *, explore: bool = True) -> NDArray[np.float64]:
        """``(n, K)`` the law of the router inside, the mass of arms that the holder beats moved to it."""
        if contexts.saving_usd is None:
            return self.router.law(contexts, explore=explore)
        worth, holder = self._worth(contexts)
        return self._moved(contexts, explore, _gives_way(worth, holder), holder)

    def _worth(self, contexts: Contexts) -> tuple[Floats, Ints]:
        """Worth ``(n, K)`` of every arm with what it saves, and ``(n,)`` the best that holds a conversation, or -1."""
        assert contexts.saving_usd is not None
        plain = self.router.act(contexts, np.random.default_rng(0), explore=False).scores
        holds = (contexts.saving_usd > 0) & contexts.mask
        extra = contexts.cost_weight[:, None] * contexts.saving_usd + np.float32(self.margin)
        worth = np.where(holds, plain + extra, plain).astype(np.float32)
        holder = np.where(holds.any(axis=1), np.argmax(np.where(holds, worth, -np.inf), axis=1), -1)
        return worth, holder.astype(np.int64)

    def _moved(self, contexts: Contexts, explore: bool, stays: NDArray[np.bool_], holder: Ints) -> NDArray[np.float64]:
        law = self.router.law(contexts, explore=explore)
        moved = np.where(stays, law, 0).sum(axis=1)
        law = np.where(stays, 0, law)
        rows = np.flatnonzero(holder >= 0)
        law[rows, holder[rows]] += moved[rows]
        return law


def _gives_way(worth: Floats, holder: Ints) -> NDArray[np.bool_]:
    """``(n, K)`` True for an arm that is worth no more than the holder; no arm where nobody holds."""
    held = worth[np.arange(len(worth)), holder]
    return np.asarray((worth <= held[:, None]) & (holder >= 0)[:, None], dtype=bool)


@dataclass(frozen=True, slots=True)
class _Read:
    """What an arm has read of a conversation: so many tokens, last at this time."""

    tokens: float
    at_s: float


class Sessions:
    """Who read how much of which conversation: the least recently used is forgotten first.

    Args:
        prices: ``(K,)`` of the arms; one without a rate for cached tokens saves nothing.
        kept: conversations at most, 1 or more.
        cache_s: seconds after which a cache is believed to be gone, above 0.

    Raises:
        BadInput: a bound out of range.

    Example:
        >>> sessions = Sessions([Price(2.0, 8.0, cached_input_usd_per_mtok=0.5), Price(1.0, 4.0)])
        >>> sessions.remember("chat 7", arm=0, tokens=100_000, now_s=0.0)
        >>> sessions.saving_usd(["chat 7", "chat 8"], [110_000, 500], now_s=60.0).round(3).tolist()
        [[0.15000000596046448, 0.0], [0.0, 0.0]]
    """

    def __init__(self, prices: Sequence[Price], *, kept: int = KEPT_SESSIONS, cache_s: float = CACHE_S) -> None:
        if kept < 1 or not cache_s > 0:
            raise BadInput(f"sessions: kept is {kept}, cache_s is {cache_s}; 1 or more, and above 0")
        rates = [(price.input_usd_per_mtok, price.cached_input_usd_per_mtok) for price in prices]
        self._saved = np.array([0.0 if cached is None else max(full - cached, 0) / _PER_MTOK for full, cached in rates])
        self._kept, self._cache_s = kept, cache_s
        self._read: OrderedDict[str, dict[int, _Read]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._read)

    def remember(self, session: str, arm: int, tokens: float, now_s: float) -> None:
        """Note that an arm has read a conversation.

        Args:
            session: which.
            arm: index.
            tokens: of the prompt, and of the answer where the provider caches that too.
            now_s: seconds, on the clock that :meth:`saving_usd` is asked with.
        """
        self._read.setdefault(session, {})[arm] = _Read(tokens, now_s)
        self._read.move_to_end(session)
        while len(self._read) > self._kept:
            self._read.popitem(last=False)

    def saving_usd(self, sessions: Sequence[str | None], tokens: Sequence[float], now_s: float) -> Floats:
        """Dollars ``(n, K)`` that each arm's cache would save on the next request of each conversation.

        Args:
            sessions: ``(n,)``; ``None`` for a request of no conversation.
            tokens: ``(n,)`` of the prompt; no more than these can be read from a cache.
            now_s: seconds.
        """
        found = np.zeros((len(sessions), len(self._saved)), dtype=np.float32)
        for row, session in enumerate(sessions):
            for arm, read in self._read.get(session, {}).items() if session is not None else ():
                if now_s - read.at_s <= self._cache_s:
                    found[row, arm] = min(read.tokens, tokens[row]) * self._saved[arm]
        return found
