"""LinUCB that watches its errors: it starts a changed arm again and no other, and states its law."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers import RouterState
from routers.discounted import DiscountedLinUCB
from routers.watchful import WatchfulLinUCB

ARMS, FEATURES = 3, 4


def told(router: DiscountedLinUCB, arm: int, n: int, score: float, cost: float = 0.01, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    contexts = Contexts.of(rng.normal(size=(n, FEATURES)) / 2, ARMS)
    outcomes = Outcomes.of(score + rng.normal(0, 0.1, n), cost * rng.uniform(0.8, 1.2, n))
    router.update(contexts, np.full(n, arm), outcomes, np.ones(n))


def counts(router: DiscountedLinUCB) -> np.ndarray:
    return router.state().arrays["count"][0]


def test_in_a_world_that_stands_still_it_learns_what_the_discounted_router_learns() -> None:
    watchful, plain = WatchfulLinUCB(ARMS, FEATURES), DiscountedLinUCB(ARMS, FEATURES)
    for arm in range(ARMS):
        for router in (watchful, plain):
            told(router, arm, 300, 0.3 + 0.2 * arm, seed=arm)
    for name, array in plain.state().arrays.items():
        np.testing.assert_array_equal(watchful.state().arrays[name], array)


@pytest.mark.parametrize(("score", "cost"), [(0.2, 0.01), (1.0, 0.01), (0.6, 1e-4), (0.6, 1.0)])
def test_a_change_of_score_or_price_either_way_starts_the_arm_again_and_no_other(score: float, cost: float) -> None:
    router = WatchfulLinUCB(ARMS, FEATURES)
    for arm in range(ARMS):
        told(router, arm, 100, 0.6, seed=arm)
    told(router, 1, 10, score, cost, seed=9)
    weights = counts(router) / router.state().arrays["clock"][1]
    assert (weights[[0, 2]] > 40).all() and weights[1] <= 10


def test_the_arm_forgotten_is_as_a_new_one() -> None:
    router, fresh = WatchfulLinUCB(ARMS, FEATURES), WatchfulLinUCB(ARMS, FEATURES)
    told(router, 1, 50, 0.9)
    router._posterior.forget(1)
    for name in ("inverse", "theta", "count", "total", "gram", "moment", "missing"):
        np.testing.assert_array_equal(router.state().arrays[name], fresh.state().arrays[name])


def test_probes_are_uniform_over_the_arms_allowed() -> None:
    router = WatchfulLinUCB(ARMS, FEATURES, epsilon=0.3)
    told(router, 2, 100, 0.95)
    told(router, 0, 100, 0.1)
    told(router, 1, 100, 0.1)
    law = router.law(Contexts.of(np.zeros((1, FEATURES)), ARMS, mask=np.array([True, False, True])))
    np.testing.assert_allclose(law, [[0.15, 0, 0.85]])


def test_saved_in_the_middle_of_a_suspicion_it_goes_on_alike() -> None:
    router = WatchfulLinUCB(ARMS, FEATURES)
    told(router, 0, 60, 0.8)
    told(router, 0, 1, 0.3, seed=1)
    loaded = WatchfulLinUCB.from_state(RouterState(router.state().config, router.state().arrays))
    for learner in (router, loaded):
        told(learner, 0, 4, 0.3, seed=2)
    np.testing.assert_array_equal(counts(router), counts(loaded))
    assert counts(router)[0] < 20


@pytest.mark.parametrize("setting", [{"epsilon": 1.1}, {"epsilon": -0.1}, {"threshold": 0.0}])
def test_settings_that_cannot_be_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(setting))):
        WatchfulLinUCB(ARMS, FEATURES, **setting)
