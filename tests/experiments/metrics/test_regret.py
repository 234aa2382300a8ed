"""Regret against references by name, and budgets, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from env.errors import BadInput
from experiments.metrics import budget_utilisation, cumulative_regret, reference_rewards

TABLE = np.array([[1.0, 0.2], [0.0, 0.9], [0.8, 0.5]])


def test_references_worked_by_hand() -> None:
    assert reference_rewards(TABLE, "best_recorded").tolist() == [1.0, 0.9, 0.8]
    assert reference_rewards(TABLE, "best_arm").tolist() == [1.0, 0.0, 0.8]
    with pytest.raises(BadInput, match="no reference `oracle`; known: best_recorded, best_arm"):
        reference_rewards(TABLE, "oracle")  # type: ignore[arg-type]  # what the test is about


def test_regret_adds_up_and_can_be_negative_against_one_arm() -> None:
    earned = np.array([0.2, 0.9, 0.8])
    np.testing.assert_allclose(cumulative_regret(earned, reference_rewards(TABLE, "best_recorded")), [0.8, 0.8, 0.8])
    np.testing.assert_allclose(cumulative_regret(earned, reference_rewards(TABLE, "best_arm")), [0.8, -0.1, -0.1])


def test_the_published_regret_follows_from_the_published_means() -> None:
    """ParetoBandit, without a budget: a reward of .933 where the recorded best is .9633 is 55.0 over 1,824 rounds."""
    final = cumulative_regret(np.full(1824, 0.933), np.full(1824, 0.9633))[-1]
    assert final == pytest.approx(55.0, abs=1824 * 0.0005)


def test_streams_side_by_side() -> None:
    rng = np.random.default_rng(0)
    tables, earned = rng.random((4, 6, 3)), rng.random((4, 6))
    for name in ("best_recorded", "best_arm"):
        together = cumulative_regret(earned, reference_rewards(tables, name))
        for row in range(4):
            np.testing.assert_array_equal(
                together[row], cumulative_regret(earned[row], reference_rewards(tables[row], name))
            )
    with pytest.raises(BadInput, match="same rounds"):
        cumulative_regret(earned, earned[:, :5])


def test_budget_utilisation() -> None:
    np.testing.assert_allclose(budget_utilisation([0.5, 2.0], 1.0), [0.5, 2.0])
    with pytest.raises(BadInput, match="give more than 0"):
        budget_utilisation(0.5, 0.0)
