"""Verdicts of many routers together: as often wrong as promised, and no stricter than need be."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.multiplicity import adjusted


def test_a_correction_worked_by_hand() -> None:
    # Replicates of both have standard deviation 1 and deviate by 1 every time. A size of 3 is beyond all of them, and
    # one of 0.5 within all.
    replicates = np.array([[4.0, 2.0, 4.0, 2.0], [1.5, -0.5, -0.5, 1.5]])
    assert adjusted(np.array([3.0, 0.5]), replicates).tolist() == [1 / 5, 1.0]


def test_a_smaller_difference_never_looks_surer_than_a_larger_one() -> None:
    rng = np.random.default_rng(0)
    replicates = rng.normal(size=(6, 200))
    sizes = np.array([3.0, 2.5, 2.0, 1.5, 1.0, 0.1])
    found = adjusted(sizes * replicates.std(axis=1), replicates)
    assert (np.diff(found) >= 0).all()


def test_of_one_difference_it_is_its_own_p_value() -> None:
    draws = np.random.default_rng(1).normal(size=(1, 4000))
    assert adjusted(np.array([1.96]), draws)[0] == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("together", [0.0, 0.9])
def test_no_more_tables_err_than_promised(together: float) -> None:
    """Twenty routers that are the reference's equals: single intervals err in many tables, corrected ones in few."""
    rng = np.random.default_rng(2)
    single = corrected = 0
    for _ in range(200):
        common = rng.normal(size=(1, 401))
        noise = np.sqrt(together) * common + np.sqrt(1 - together) * rng.normal(size=(20, 401))
        values, replicates = noise[:, 0], noise[:, :1] + noise[:, 1:]
        found = adjusted(values, replicates)
        single += bool((np.abs(values) > 1.96 * replicates.std(axis=1)).any())
        corrected += bool((found < 0.05).any())
    assert corrected / 200 < 0.1
    assert single / 200 > (0.5 if not together else 0.1)


def test_it_asks_less_of_differences_that_move_together_than_bonferroni() -> None:
    rng = np.random.default_rng(3)
    replicates = rng.normal(size=(1, 2000)) + 0.1 * rng.normal(size=(20, 2000))
    values = np.full(20, 2.5) * replicates.std(axis=1)
    alone = adjusted(values[:1], replicates[:1])[0]
    assert adjusted(values, replicates)[0] < 0.05 < 20 * alone


def test_what_never_differs_is_no_finding_and_what_always_does_is() -> None:
    replicates = np.stack([np.zeros(50), np.full(50, 0.2), np.full(50, np.nan)])
    found = adjusted(np.array([0.0, 0.2, np.nan]), replicates)
    assert found[0] == 1 and found[1] == pytest.approx(1 / 51) and np.isnan(found[2])


def test_replicates_without_a_value_are_left_out_for_all() -> None:
    rng = np.random.default_rng(4)
    whole = rng.normal(size=(3, 100))
    holed = np.concatenate([whole, rng.normal(size=(3, 7))], axis=1)
    holed[1, 100:] = np.nan
    values = np.array([2.0, 0.5, 3.0])
    np.testing.assert_array_equal(adjusted(values, holed), adjusted(values, whole))
    assert np.isnan(adjusted(values, np.full((3, 9), np.nan))).all()
