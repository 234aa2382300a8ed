"""Parallel: whose answer wins, and what is learned."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts
from env.errors import BadInput
from routers.attempts import Attempt, Attempts
from routers.parallel import Parallel
from routers.plan import follow
from tests.routers.test_plan import ARMS, FEATURES, recorded

CONTEXTS = Contexts.of(np.zeros((1, FEATURES)), ARMS)


def winner(plan: Parallel, *made: Attempt) -> int:
    return int(plan.answer(CONTEXTS, Attempts.of(made, "?", ARMS))[0])


def test_the_majority_wins() -> None:
    assert winner(Parallel(ARMS, 1), Attempt(0, "no"), Attempt(1, "Yes."), Attempt(2, "yes")) == 1


def test_a_known_score_outweighs_every_vote() -> None:
    made = Attempt(0, "no", score=0.9), Attempt(1, "yes", score=0.1), Attempt(2, "yes")
    assert winner(Parallel(ARMS, 1), *made) == 0


def test_among_equals_the_surer_wins() -> None:
    made = Attempt(0, "a", logprob=-2.0), Attempt(1, "b", logprob=-0.1), Attempt(2, "c")
    assert winner(Parallel(ARMS, 1), *made) == 1


def test_arms_that_were_right_have_more_weight() -> None:
    plan, (contexts, attempts) = Parallel(ARMS, FEATURES), recorded()
    made = Attempt(0, "a"), Attempt(1, "b"), Attempt(2, "c")
    assert winner(plan, *made) == 0
    plan.update(contexts, attempts)
    assert np.abs(plan.mean_score - attempts.score.mean(axis=0)).max() < 0.02
    assert winner(plan, *made) == 2


def test_agreement_is_better_than_the_best_single_arm() -> None:
    plan, (contexts, attempts) = Parallel(ARMS, FEATURES), recorded(1000)
    plan.update(contexts, attempts)
    contexts, attempts = recorded(1000, seed=1)
    got = follow(plan, contexts, attempts, np.random.default_rng(0)).outcomes
    assert got.score.mean() > attempts.score.mean(axis=0).max() + 0.02
    assert np.allclose(got.cost_usd, 0.021) and np.allclose(got.latency_s, 0.7)


def test_only_the_few_are_asked_unless_none_of_them_may_be() -> None:
    plan = Parallel(ARMS, 1, arms=[0, 2])
    mask = np.array([[True, True, True], [False, True, True], [False, True, False]])
    calls = plan.first(Contexts.of(np.zeros((3, 1)), ARMS, mask=mask), np.random.default_rng(0)).calls
    assert calls.tolist() == [[True, False, True], [False, False, True], [False, True, False]]


@pytest.mark.parametrize("arms", [[], [3], [-1]])
def test_arms_that_are_not_there_are_refused(arms: list[int]) -> None:
    with pytest.raises(BadInput, match="0 to 2"):
        Parallel(ARMS, 1, arms=arms)
