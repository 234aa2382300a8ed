"""Bootstrapped Thompson: each replicate is an ordinary linear model of its own resample, and the law is their vote."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.base import PRIOR_SCORE, RouterState
from routers.bootstrap_thompson import BootstrapThompson
from routers.linear import with_constant

ARMS, FEATURES, REPLICATES, RIDGE = 3, 2, 16, 2.0


def built(**settings: float) -> BootstrapThompson:
    return BootstrapThompson(ARMS, FEATURES, **{"replicates": REPLICATES, "ridge": RIDGE, **settings})


def log(n: int = 40, seed: int = 0) -> tuple[Contexts, np.ndarray, Outcomes]:
    rng = np.random.default_rng(seed)
    contexts = Contexts.of(rng.normal(size=(n, FEATURES)), ARMS, cost_weight=10.0)
    arms = rng.integers(ARMS, size=n)
    return contexts, arms, Outcomes.of(rng.random(n), 0.01 * (1 + arms))


def taught(n: int = 40, **settings: float) -> BootstrapThompson:
    router, (contexts, arms, outcomes) = built(**settings), log(n)
    router.update(contexts, arms, outcomes, np.ones(n))
    return router


@pytest.mark.parametrize("n", [0, 12, 40])
def test_draws_follow_the_law_and_the_law_is_the_vote_of_the_replicates(n: int) -> None:
    router, asked, draws = taught(n), log(5, seed=1)[0], 40_000
    law = router.law(asked)
    np.testing.assert_array_equal(law * REPLICATES, np.round(law * REPLICATES))
    assert (law.max(axis=1) < 1).any(), "nothing to draw"
    for row in range(len(asked)):
        decision = router.act(asked.take(np.full(draws, row)), np.random.default_rng(0))
        shares = np.bincount(decision.arms, minlength=ARMS) / draws
        assert (np.abs(shares - law[row]) <= 4 * np.sqrt(law[row] * (1 - law[row]) / draws)).all()
        np.testing.assert_array_equal(decision.propensities, law[row][decision.arms])


def test_every_replicate_is_ridge_regression_of_its_resample_about_its_random_function() -> None:
    contexts, arms, outcomes = log()
    arrays = taught().state().arrays
    x = with_constant(contexts.features).astype(np.float64)
    for at in range(REPLICATES):
        for arm in range(ARMS):
            mine = np.flatnonzero(arms == arm)
            times = np.array([np.random.default_rng([0, 1 + row]).poisson(1.0, REPLICATES)[at] for row in mine])
            own, prior = np.repeat(mine, times), np.diag([RIDGE] * FEATURES + [1.0])
            start = arrays["random"][at, arm].astype(np.float64)
            # The posterior mean under a prior about the random function, solved at once.
            residual = outcomes.score[own] - PRIOR_SCORE - x[own] @ start
            theta = start + np.linalg.solve(x[own].T @ x[own] + prior, x[own].T @ residual)
            np.testing.assert_allclose(arrays["theta"][at, 0, arm] + start, theta, atol=1e-5)


def test_a_replicate_votes_by_its_own_scores_and_the_expected_cost_of_all() -> None:
    router, asked = taught(12), log(30, seed=1)[0]
    arrays, x = router.state().arrays, with_constant(asked.features)
    cost = router.predict(asked).cost_usd
    weights = arrays["theta"][:, 0] + arrays["random"]
    votes = [(PRIOR_SCORE + x @ own.T - 10.0 * cost).argmax(axis=1) for own in weights]
    counts = (np.stack(votes)[:, :, None] == np.arange(ARMS)).sum(axis=0)
    np.testing.assert_array_equal(router.law(asked) * REPLICATES, counts)


def test_the_spread_of_the_replicates_is_that_of_the_prior_and_falls_with_data() -> None:
    router, asked = built(replicates=400, v=0.5), Contexts.of(np.zeros((1, FEATURES)), ARMS)

    def spread(arm: int) -> float:
        arrays = router.state().arrays
        return float((arrays["theta"][:, 0, arm, -1] + arrays["random"][:, arm, -1]).std())

    # The constant's prior precision is 1; 400 draws tell their standard deviation to 4 percent.
    assert spread(0) == pytest.approx(0.5, rel=0.15)
    np.testing.assert_allclose(router.predict(asked).score, PRIOR_SCORE, atol=1e-5)
    scores = np.random.default_rng(0).random(100)
    router.update(asked.take([0] * 100), np.zeros(100, dtype=np.int64), Outcomes.of(scores), np.ones(100))
    # A mean of 100 scores of standard deviation 0.29.
    assert spread(0) == pytest.approx(0.029, rel=0.3)
    assert spread(1) == pytest.approx(0.5, rel=0.15)


def test_a_table_teaches_about_what_the_same_outcomes_teach_one_by_one() -> None:
    contexts, arms, outcomes = log(600)
    chosen = arms[:, None] == np.arange(ARMS)
    table = Outcomes.of(*(np.where(chosen, v[:, None], np.nan) for v in (outcomes.score, outcomes.cost_usd)))
    offline, online = built(replicates=50).fit(contexts, table), taught(600, replicates=50)
    asked = log(20, seed=1)[0]
    one, other = offline.predict(asked), online.predict(asked)
    np.testing.assert_allclose(one.score, other.score, atol=0.02)
    np.testing.assert_allclose(one.cost_usd, other.cost_usd, rtol=0.02)


def test_one_row_at_a_time_or_all_at_once_teach_the_same() -> None:
    contexts, arms, outcomes = log()
    router = built()
    for row in range(len(arms)):
        at = slice(row, row + 1)
        router.update(contexts.take(at), arms[at], outcomes.take(at), np.ones(1))
        if row == 20:
            router = BootstrapThompson.from_state(RouterState(router.state().config, router.state().arrays))
    for name, array in taught().state().arrays.items():
        np.testing.assert_array_equal(array, router.state().arrays[name])


def test_an_added_arm_has_the_random_functions_it_would_have_had_from_the_start() -> None:
    grown, whole = built(), BootstrapThompson(ARMS + 1, FEATURES, replicates=REPLICATES, ridge=RIDGE)
    grown.add_arm()
    for name, array in whole.state().arrays.items():
        np.testing.assert_array_equal(array, grown.state().arrays[name])


@pytest.mark.parametrize("setting", [{"replicates": 1}, {"v": -0.5}, {"ridge": 0}, {"v": float("nan")}])
def test_settings_that_cannot_be_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(setting))):
        built(**setting)
