"""The dial map: read off a validation frontier."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from env.contexts import Outcomes
from routers.dial import cost_weights, fit_dial, upper_hull


def outcomes_of(seed: int, n: int = 200, n_arms: int = 4) -> Outcomes:
    rng = np.random.default_rng(seed)
    ability = np.sort(rng.random(n_arms))
    cost = np.sort(rng.random(n_arms)) * 0.01
    score = (rng.random((n, n_arms)) < ability).astype(float)
    return Outcomes.of(score, np.tile(cost, (n, 1)))


def global_means(outcomes: Outcomes, weight: float) -> np.ndarray:
    worth = outcomes.score.mean(0) - weight * outcomes.cost_usd.mean(0)
    return np.full(len(outcomes), int(np.argmax(worth)))


@given(st.integers(0, 500))
def test_the_dial_runs_from_cheapest_to_best(seed: int) -> None:
    outcomes = outcomes_of(seed)
    dial_map, frontier = fit_dial(lambda w: global_means(outcomes, w), outcomes, cost_weights(outcomes))
    assert dial_map.dial[0] == 0 and dial_map.dial[-1] == 1
    assert frontier["cost_usd"] == sorted(frontier["cost_usd"])
    assert frontier["score"] == sorted(frontier["score"])
    cheapest, best = outcomes.cost_usd.mean(0).min(), outcomes.score.mean(0).max()
    assert np.isclose(frontier["cost_usd"][0], cheapest, rtol=1e-5)
    assert np.isclose(frontier["score"][-1], best, rtol=1e-5)


@given(st.integers(0, 500))
def test_any_rule_gets_a_dial(seed: int) -> None:
    outcomes, rng = outcomes_of(seed, n=40), np.random.default_rng(seed)
    dial_map, frontier = fit_dial(lambda w: rng.integers(0, 4, 40), outcomes, cost_weights(outcomes))
    assert dial_map.dial[0] == 0 and dial_map.dial[-1] == 1
    assert len(frontier["dial"]) == len(frontier["cost_usd"]) >= 1
    assert frontier["score"] == sorted(frontier["score"])


def test_a_rule_of_few_outcomes_reaches_each_of_them() -> None:
    """Three arms on the hull, the middle one close to the cheapest: no dial may skip it."""
    outcomes = Outcomes.of(np.tile([0.2, 0.5, 0.9], (50, 1)), np.tile([0.001, 0.0015, 0.02], (50, 1)))
    dial_map, _ = fit_dial(lambda w: global_means(outcomes, w), outcomes, cost_weights(outcomes))
    reached = {int(global_means(outcomes, float(weight))[0]) for weight in dial_map(np.linspace(0, 1, 21))}
    assert reached == {0, 1, 2}


def test_without_costs_there_is_nothing_to_dial() -> None:
    outcomes = Outcomes.of(np.random.default_rng(0).random((10, 3)))
    dial_map, frontier = fit_dial(lambda w: np.zeros(10, dtype=int), outcomes, cost_weights(outcomes))
    assert frontier["dial"] == []
    assert dial_map(0.5) == 0


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=30))
def test_no_point_lies_above_the_hull(points: list[tuple[int, int]]) -> None:
    cost, score = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    hull = upper_hull(cost, score)
    assert (np.diff(cost[hull]) > 0).all() and (np.diff(score[hull]) > 0).all()
    reached = np.interp(cost, cost[hull], score[hull])
    inside = cost >= cost[hull[0]]
    assert (score[inside] <= reached[inside] + 1e-9).all()
