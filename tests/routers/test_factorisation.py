"""Matrix factorisation: it finds the abilities, leans on them where an arm was seen little, and knows its rank."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.factorisation import Factorisation
from routers.logistic import LogisticRouter
from routers.logistic_regression import Problem, sigmoid


def abilities(n: int, rank: int, seed: int, d: int = 20, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Chances of a good answer that hang on ``rank`` abilities; the world is the same for every seed."""
    world = np.random.default_rng(0)
    asked, owned = world.normal(size=(d, rank)) / np.sqrt(d), 4 * world.normal(size=(rank, k))
    x = np.random.default_rng([1, seed]).normal(size=(n, d)).astype(np.float32)
    return x, sigmoid(x @ asked @ owned).astype(np.float32)


def test_the_rank_of_the_world_is_found() -> None:
    rng = np.random.default_rng(0)
    for rank in (1, 4):
        x, expected = abilities(1_000, rank, seed=0)
        scores = (rng.random(expected.shape) < expected).astype(np.float32)
        router = Factorisation(10, 20).fit(Contexts.of(x, 10), Outcomes.of(scores))
        assert router.state().arrays["arm_factors"].shape == (rank, 10)


def test_what_was_hidden_is_told_better_than_by_a_model_for_every_arm() -> None:
    x, expected = abilities(300, 2, seed=0)
    rng = np.random.default_rng(1)
    scores = (rng.random(expected.shape) < expected).astype(np.float32)
    scores[rng.random(scores.shape) < 0.7] = np.nan
    contexts, outcomes = Contexts.of(x, 10), Outcomes.of(scores)
    unseen, truth = abilities(1_000, 2, seed=1)

    def error(router: Factorisation | LogisticRouter) -> float:
        predicted = router.fit(contexts, outcomes).predict(Contexts.of(unseen, 10)).score
        return float(np.square(predicted - truth).mean())

    assert error(Factorisation(10, 20, rank=2)) < 0.8 * error(LogisticRouter(10, 20))


def test_full_rank_is_logistic_regression() -> None:
    x, expected = abilities(200, 3, seed=0)
    contexts, outcomes = Contexts.of(x, 10), Outcomes.of(expected)
    full = Factorisation(10, 20, rank=10, alpha=1.0).fit(contexts, outcomes).predict(contexts).score
    np.testing.assert_allclose(full, LogisticRouter(10, 20, alpha=1.0).fit(contexts, outcomes).predict(contexts).score,
                               atol=1e-4)  # fmt: skip


def test_the_factors_are_the_weights() -> None:
    x, expected = abilities(100, 2, seed=0)
    arrays = Factorisation(10, 20, rank=2, alpha=1.0).fit(Contexts.of(x, 10), Outcomes.of(expected)).state().arrays
    problem = Problem(x, expected)
    weights, intercept = problem.features_of(problem.solve(1.0, rank=2))
    np.testing.assert_allclose(arrays["query_factors"] @ arrays["arm_factors"], weights, atol=1e-5)
    np.testing.assert_allclose(arrays["intercept"], intercept, atol=1e-5)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="rank is 0"):
        Factorisation(2, 3, rank=0)
    with pytest.raises(BadInput, match="alpha is -1"):
        Factorisation(2, 3, alpha=-1)
