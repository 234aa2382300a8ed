"""The ridge router and its solver against scikit-learn and against leave-one-out done the long way."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import linear_model

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers import make
from routers.least_squares import ALPHAS, advantage_errors, fit_linear, plainest
from routers.placebo import Placebo
from routers.ridge import Ridge


def data(n: int = 80, d: int = 5, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d)).astype(np.float32)
    y = (0.5 + 0.2 * x @ rng.normal(size=(d, k)) + rng.normal(0, 0.1, (n, k))).astype(np.float32)
    return x, y


@pytest.mark.parametrize("alpha", [0.0, 0.1, 10.0, 1e4])
def test_solution_equals_scikit_learn(alpha: float) -> None:
    x, y = data()
    ours, theirs = fit_linear(x, y, alpha), linear_model.Ridge(alpha=alpha).fit(x, y)
    np.testing.assert_allclose(ours.weights.T, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_, atol=1e-5)


def test_gaps_are_left_out_target_by_target() -> None:
    x, y = data()
    y[np.random.default_rng(1).random(y.shape) < 0.4] = np.nan
    together = fit_linear(x, y, 1.0)
    for arm in range(y.shape[1]):
        seen = ~np.isnan(y[:, arm])
        alone = fit_linear(x[seen], y[seen][:, [arm]], 1.0)
        np.testing.assert_allclose(together.weights[:, arm], alone.weights[:, 0], atol=1e-6)
        np.testing.assert_allclose(together.intercept[arm], alone.intercept[0], atol=1e-6)


def test_a_target_never_observed_is_unknown() -> None:
    x, y = data()
    y[:, 1] = np.nan
    fitted = fit_linear(x, y, 1.0)
    assert np.isnan(fitted(x)).tolist()[0] == [False, True, False]


def test_alpha_is_the_one_that_refitting_without_each_row_would_choose() -> None:
    x, y = data(n=40)
    y = y + np.random.default_rng(2).normal(0, 1, y.shape).astype(np.float32)
    errors = []
    for alpha in ALPHAS:
        left_out = np.empty_like(y)
        for row in range(len(x)):
            others = np.arange(len(x)) != row
            left_out[row] = fit_linear(x[others], y[others], alpha)(x[[row]])
        errors.append(advantage_errors(y - left_out))
    assert fit_linear(x, y).alpha == ALPHAS[plainest(errors)]


def test_features_that_say_nothing_are_all_but_ignored() -> None:
    x, _ = data(n=300)
    noise = np.random.default_rng(3).random((300, 3)).astype(np.float32)
    assert fit_linear(x, noise).alpha >= 100


def test_equal_features_are_no_obstacle() -> None:
    fitted = fit_linear(np.ones((6, 2), dtype=np.float32), np.arange(6, dtype=np.float32)[:, None], 0.0)
    np.testing.assert_allclose(fitted(np.ones((1, 2), dtype=np.float32)), [[2.5]], atol=1e-5)


def test_scores_are_predicted_within_their_range() -> None:
    x, _ = data()
    contexts = Contexts.of(x, 2)
    router = Ridge(2, 5, alpha=1e-3).fit(contexts, Outcomes.of(np.clip(x[:, :2], 0, 1)))
    score = router.predict(Contexts.of(100 * x, 2)).score
    assert score.min() == 0 and score.max() == 1


def test_cost_is_predicted_per_query_within_ten_times_either_way() -> None:
    length = np.linspace(-1, 1, 200, dtype=np.float32)[:, None]
    contexts = Contexts.of(length, 2)
    outcomes = Outcomes.of(np.ones((200, 2)), cost_usd=np.hstack([0.01 + 0.005 * length, 1 + 0 * length]))
    costs = Ridge(2, 1).fit(contexts, outcomes).predict(contexts).cost_usd
    np.testing.assert_allclose(costs, outcomes.cost_usd, rtol=0.01)
    far = Ridge(2, 1).fit(contexts, outcomes).predict(Contexts.of(np.array([[1e3], [-1e3]]), 2)).cost_usd
    np.testing.assert_allclose(far[:, 0], [0.1, 0.001], rtol=1e-4)
    flat = Ridge(2, 1, predict_cost=False).fit(contexts, outcomes).predict(contexts).cost_usd
    np.testing.assert_allclose(flat, np.tile([0.01, 1.0], (200, 1)), rtol=1e-5)


def test_placebo_learns_nothing_from_the_prompt() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)).astype(np.float32)
    outcomes = Outcomes.of((x[:, :1] > 0) == np.array([[True, False]]))
    contexts, unseen = Contexts.of(x, 2), Contexts.of(rng.normal(size=(400, 3)), 2)
    right = (unseen.features[:, 0] <= 0).astype(int)
    told = Ridge(2, 3).fit(contexts, outcomes).act(unseen, rng).arms
    untold = Placebo(2, 3).fit(contexts, outcomes).act(unseen, rng).arms
    assert (told == right).mean() > 0.9
    assert 0.3 < (untold == right).mean() < 0.7


def test_a_negative_penalty_is_refused() -> None:
    with pytest.raises(BadInput, match="alpha is -1"):
        make("ridge", 2, 2, alpha=-1.0)
