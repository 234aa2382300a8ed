"""Parallel: ask several arms at once, return the answer that the most weight of arms stands behind, learn from all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Contexts, Ints
from env.errors import BadInput
from routers.attempts import Attempts
from routers.base import PRIOR_SCORE, Array
from routers.direct import fallback
from routers.plan import Opening, Plan
from routers.signals import agreement

# Observations that the prior score is worth.
_PRIOR_WEIGHT = 5.0
# Decides between answers with equal weight behind them: who is surer, then the arm of the lower index.
_TIE_BREAK = 1e-3


class Parallel(Plan):
    """All arms, or a stated few, in one round.

    Where scores are known when the answers are, the best is returned. Else answers vote: each arm's weight is its mean
    score so far, and half of it counts for an answer that holds, or is held by, the one voted on
    (:func:`~routers.signals.agreement`). Latency is that of the slowest call, cost the sum.

    Args:
        n_arms: ``K``.
        n_features: ``d``, not used.
        arms: indices of the arms to ask; ``None`` for every arm allowed. Where none of them is allowed, all are asked.

    Raises:
        BadInput: an arm that is not there.

    Example:
        >>> from routers.attempts import Attempt
        >>> said = [Attempt(0, "Lyon"), Attempt(1, "Paris"), Attempt(2, "It is Paris.")]
        >>> contexts = Contexts.of(np.zeros((1, 1)), n_arms=3)
        >>> Parallel(3, 1).answer(contexts, Attempts.of(said, "Capital of France?", n_arms=3)).tolist()
        [1]
    """

    name: ClassVar[str] = "parallel"

    def __init__(self, n_arms: int, n_features: int, *, arms: Sequence[int] | None = None) -> None:
        super().__init__(n_arms, n_features, arms=None if arms is None else list(arms))
        if arms is not None and (not len(arms) or not all(0 <= arm < n_arms for arm in arms)):
            raise BadInput(f"plan `{self.name}`: arms are {list(arms)}; name one or more of 0 to {n_arms - 1}")
        self._few = np.ones(n_arms, dtype=bool) if arms is None else np.isin(np.arange(n_arms), arms)
        self._count, self._total = np.zeros(n_arms), np.zeros(n_arms)

    @property
    def mean_score(self) -> NDArray[np.float64]:
        """``(K,)`` mean score of each arm so far, pulled to one half."""
        return np.asarray((self._total + _PRIOR_WEIGHT * PRIOR_SCORE) / (self._count + _PRIOR_WEIGHT))

    def first(self, contexts: Contexts, rng: np.random.Generator) -> Opening:
        """All of them; certain."""
        few = contexts.mask & self._few
        calls = np.where(few.any(axis=1, keepdims=True), few, contexts.mask)
        return Opening(calls, np.ones(len(contexts)))

    def next(self, contexts: Contexts, attempts: Attempts) -> Bools:
        """Nothing, unless all have failed: then the best of the others."""
        return fallback(np.broadcast_to(self.mean_score, contexts.mask.shape), contexts, attempts)

    def answer(self, contexts: Contexts, attempts: Attempts) -> Ints:
        """The best by score where a score is known, else by vote."""
        return chosen(self.mean_score, attempts)

    def update(self, contexts: Contexts, attempts: Attempts) -> None:
        """Learn every score, not the returned answer's alone."""
        scored = attempts.answered & np.isfinite(attempts.score)
        self._count += scored.sum(axis=0)
        self._total += np.where(scored, attempts.score, 0).sum(axis=0)

    def _arrays(self) -> dict[str, Array]:
        return {"count": self._count.copy(), "total": self._total.copy()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._count, self._total = arrays["count"].copy(), arrays["total"].copy()


def chosen(weight: NDArray[np.float64], attempts: Attempts) -> Ints:
    """``(n,)`` the arm of the highest score where one is known; else the arm whose answer wins the vote.

    Args:
        weight: ``(K,)`` of each arm in the vote.
        attempts: ``n`` requests.
    """
    there = attempts.answered
    behind = weight + agreement(attempts.response, there) @ weight
    sure = np.where(np.isfinite(attempts.logprob), np.exp(np.minimum(attempts.logprob, 0)), 0)
    voted = behind + _TIE_BREAK * sure
    known = there & np.isfinite(attempts.score)
    worth = np.where(known.any(axis=1, keepdims=True), np.where(known, attempts.score, -np.inf), voted)
    return np.asarray(np.argmax(np.where(there, worth, -np.inf), axis=1), dtype=np.int64)
