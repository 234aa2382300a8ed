"""Learning from which of two answers was preferred: the laws of a duel, one step, and a world of preferences alone."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.fgts import FGTS
from routers.logistic_regression import sigmoid
from routers.normal_law import argmax_law

ARMS, FEATURES = 4, 6


def queries(n: int, seed: int = 0, **given: object) -> Contexts:
    rows = np.random.default_rng(seed).normal(size=(n, FEATURES)) / np.sqrt(FEATURES)
    return Contexts.of(rows, ARMS, **given)  # type: ignore[arg-type]  # whatever Contexts.of takes


def qualities(contexts: Contexts, seed: int = 1) -> np.ndarray:
    """``(n, K)`` expected scores, linear in the features."""
    rng = np.random.default_rng(seed)
    weights, level = rng.normal(0, 0.4, (FEATURES, ARMS)), rng.normal(0, 0.1, ARMS)
    return np.clip(0.5 + contexts.features @ weights + level, 0, 1)


def verdicts(quality: np.ndarray, first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each answer is right or wrong; the right one is preferred, and two alike are a tie."""
    rows = np.arange(len(quality))
    right = [rng.random(len(quality)) < quality[rows, arms] for arms in (first, second)]
    return np.asarray(0.5 + 0.5 * (right[0].astype(float) - right[1]))


def random_duels(contexts: Contexts, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    first = rng.integers(ARMS, size=len(contexts))
    return first, (first + rng.integers(1, ARMS, size=len(contexts))) % ARMS


def taught(n: int = 300, seed: int = 0, **settings: float) -> FGTS:
    """A router that was told of ``n`` random duels."""
    contexts, rng = queries(n, seed), np.random.default_rng(seed)
    first, second = random_duels(contexts, rng)
    router = FGTS(ARMS, FEATURES, **settings)
    router.prefer(contexts, first, second, verdicts(qualities(contexts), first, second, rng))
    return router


@pytest.mark.parametrize("allowed", [(0, 1, 2, 3), (1, 3)])
def test_a_duel_is_two_independent_draws_from_the_stated_law(allowed: tuple[int, ...]) -> None:
    router, draws = taught(60), 40_000
    contexts = queries(1, 5, mask=np.isin(np.arange(ARMS), allowed))
    law = router.law(contexts)[0]
    first, second = router.duel(contexts.take(np.zeros(draws, dtype=np.int64)), np.random.default_rng(0))
    pairs = np.zeros((ARMS, ARMS))
    np.add.at(pairs, (first.arms, second.arms), 1)
    expected = draws * np.outer(law, law)
    assert (pairs[expected == 0] == 0).all()
    possible = expected > 0
    # 15 and 3 degrees of freedom: 1 in 10,000 of right laws would give more, at other seeds.
    limit = {4: 44.3, 2: 21.1}[len(allowed)]
    assert ((pairs[possible] - expected[possible]) ** 2 / expected[possible]).sum() < limit
    np.testing.assert_allclose(first.propensities, law[first.arms], atol=1e-3)
    np.testing.assert_allclose(second.propensities, law[second.arms], atol=1e-3)


def test_a_batch_of_duels_equals_the_loop() -> None:
    router, contexts = taught(), queries(30, 6)
    together, apart = np.random.default_rng(2), np.random.default_rng(2)
    batch = router.duel(contexts, together)
    rows = [router.duel(contexts.take([row]), apart) for row in range(len(contexts))]
    for side in (0, 1):
        np.testing.assert_array_equal(batch[side].arms, [int(row[side].arms[0]) for row in rows])
    assert together.random() == apart.random()


def test_draws_are_around_the_mean_and_feel_good_where_unsure() -> None:
    contexts = queries(8, 7)
    for feel_good in (0.0, 3.0):
        router = taught(200, feel_good=feel_good, v=0.4)
        inputs = np.column_stack([contexts.features, np.ones(8)])
        variance = 0.16 * np.einsum("nd,kde,ne->nk", inputs, router.state().arrays["inverse"], inputs)
        mean = router.predict(contexts).score + feel_good * variance
        np.testing.assert_allclose(router.law(contexts), argmax_law(mean, np.sqrt(variance)), atol=2e-3)


def test_one_duel_is_one_newton_step_on_two_arms() -> None:
    router, asked = FGTS(ARMS, FEATURES, v=0.5, ridge=2.0, temperature=0.25), queries(1)
    router.prefer(asked, np.array([2]), np.array([0]), np.array([1.0]))
    x = np.append(asked.features[0], 1.0)
    prior = 0.25 * np.diag([*[0.5] * FEATURES, 1.0])
    both = np.concatenate([x, -x])
    covariance = np.kron(np.eye(2), prior)
    # At the prior mean both are as good: the slope is a half over the temperature, the curvature a quarter over its
    # square. The step of the joint model of the two arms, of which each arm keeps its own part.
    precision = np.linalg.inv(covariance) + 0.25 / 0.25**2 * np.outer(both, both)
    joint = np.linalg.inv(precision)
    step = joint @ both * 0.5 / 0.25
    learned = router.state().arrays
    for arm, at in ((2, slice(0, FEATURES + 1)), (0, slice(FEATURES + 1, None))):
        np.testing.assert_allclose(learned["theta"][0, arm], step[at], atol=1e-6)
        np.testing.assert_allclose(0.25 * learned["inverse"][arm], joint[at, at], atol=1e-6)
    for arm in (1, 3):
        np.testing.assert_allclose(0.25 * learned["inverse"][arm], prior, atol=1e-6)


def test_duels_learned_one_by_one_say_what_all_of_them_say_together() -> None:
    n, temperature = 3_000, 0.5
    contexts, rng = queries(n), np.random.default_rng(0)
    first, second = random_duels(contexts, rng)
    won = verdicts(qualities(contexts), first, second, rng)
    router = FGTS(ARMS, FEATURES, temperature=temperature)
    router.prefer(contexts, first, second, won)
    # The most probable scores under the same prior and likelihood, by gradient ascent on all duels.
    inputs = np.column_stack([contexts.features, np.ones(n)])
    sides = np.eye(ARMS)[first] - np.eye(ARMS)[second]
    precision = np.array([*[10.0] * FEATURES, 1.0]) / 0.25
    weights = np.zeros((ARMS, FEATURES + 1))
    for _ in range(400):
        chance = sigmoid(((inputs @ weights.T) * sides).sum(axis=1) / temperature)
        slope = (sides * ((won - chance) / temperature)[:, None]).T @ inputs - precision * weights
        weights += slope / (precision + n / 4 / temperature**2)
    unseen = queries(500, 9)
    expected = np.column_stack([unseen.features, np.ones(500)]) @ weights.T
    found = router.predict(unseen).score
    gaps = [values - values.mean(axis=1, keepdims=True) for values in (expected, found)]
    assert np.corrcoef(gaps[0].ravel(), gaps[1].ravel())[0, 1] > 0.99
    assert (expected.argmax(axis=1) == found.argmax(axis=1)).mean() > 0.95


@pytest.mark.parametrize("seed", [0, 1])
def test_learns_from_preferences_alone_and_regrets_less_and_less(seed: int) -> None:
    n = 2_000
    contexts, rng = queries(n, seed), np.random.default_rng(seed)
    quality = qualities(contexts, seed + 10)
    router, regret = FGTS(ARMS, FEATURES), np.empty(n)
    for row in range(n):
        asked = contexts.take([row])
        first, second = router.duel(asked, rng)
        router.prefer(asked, first.arms, second.arms, verdicts(quality[row : row + 1], first.arms, second.arms, rng))
        regret[row] = quality[row].max() - quality[row, [first.arms[0], second.arms[0]]].mean()
    uniform = float((quality.max(axis=1) - quality.mean(axis=1)).mean())
    quarters = regret.reshape(4, -1).mean(axis=1)
    assert quarters[0] < uniform
    # Growing as the root of the rounds, the last quarter regrets a little over a quarter of what the first does.
    assert quarters[3] < 0.5 * quarters[0]
    assert quarters[3] < 0.35 * uniform


def test_what_nobody_compared_teaches_nothing() -> None:
    router, contexts = taught(), queries(3, 4)
    before = router.state().arrays
    router.prefer(contexts, np.array([0, 1, 2]), np.array([0, 2, 1]), np.array([1.0, np.nan, np.nan]))
    for name, array in router.state().arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_tie_brings_two_arms_together() -> None:
    router, asked = FGTS(ARMS, FEATURES), queries(1)
    router.prefer(asked, np.array([0]), np.array([1]), np.array([1.0]))
    apart = router.predict(asked).score[0]
    router.prefer(asked, np.array([0]), np.array([1]), np.array([0.5]))
    nearer = router.predict(asked).score[0]
    assert 0 < nearer[0] - nearer[1] < apart[0] - apart[1]


def test_bills_of_both_sides_are_learned_and_scores_beside_them_are_not() -> None:
    router, contexts, rng = FGTS(ARMS, FEATURES, ridge=1.0), queries(1_000), np.random.default_rng(0)
    first, second = random_duels(contexts, rng)
    paid = [
        Outcomes.of(np.full(1_000, side), 0.001 * 2.0**arms * (1 + 0.5 * contexts.features[:, 0]), 0.1 + arms)
        for side, arms in ((0.0, first), (1.0, second))
    ]
    router.prefer(contexts, first, second, np.full(1_000, 0.5), (paid[0], paid[1]))
    expected = router.predict(queries(50, 3))
    true = 0.001 * 2.0 ** np.arange(ARMS) * (1 + 0.5 * queries(50, 3).features[:, :1])
    np.testing.assert_allclose(expected.cost_usd, true, rtol=0.15)
    np.testing.assert_allclose(expected.latency_s, np.tile(0.1 + np.arange(ARMS), (50, 1)), rtol=0.15, atol=0.05)
    np.testing.assert_allclose(expected.score, 0.5, atol=1e-6)
    # Nothing tells the arms apart but their price.
    cheap = router.act(queries(50, 3, cost_weight=10.0), rng, explore=False)
    assert (cheap.arms == 0).all()


def test_scores_and_preferences_are_learned_together() -> None:
    contexts, rng = queries(400), np.random.default_rng(0)
    router = FGTS(ARMS, FEATURES)
    router.update(contexts, np.full(400, 1), Outcomes.of(np.full(400, 0.9)), np.ones(400))
    first, second = np.full(400, 2), np.full(400, 1)
    router.prefer(contexts, first, second, np.ones(400))
    assert (router.act(queries(50, 3), rng, explore=False).arms == 2).all()


@pytest.mark.parametrize("won", [1.5, -0.1])
def test_a_verdict_that_is_none_is_refused(won: float) -> None:
    with pytest.raises(BadInput, match=r"won is .* in row 1"):
        FGTS(ARMS, FEATURES).prefer(queries(2), np.zeros(2, int), np.ones(2, int), np.array([1.0, won]))


@pytest.mark.parametrize("settings", [{"v": 0.0}, {"temperature": 0.0}, {"feel_good": -1.0}])
def test_a_setting_out_of_range_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(settings))):
        FGTS(ARMS, FEATURES, **settings)
