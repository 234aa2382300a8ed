"""Peak, PerfGain, CostSave, QNC and AUDC against values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.metrics import audc, cost_save, curve, peak, perf_gain, qnc

# A router of three dials beside a best single arm that scores .8 for 4 dollars; the cheapest arm scores .5 for 1.
COST, SCORE = np.array([2.0, 3.0, 6.0]), np.array([0.6, 0.85, 0.88])


def test_a_router_that_saves_and_gains() -> None:
    assert peak(SCORE) == 0.88
    assert perf_gain(SCORE, 0.8) == pytest.approx(0.1)
    # The dial of 3 dollars is the cheapest with .8 or more; drawn between dials, .8 is had four fifths on from 2 to 3.
    assert cost_save(COST, SCORE, 4.0, 0.8) == pytest.approx(0.25)
    assert qnc(COST, SCORE, 4.0, 0.8) == pytest.approx(2.8 / 4)


def test_a_router_that_pays_more_for_the_same() -> None:
    assert cost_save(COST, SCORE, 2.5, 0.85) == pytest.approx(-0.2)
    assert qnc(COST, SCORE, 2.5, 0.85) == pytest.approx(1.2)


def test_a_router_that_never_gets_there_has_no_price_for_it() -> None:
    assert np.isnan(qnc(COST, SCORE, 4.0, 0.9)) and np.isnan(cost_save(COST, SCORE, 4.0, 0.9))
    assert perf_gain(SCORE, 0.9) == pytest.approx(0.88 / 0.9 - 1)


def test_audc_worked_by_hand() -> None:
    # Flat at .5 up to 1, then through (2, .6), (3, .85), (6, .88), flat to 8: .5 + .55 + .725 + 2.595 + 1.76, over 8.
    line = curve(COST, SCORE, np.array(1.0), np.array(0.5))
    assert audc(*line, 8.0) == pytest.approx(6.13 / 8)
    assert audc(*line, 8.0, up_to=0.25) == pytest.approx((0.5 + 0.55) / 2)


def test_replicates_at_once_equal_one_by_one() -> None:
    rng = np.random.default_rng(0)
    cost, score = np.sort(rng.random((2, 3, 5)), axis=-1), rng.random((2, 3, 5))
    best_cost, best_score = rng.random((2, 3)), rng.random((2, 3))
    for at in np.ndindex(2, 3):
        own = cost[at], score[at], best_cost[at], best_score[at]
        np.testing.assert_array_equal(qnc(cost, score, best_cost, best_score)[at], qnc(*own))
        np.testing.assert_array_equal(cost_save(cost, score, best_cost, best_score)[at], cost_save(*own))
        np.testing.assert_array_equal(perf_gain(score, best_score)[at], perf_gain(score[at], best_score[at]))
        np.testing.assert_allclose(audc(cost, score, best_cost)[at], audc(cost[at], score[at], best_cost[at]))


def test_unknown_costs_have_no_price() -> None:
    unknown = np.full(3, np.nan)
    assert np.isnan(cost_save(unknown, SCORE, np.nan, 0.8)) and np.isnan(qnc(unknown, SCORE, np.nan, 0.8))
    assert np.isnan(audc(unknown, SCORE, np.nan)) and perf_gain(SCORE, 0.8) > 0
