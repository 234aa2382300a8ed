"""Linear bandits that forget: discounted sums solved by hand, a prior that stays, and recovery after a change."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers import make
from routers.base import PRIOR_SCORE, RouterState
from routers.discounted import DiscountedLinUCB, DiscountedThompson
from routers.linear import with_constant
from routers.linucb import LinUCB

ARMS, FEATURES, RIDGE, GAMMA = 3, 4, 2.0, 0.97


def log(n: int = 120, seed: int = 0, gaps: float = 0.0) -> tuple[Contexts, np.ndarray, Outcomes]:
    rng = np.random.default_rng(seed)
    contexts = Contexts.of(rng.normal(size=(n, FEATURES)), ARMS)
    cost = np.where(rng.random(n) < gaps, np.nan, 0.01 + 0.001 * rng.random(n))
    return contexts, rng.integers(ARMS, size=n), Outcomes.of(rng.random(n), cost, rng.random(n))


def taught(refresh: int = 1, gamma: float = GAMMA) -> DiscountedLinUCB:
    router, (contexts, arms, outcomes) = (
        DiscountedLinUCB(ARMS, FEATURES, ridge=RIDGE, gamma=gamma, refresh=refresh),
        log(),
    )
    router.update(contexts, arms, outcomes, np.ones(len(arms)))
    return router


def test_means_and_widths_are_those_of_discounted_least_squares_with_the_whole_prior() -> None:
    contexts, arms, outcomes = log()
    asked = log(5, seed=1)[0]
    x, inputs = (with_constant(c.features).astype(np.float64) for c in (contexts, asked))
    router = taught()
    decision = router.act(asked, np.random.default_rng(0))
    for arm in range(ARMS):
        weight = np.where(arms == arm, GAMMA ** np.arange(len(arms))[::-1], 0.0)
        inverse = np.linalg.inv((weight[:, None] * x).T @ x + np.diag([RIDGE] * FEATURES + [1.0]))
        mean = PRIOR_SCORE + inputs @ inverse @ (x.T @ (weight * (outcomes.score - PRIOR_SCORE)))
        level = (weight @ outcomes.cost_usd) / weight.sum()
        cost = level + inputs @ inverse @ (x.T @ (weight * (outcomes.cost_usd - level)))
        width = np.sqrt(np.einsum("nd,de,ne->n", inputs, inverse, inputs))
        np.testing.assert_allclose(router.predict(asked).score[:, arm], mean, atol=1e-5)
        np.testing.assert_allclose(router.predict(asked).cost_usd[:, arm], cost, rtol=1e-4)
        np.testing.assert_allclose(decision.scores[:, arm], mean + width, atol=1e-5)


def test_without_forgetting_it_is_linucb() -> None:
    contexts, arms, outcomes = log()
    plain = LinUCB(ARMS, FEATURES, ridge=RIDGE)
    plain.update(contexts, arms, outcomes, np.ones(len(arms)))
    asked = log(20, seed=1)[0]
    for refresh in (1, 7, 1_000):
        one, other = (r.act(asked, np.random.default_rng(0)).scores for r in (plain, taught(refresh, gamma=1.0)))
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_rare_refreshes_forget_almost_the_same() -> None:
    # 120 outcomes: the last refresh is 0 to 8 outcomes ago.
    asked = log(20, seed=1)[0]
    exact = taught().predict(asked).score
    assert np.abs(taught(10).predict(asked).score - exact).max() < 1e-5
    assert 0 < np.abs(taught(14).predict(asked).score - exact).max() < 0.05


def test_an_arm_not_asked_for_long_is_back_at_the_prior() -> None:
    router, fresh, asked = taught(), DiscountedLinUCB(ARMS, FEATURES, ridge=RIDGE), log(5, seed=1)[0]
    others = log(2_000, seed=2)[0]
    router.update(others, np.zeros(2_000, dtype=np.int64), Outcomes.of(np.full(2_000, 0.5)), np.ones(2_000))
    one, other = (r.act(asked, np.random.default_rng(0)).scores for r in (router, fresh))
    np.testing.assert_allclose(one[:, 1:], other[:, 1:], atol=1e-4)
    assert (one[:, 0] < other[:, 0]).all()


def test_a_cost_not_observed_counts_as_the_arms_mean_offline_as_online() -> None:
    contexts, arms, outcomes = log(200, gaps=0.3)
    chosen = arms[:, None] == np.arange(ARMS)
    columns = (outcomes.score, outcomes.cost_usd, outcomes.latency_s)
    table = Outcomes.of(*(np.where(chosen, column[:, None], np.nan) for column in columns))
    online, offline = (DiscountedLinUCB(ARMS, FEATURES, gamma=1.0, refresh=1) for _ in range(2))
    online.update(contexts, arms, outcomes, np.ones(200))
    offline.fit(contexts, table)
    plain = LinUCB(ARMS, FEATURES).fit(contexts, table)
    for router in (online, offline):
        np.testing.assert_allclose(router.predict(contexts).cost_usd, plain.predict(contexts).cost_usd, rtol=1e-3)
        np.testing.assert_allclose(router.predict(contexts).score, plain.predict(contexts).score, atol=1e-4)


def test_saved_between_two_refreshes_it_goes_on_alike() -> None:
    router = taught(refresh=7)
    loaded = DiscountedLinUCB.from_state(RouterState(router.state().config, router.state().arrays))
    contexts, arms, outcomes = log(30, seed=3)
    for learner in (router, loaded):
        learner.update(contexts, arms, outcomes, np.ones(30))
    for name, array in router.state().arrays.items():
        np.testing.assert_array_equal(array, loaded.state().arrays[name])


@pytest.mark.parametrize("plain", ["linucb", "linear_thompson"])
def test_after_a_silent_regression_it_recovers_in_half_the_rounds(plain: str) -> None:
    """The best of three arms falls from 0.9 to 0.3 after 1,000 rounds; the second has 0.6 throughout."""

    def rounds_to_leave(router_name: str, seed: int) -> int:
        router, rng = make(router_name, ARMS, FEATURES), np.random.default_rng(seed)
        left: list[bool] = []
        for step in range(4_000):
            asked = Contexts.of(rng.normal(size=(1, FEATURES)) / 2, ARMS)
            decision = router.act(asked, rng)
            chance = np.array([0.3, 0.6, 0.9 if step < 1_000 else 0.3])[decision.arms]
            router.update(asked, decision.arms, Outcomes.of(rng.random(1) < chance), decision.propensities)
            if step >= 1_000:
                left.append(bool(decision.arms[0] == 1))
                # Two of three of the last fifty rounds on the arm that is now the best.
                if len(left) >= 50 and np.mean(left[-50:]) >= 2 / 3:
                    break
        return len(left)

    forgetful = {"linucb": "discounted_linucb", "linear_thompson": "discounted_thompson"}[plain]
    slow, quick = (np.median([rounds_to_leave(name, seed) for seed in range(3)]) for name in (plain, forgetful))
    assert quick <= slow / 2, (quick, slow)


@pytest.mark.parametrize("kind", [DiscountedLinUCB, DiscountedThompson])
@pytest.mark.parametrize("setting", [{"gamma": 0.0}, {"gamma": 1.01}, {"gamma": float("nan")}, {"refresh": 0}])
def test_settings_that_cannot_be_are_refused(
    kind: type[DiscountedLinUCB | DiscountedThompson], setting: dict[str, float]
) -> None:
    with pytest.raises(BadInput, match=next(iter(setting))):
        kind(ARMS, FEATURES, **setting)
