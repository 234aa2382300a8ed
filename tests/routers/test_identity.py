"""Every router that learns must solve a trivial problem within 1,200 steps (as Stable-Baselines3's ``test_identity``).

The bars are shares of the way from chance to the best that can be had, so that they say the same of both problems.
"""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from routers import Router, make, names, router_class
from tests.routers.test_router_contract import ARMS, NEVER_LEARNS, SETTINGS, train_or_skip

STEPS = 1_200
# What is reached after learning, and, by those that learn as they act, over the last quarter of the steps.
LEARNED, LEARNING = 0.9, 0.7

# These know scores by arm only: the prompt tells them about cost.
SCORES_BY_ARM = {"zero_cost"}
# These look at the task label instead of the features.
SCORES_BY_TASK = {"best_per_task", "beta_thompson_task"}


def identity(n: int, seed: int) -> tuple[Contexts, Outcomes, float]:
    """The query names the arm that answers it: score 1 for that arm and 0 for all others, costs alike."""
    best = np.random.default_rng(seed).integers(ARMS, size=n)
    hits = (best[:, None] == np.arange(ARMS)).astype(np.float32)
    task = np.array([f"task {arm}" for arm in best], dtype=object)
    return Contexts.of(hits, ARMS, task=task), Outcomes.of(hits), 1.0


def one_best(n: int, seed: int) -> tuple[Contexts, Outcomes, float]:
    """The third arm answers 90 % of all queries, the others 30 %."""
    rng = np.random.default_rng(seed)
    hits = rng.random((n, ARMS)) < np.array([0.3, 0.3, 0.9, 0.3])
    return Contexts.of(rng.normal(size=(n, ARMS)), ARMS), Outcomes.of(hits.astype(np.float32)), 0.9


def problem(name: str, n: int, seed: int) -> tuple[Contexts, Outcomes, float]:
    """The hardest of the two problems that the router can solve, and the mean score of the best rule."""
    sees = (router_class(name).capabilities.uses_features and name not in SCORES_BY_ARM) or name in SCORES_BY_TASK
    return identity(n, seed) if sees else one_best(n, seed)


def built(name: str) -> Router:
    return make(name, ARMS, ARMS, **SETTINGS.get(name, {}))


def way_gone(score: float, outcomes: Outcomes, best: float) -> float:
    """0 for a mean score of chance, 1 for that of the best rule."""
    chance = float(outcomes.score.mean())
    return (score - chance) / (best - chance)


def learners(capability: str) -> pytest.MarkDecorator:
    able = [name for name in names() if getattr(router_class(name).capabilities, capability)]
    return pytest.mark.parametrize("name", [name for name in able if name not in NEVER_LEARNS])


def reached(name: str, router: Router) -> float:
    """On queries that it never saw, without exploring."""
    unseen, answers, best = problem(name, 1_000, seed=1)
    chosen = router.act(unseen, np.random.default_rng(0), explore=False).arms
    return way_gone(float(answers.at(chosen).score.mean()), answers, best)


@learners("offline")
def test_learns_from_a_table(name: str) -> None:
    train_or_skip(name)
    contexts, outcomes, _ = problem(name, 400, seed=0)
    assert reached(name, built(name).fit(contexts, outcomes)) >= LEARNED


@learners("online")
@pytest.mark.parametrize("seed", [0, 1])
def test_learns_from_its_own_choices(name: str, seed: int) -> None:
    router, rng = built(name), np.random.default_rng(seed)
    contexts, outcomes, best = problem(name, STEPS, seed=2 + seed)
    scores = np.empty(STEPS)
    for row in range(STEPS):
        asked = contexts.take([row])
        decision = router.act(asked, rng)
        told = outcomes.take([row]).at(decision.arms)
        router.update(asked, decision.arms, told, decision.propensities)
        scores[row] = told.score[0]
    assert way_gone(float(scores[-STEPS // 4 :].mean()), outcomes, best) >= LEARNING
    assert reached(name, router) >= LEARNED
