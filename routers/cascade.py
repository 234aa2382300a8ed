"""A cascade whose stop rule is learned: it goes on while another answer is expected to be worth its price.

Which arm comes next is as free as whether any does (cascade routing, arXiv 2410.10347), and what is returned is the
answer believed best, not the last.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Contexts, Ints
from env.errors import BadInput
from env.prompts import normalise
from routers.attempts import Attempts
from routers.base import Array, RouterState, fill_unknown
from routers.logistic_regression import Logistic, fit_logistic
from routers.per_task import BestPerTask
from routers.plan import Opening, Plan
from routers.ridge import Ridge
from routers.signals import SIGNALS, agreement, signals

_FOLDS = 5
# For each training request so many sets of arms are drawn that might have answered: what is learned must hold after
# any first call and any second.
_DRAWS = 8
# A chance nearer to 0 or 1 than this is not believed of a prompt alone.
_LEAST = 0.02
# A logistic distribution of standard deviation 1 has this scale.
_SCALE = np.sqrt(3.0) / np.pi
_TINY = 1e-9

_Doubles = NDArray[np.float64]


class _Beliefs(NamedTuple):
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

    **Beliefs.** Two logistic regressions an arm, on one description of a request: what ridge regression and a table of
    tasks expect of every arm from the prompt (cross-fitted: a row's expectation comes from a fit without its prompt),
    the signals of every answer at hand (:data:`~routers.signals.SIGNALS`), and which answers agree. One tells the
    chance that an answer at hand is right, the other the chance that an arm not yet asked will be. Who trains it with
    task labels should serve it with them.

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
        max_calls: calls a request at most (but for failures), 1 or more; ``None`` for as many as there are arms. With 1
            it is a router that sees the prompt alone.
        seed: of the drawn sets of arms.

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

    def __init__(
        self, n_arms: int, n_features: int, *, alpha: float = 3.0, max_calls: int | None = None, seed: int = 0
    ) -> None:
        super().__init__(n_arms, n_features, alpha=alpha, max_calls=max_calls, seed=seed)
        if not alpha > 0:
            raise BadInput(f"plan `{self.name}`: alpha is {alpha}; it must be above 0")
        if max_calls is not None and max_calls < 1:
            raise BadInput(f"plan `{self.name}`: max_calls is {max_calls}; it must be 1 or more, or null")
        self.alpha = alpha
        self.max_calls = n_arms if max_calls is None else min(max_calls, n_arms)
        self.seed = seed
        self._expects = _Expectations(n_arms, n_features)
        inputs = _width(n_arms)
        self._centre, self._scale = np.zeros((n_arms, len(SIGNALS))), np.ones((n_arms, len(SIGNALS)))
        self._answered, self._unasked = (Logistic.unknown(inputs, n_arms) for _ in range(2))
        self._revealed = np.zeros(n_arms)

    def fit(self, contexts: Contexts, recorded: Attempts) -> Self:
        """Learn what answers tell.

        Args:
            contexts: ``n`` training requests.
            recorded: answers and scores; a cell without either teaches nothing of its arm.
        """
        usable = recorded.answered & np.isfinite(recorded.score)
        recorded = recorded.only(usable)
        expected = np.zeros((len(contexts), 2 * self.n_arms))
        folds = _folds(recorded)
        for number in np.unique(folds):
            held, kept = np.flatnonzero(folds == number), np.flatnonzero(folds != number)
            fitted = _Expectations(self.n_arms, self.n_features)
            fitted.fit(contexts.take(kept), recorded.take(kept))
            expected[held] = fitted.logits(contexts.take(held))
        self._expects = _Expectations(self.n_arms, self.n_features)
        self._expects.fit(contexts, recorded)
        told = signals(recorded.prompts, recorded.response, recorded.logprob)
        self._centre, self._scale = _moments(told, usable)
        told = self._standardised(told, usable)
        agreed = agreement(recorded.response, usable)

        rows = np.repeat(np.arange(len(contexts)), _DRAWS)
        at_hand = _drawn_sets(usable[rows], np.random.default_rng([self.seed, len(rows)]))

        def described(sets: Bools) -> _Doubles:
            return _describe(expected[rows], sets, told[rows], agreed[rows])

        inputs = described(at_hand).astype(np.float32)
        scores = recorded.score[rows]
        # Each row stands for _DRAWS of them, so the penalty is as much larger.
        alpha = self.alpha * _DRAWS
        self._answered = fit_logistic(inputs, np.where(at_hand, scores, np.nan).astype(np.float32), alpha)
        self._unasked = fit_logistic(inputs, np.where(at_hand, np.nan, scores).astype(np.float32), alpha)
        self._revealed = np.zeros(self.n_arms)
        for arm in range(self.n_arms):
            asked = at_hand | (np.arange(self.n_arms) == arm)
            new = ~at_hand[:, arm] & usable[rows, arm]
            before = self._unasked(inputs[new])[:, arm].astype(np.float64)
            after = self._answered(described(asked)[new].astype(np.float32))[:, arm]
            spread = (before * (1 - before)).sum()
            self._revealed[arm] = ((after - before) ** 2).sum() / spread if spread > 0 else 0.0
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

    def beliefs(self, contexts: Contexts, attempts: Attempts) -> _Beliefs:
        """What is believed of every arm after the attempts made."""
        there = attempts.answered
        told = self._standardised(signals(attempts.prompts, attempts.response, attempts.logprob), there)
        expected = self._expects.logits(contexts)
        inputs = _describe(expected, there, told, agreement(attempts.response, there)).astype(np.float32)
        answered, unasked = (model(inputs).astype(np.float64) for model in (self._answered, self._unasked))
        return _Beliefs(answered, unasked, self._expects.price(contexts))

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

    def _index(self, found: _Beliefs) -> _Doubles:
        """``(n, K)`` Weitzman's index of every arm."""
        spread = np.sqrt(self._revealed * found.unasked * (1 - found.unasked))
        scale = np.maximum(_SCALE * spread, _TINY)
        ratio = np.maximum(found.price, _TINY * scale) / scale
        # log(expm1(x)) is x + log1p(-exp(-x)), which does not overflow.
        return np.asarray(found.unasked - scale * (ratio + np.log(-np.expm1(-ratio))), dtype=np.float64)

    def _standardised(self, told: _Doubles, there: Bools) -> _Doubles:
        # A log-probability that is not told counts as an ordinary one.
        return np.where(there[:, :, None], np.nan_to_num((told - self._centre) / self._scale), 0.0)

    def _arrays(self) -> dict[str, Array]:
        return {
            "signal_centre": self._centre,
            "signal_scale": self._scale,
            "revealed": self._revealed,
            **{f"answered_{name}": getattr(self._answered, name) for name in ("weights", "intercept")},
            **{f"unasked_{name}": getattr(self._unasked, name) for name in ("weights", "intercept")},
            **self._expects.arrays(),
        }

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._centre, self._scale = arrays["signal_centre"], arrays["signal_scale"]
        self._revealed = arrays["revealed"]
        self._answered, self._unasked = (
            Logistic(arrays[f"{name}_weights"], arrays[f"{name}_intercept"], float("nan"))
            for name in ("answered", "unasked")
        )
        self._expects.restore(arrays)


class _Expectations:
    """What the prompt alone says: chances from ridge regression and from a table of tasks, and the price of a call."""

    def __init__(self, n_arms: int, n_features: int) -> None:
        self._routers = {"ridge": Ridge(n_arms, n_features), "tasks": BestPerTask(n_arms, n_features, tau=5.0)}

    def fit(self, contexts: Contexts, recorded: Attempts) -> None:
        for router in self._routers.values():
            router.fit(contexts, recorded.outcomes)

    def logits(self, contexts: Contexts) -> _Doubles:
        """``(n, 2 K)`` log-odds."""
        chances = [router.predict(contexts).score for router in self._routers.values()]
        chance = np.clip(np.nan_to_num(np.concatenate(chances, axis=1), nan=0.5), _LEAST, 1 - _LEAST)
        return np.asarray(np.log(chance / (1 - chance)), dtype=np.float64)

    def price(self, contexts: Contexts) -> _Doubles:
        """``(n, K)`` score points."""
        expected = self._routers["ridge"].predict(contexts)
        wait = 0 if contexts.load is None else contexts.load
        dollars, seconds = fill_unknown(expected.cost_usd), fill_unknown(expected.latency_s) + wait
        price = contexts.cost_weight[:, None] * dollars + contexts.latency_weight[:, None] * seconds
        return np.asarray(np.maximum(price, 0), dtype=np.float64)

    def arrays(self) -> dict[str, Array]:
        return {
            f"{kind}.{name}": array
            for kind, router in self._routers.items()
            for name, array in router.state().arrays.items()
        }

    def restore(self, arrays: Mapping[str, Array]) -> None:
        for kind, router in self._routers.items():
            at = len(kind) + 1
            own = {name[at:]: array for name, array in arrays.items() if name.startswith(f"{kind}.")}
            self._routers[kind] = type(router).from_state(RouterState(router.state().config, own))


def _describe(expected: _Doubles, there: Bools, told: _Doubles, agreed: _Doubles) -> _Doubles:
    """``(n, _width(K))`` what is known of requests when the answers ``there`` ``(n, K)`` are at hand."""
    n, k = there.shape
    at = there.astype(np.float64)
    first, second = np.triu_indices(k, 1)
    both = (at[:, first] * at[:, second]) * agreed[:, first, second]
    return np.concatenate([expected, at, (at[:, :, None] * told).reshape(n, -1), both], axis=1)


def _width(n_arms: int) -> int:
    return n_arms * (3 + len(SIGNALS)) + n_arms * (n_arms - 1) // 2


def _moments(told: _Doubles, usable: Bools) -> tuple[_Doubles, _Doubles]:
    """Mean and standard deviation ``(K, m)`` of the signals of each arm; 0 and 1 where nothing is known."""
    known = usable[:, :, None] & np.isfinite(told)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, told, 0).sum(axis=0) / count
    variance = (np.where(known, told - centre, 0) ** 2).sum(axis=0) / count
    return centre, np.where(variance > 0, np.sqrt(variance), 1.0)


def _drawn_sets(usable: Bools, rng: np.random.Generator) -> Bools:
    """For each row a set of usable arms: how many is uniform from none to all, which is random."""
    size = rng.integers(usable.shape[1] + 1, size=(len(usable), 1))
    rank = np.argsort(np.argsort(rng.random(usable.shape), axis=1), axis=1)
    return np.asarray(usable & (rank < size), dtype=bool)


def _folds(recorded: Attempts) -> Ints:
    """``(n,)`` a fold a row; one prompt is in one fold, whatever the order of rows."""
    texts = [str(row) if prompt is None else normalise(prompt) for row, prompt in enumerate(recorded.prompts)]
    return np.array([zlib.crc32(text.encode("utf-8", "surrogatepass")) % _FOLDS for text in texts], dtype=np.int64)
