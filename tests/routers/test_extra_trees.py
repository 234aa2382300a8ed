"""Randomised trees as arrays: they say what scikit-learn's say, whatever is known of a target."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from routers.extra_trees import ExtraTrees
from tests.conftest import needs

ROWS = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
TARGETS = np.stack([ROWS[:, 0] > 0, ROWS[:, 1] * ROWS[:, 2]], axis=1)


def test_they_say_what_the_trees_that_were_grown_say() -> None:
    needs("train", "growing trees")
    ensemble = import_module("sklearn.ensemble")
    ours = ExtraTrees.grown(ROWS, TARGETS, n_trees=7, seed=3)
    for at, target in enumerate(TARGETS.T):
        theirs = ensemble.ExtraTreesRegressor(7, min_samples_leaf=8, max_features=0.3, random_state=3)
        assert np.allclose(ours(ROWS)[:, at], theirs.fit(ROWS, target).predict(ROWS), atol=1e-6)


def test_a_row_does_not_hang_on_its_batch() -> None:
    trees = ExtraTrees.grown(ROWS, TARGETS, n_trees=5, seed=0)
    assert np.array_equal(trees(ROWS), np.concatenate([trees(row[None]) for row in ROWS]))
    assert trees(ROWS[:0]).shape == (0, 2)


def test_targets_may_have_gaps_and_little_known_ones_are_a_mean() -> None:
    targets = TARGETS.copy()
    targets[5:, 1] = np.nan
    found = ExtraTrees.grown(ROWS, targets, n_trees=4, seed=0)(ROWS)
    assert np.allclose(found[:, 1], targets[:5, 1].mean())
    assert np.array_equal(found[:, 0], ExtraTrees.grown(ROWS, TARGETS, n_trees=4, seed=0)(ROWS)[:, 0])
    nothing = ExtraTrees.grown(ROWS, np.full((200, 1), np.nan), n_trees=4, seed=0)
    assert (nothing(ROWS) == 0.5).all()


def test_arrays_are_all_there_is() -> None:
    trees = ExtraTrees.grown(ROWS, TARGETS, n_trees=5, seed=0)
    assert np.array_equal(ExtraTrees.restored(trees.arrays())(ROWS), trees(ROWS))
