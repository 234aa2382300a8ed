"""The logistic router and its solver against scikit-learn and against leave-one-out done the long way."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.least_squares import ALPHAS, advantage_errors, plainest
from routers.logistic import LogisticRouter
from routers.logistic_regression import Problem, fit_logistic, sigmoid
from tests.conftest import needs


def data(n: int = 80, d: int = 5, k: int = 3, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d)).astype(np.float32)
    expected = sigmoid(slope * x @ rng.normal(size=(d, k)) + 0.7)
    return x, np.clip(expected + rng.normal(0, 0.2, (n, k)), 0, 1).astype(np.float32)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 100.0])
def test_solution_equals_scikit_learn_on_soft_labels(alpha: float) -> None:
    needs("train", "the comparison with scikit-learn")
    from sklearn.linear_model import LogisticRegression

    x, y = data()
    ours = fit_logistic(x, y, alpha)
    twice, label = np.vstack([x, x]), np.repeat([1, 0], len(x))
    for arm in range(y.shape[1]):
        # A soft label is a success of that weight and a failure of the rest.
        weight = np.concatenate([y[:, arm], 1 - y[:, arm]])
        theirs = LogisticRegression(C=1 / alpha, tol=1e-10, max_iter=2_000).fit(twice, label, weight)
        np.testing.assert_allclose(ours.weights[:, arm], theirs.coef_[0], atol=2e-3)
        np.testing.assert_allclose(ours.intercept[arm], theirs.intercept_[0], atol=2e-3)


def loss(x: np.ndarray, y: np.ndarray, alpha: float, weights: np.ndarray, intercept: np.ndarray) -> float:
    logits = x @ weights + intercept
    cells = np.logaddexp(0, logits) - np.where(np.isnan(y), 0, y) * logits
    return float(np.where(np.isnan(y), 0, cells).sum() + alpha / 2 * (weights**2).sum())


@pytest.mark.parametrize("rank", [None, 1])
def test_no_step_makes_the_fit_worse(rank: int | None) -> None:
    x, y = data(slope=3.0)
    y[np.random.default_rng(1).random(y.shape) < 0.3] = np.nan
    problem = Problem(x, y)
    at, losses = problem.start(), []
    for _ in range(20):
        at = problem.solve(0.5, at, rank=rank, settled=np.inf)  # one step
        losses.append(loss(x, y, 0.5, *problem.features_of(at)))
    assert (np.diff(losses) <= 1e-9).all() and losses[-1] < 0.95 * losses[0]


def test_gaps_are_left_out_target_by_target() -> None:
    x, y = data()
    y[np.random.default_rng(1).random(y.shape) < 0.4] = np.nan
    together = fit_logistic(x, y, 1.0)
    for arm in range(y.shape[1]):
        seen = ~np.isnan(y[:, arm])
        alone = fit_logistic(x[seen], y[seen][:, [arm]], 1.0)
        np.testing.assert_allclose(together.weights[:, arm], alone.weights[:, 0], atol=1e-3)
        np.testing.assert_allclose(together.intercept[arm], alone.intercept[0], atol=1e-3)


def test_a_target_never_observed_is_unknown() -> None:
    x, y = data()
    y[:, 1] = np.nan
    assert np.isnan(fit_logistic(x, y, 1.0)(x)).tolist()[0] == [False, True, False]


def test_left_out_residuals_are_those_of_refitting_without_the_row() -> None:
    x, y = data(n=60)
    told = dict(zip(ALPHAS[::-1], Problem(x, y).left_out(ALPHAS), strict=True))
    for alpha in (ALPHAS[2], ALPHAS[6]):
        refitted = np.empty(y.shape)
        for row in range(len(x)):
            others = np.arange(len(x)) != row
            refitted[row] = y[row] - fit_logistic(x[others], y[others], alpha)(x[[row]])[0]
        kept = np.square(y - fit_logistic(x, y, alpha)(x)).mean()
        # To first order: nearer to the truth than the residuals of the fit itself by far.
        assert np.square(told[alpha] - refitted).mean() < 0.02 * np.square(refitted).mean()
        assert abs(np.square(told[alpha]).mean() - np.square(refitted).mean()) < 0.3 * (
            np.square(refitted).mean() - kept
        )


def test_alpha_is_the_one_that_refitting_without_each_row_would_choose() -> None:
    x, y = data(n=40)
    errors = []
    for alpha in ALPHAS:
        left_out = np.empty_like(y)
        for row in range(len(x)):
            others = np.arange(len(x)) != row
            left_out[row] = fit_logistic(x[others], y[others], alpha)(x[[row]])
        errors.append(advantage_errors(y - left_out))
    exact = plainest(errors)
    assert abs(ALPHAS.index(fit_logistic(x, y).alpha) - exact) <= 1  # half a decade


def test_features_that_say_nothing_are_all_but_ignored() -> None:
    x, _ = data(n=300)
    noise = np.random.default_rng(3).random((300, 3)).astype(np.float32)
    assert fit_logistic(x, noise).alpha >= 100


def test_an_arm_that_is_always_right_stays_finite() -> None:
    x, y = data()
    y[:, 0] = 1
    router = LogisticRouter(3, 5).fit(Contexts.of(x, 3), Outcomes.of(y))
    score = router.predict(Contexts.of(100 * x, 3)).score
    assert np.isfinite(score).all() and (score >= 0).all() and (score <= 1).all()
    assert router.predict(Contexts.of(x, 3)).score[:, 0].min() > 0.9


def test_a_penalty_must_be_above_zero() -> None:
    with pytest.raises(BadInput, match="alpha is 0"):
        LogisticRouter(2, 3, alpha=0)
