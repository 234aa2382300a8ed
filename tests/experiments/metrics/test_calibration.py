"""Reliability and ECE worked by hand, and on forecasts of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from env.errors import BadInput
from experiments.metrics import ece, reliability


def test_a_curve_worked_by_hand() -> None:
    # Three in the lower half (mean .2, came .5), one in the upper (.7, came 1): .75 * .3 + .25 * .3.
    curve = reliability([0.1, 0.2, 0.3, 0.7], [0.0, 1.0, 0.5, 1.0], bins=2)
    np.testing.assert_allclose(curve.predicted, [0.2, 0.7])
    np.testing.assert_allclose(curve.observed, [0.5, 1.0])
    np.testing.assert_allclose(curve.share, [0.75, 0.25])
    assert curve.ece == pytest.approx(0.3)


def test_edges_belong_to_the_bin_above_and_one_to_the_last() -> None:
    assert reliability([0.0, 0.5, 1.0], [0, 0, 1], bins=2).share.tolist() == [1 / 3, 2 / 3]
    assert reliability([0.2, 0.8], [0, 1], bins=[0.0, 0.1, 1.0]).share.tolist() == [0, 1]


def test_an_empty_bin_counts_for_nothing() -> None:
    assert ece([0.05, 0.15], [0.05, 0.15], bins=10) == pytest.approx(0)


def test_a_true_forecast_is_calibrated_and_an_overconfident_one_is_not() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(50_000)
    came = (rng.random(50_000) < chance).astype(float)
    assert ece(chance, came) < 0.01
    # Pushed away from .5 by half as much again: off by half the distance within a third of it (1/18 in all), and by
    # what is left beyond, where it is cut off (1/36).
    assert ece(np.clip(1.5 * chance - 0.25, 0, 1), came) == pytest.approx(1 / 12, abs=0.005)


def test_replicates_at_once_equal_queries_taken_so_often() -> None:
    rng = np.random.default_rng(0)
    said, came, counts = rng.random(12), rng.random(12), rng.integers(0, 3, (2, 4, 12))
    together = ece(said, came, weights=counts)
    assert together.shape == (2, 4)
    for at in np.ndindex(2, 4):
        assert together[at] == pytest.approx(float(ece(np.repeat(said, counts[at]), np.repeat(came, counts[at]))))


@pytest.mark.parametrize(
    ("said", "came", "bins", "message"),
    [
        ([0.5], [0.5, 0.5], 10, "give pairs"),
        ([0.5, np.nan], [0.5, 0.5], 10, "keep the queries that have both"),
        ([1.2], [1.0], 10, "outside the bins from 0 to 1"),
        ([0.5], [1.0], [0.0, 0.0], "must ascend"),
    ],
)
def test_what_cannot_be_binned_is_refused(said: list[float], came: list[float], bins: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        reliability(said, came, bins=bins)
