"""What answers tell: the chance that an answer at hand is right, and that one not yet asked for would be."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Contexts, Floats, Ints, Outcomes
from env.prompts import normalise
from routers.attempts import Attempts
from routers.base import Array, RouterState, fill_unknown
from routers.costs import CostModel
from routers.extra_trees import ExtraTrees
from routers.kernel_ridge import KernelRidge
from routers.logistic_regression import Logistic, fit_logistic
from routers.signals import SIGNALS, agreement, signals

_FOLDS = 5
# For each training request so many sets of arms are drawn that might have answered: what is learned must hold after
# any first call and any second.
_DRAWS = 4
# A chance nearer to 0 or 1 than this is not believed of a prompt alone.
_LEAST = 0.02
# Chances of so many requests are remembered: a plan is asked about the same answers at every price and in every round.
_REMEMBERED = 16_384

_Doubles = NDArray[np.float64]


class Chances:
    """Two chances an arm, from the prompt and the answers at hand.

    Each is the mean of a logistic regression and of randomised trees (:class:`~routers.extra_trees.ExtraTrees`). Both
    see what kernel ridge regression expects of every arm from the prompt and its task (cross-fitted: a row's
    expectation comes from a fit without its prompt), the signals of every answer at hand
    (:data:`~routers.signals.SIGNALS`), and which answers agree; the trees see the features and the task as well.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        alpha: penalty on the weights of the logistic regressions, above 0.
        trees: for each arm and each of the two chances, 1 or more.
        seed: of the drawn sets of arms, the landmarks and the trees.

    Attributes:
        revealed: ``(K,)`` share of the variance ``p (1 - p)`` of an arm's chance that its answer takes away.

    Example:
        >>> prompts = np.array([f"Question {number}" for number in range(100)], dtype=object)
        >>> right = np.arange(100) % 2 == 0
        >>> said = np.where(right, "yes", "no").astype(object)[:, None]
        >>> told = Attempts(prompts, np.zeros((100, 1), np.int64), said, *[np.float32(right)[:, None]] * 4)
        >>> contexts = Contexts.of(np.zeros((100, 1)), n_arms=1)
        >>> made = Chances(1, 1, trees=5).fit(contexts, told)
        >>> made(contexts.take(np.array([0, 1])), told.take(np.array([0, 1])))[:, 0].round().ravel().tolist()
        [1.0, 0.0]
    """

    def __init__(self, n_arms: int, n_features: int, *, alpha: float = 3.0, trees: int = 60, seed: int = 0) -> None:
        self.n_arms, self.n_features = n_arms, n_features
        self.alpha, self.trees, self.seed = alpha, trees, seed
        self.revealed = np.zeros(n_arms)
        self._expects = _Expectations(n_arms, n_features, (), seed)
        self.centre, self._scale = np.zeros((n_arms, len(SIGNALS))), np.ones((n_arms, len(SIGNALS)))
        self._answered, self._unasked = (_Chance.unknown(_width(n_arms), n_arms) for _ in range(2))
        self._remembered: dict[bytes, _Doubles] = {}

    def fit(self, contexts: Contexts, recorded: Attempts) -> Self:
        """Learn what answers tell.

        Args:
            contexts: ``n`` training requests.
            recorded: answers and scores; a cell without either teaches nothing of its arm.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        usable = recorded.answered & np.isfinite(recorded.score)
        recorded = recorded.only(usable)
        labels = () if contexts.task is None else tuple(sorted({str(task) for task in contexts.task if task}))
        expected = np.zeros((len(contexts), self.n_arms))
        folds = _folds(recorded)
        for number in np.unique(folds):
            held, kept = np.flatnonzero(folds == number), np.flatnonzero(folds != number)
            fitted = _Expectations(self.n_arms, self.n_features, labels, self.seed)
            fitted.fit(contexts.take(kept), recorded.take(kept))
            expected[held] = fitted.logits(fitted.seen(contexts.take(held)))
        self._expects = _Expectations(self.n_arms, self.n_features, labels, self.seed)
        self._expects.fit(contexts, recorded)
        told = signals(recorded.prompts, recorded.response, recorded.logprob)
        self.centre, self._scale = _moments(told, usable)
        told = self._standardised(told, usable)
        agreed = agreement(recorded.response, usable)

        rows = np.repeat(np.arange(len(contexts)), _DRAWS)
        at_hand = _drawn_sets(usable[rows], np.random.default_rng([self.seed, len(rows)]))

        def described(sets: Bools) -> Floats:
            return _describe(expected[rows], sets, told[rows], agreed[rows])

        inputs, seen, scores = described(at_hand), self._expects.seen(contexts)[rows], recorded.score[rows]
        self._answered = _Chance.fitted(inputs, seen, np.where(at_hand, scores, np.nan), self)
        self._unasked = _Chance.fitted(inputs, seen, np.where(at_hand, np.nan, scores), self)
        self.revealed = np.zeros(self.n_arms)
        for arm in range(self.n_arms):
            asked = at_hand | (np.arange(self.n_arms) == arm)
            new = ~at_hand[:, arm] & usable[rows, arm]
            # By the regressions alone: on rows that they were grown on, trees know more than an answer will tell them.
            before = self._unasked.straight(inputs[new])[:, arm].astype(np.float64)
            after = self._answered.straight(described(asked)[new])[:, arm]
            spread = (before * (1 - before)).sum()
            self.revealed[arm] = ((after - before) ** 2).sum() / spread if spread > 0 else 0.0
        self._remembered = {}
        return self

    def __call__(self, contexts: Contexts, attempts: Attempts) -> _Doubles:
        """``(n, 2, K)`` the chances of the answers at hand, and of the arms not asked; of use where they are."""
        seen = self._expects.seen(contexts)
        keys = [_key(seen[row], attempts, row) for row in range(len(contexts))]
        new = np.array([row for row, key in enumerate(keys) if key not in self._remembered], dtype=np.int64)
        if len(self._remembered) + len(new) > _REMEMBERED:
            self._remembered, new = {}, np.arange(len(keys))
        if len(new):
            self._remembered |= zip((keys[row] for row in new), self._told(seen[new], attempts.take(new)), strict=True)
        return np.array([self._remembered[key] for key in keys]).reshape(len(keys), 2, self.n_arms)

    def price(self, contexts: Contexts) -> _Doubles:
        """``(n, K)`` score points that a call is expected to cost, in money and time."""
        return self._expects.price(contexts)

    def _told(self, seen: Floats, attempts: Attempts) -> _Doubles:
        """``(n, 2, K)`` of the answers at hand and of the arms not asked, from prompts as ``_expects`` sees them."""
        there = attempts.answered
        told = self._standardised(signals(attempts.prompts, attempts.response, attempts.logprob), there)
        inputs = _describe(self._expects.logits(seen), there, told, agreement(attempts.response, there))
        return np.stack([chance(inputs, seen) for chance in (self._answered, self._unasked)], axis=1)

    def _standardised(self, told: _Doubles, there: Bools) -> _Doubles:
        # A log-probability that is not told counts as an ordinary one.
        return np.where(there[:, :, None], np.nan_to_num((told - self.centre) / self._scale), 0.0)

    def arrays(self) -> dict[str, Array]:
        """Everything learned, by name."""
        parts: dict[str, _Chance | _Expectations] = {
            "answered": self._answered,
            "unasked": self._unasked,
            "expects": self._expects,
        }
        return {
            "signal_centre": self.centre,
            "signal_scale": self._scale,
            "revealed": self.revealed,
            **{f"{part}.{name}": array for part, one in parts.items() for name, array in one.arrays().items()},
        }

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what :meth:`arrays` gave."""
        self.centre, self._scale = arrays["signal_centre"], arrays["signal_scale"]
        self.revealed = arrays["revealed"]
        self._answered, self._unasked = (_Chance.restored(_under(name, arrays)) for name in ("answered", "unasked"))
        self._expects = _Expectations.restored(self.n_arms, self.n_features, _under("expects", arrays), self.seed)
        self._remembered = {}


@dataclass(frozen=True, slots=True)
class _Chance:
    """One of the two chances: the mean of a straight and of a bent model.

    Attributes:
        straight: a logistic regression on what :func:`_describe` says.
        bent: trees on that and on the prompt.
    """

    straight: Logistic
    bent: ExtraTrees

    @classmethod
    def unknown(cls, width: int, n_arms: int) -> Self:
        return cls(Logistic.unknown(width, n_arms), ExtraTrees.constant(np.full(n_arms, 0.5)))

    @classmethod
    def fitted(cls, inputs: Floats, seen: Floats, targets: Array, of: Chances) -> Self:
        # Each request stands for _DRAWS rows, so the penalty is as much larger.
        straight = fit_logistic(inputs, np.asarray(targets, dtype=np.float32), of.alpha * _DRAWS)
        both = np.hstack([inputs, seen])
        return cls(straight, ExtraTrees.grown(both, targets, n_trees=of.trees, seed=of.seed))

    def __call__(self, inputs: Floats, seen: Floats) -> _Doubles:
        """``(n, K)``."""
        return np.asarray((self.straight(inputs) + self.bent(np.hstack([inputs, seen]))) / 2, dtype=np.float64)

    def arrays(self) -> dict[str, Array]:
        line = {"weights": self.straight.weights, "intercept": self.straight.intercept}
        return {**line, **{f"trees.{name}": array for name, array in self.bent.arrays().items()}}

    @classmethod
    def restored(cls, arrays: Mapping[str, Array]) -> Self:
        line = Logistic(arrays["weights"], arrays["intercept"], float("nan"))
        return cls(line, ExtraTrees.restored(_under("trees", arrays)))


class _Expectations:
    """What the prompt alone says: chances from kernel ridge regression, and the price of a call.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        labels: of the tasks, each a column of what is seen.
        seed: of the landmarks.
    """

    def __init__(self, n_arms: int, n_features: int, labels: tuple[str, ...], seed: int) -> None:
        self._labels = labels
        self._scores = KernelRidge(n_arms, n_features + len(labels), predict_cost=False, seed=seed)
        self._costs = CostModel(n_arms, n_features)

    def fit(self, contexts: Contexts, recorded: Attempts) -> None:
        seen = Contexts.of(self.seen(contexts), contexts.n_arms)
        self._scores.fit(seen, Outcomes.of(recorded.score))
        self._costs.fit(contexts.features, recorded.outcomes)

    def seen(self, contexts: Contexts) -> Floats:
        """``(n, d + L)`` the features, and 1 in the column of the task."""
        tasks = np.full(len(contexts), "") if contexts.task is None else contexts.task.astype(str)
        return np.hstack([contexts.features, tasks[:, None] == np.array(self._labels, dtype=str)]).astype(np.float32)

    def logits(self, seen: Floats) -> _Doubles:
        """``(n, K)`` log-odds."""
        chance = self._scores.predict(Contexts.of(seen, self._scores.n_arms)).score
        chance = np.clip(np.nan_to_num(chance, nan=0.5), _LEAST, 1 - _LEAST)
        return np.asarray(np.log(chance / (1 - chance)), dtype=np.float64)

    def price(self, contexts: Contexts) -> _Doubles:
        """``(n, K)`` score points."""
        cost, latency = self._costs.predict(contexts.features)
        wait = 0 if contexts.load is None else contexts.load
        dollars, seconds = fill_unknown(cost), fill_unknown(latency) + wait
        price = contexts.cost_weight[:, None] * dollars + contexts.latency_weight[:, None] * seconds
        return np.asarray(np.maximum(np.nan_to_num(price), 0), dtype=np.float64)

    def arrays(self) -> dict[str, Array]:
        labels = np.frombuffer(json.dumps(self._labels).encode(), dtype=np.uint8)
        scores = {f"scores.{name}": array for name, array in self._scores.state().arrays.items()}
        return {"labels": labels, **scores, **self._costs.arrays()}

    @classmethod
    def restored(cls, n_arms: int, n_features: int, arrays: Mapping[str, Array], seed: int) -> Self:
        found = cls(n_arms, n_features, tuple(json.loads(arrays["labels"].tobytes())), seed)
        found._scores = KernelRidge.from_state(RouterState(found._scores.state().config, _under("scores", arrays)))
        found._costs.restore(arrays)
        return found


def _under(part: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of a part, by the names that it gave them."""
    return {name[len(part) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{part}.")}


def _key(seen: Floats, attempts: Attempts, row: int) -> bytes:
    """All that the chances of a request hang on."""
    answers = [
        (int(arm), attempts.response[row, arm], float(attempts.logprob[row, arm]))
        for arm in np.flatnonzero(attempts.answered[row])
    ]
    prompt = attempts.prompts[row] if answers else None
    return hashlib.blake2b(seen.tobytes() + repr((prompt, answers)).encode("utf-8", "surrogatepass")).digest()


def _describe(expected: _Doubles, there: Bools, told: _Doubles, agreed: _Doubles) -> Floats:
    """``(n, _width(K))`` what is known of requests when the answers ``there`` ``(n, K)`` are at hand."""
    n, k = there.shape
    at = there.astype(np.float64)
    first, second = np.triu_indices(k, 1)
    both = (at[:, first] * at[:, second]) * agreed[:, first, second]
    parts = [expected, at, (at[:, :, None] * told).reshape(n, -1), both]
    return np.asarray(np.concatenate(parts, axis=1), dtype=np.float32)


def _width(n_arms: int) -> int:
    return n_arms * (2 + len(SIGNALS)) + n_arms * (n_arms - 1) // 2


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
