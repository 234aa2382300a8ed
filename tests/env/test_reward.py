"""The reward, and the dial that prices money."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.contexts import Outcomes
from env.reward import DialMap, Reward

weights = st.floats(0, 1e4, allow_subnormal=False)


@st.composite
def dials(draw: st.DrawFn) -> DialMap:
    inner = draw(st.lists(st.floats(0.01, 0.99), max_size=5, unique=True))
    knots = (0.0, *sorted(inner), 1.0)
    prices = sorted(draw(st.lists(weights, min_size=len(knots), max_size=len(knots))), reverse=True)
    return DialMap(knots, tuple(prices))


@given(dial_map=dials(), at=st.lists(st.floats(0, 1), min_size=2, max_size=10))
def test_turning_the_dial_up_never_makes_money_dearer(dial_map: DialMap, at: list[float]) -> None:
    prices = dial_map(np.sort(np.array(at)))
    assert (np.diff(prices) <= 1e-3 * max(dial_map.cost_weight)).all()
    assert dial_map(0.0) == np.float32(dial_map.cost_weight[0])
    assert dial_map(1.0) == np.float32(dial_map.cost_weight[-1])


@pytest.mark.parametrize(
    ("dial", "prices"),
    [
        ((0.0,), (1.0,)),
        ((0.0, 1.0), (1.0,)),
        ((0.1, 1.0), (1.0, 0.0)),
        ((0.0, 0.9), (1.0, 0.0)),
        ((0.0, 0.5, 0.5, 1.0), (3.0, 2.0, 1.0, 0.0)),
        ((0.0, 1.0), (0.0, 1.0)),
        ((0.0, 1.0), (1.0, -1.0)),
        ((0.0, 1.0), (float("inf"), 0.0)),
        ((0.0, 1.0), (float("nan"), 0.0)),
    ],
)
def test_a_dial_map_that_is_none_is_refused(dial: tuple[float, ...], prices: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"dial|cost weights"):
        DialMap(dial, prices)


@pytest.mark.parametrize("dial", [-0.1, 1.1, float("nan")])
def test_a_dial_beyond_its_stops_is_refused(dial: float) -> None:
    with pytest.raises(ValueError, match=r"from 0 \(cheapest\) to 1 \(best\)"):
        DialMap((0.0, 1.0), (1.0, 0.0))(dial)


def test_what_has_no_weight_need_not_be_known() -> None:
    outcomes = Outcomes.of(np.array([0.5, np.nan]))
    assert Reward()(outcomes)[0] == np.float32(0.5)
    assert np.isnan(Reward(cost_weight=1.0)(outcomes)[0]), "an unknown cost is not a free one"
    assert np.isnan(Reward()(outcomes)[1])


@given(weights, weights)
def test_weights_given_with_a_decision_replace_the_defaults(cost_weight: float, latency_weight: float) -> None:
    outcomes = Outcomes.of(np.array([[0.5, 1.0]]), np.array([[0.001, 0.002]]), np.array([[0.1, 0.3]]))
    fixed = Reward(cost_weight, latency_weight)(outcomes)
    given_later = Reward(7.0, 7.0)(outcomes, np.array([cost_weight]), np.array([latency_weight]))
    assert np.array_equal(fixed, given_later)
    expected = np.array([0.5, 1.0]) - cost_weight * np.array([0.001, 0.002]) - latency_weight * np.array([0.1, 0.3])
    assert fixed[0] == pytest.approx(expected, rel=1e-5, abs=1e-4)
