"""What a trial is judged by: inner divisions of the training and validation queries. The test part is not here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from env.contexts import Ints, Objects
from env.errors import BadInput, PointsmanError
from env.features import Featuriser
from env.splits import PARTS, SplitBy
from env.trace import Trace
from experiments.evaluate import decide_at_every_dial, realised
from experiments.folds import Fold, fold, prepared
from experiments.metrics import Frontier, mean_over
from experiments.train import Feedback, learn
from routers import router_class

AIQ, SCORE = "aiq", "score_at_dial_1"
"""What is made as large as it can be: the area, or the score at dial 1 where there is no range of costs."""
FEWEST_FOLDS = 3
"""One each to learn from, to fit the dial on and to judge on."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A router and the inner folds on which its settings are judged.

    Attributes:
        router: its name.
        folds: divisions of the queries that are not test queries; the ``test`` of each is what it judges on.
        settings: held still.
        feedback: what the router learns from.
        metric: :data:`AIQ` or :data:`SCORE`.
        maker: makes the features, whatever the router was made for.
    """

    router: str
    folds: tuple[Fold, ...]
    settings: Mapping[str, Any]
    feedback: Feedback
    metric: str
    maker: Featuriser | None = None
    _prepared: dict[tuple[int, str], tuple[Fold, Featuriser]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        known: Trace,
        router: str,
        *,
        folds: int,
        seed: int,
        split_by: SplitBy = "prompt",
        settings: Mapping[str, Any],
        feedback: Feedback,
        maker: Featuriser | None = None,
    ) -> Objective:
        """The objective on the queries that may be looked at.

        Raises:
            BadInput: fewer than three folds, or too few queries to divide.
        """
        if folds < FEWEST_FOLDS:
            raise BadInput(
                f"a sweep needs {FEWEST_FOLDS} folds or more (to learn, to fit the dial, to judge), got {folds}"
            )
        made = tuple(inner_folds(known, folds, seed, split_by))
        metric = AIQ if known.has_cost and all(_has_range(part) for part in made) else SCORE
        return cls(router, made, dict(settings), feedback, metric, maker)

    @property
    def recipe(self) -> str:
        """What the router is made to see with the settings that are held still."""
        return router_class(self.router).featuriser_for(self.settings)

    def value(self, settings: Mapping[str, Any], at: int) -> float:
        """The metric of some settings on one fold, larger is better."""
        given = {**self.settings, **settings}
        part, featuriser = self.ready(at, router_class(self.router).featuriser_for(given))
        policy = learn(part, self.router, featuriser, feedback=self.feedback, settings=given)
        got = decide_at_every_dial(policy, part.test, seed=part.seed).outcomes
        return _height(part, got.cost_usd, got.score) if self.metric == AIQ else float(np.mean(got.score[-1]))

    def attempt(self, settings: Mapping[str, Any], at: int) -> float | str:
        """The same; in words what was wrong where the router refuses the settings or cannot learn with them."""
        try:
            return self.value(settings, at)
        except PointsmanError as error:
            return str(error)

    def ready(self, at: int, recipe: str) -> tuple[Fold, Featuriser]:
        """A fold with the features of a recipe, made once."""
        if (at, recipe) not in self._prepared:
            self._prepared[at, recipe] = prepared(self.folds[at], recipe, self.maker)
        return self._prepared[at, recipe]


def inner_folds(known: Trace, n: int, seed: int, split_by: SplitBy = "prompt") -> Iterator[Fold]:
    """Divisions of some queries into training, validation and judging parts, no prompt in two of them.

    By prompt, every prompt is judged on in one fold, in another it fits the dial, and in the others it is learned
    from. Whole tasks are drawn for each fold anew; by time, each fold judges on the newest.

    Args:
        known: training and validation queries of an outer division.
        n: how many.
        seed: of the draws.
        split_by: as of the outer division.
    """
    if split_by != "prompt":
        for at in range(n):
            yield replace(fold(known, seed * n + at, resample=True, split_by=split_by), seed=at)
        return
    groups = known.groups
    n_groups = int(groups.max()) + 1
    if n_groups < n:
        raise BadInput(f"trace {known.name}: {n_groups} prompts outside the test part make no {n} folds; take fewer")
    part_of = np.random.default_rng([seed, n]).permutation(n_groups) % n
    for at in range(n):
        turn = (part_of[groups] - at) % n  # 0 is judged on, 1 fits the dial
        columns = {**known.query_columns, "split": _named(np.select([turn == 0, turn == 1], [2, 1], 0))}
        yield fold(replace(known, query_columns=columns), at)


def _named(parts: Ints) -> Objects:
    names = np.empty(len(parts), dtype=object)
    names[:] = [PARTS[part] for part in parts]
    return names


def _has_range(part: Fold) -> bool:
    arms = np.tile([[part.cheapest], [part.best_single]], len(part.test))
    return bool(np.isfinite(_height(part, *_cost_and_score(part, arms))))


def _height(part: Fold, cost: Any, score: Any) -> float:
    """AIQ of a router on the judging part, between the arms that learning and validation queries name."""
    once = np.ones((1, len(part.test)))
    ends = np.tile([[part.cheapest], [part.best_single]], len(part.test))
    end_cost, end_score = (mean_over(once, values) for values in _cost_and_score(part, ends))
    curve = mean_over(once, cost), mean_over(once, score)
    return float(Frontier(*curve, end_cost[:, 0], end_score[:, 0], end_cost[:, 1]).aiq[0])


def _cost_and_score(part: Fold, arms: Ints) -> tuple[Any, Any]:
    got = realised(part.test, arms)
    return got.cost_usd, got.score
