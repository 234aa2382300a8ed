"""What few pulls an arm can teach at all: a pass cut short, and learners that are told more than a bandit is.

A share that falls short may be the bandit's fault, or that of the outcomes: so few say so little. The learners here get
as many outcomes as the bandit, or more, without having to find out whom to ask. What they reach bounds what exploring
better could.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from env.contexts import Bools, Outcomes, mean_observed
from env.trace import Trace
from experiments.studies.bandit_problems import Divided, Learner, Problem, Setting, compared, told
from routers import make
from routers.base import Estimator
from routers.dial import upper_hull

PULLS = (25, 1_000)
"""Pulls an arm after which a pass ends."""
SHORT = 0.7
"""A set belongs to the sets of so many pulls an arm if its whole pass holds this share of them (``alpaca_eval2``)."""

_SAME = "told every outcome of the same queries: ridge"
_ALL = "told every outcome of all queries: ridge"


def few_pulls(
    sets: Sequence[Divided],
    settings: Mapping[str, Setting],
    pulls: Sequence[int] = PULLS,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Measure bandits and better informed learners after a few pulls an arm.

    Args:
        sets: divided traces.
        settings: of the ``cold`` and the ``warm`` start; the better informed use the cold one's prior.
        pulls: an arm, after which the pass ends.
        say: told how far it is.

    Returns:
        Rows ``pulls, sets, learner, against, daiq, ridge_daiq, share, low, high`` for each set and for all together
        (ratio of sums). ``against`` names the ridge regression in the denominator: told every outcome of ``all``
        training queries, or of the ``same`` queries that the pass was cut to.
    """
    rows = []
    for cap in pulls:
        learners = _learners(settings, cap)
        gains = {}
        for one in sets:
            if one.pulls >= SHORT * cap:
                gains[one.trace.name] = one.gains(learners)
                say(f"{one.trace.name}, {cap} pulls an arm: measured")
        groups = {name: [name] for name in gains} | ({"all sets": list(gains)} if len(gains) > 1 else {})
        rows += [
            {"pulls": cap, "sets": group, "learner": learner, "against": against}
            | compared([gains[name][learner] for name in names], [gains[name][ridge] for name in names])
            for group, names in groups.items()
            for learner in learners
            for against, ridge in (("all", _ALL), ("same", _SAME))
        ]
    return rows


def matter(train: Trace) -> Bools:
    """``(K,)`` arms on the hull of mean cost and mean score: those that blind mixing would use.

    Example:
        >>> from env.sources.named import load_trace
        >>> int(matter(load_trace("bundled")).sum()) >= 1
        True
    """
    hull = upper_hull(mean_observed(train.cost_usd), mean_observed(train.score))
    return np.isin(np.arange(train.n_arms), hull)


def _learners(settings: Mapping[str, Setting], pulls: int) -> dict[str, Learner]:
    cold = settings["cold"]
    return {
        f"bandit, {start} start": partial(_cut_short, setting=setting, warm=start == "warm", pulls=pulls)
        for start, setting in settings.items()
    } | {
        "every arm asked equally often": partial(_in_turn, setting=cold, pulls=pulls, hull=False),
        "told which arms matter, those asked equally often": partial(_in_turn, setting=cold, pulls=pulls, hull=True),
        "every arm asked, on as many queries as it has pulls": partial(_few_queries, setting=cold, pulls=pulls),
        _SAME: partial(_same_queries, setting=cold, pulls=pulls),
        _ALL: told("ridge"),
    }


def _cut_short(problem: Problem, setting: Setting, warm: bool, pulls: int) -> tuple[Estimator, Bools | None]:
    return problem.learned(setting, warm=warm, rows=pulls * problem.part.train.n_arms), None


def _in_turn(problem: Problem, setting: Setting, pulls: int, hull: bool) -> tuple[Estimator, Bools | None]:
    """One outcome of each query of the pass, of the arms in turn; ``hull``: of those that :func:`matter` alone."""
    train = problem.part.train
    contexts, order = problem.stream(setting)
    among = matter(train) if hull else np.ones(train.n_arms, dtype=bool)
    rows = order[: pulls * train.n_arms]
    asked = np.resize(np.flatnonzero(among), len(rows))[:, None] == np.arange(train.n_arms)
    score, cost = (np.where(asked, values[rows], np.nan) for values in (train.score, train.cost_usd))
    router = setting.made(train.n_arms, contexts.features.shape[1])
    return router.fit(contexts.take(rows), Outcomes.of(score, cost_usd=cost)), among


def _few_queries(problem: Problem, setting: Setting, pulls: int) -> tuple[Estimator, Bools | None]:
    """Every outcome of so many queries as the bandit has pulls of an arm: the same number of outcomes."""
    train = problem.part.train
    contexts, order = problem.stream(setting)
    rows = order[: min(pulls, len(order) // train.n_arms)]
    router = setting.made(train.n_arms, contexts.features.shape[1])
    return router.fit(contexts.take(rows), train.outcomes.take(rows)), None


def _same_queries(problem: Problem, setting: Setting, pulls: int) -> tuple[Estimator, Bools | None]:
    train = problem.part.train
    contexts, order = problem.stream(setting)
    rows = order[: pulls * train.n_arms]
    router = make("ridge", train.n_arms, contexts.features.shape[1])
    assert isinstance(router, Estimator)
    return router.fit(contexts.take(rows), train.outcomes.take(rows)), None
