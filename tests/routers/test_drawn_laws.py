"""Routers that draw from a law: the law is the one their papers state, and draws follow it."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.base import Router
from routers.epsilon_greedy import EpsilonGreedy
from routers.round_robin import RoundRobin
from routers.squarecb import SquareCB, inverse_gap_law

ARMS, FEATURES = 4, 3
# Chi-square with 3 degrees of freedom: 1 in 100,000 of right laws would give more, at other seeds.
CHI_SQUARE_LIMIT = 25.9


def learned(router: Router, n: int = 60, seed: int = 0) -> Router:
    """A router that was told of ``n`` outcomes, better the higher the arm's index."""
    rng = np.random.default_rng(seed)
    arms = rng.integers(router.n_arms, size=n)
    score = np.clip(0.3 + 0.15 * arms + rng.normal(0, 0.1, n), 0, 1)
    router.update(
        Contexts.of(rng.normal(size=(n, FEATURES)), router.n_arms),
        arms,
        Outcomes.of(score, 0.001 * 2.0**arms, 0.1 + 0.1 * arms),
        np.full(n, 1 / router.n_arms),
    )
    return router


def asked(n: int = 1, seed: int = 1, mask: np.ndarray | None = None) -> Contexts:
    features = np.random.default_rng(seed).normal(size=(n, FEATURES))
    return Contexts.of(features, ARMS, cost_weight=20.0, mask=mask)


def chi_square(router: Router, contexts: Contexts, law: np.ndarray, draws: int = 40_000) -> float:
    """Of the arms drawn in one context against a law ``(K,)``; infinite if an impossible arm was drawn."""
    arms = router.act(contexts.take(np.zeros(draws, dtype=np.int64)), np.random.default_rng(0)).arms
    counts = np.bincount(arms, minlength=len(law))
    if counts[law == 0].any():
        return np.inf
    expected = draws * law[law > 0]
    return float(((counts[law > 0] - expected) ** 2 / expected).sum())


@pytest.mark.parametrize(
    "router",
    [
        EpsilonGreedy(ARMS, FEATURES, epsilon=0.3),
        EpsilonGreedy(ARMS, FEATURES, epsilon=0.8, decay=0.02),
        SquareCB(ARMS, FEATURES),
        SquareCB(ARMS, FEATURES, fast=True),
    ],
    ids=lambda router: f"{router.name} {router.settings}",
)
@pytest.mark.parametrize("allowed", [(0, 1, 2, 3), (0, 2), (3,)])
def test_arms_are_drawn_by_the_law(router: Router, allowed: tuple[int, ...]) -> None:
    contexts = asked(mask=np.isin(np.arange(ARMS), allowed))
    learned(router)
    law = router.law(contexts)[0]
    assert set(np.flatnonzero(law)) == set(allowed)
    assert chi_square(router, contexts, law) < CHI_SQUARE_LIMIT


def test_a_wrong_law_would_be_noticed() -> None:
    router, contexts = learned(EpsilonGreedy(ARMS, FEATURES, epsilon=0.3)), asked()
    wrong = learned(EpsilonGreedy(ARMS, FEATURES, epsilon=0.33)).law(contexts)[0]
    assert chi_square(router, contexts, wrong) > CHI_SQUARE_LIMIT


def test_epsilon_greedy_states_epsilon_and_its_decay() -> None:
    router = EpsilonGreedy(ARMS, FEATURES, epsilon=0.4, decay=0.05)
    assert router.epsilon == 0.4
    learned(router, n=60)
    assert router.epsilon == pytest.approx(0.4 / (1 + 0.05 * 60))
    contexts = asked(50)
    greedy = router.act(contexts, np.random.default_rng(0), explore=False)
    law = router.law(contexts)
    best = np.zeros_like(law)
    best[np.arange(50), greedy.arms] = 1
    np.testing.assert_allclose(law, 0.9 * best + 0.1 / ARMS)
    # A log without scores does not make the router surer of itself.
    router.update(contexts, greedy.arms, Outcomes.of(np.full(50, np.nan)), greedy.propensities)
    assert router.epsilon == pytest.approx(0.1)


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan")])
def test_an_epsilon_that_is_no_share_is_refused(epsilon: float) -> None:
    with pytest.raises(BadInput, match="epsilon is"):
        EpsilonGreedy(ARMS, FEATURES, epsilon=epsilon)


def test_squarecb_weighs_gaps_as_the_paper_does() -> None:
    router, contexts = learned(SquareCB(ARMS, FEATURES, gamma=5.0, exponent=0.5), n=64), asked(20)
    scores = router.act(contexts, np.random.default_rng(0)).scores.astype(np.float64)
    for row, law in zip(scores, router.law(contexts), strict=True):
        best = int(row.argmax())
        for arm in set(range(ARMS)) - {best}:
            assert law[arm] == pytest.approx(1 / (ARMS + 5 * 8 * (row[best] - row[arm])), rel=1e-6)
        assert law.sum() == pytest.approx(1)


def test_fastcb_weighs_gaps_by_the_loss_of_the_best_arm() -> None:
    router, contexts = learned(SquareCB(ARMS, FEATURES, gamma=5.0, fast=True), n=64), asked(20)
    scores = router.act(contexts, np.random.default_rng(0)).scores.astype(np.float64)
    for row, law in zip(scores, router.law(contexts), strict=True):
        best = int(row.argmax())
        loss = 1 - row[best]
        assert loss > 0.01
        for arm in set(range(ARMS)) - {best}:
            assert law[arm] == pytest.approx(loss / (ARMS * loss + 5 * 8 * (row[best] - row[arm])), rel=1e-6)


@pytest.mark.parametrize("fast", [False, True])
def test_a_masked_arm_is_as_if_it_did_not_exist(fast: bool) -> None:
    utilities, mask = np.array([[0.3, 0.8, 0.5, 0.6]]), np.array([[True, False, True, True]])
    without = inverse_gap_law(utilities[:, mask[0]], np.ones((1, 3), dtype=bool), 7.0, fast=fast)
    np.testing.assert_allclose(inverse_gap_law(utilities, mask, 7.0, fast=fast)[mask], without[0])


def test_fastcb_never_stops_exploring() -> None:
    perfect = np.array([[1.2, 0.0]])
    assert (inverse_gap_law(perfect, np.ones((1, 2), dtype=bool), 1e3, fast=True) > 0).all()


def test_round_robin_takes_turns_among_the_arms_allowed() -> None:
    router, rng, turns = RoundRobin(ARMS, FEATURES), np.random.default_rng(0), []
    for step in range(12):
        # The second arm is down for the first half.
        contexts = asked(mask=np.array([True, step >= 6, True, True]))
        decision = router.act(contexts, rng)
        turns.append(int(decision.arms[0]))
        router.update(contexts, decision.arms, Outcomes.of(np.array([np.nan])), decision.propensities)
    assert turns[:6] == [0, 2, 3, 0, 2, 3]
    # Back again, it catches up before the others go on.
    assert turns[6:] == [1, 1, 0, 1, 2, 3]
