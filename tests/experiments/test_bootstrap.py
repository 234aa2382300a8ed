"""Intervals: clustered by prompt, paired across routers, centred, and of the width they should have."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.bootstrap import Bootstrap, Estimate, estimate


def test_queries_of_one_prompt_are_drawn_together() -> None:
    groups = np.array([0, 1, 0, 2])
    draws = Bootstrap.draw(groups, n_seeds=3, replicates=50)
    np.testing.assert_array_equal(draws.prompts[:, 0], draws.prompts[:, 2])
    assert (draws.prompts[:, [0, 1, 3]].sum(axis=1) == 3).all()
    np.testing.assert_allclose(draws.seeds.sum(axis=1), 1)


def test_one_seed_always_counts_fully() -> None:
    assert (Bootstrap.draw(np.arange(4), n_seeds=1, replicates=10).seeds == 1).all()


def test_duplicating_every_prompt_does_not_make_the_interval_narrower() -> None:
    values = np.random.default_rng(1).normal(size=200)

    def width(groups: np.ndarray, column: np.ndarray) -> float:
        draws = Bootstrap.draw(groups, n_seeds=1, replicates=800)
        replicates = (draws.prompts @ column) / draws.prompts.sum(axis=1)
        found = estimate(np.array([column.mean()]), replicates)
        assert found is not None and found.low is not None and found.high is not None
        return found.high - found.low

    once = width(np.arange(200), values)
    twice = width(np.repeat(np.arange(200), 2), np.repeat(values, 2))
    assert twice == pytest.approx(once, rel=0.15)


def test_the_interval_of_a_mean_has_the_textbook_width() -> None:
    values = np.random.default_rng(2).normal(size=400)
    draws = Bootstrap.draw(np.arange(400), n_seeds=1, replicates=2000)
    found = estimate(np.array([values.mean()]), (draws.prompts @ values) / draws.prompts.sum(axis=1))
    assert found is not None and found.low is not None and found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_a_seed_without_a_value_is_left_out() -> None:
    draws = Bootstrap(np.ones((2, 1), dtype=np.float32), np.array([[0.5, 0.5], [0.0, 1.0]]))
    pooled = draws.pooled(np.array([[1.0, 1.0], [np.nan, np.nan]]))
    assert pooled[0] == 1.0
    assert np.isnan(pooled[1])
    assert estimate(np.array([np.nan]), pooled) is None


def test_intervals_are_centred_on_the_estimate() -> None:
    assert estimate(np.array([0.0]), np.array([9.0, 10.0, 11.0]), level=1.0) == Estimate(0.0, -1.0, 1.0)


def test_a_figure_on_its_bound_keeps_to_it() -> None:
    leaning = np.array([1.0] * 90 + [0.2] * 10)
    found = estimate(np.array([1.0]), leaning, centred=False)
    assert found is not None and found.low is not None and found.low < found.value == found.high
    past = estimate(np.array([1.0]), leaning)
    assert past is not None and past.high is not None and past.high > 1


def test_above_and_below_zero_need_the_whole_interval() -> None:
    assert Estimate(1.0, 0.1, 2.0).above_zero
    assert not Estimate(1.0, -0.1, 2.0).above_zero
    assert Estimate(-1.0, -2.0, -0.1).below_zero
    assert not Estimate(1.0).above_zero
