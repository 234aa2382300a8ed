"""How much of an oracle is luck: shown on outcomes that are nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from env.errors import BadInput
from env.sources.named import load_trace
from experiments.metrics import Array, leave_one_out_means, oracle_arms


def reached(score: Array, arms: np.ndarray) -> float:
    return float(np.take_along_axis(score, arms[..., None], axis=-1).mean())


def test_of_equal_scores_the_cheapest_is_taken() -> None:
    score, cost = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    assert oracle_arms(score, cost).tolist() == [1, 2]
    assert oracle_arms(score).tolist() == [0, 0]
    assert oracle_arms(score, np.full((2, 3), np.nan)).tolist() == [0, 0]


def test_a_gap_is_never_chosen() -> None:
    assert oracle_arms(np.array([[np.nan, 0.0]]), np.array([[np.nan, 1.0]])).tolist() == [1]
    with pytest.raises(BadInput, match="no score of any arm"):
        oracle_arms(np.array([[np.nan, np.nan]]))


def test_an_oracle_of_recorded_scores_counts_luck_and_one_of_other_queries_does_not() -> None:
    """Four arms of one quality, a coin each: nobody can do better than .5, and the recorded maximum is .94."""
    score = np.random.default_rng(0).integers(0, 2, (4000, 4)).astype(float)
    assert reached(score, oracle_arms(score)) == pytest.approx(1 - 0.5**4, abs=0.02)
    expected = leave_one_out_means(score, np.arange(4000) % 3)
    assert reached(score, oracle_arms(expected)) == pytest.approx(0.5, abs=0.02)


def test_what_clusters_tell_is_counted() -> None:
    """In each of two clusters another arm is right with 0.9: that much can be foreseen, and the rest is luck."""
    rng = np.random.default_rng(1)
    cluster = np.arange(4000) % 2
    score = (rng.random((4000, 2)) < np.where(cluster[:, None] == np.arange(2), 0.9, 0.3)).astype(float)
    known = reached(score, oracle_arms(leave_one_out_means(score, cluster)))
    assert known == pytest.approx(0.9, abs=0.015)
    assert reached(score, oracle_arms(score)) == pytest.approx(1 - 0.1 * 0.7, abs=0.015)


def test_means_of_the_other_queries_worked_by_hand() -> None:
    score = np.array([[1.0, 0.0], [0.0, np.nan], [0.5, 0.4], [0.2, 0.8]])
    found = leave_one_out_means(score, np.array([0, 0, 0, 1]))
    # The last is alone in its cluster: the mean of all others. The first has one other with the second arm.
    np.testing.assert_allclose(found, [[0.25, 0.4], [0.75, 0.2], [0.5, 0.0], [0.5, 0.2]])
    assert np.isnan(leave_one_out_means(np.array([[1.0]]), np.array([0]))).all()
    with pytest.raises(BadInput, match="one for each"):
        leave_one_out_means(score, np.array([0]))


def test_recorded_means_and_oracle_of_paretobandit(data_file: Callable[[str], Path]) -> None:
    """The validation split: three models at .789, .925 and .935, and the recorded maximum above them all."""
    trace = load_trace(str(data_file("paretobandit_val.parquet")))
    names = ("meta-llama/llama-3.1-8b-instruct", "mistralai/mistral-large-2512", "google/gemini-2.5-pro")
    means = [trace.score[:, trace.arms.index(name)].mean() for name in names]
    assert means == pytest.approx([0.789, 0.925, 0.935], abs=5e-4)
    score = trace.score.astype(float)
    tasks = np.unique(trace.tasks.astype(str), return_inverse=True)[1]
    foreseen = reached(score, oracle_arms(leave_one_out_means(score, tasks)))
    assert max(means) - 0.005 < foreseen < reached(score, oracle_arms(score)) == pytest.approx(0.964, abs=5e-4)
