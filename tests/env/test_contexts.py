"""Contexts, queries and outcomes: shapes are checked where they are made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes, Queries


def test_scalars_and_rows_are_spread() -> None:
    contexts = Contexts.of(
        np.zeros((3, 2)), 4, cost_weight=2.0, mask=np.array([True, False, True, True]), load=np.arange(4)
    )
    assert contexts.cost_weight.tolist() == [2.0] * 3
    assert contexts.latency_weight.tolist() == [0.0] * 3
    assert contexts.mask.tolist() == [[True, False, True, True]] * 3
    assert contexts.load is not None
    assert contexts.load.tolist() == [[0.0, 1.0, 2.0, 3.0]] * 3
    assert (len(contexts), contexts.n_arms) == (3, 4)
    assert contexts.features.dtype == contexts.cost_weight.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": np.zeros(3)}, r"must be \(n, d\)"),
        ({"features": np.array([[0.0], [np.nan]])}, "features of row 1 are not finite"),
        ({"features": np.array([[np.inf], [0.0]])}, "features of row 0 are not finite"),
        ({"mask": np.ones((2, 4))}, r"mask must be \(2, 3\)"),
        ({"mask": np.array([[1, 0, 0], [0, 0, 0]])}, "no arm is allowed in row 1"),
    ],
)
def test_contexts_that_cannot_be_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Contexts.of(**{"features": np.zeros((2, 1)), "n_arms": 3, **arguments})


def test_rows_are_taken_together() -> None:
    task = np.array(["a", "b", "c"], dtype=object)
    contexts = Contexts.of(np.arange(3)[:, None], 2, cost_weight=np.arange(3), task=task)
    some = contexts.take(np.array([2, 0]))
    assert some.features.ravel().tolist() == some.cost_weight.tolist() == [2.0, 0.0]
    assert some.task is not None
    assert some.task.tolist() == ["c", "a"]
    queries = Queries.of(["x", "y", "z"], ["a", None, "c"]).take(slice(1, 3))
    assert queries.prompts.tolist() == ["y", "z"]
    assert queries.task is not None
    assert queries.task.tolist() == [None, "c"]


def test_what_was_not_recorded_is_nan_and_never_zero() -> None:
    outcomes = Outcomes.of(np.array([[0.0, np.nan]]))
    assert outcomes.observed.tolist() == [[True, False]]
    assert np.isnan(outcomes.cost_usd).all()
    assert np.isnan(outcomes.latency_s).all()
    assert np.isnan(outcomes.at(np.array([1])).score).all()
    assert outcomes.take([0]).score.shape == (1, 2)
