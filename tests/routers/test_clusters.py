"""Clusters: means where the prompts are alike, the global mean where little is known."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.clusters import ClusterMeans, Clusters
from routers.kmeans import fit_centres


def themes(n: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Prompts of ``k`` themes, and the theme of each."""
    theme = np.random.default_rng(seed).integers(k, size=n)
    noise = np.random.default_rng([seed, 1]).normal(0, 0.05, (n, k))
    return (np.eye(k)[theme] + noise).astype(np.float32), theme


def test_each_theme_goes_to_its_arm() -> None:
    x, theme = themes(400, 4)
    scores = np.where(theme[:, None] == np.arange(4), 0.9, 0.2)
    router = Clusters(4, 4).fit(Contexts.of(x, 4), Outcomes.of(scores))
    unseen, asked = themes(200, 4, seed=1)
    arms = router.act(Contexts.of(unseen, 4), np.random.default_rng(0)).arms
    np.testing.assert_array_equal(arms, asked)


def test_means_are_shrunk_by_tau_prompts_of_the_global_mean() -> None:
    x = np.array([[1, 0], [1, 0.1], [0, 1]], dtype=np.float32)
    scores = np.array([[1.0], [0.5], [0.0]])
    router = Clusters(1, 2, clusters=2, tau=3).fit(Contexts.of(x, 1), Outcomes.of(scores))
    told = router.predict(Contexts.of(x, 1)).score[:, 0]
    np.testing.assert_allclose(told, [(1.5 + 3 * 0.5) / 5] * 2 + [(0 + 3 * 0.5) / 4], atol=1e-6)


def test_noise_gets_few_clusters_and_themes_get_enough() -> None:
    rng = np.random.default_rng(0)
    x, theme = themes(2_000, 16)
    scores = np.where(theme[:, None] == np.arange(16), 1.0, 0.0)
    found = Clusters(16, 16).fit(Contexts.of(x, 16), Outcomes.of(scores)).state().arrays["centres"]
    assert len(found) >= 16
    nothing = Clusters(3, 16).fit(Contexts.of(x, 3), Outcomes.of(rng.random((2_000, 3)))).state().arrays["centres"]
    assert len(nothing) == 4


def test_left_out_residuals_are_those_without_the_row() -> None:
    x, _ = themes(60, 3)
    y = np.random.default_rng(2).random((60, 3)).astype(np.float32)
    y[np.random.default_rng(3).random(y.shape) < 0.3] = np.nan
    means = ClusterMeans(fit_centres(x, 3), x, y, tau=0.0)
    for row in (0, 7, 31):
        near = (means.member == means.member[row]) & (np.arange(60) != row)
        np.testing.assert_allclose(means.left_out()[row], y[row] - np.nanmean(y[near], axis=0), atol=1e-6)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="clusters is 0"):
        Clusters(2, 3, clusters=0)
    with pytest.raises(BadInput, match="tau is -1"):
        Clusters(2, 3, tau=-1)
