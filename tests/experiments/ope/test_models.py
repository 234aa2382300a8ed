"""Cross-fitted models: what a row is told by others, never by itself."""

from __future__ import annotations

import numpy as np
import pytest

from env.reward_model import folds
from experiments.ope.logs import BanditLog
from experiments.ope.models import PENALTIES, cross_fitted


def made(n: int = 300, seed: int = 0, **changes) -> tuple[BanditLog, np.ndarray]:
    """Arm 0 is good where the first feature is high, arm 1 where it is low."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=(n, 3)).astype(np.float32)
    arms = rng.integers(2, size=n)
    rewards = np.clip(0.5 + np.where(arms == 0, 0.4, -0.4) * x[:, 0] + rng.normal(0, 0.05, n), 0, 1)
    given = {"actions": arms, "rewards": rewards, "propensities": np.full(n, 0.5), **changes}
    return BanditLog.of(["a", "b"], **given), x


def test_each_arm_has_a_line_of_its_own() -> None:
    log, x = made()
    expected = cross_fitted(log, x)
    np.testing.assert_allclose(expected, np.stack([0.5 + 0.4 * x[:, 0], 0.5 - 0.4 * x[:, 0]], axis=1), atol=0.06)


def test_no_row_has_a_say_in_what_is_expected_of_its_own_prompt() -> None:
    groups = np.repeat(np.arange(100), 3)
    log, x = made(groups=groups)
    before = cross_fitted(log, x)
    rewards = log.rewards.copy()
    rewards[groups == 7] = 1 - rewards[groups == 7]
    other, _ = made(groups=groups, rewards=rewards)
    after = cross_fitted(other, x)
    fold = folds(groups)
    own = fold == fold[groups == 7][0]
    np.testing.assert_array_equal(before[own], after[own])
    assert np.abs(before[~own] - after[~own]).max() > 0


def test_it_is_weighted_least_squares_by_hand() -> None:
    """Against a solve of the normal equations, at the penalty that it chose."""
    log, x = made(60)
    weights = np.random.default_rng(1).uniform(0.1, 3, 60)
    fold = folds(log.groups)
    found = cross_fitted(log, x, weights)
    part = 2
    scaled = weights / weights.mean()
    candidates = []
    for penalty in PENALTIES:
        said = np.empty((int((fold == part).sum()), 2))
        common = scaled[fold != part] @ log.rewards[fold != part] / scaled[fold != part].sum()
        for arm in range(2):
            rows = (fold != part) & (log.actions == arm)
            w, r, z = scaled[rows], log.rewards[rows], x[rows].astype(np.float64)
            centre, mean = w @ z / w.sum(), w @ r / w.sum()
            gram = ((z - centre) * w[:, None]).T @ (z - centre) + penalty * np.eye(3)
            slope = np.linalg.solve(gram, ((z - centre) * w[:, None]).T @ (r - mean))
            drawn = (w @ r + common) / (w.sum() + 1)
            said[:, arm] = (x[fold == part] - centre) @ slope + drawn
        candidates.append(np.abs(np.clip(said, 0, 1) - found[fold == part]).max())
    assert min(candidates) < 1e-6


def test_an_arm_that_others_never_chose_is_expected_to_be_like_all() -> None:
    log, x = made(50, actions=np.r_[1, np.zeros(49, dtype=int)], rewards=np.r_[1.0, np.full(49, 0.25)])
    expected = cross_fitted(log, x)
    assert expected[0, 1] == pytest.approx(0.25)
    assert np.isfinite(expected).all()


def test_features_that_say_nothing_leave_the_mean() -> None:
    rng = np.random.default_rng(3)
    log, _ = made(400, rewards=rng.random(400))
    noise = rng.normal(size=(400, 40)).astype(np.float32)
    assert cross_fitted(log, noise).std() < 0.05


def test_what_is_expected_stays_where_rewards_can_be() -> None:
    log, x = made()
    expected = cross_fitted(log, 5 * x)
    assert expected.min() >= 0
    assert expected.max() <= 1


def test_weights_of_zero_leave_the_mean_of_none() -> None:
    log, x = made(propensities=np.ones(300))
    assert np.isfinite(cross_fitted(log, x, np.zeros(300))).all()
