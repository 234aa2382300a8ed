"""The kNN router against neighbours found by sorting."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from routers.knn import KNN


def test_scores_equal_brute_force() -> None:
    rng = np.random.default_rng(0)
    x, asked = (rng.normal(size=(n, 4)).astype(np.float32) for n in (50, 7))
    score = rng.random((50, 3)).astype(np.float32)
    score[rng.random(score.shape) < 0.3] = np.nan
    k, tau = 6, 2.0
    predicted = KNN(3, 4, k=k, tau=tau).fit(Contexts.of(x, 3), Outcomes.of(score)).predict(Contexts.of(asked, 3)).score
    for row, query in enumerate(asked):
        similarity = x @ query / np.linalg.norm(x, axis=1) / np.linalg.norm(query)
        nearest = np.argsort(-similarity)[:k]
        for arm in range(3):
            seen = score[nearest, arm][~np.isnan(score[nearest, arm])]
            expected = (seen.sum() + tau * np.nanmean(score[:, arm])) / (len(seen) + tau)
            np.testing.assert_allclose(predicted[row, arm], expected, rtol=1e-5)


def test_equal_prompts_at_the_edge_share_the_places_left() -> None:
    x = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32)
    score = np.array([[0.0], [0.3], [0.9], [1.0]])
    router = KNN(1, 2, k=2, tau=0.0).fit(Contexts.of(x, 1), Outcomes.of(score))
    np.testing.assert_allclose(router.predict(Contexts.of(x[:1], 1)).score, [[0.4]], rtol=1e-6)


def test_an_arm_without_an_observed_neighbour_gets_its_global_mean() -> None:
    x = np.array([[1, 0], [1, 0.1], [0, 1], [0, 1]], dtype=np.float32)
    score = np.array([[1, np.nan], [1, np.nan], [0, 0.4], [0, 0.8]])
    router = KNN(2, 2, k=2, tau=0.0).fit(Contexts.of(x, 2), Outcomes.of(score))
    np.testing.assert_allclose(router.predict(Contexts.of(x[:1], 2)).score, [[1.0, 0.6]], rtol=1e-5)


def test_k_is_small_where_close_neighbours_know_more_and_large_where_they_do_not() -> None:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 600)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    wavy = np.stack([np.sin(8 * angle) > 0, np.sin(8 * angle) <= 0], axis=1)
    noise = rng.random((600, 2)) < 0.5
    local, flat = (KNN(2, 2).fit(Contexts.of(x, 2), Outcomes.of(score)).state() for score in (wavy, noise))
    assert local.arrays["neighbours"][0] <= 20
    assert flat.arrays["neighbours"][0] == 320


def test_many_rows_are_handled_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    contexts, asked = Contexts.of(rng.normal(size=(60, 3)), 2), Contexts.of(rng.normal(size=(25, 3)), 2)
    outcomes = Outcomes.of(rng.random((60, 2)))
    whole = KNN(2, 3).fit(contexts, outcomes).predict(asked).score
    monkeypatch.setattr("routers.knn._CHUNK", 60 * 4)
    np.testing.assert_allclose(KNN(2, 3).fit(contexts, outcomes).predict(asked).score, whole, rtol=1e-5)
