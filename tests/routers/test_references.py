"""The routers that know nothing of the prompt, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers import make
from routers.fixed import FixedRouter
from routers.per_task import BestPerTask
from routers.ucb import UCB1
from routers.zero import ZeroCost, ZeroRouter

RNG = np.random.default_rng(0)


def objects(*values: str | None) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def test_zero_moves_along_the_hull_of_fixed_arms() -> None:
    # The middle arm is below the chord from the cheap to the dear one: no cost weight should ever choose it.
    outcomes = Outcomes.of(np.tile([0.2, 0.4, 0.9], (5, 1)), np.tile([1.0, 5.0, 8.0], (5, 1)))
    contexts = Contexts.of(np.zeros((5, 1)), 3)
    router = ZeroRouter(3, 1).fit(contexts, outcomes)
    weights = np.linspace(0, 0.3, 31)
    chosen = router.act(Contexts.of(np.zeros((31, 1)), 3, cost_weight=weights), RNG).arms
    assert set(chosen.tolist()) == {0, 2}
    assert (chosen == np.where(weights < 0.1, 2, 0))[np.abs(weights - 0.1) > 1e-6].all()


def test_zero_cost_is_told_apart_by_length_alone() -> None:
    length = np.linspace(-1, 1, 100, dtype=np.float32)[:, None]
    contexts = Contexts.of(length, 2)
    costs = np.hstack([0 * length + 0.001, 0.01 * (1.5 + length)])
    router = ZeroCost(2, 1).fit(contexts, Outcomes.of(np.tile([0.5, 0.7], (100, 1)), costs))
    chosen = router.act(Contexts.of(length, 2, cost_weight=14.0), RNG).arms
    # The dear arm is worth its price where 14 * (0.01 * (1.5 + length) - 0.001) < 0.2, that is below about 0.03.
    assert (chosen == (length[:, 0] < 0.03))[np.abs(length[:, 0] - 0.03) > 0.03].all()


def test_task_means_are_shrunk_by_tau_observations() -> None:
    contexts = Contexts.of(np.zeros((4, 1)), 1, task=objects("a", "a", "a", "b"))
    router = BestPerTask(1, 1, tau=2.0).fit(contexts, Outcomes.of(np.array([[1.0], [1.0], [1.0], [0.0]])))
    asked = Contexts.of(np.zeros((4, 1)), 1, task=objects("a", "b", "c", None))
    expected = [(3 * 1 + 2 * 0.75) / 5, (0 + 2 * 0.75) / 3, 0.75, 0.75]
    np.testing.assert_allclose(router.predict(asked).score[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(router.predict(Contexts.of(np.zeros((1, 1)), 1)).score, [[0.75]])


def test_an_arm_not_seen_on_a_task_gets_its_global_mean() -> None:
    contexts = Contexts.of(np.zeros((2, 1)), 2, task=objects("a", "b"))
    router = BestPerTask(2, 1, tau=0.0).fit(contexts, Outcomes.of(np.array([[1.0, np.nan], [0.0, 0.6]])))
    np.testing.assert_allclose(router.predict(contexts).score, [[1.0, 0.6], [0.0, 0.6]], rtol=1e-6)


def test_ucb1_equals_the_formula_by_hand() -> None:
    router, contexts = UCB1(2, 1), Contexts.of(np.zeros((1, 1)), 2)
    arms, scores = np.array([0, 0, 0, 1]), np.array([1.0, 0.0, 0.5, 0.4])
    router.update(Contexts.of(np.zeros((4, 1)), 2), arms, Outcomes.of(scores), np.ones(4))
    expected = [0.5 + np.sqrt(2 * np.log(4) / 3), 0.4 + np.sqrt(2 * np.log(4) / 1)]
    np.testing.assert_allclose(router.act(contexts, RNG).scores, [expected], rtol=1e-6)


def test_ucb1_tries_every_allowed_arm_once_first() -> None:
    router, seen = UCB1(4, 1), []
    contexts = Contexts.of(np.zeros((1, 1)), 4, mask=np.array([True, False, True, True]))
    for _ in range(3):
        arms = router.act(contexts, RNG).arms
        router.update(contexts, arms, Outcomes.of(np.ones(1)), np.ones(1))
        seen.append(int(arms[0]))
    assert seen == [0, 2, 3]


def test_fixed_gives_way_to_the_lowest_allowed_arm() -> None:
    mask = np.array([[True, True, True], [False, True, False], [True, True, False]])
    assert FixedRouter(3, 1, arm=2).act(Contexts.of(np.zeros((3, 1)), 3, mask=mask), RNG).arms.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("name", "wrong"), [("fixed", {"arm": 3}), ("ucb1", {"alpha": -1}), ("best_per_task", {"tau": -1})]
)
def test_settings_out_of_range_are_refused(name: str, wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        make(name, 3, 1, **wrong)
