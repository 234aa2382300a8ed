"""Neural-linear Thompson sampling: it learns what is not linear, and online teaches the last layer alone."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers import make
from routers.neural_linear import NeuralLinear


def curved(n: int, seed: int) -> tuple[Contexts, Outcomes]:
    """Which of two arms is better depends on the product of two features, which no linear model sees."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    worth = 0.5 + 0.4 * np.sign(x[:, 0] * x[:, 1])
    return Contexts.of(x, 2), Outcomes.of(np.stack([worth, 1 - worth], axis=1))


def test_it_learns_what_a_linear_model_cannot() -> None:
    (contexts, outcomes), (asked, known) = curved(1_500, 0), curved(500, 1)
    got = {
        name: known.score[np.arange(500), make(name, 2, 4).fit(contexts, outcomes).act(
            asked, np.random.default_rng(0), explore=False).arms].mean()
        for name in ("linear_thompson", "neural_linear", "neural_ucb")
    }  # fmt: skip
    assert got["linear_thompson"] < 0.6 and min(got["neural_linear"], got["neural_ucb"]) > 0.8, got


def test_gaps_teach_nothing_of_themselves() -> None:
    contexts, outcomes = curved(200, 0)
    holes = np.where(np.random.default_rng(0).random((200, 2)) < 0.5, np.nan, outcomes.score)
    router = NeuralLinear(2, 4).fit(contexts, Outcomes.of(holes))
    assert np.isfinite(router.predict(contexts).score).all()
    assert router.state().arrays["count"][0].sum() == np.isfinite(holes).sum()


def test_online_the_layer_stays_and_the_regressions_learn() -> None:
    contexts, outcomes = curved(100, 0)
    router = NeuralLinear(2, 4).fit(contexts, outcomes)
    before = router.state().arrays
    arms = np.zeros(100, dtype=np.int64)
    router.update(contexts, arms, outcomes.at(arms), np.ones(100))
    after = router.state().arrays
    np.testing.assert_array_equal(before["layer_weights"], after["layer_weights"])
    assert not np.array_equal(before["theta"], after["theta"])


@pytest.mark.parametrize("setting", [{"hidden": 0}, {"epochs": 0}])
def test_settings_that_cannot_be_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="hidden and epochs"):
        NeuralLinear(2, 4, **setting)
