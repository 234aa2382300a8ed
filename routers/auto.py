"""Auto: Pointsman's own recipe. Learners averaged, with the task and without, judged on rows they did not see."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np

from env.contexts import Bools, Contexts, Floats, Ints, Outcomes
from env.errors import BadInput
from routers.base import Array, Estimator, fill_unknown
from routers.clusters import Clusters
from routers.committee import Committee, mean_of
from routers.costs import CostModel, column_means
from routers.kernel_ridge import KernelRidge
from routers.knn import KNN
from routers.least_squares import advantage_errors
from routers.logistic import LogisticRouter
from routers.per_task import BestPerTask
from routers.ridge import Ridge
from routers.task_posterior import TaskPosterior

# Prices of a dollar, in score points per mean cost of a call, at which a router is held against zero + cost.
_PRICES = np.logspace(-2, 1, 13)
# Share of the named task's own table, over its place in the mean: the first, unless held-out rows clearly say another.
_TASK_SHARES = (0.35, 0.0, 0.2, 0.5, 0.7)
_CLEARLY = 2.0  # standard errors
_FEWEST_ROWS = 20  # below them nothing can be held out; the global means say all


class Auto(Estimator):
    """The mean of diverse learners; where the caller names the task, of as many that see it.

    Without a task: ridge, logistic, kernel ridge, kNN, cluster means, and the means of the tasks that it may be. With
    one the first four once more on features with the task's label, and the means of that task for the guessed ones;
    those means count for a share of their own, for among many nearly equal arms they are what can be known. How large
    a share is read off held-out rows, where these tell.

    On the training rows every learner is also fitted on all folds but one, in turn. What these fits say of the rows
    left out decides who is a member (whoever beats the global means there: to keep only the best of them did harm
    among nearly equal arms, and no good elsewhere), whether the committee is worth
    having (if not, this is :class:`~routers.zero.ZeroCost`), and serves whoever sets the dial (:attr:`held_out`), so
    that no row has to be kept from learning for it.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        folds: 2 or more.
        seed: of folds, clusters and landmarks.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(80, 3)).astype(np.float32)
        >>> scores = np.stack([x[:, 0] > 0, x[:, 0] <= 0], axis=1)
        >>> router = Auto(2, 3).fit(Contexts.of(x, n_arms=2), Outcomes.of(scores))
        >>> bool((router.act(Contexts.of(x, n_arms=2), rng).arms == scores.argmax(axis=1)).mean() > 0.9)
        True
        >>> router.members
        ('ridge', 'logistic', 'kernel_ridge', 'knn', 'clusters')
    """

    name: ClassVar[str] = "auto"
    featuriser: ClassVar[str] = "compact"
    holds_out: ClassVar[bool] = True

    def __init__(self, n_arms: int, n_features: int, *, folds: int = 4, seed: int = 0) -> None:
        super().__init__(n_arms, n_features, folds=folds, seed=seed)
        if folds < 2:
            raise BadInput(f"router `{self.name}`: folds is {folds}; it must be 2 or more")
        self._fitted = _Fitted(n_arms, n_features, [], seed)
        self._chosen: tuple[str, ...] = ()
        self._task_share = _TASK_SHARES[0]
        self._mean = np.full(n_arms, np.nan, dtype=np.float32)
        self._held_out: Outcomes | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """Who is averaged; none where it falls back to zero + cost."""
        return self._chosen

    @property
    def held_out(self) -> Outcomes | None:
        """What was expected of each row of the last :meth:`fit` by fits that had not seen it, ``(n, K)``."""
        return self._held_out

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Learn, choose members on held-out rows, learn again from all; ``(n, K)`` outcomes, NaN allowed.

        Raises:
            MissingExtra: scikit-learn is not installed, and the rows have task labels to learn.
        """
        labels = [] if contexts.task is None else sorted({str(task) for task in contexts.task if task is not None})
        labels = labels if len(labels) > 1 else []
        self._mean = column_means(outcomes.score)
        self._chosen, self._held_out, self._task_share = (), None, _TASK_SHARES[0]
        self._fitted = _Fitted(self.n_arms, self.n_features, labels, self.settings["seed"])
        self._fitted.fit(contexts, outcomes)
        told = self._left_out(contexts, outcomes)
        if told is not None:
            scores, costs = told
            self._chosen = _better(scores, outcomes.score, self._mean) + self._guess_if_better(contexts, outcomes)
            self._task_share = self._best_share(scores, outcomes.score)
            self._held_out = Outcomes(self._blend(scores, len(contexts)), *costs)
            if not _worth_having(self._held_out, self._mean, outcomes):
                self._chosen = ()
                self._held_out = Outcomes(self._blend({}, len(contexts)), *costs)
        return self

    def predict(self, contexts: Contexts) -> Outcomes:
        """Expected score, cost and latency, each ``(n, K)``."""
        score = self._blend({}, len(contexts))
        if self._chosen:
            for named, rows in self._fitted.by_task(contexts):
                score[rows] = self._blend(self._fitted.scores(contexts.take(rows), named=named), len(rows))
        return Outcomes(score, *self._fitted.costs.predict(contexts.features))

    def _blend(self, scores: Mapping[str, Floats], n: int, task_share: float | None = None) -> Floats:
        """The mean of the members among ``scores``, or the global means."""
        heard = {name: told for name, told in scores.items() if name in self._chosen}
        if not heard:
            return np.tile(self._mean, (n, 1))
        told = mean_of(heard)
        if "best_per_task" not in heard:
            return told
        table = heard["best_per_task"]
        share = self._task_share if task_share is None else task_share
        blended = (1 - share) * told + share * table
        return np.asarray(np.where(np.isnan(table), told, blended), dtype=np.float32)

    def _best_share(self, scores: Mapping[str, Floats], truth: Floats) -> float:
        """The share of the task's table that tells the held-out rows' arms apart best, if clearly so."""
        errors = [advantage_errors(truth - self._blend(scores, len(truth), share)) for share in _TASK_SHARES]
        best = min(range(len(errors)), key=lambda at: float(errors[at].mean()))
        gain = errors[0] - errors[best]
        return _TASK_SHARES[best if gain.mean() > _CLEARLY * gain.std() / np.sqrt(len(gain)) else 0]

    def _left_out(
        self, contexts: Contexts, outcomes: Outcomes
    ) -> tuple[dict[str, Floats], tuple[Floats, Floats]] | None:
        """What fits on the other folds say of each row: scores by member, and costs.

        Penalties and numbers of neighbours are those chosen on all rows, each row left out in its turn: choosing them
        anew in each fold takes most of the time and changes next to nothing.
        """
        fold = _folds(contexts.features, self.settings["folds"], self.settings["seed"])
        if len(contexts) < _FEWEST_ROWS or len(np.unique(fold)) < 2:
            return None
        scores: dict[str, Floats] = {}
        costs = np.full((2, len(contexts), self.n_arms), np.nan, dtype=np.float32)
        for left_out in np.unique(fold):
            rows, others = np.flatnonzero(fold == left_out), np.flatnonzero(fold != left_out)
            fitted = self._fitted.anew()
            fitted.fit(contexts.take(others), outcomes.take(others))
            asked = contexts.take(rows)
            costs[:, rows] = fitted.costs.predict(asked.features)
            for named, some in fitted.by_task(asked):
                for name, told in fitted.scores(asked.take(some), named=named).items():
                    empty = np.full((len(contexts), self.n_arms), np.nan, dtype=np.float32)
                    scores.setdefault(name, empty)[rows[some]] = told
        return scores, (costs[0], costs[1])

    def _guess_if_better(self, contexts: Contexts, outcomes: Outcomes) -> tuple[str, ...]:
        """The guess at the task, if it is better than the global means on one fold: it takes too long for all."""
        fold = _folds(contexts.features, self.settings["folds"], self.settings["seed"])
        rows, others = np.flatnonzero(fold == fold[0]), np.flatnonzero(fold != fold[0])
        scores = self._fitted.guesses(contexts.take(others), outcomes.take(others), contexts.take(rows))
        return _better(scores, outcomes.score[rows], self._mean)

    def _arrays(self) -> dict[str, Array]:
        about = {"labels": self._fitted.labels, "members": self._chosen, "task_share": self._task_share}
        told = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        return {"about": told, "mean": self._mean, **self._fitted.arrays()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        about = json.loads(arrays["about"].tobytes())
        self._chosen, self._mean = tuple(about["members"]), arrays["mean"]
        self._task_share = about["task_share"]
        self._fitted = _Fitted(self.n_arms, self.n_features, about["labels"], self.settings["seed"])
        self._fitted.restore(arrays)


class _Fitted:
    """All learners, fitted on the same rows.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        labels: of the tasks; with none, nothing looks at tasks.
        seed: of clusters and landmarks.
    """

    def __init__(self, n_arms: int, n_features: int, labels: list[str], seed: int) -> None:
        self.labels, self._seed = labels, seed
        self._column = {label: at for at, label in enumerate(labels)}
        plain = _learners(n_arms, n_features, seed)
        plain["clusters"] = Clusters(n_arms, n_features, clusters=24, tau=20, predict_cost=False, seed=seed)
        told = _learners(n_arms, n_features + len(labels), seed) if labels else {}
        self._plain = Committee(plain)
        self._told = Committee({f"{name}_told": learner for name, learner in told.items()})
        self._tasks = Committee({"best_per_task": BestPerTask(n_arms, n_features, tau=10)} if labels else {})
        guess = TaskPosterior(n_arms, n_features, predict_cost=False)
        self._guess = Committee({"task_posterior": guess} if labels else {})
        self.costs = CostModel(n_arms, n_features)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> None:
        """Fit all."""
        self._plain.fit(contexts, outcomes)
        self._told.fit(self._with_task(contexts), outcomes)
        self._tasks.fit(contexts, outcomes)
        self._guess.fit(contexts, outcomes)
        self.costs.fit(contexts.features, outcomes)

    def anew(self) -> _Fitted:
        """Fresh learners with the choices of these, but for the guess at the task, which takes long to learn."""
        fresh = _Fitted(self.costs.n_arms, self.costs.n_features, self.labels, self._seed)
        fresh._plain, fresh._told, fresh._tasks = (part.anew() for part in (self._plain, self._told, self._tasks))
        fresh._guess = Committee({})
        return fresh

    def guesses(self, contexts: Contexts, outcomes: Outcomes, asked: Contexts) -> dict[str, Floats]:
        """What a guess at the task, fitted anew on these rows, says of the rows ``asked``."""
        fresh = self._guess.anew()
        fresh.fit(contexts, outcomes)
        return fresh.scores(asked)

    def scores(self, contexts: Contexts, *, named: bool) -> dict[str, Floats]:
        """Scores by learner, of rows whose task is named, or of rows where it is not."""
        told = self._plain.scores(contexts)
        if named:
            return {**told, **self._told.scores(self._with_task(contexts)), **self._tasks.scores(contexts)}
        return {**told, **self._guess.scores(contexts)}

    def by_task(self, contexts: Contexts) -> Iterator[tuple[bool, Ints]]:
        """Rows whose task is one of the labels, and the others; only those there are."""
        named: Bools = np.zeros(len(contexts), dtype=bool)
        if contexts.task is not None and self._column:
            named = np.array([str(task) in self._column for task in contexts.task], dtype=bool)
        for value in (True, False):
            if (rows := np.flatnonzero(named == value)).size:
                yield value, rows

    def _with_task(self, contexts: Contexts) -> Contexts:
        """Features with a column for each label, 1 where it is the task."""
        told = np.zeros((len(contexts), len(self.labels)), dtype=np.float32)
        for row, task in enumerate([] if contexts.task is None else contexts.task):
            if str(task) in self._column:
                told[row, self._column[str(task)]] = 1
        return replace(contexts, features=np.hstack([contexts.features, told]))

    def arrays(self) -> dict[str, Array]:
        """Everything learned, by name."""
        return {key: array for part in self._parts() for key, array in part.arrays().items()}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what :meth:`arrays` gave."""
        for part in self._parts():
            part.restore(arrays)

    def _parts(self) -> tuple[Committee | CostModel, ...]:
        return self._plain, self._told, self._tasks, self._guess, self.costs


def _learners(n_arms: int, n_features: int, seed: int) -> dict[str, Estimator]:
    return {
        "ridge": Ridge(n_arms, n_features, predict_cost=False),
        "logistic": LogisticRouter(n_arms, n_features, predict_cost=False),
        "kernel_ridge": KernelRidge(n_arms, n_features, predict_cost=False, seed=seed),
        "knn": KNN(n_arms, n_features, tau=5, predict_cost=False),
    }


def _folds(features: Floats, k: int, seed: int) -> Ints:
    """``(n,)`` a fold for each row; equal rows, which are equal prompts, are in the same."""
    _, prompt = np.unique(features, axis=0, return_inverse=True)
    if 2 * (int(prompt.max(initial=-1)) + 1) < len(features):
        # Features so coarse are kinds of prompts; to hold out a whole kind would ask for what nobody can know.
        prompt = np.arange(len(features))
    drawn = np.random.default_rng(seed).permutation(int(prompt.max(initial=-1)) + 1) % k
    return np.asarray(drawn[np.ravel(prompt)], dtype=np.int64)


def _better(scores: Mapping[str, Floats], truth: Floats, mean: Floats) -> tuple[str, ...]:
    """The learners that tell the arms apart better than their global means do."""
    alone = advantage_errors(truth - mean).mean()
    known = {name: np.where(np.isnan(told), mean, told) for name, told in scores.items()}
    return tuple(name for name, told in known.items() if advantage_errors(truth - told).mean() < alone)


def _worth_having(told: Outcomes, mean: Floats, truth: Outcomes) -> bool:
    """Whether choosing by the scores told, rather than by the global means, pays by more than a standard error.

    Both know the same costs. Rewards are compared over prices of a dollar, each in units of what is at stake there.
    """
    seen = ~np.isnan(truth.score).any(axis=1)
    if not seen.any():
        return False
    cost = np.nan_to_num(fill_unknown(truth.cost_usd[seen]))
    expected = np.nan_to_num(fill_unknown(told.cost_usd[seen]))
    level = float(cost.mean(dtype=np.float64))
    gains = []
    for price in np.concatenate([[0.0], _PRICES / level]) if level > 0 else np.zeros(1):
        reward = truth.score[seen] - price * cost
        arms = (np.argmax(scores - price * expected, axis=1) for scores in (told.score[seen], mean))
        ours, theirs = (np.take_along_axis(reward, chosen[:, None], axis=1)[:, 0] for chosen in arms)
        gains.append((ours - theirs) / (1 + price * level))
    gain = np.mean(gains, axis=0)
    return bool(gain.mean() > gain.std() / np.sqrt(len(gain)))
