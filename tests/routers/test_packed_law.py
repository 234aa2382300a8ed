"""The compiled law of the largest draw is that of :mod:`routers.normal_law`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routers import make, normal_law
from tests.conftest import needs

needs("fast", "the compiled quadrature")

from routers import packed_law  # noqa: E402 - an absent package skips before it is imported


@settings(max_examples=100, deadline=None)
@given(
    n_arms=st.integers(1, 12),
    scale=st.floats(-2, 1),
    widths=st.tuples(st.floats(-6, 0.5), st.floats(-6, 0.5)),
    seed=st.integers(0, 10_000),
)
def test_it_is_that_of_the_plain_quadrature(n_arms: int, scale: float, widths: tuple[float, float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean = (10**scale * rng.normal(size=(30, n_arms))).astype(np.float32)
    width = (10 ** rng.uniform(min(widths), max(widths), (30, n_arms))).astype(np.float32)
    mean[rng.random(mean.shape) < 0.2] = -np.inf
    wanted = normal_law.argmax_law(mean, width)
    np.testing.assert_allclose(packed_law.argmax_law(mean, width), wanted, atol=1e-5)
    arms = rng.integers(n_arms, size=(30, 2))
    np.testing.assert_allclose(
        packed_law.argmax_law(mean, width, arms), np.take_along_axis(wanted, arms, axis=1), atol=1e-5
    )


def test_an_arm_without_spread_is_certain_or_next_to_impossible() -> None:
    mean, width = np.array([[0.2, 0.7, -np.inf]], dtype=np.float32), np.zeros((1, 3), dtype=np.float32)
    law = packed_law.argmax_law(mean, width)[0]
    assert law[1] == pytest.approx(1, abs=1e-6) and 0 < law[0] < 1e-6 and law[2] == 0


def test_thompson_uses_it_where_its_posterior_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    router = make("linear_thompson", 2, 1)
    monkeypatch.setattr(packed_law, "argmax_law", lambda *_: np.array([[0.25]]))
    assert router._argmax_law(np.zeros((1, 2)), np.ones((1, 2)), np.zeros((1, 1), int)) == 0.25  # type: ignore[attr-defined] # what it is called by
