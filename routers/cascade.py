"""A cascade whose stop rule is learned: it goes on while another answer is expected to be worth its price.

Which arm comes next is as free as whether any does (cascade routing, arXiv 2410.10347), and what is returned is the
answer believed best, not the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Contexts, Ints
from env.errors import BadInput
from routers.attempts import Attempts
from routers.base import Array
from routers.chances import Chances
from routers.plan import Opening, Plan

# A logistic distribution of standard deviation 1 has this scale.
_SCALE = np.sqrt(3.0) / np.pi
_TINY = 1e-9

_Doubles = NDArray[np.float64]


class Beliefs(NamedTuple):
    """What is believed of each arm now, each ``(n, K)``.

    Attributes:
        answered: chance that the answer at hand is right; of use where the arm answered.
        unasked: chance that an answer would be right; of use where the arm was not asked.
        price: score points that a call to the arm costs, in money and time.
    """

    answered: _Doubles
    unasked: _Doubles
    price: _Doubles


class Cascade(Plan):
    r"""Calls arm after arm while the expected gain exceeds the price of the call.

    **Beliefs.** The chance that an answer at hand is right, and the chance that an arm not yet asked would be, come
    from :class:`~routers.chances.Chances`: trees and logistic regressions on the prompt, on the signals of every answer
    at hand and on which of them agree. Who trains it with task labels should serve it with them.

    **Stop rule.** Seeing an arm's answer will turn its chance ``p`` into another, ``Q``, of mean ``p`` and variance
    ``rho p (1 - p)``, ``rho`` being measured on the training rows. Opening boxes of unknown content at a price, to keep
    the best one, is Pandora's problem; its optimal rule (Weitzman 1979, Optimal search for the best alternative)
    calls the arm of the highest index ``z`` with ``E[(Q - z)^+] = price``, and stops when the best answer at hand is
    worth no less than every index. With a logistic distribution of scale ``s`` for ``Q``,
    ``z = p - s log(exp(price / s) - 1)``. The rule is optimal for arms that are independent; here every answer changes
    what is believed of the others, so that it is a rule of thumb, and the indices are worked out anew each time.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        alpha: penalty on the weights of the logistic regressions, above 0.
        trees: for each arm and each of the two chances, 1 or more.
        max_calls: calls a request at most (but for failures), 1 or more; ``None`` for as many as there are arms. With 1
            it is a router that sees the prompt alone.
        seed: of the drawn sets of arms, the landmarks and the trees.

    Raises:
        BadInput: a setting out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> prompts = np.array([f"Question {number}" for number in range(200)], dtype=object)
        >>> right = rng.random((200, 2)) < [0.5, 0.9]  # the dear arm knows more; who is right is sure of it
        >>> told = {"response": np.where(right, "yes", "no").astype(object), "logprob": np.where(right, -0.1, -2.0)}
        >>> known = {"score": right * 1.0, "cost_usd": np.ones((200, 2)) * [1, 9], "latency_s": np.ones((200, 2))}
        >>> table = Attempts(prompts, np.zeros((200, 2), np.int64), **told, **known)
        >>> contexts = Contexts.of(np.zeros((200, 1)), n_arms=2, cost_weight=0.05)
        >>> from routers.plan import follow
        >>> calls = follow(Cascade(2, 1).fit(contexts, table), contexts, table, rng).attempts.asked
        >>> bool(calls[right[:, 0], 1].any()), bool(calls[~right[:, 0], 1].all())  # sure answers are returned at once
        (False, True)
    """

    name: ClassVar[str] = "cascade"
    featuriser: ClassVar[str] = "compact"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        alpha: float = 3.0,
        trees: int = 60,
        max_calls: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(n_arms, n_features, alpha=alpha, trees=trees, max_calls=max_calls, seed=seed)
        if not alpha > 0:
            raise BadInput(f"plan `{self.name}`: alpha is {alpha}; it must be above 0")
        if trees < 1 or (max_calls is not None and max_calls < 1):
            raise BadInput(f"plan `{self.name}`: trees is {trees}, max_calls {max_calls}; 1 or more, or null for calls")
        self.max_calls = n_arms if max_calls is None else min(max_calls, n_arms)
        self.chances = Chances(n_arms, n_features, alpha=alpha, trees=trees, seed=seed)

    @property
    def learns_from_table(self) -> bool:
        """It does."""
        return True

    def fit(self, contexts: Contexts, recorded: Attempts) -> Self:
        """Learn what answers tell; see :meth:`routers.chances.Chances.fit`."""
        self.chances.fit(contexts, recorded)
        return self

    def first(self, contexts: Contexts, rng: np.random.Generator) -> Opening:
        """The arm of the highest index; certain."""
        prompts = np.full(len(contexts), None, dtype=object)
        calls = self._calls(contexts, Attempts.none(prompts, self.n_arms))
        return Opening(calls, np.ones(len(contexts)))

    def next(self, contexts: Contexts, attempts: Attempts) -> Bools:
        """The arm of the highest index, where that is above what the best answer is worth."""
        return self._calls(contexts, attempts)

    def answer(self, contexts: Contexts, attempts: Attempts) -> Ints:
        """The answer with the highest chance of being right."""
        worth = np.where(attempts.answered, self.beliefs(contexts, attempts).answered, -np.inf)
        return np.asarray(np.argmax(worth, axis=1), dtype=np.int64)

    def beliefs(self, contexts: Contexts, attempts: Attempts) -> Beliefs:
        """What is believed of every arm after the attempts made."""
        chances = self.chances(contexts, attempts)
        return Beliefs(chances[:, 0], chances[:, 1], self.chances.price(contexts))

    def _calls(self, contexts: Contexts, attempts: Attempts) -> Bools:
        found = self.beliefs(contexts, attempts)
        made = attempts.asked.sum(axis=1)
        # With a single call there is nothing to choose among afterwards: what counts is the mean, not the spread.
        index = found.unasked - found.price if self.max_calls == 1 else self._index(found)
        left = contexts.mask & ~attempts.asked
        index = np.where(left, index, -np.inf)
        best = np.where(attempts.answered, found.answered, -np.inf).max(axis=1)
        # Where every call failed, going on is not a matter of price.
        within = (made < self.max_calls) | ~attempts.answered.any(axis=1)
        going = left.any(axis=1) & within & (index.max(axis=1) > best)
        return np.asarray((np.arange(self.n_arms) == index.argmax(axis=1)[:, None]) & going[:, None], dtype=bool)

    def _index(self, found: Beliefs) -> _Doubles:
        """``(n, K)`` Weitzman's index of every arm."""
        spread = np.sqrt(self.chances.revealed * found.unasked * (1 - found.unasked))
        scale = np.maximum(_SCALE * spread, _TINY)
        ratio = np.maximum(found.price, _TINY * scale) / scale
        # log(expm1(x)) is x + log1p(-exp(-x)), which does not overflow.
        return np.asarray(found.unasked - scale * (ratio + np.log(-np.expm1(-ratio))), dtype=np.float64)

    def _arrays(self) -> dict[str, Array]:
        return self.chances.arrays()

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self.chances.restore(arrays)
