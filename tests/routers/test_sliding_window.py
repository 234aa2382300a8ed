"""LinUCB over a window: exactly the last outcomes count."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.sliding_window import SlidingWindowLinUCB

ARMS, FEATURES, WINDOW = 3, 4, 40


def log(n: int, seed: int) -> tuple[Contexts, np.ndarray, Outcomes]:
    rng = np.random.default_rng(seed)
    cost = np.where(rng.random(n) < 0.2, np.nan, rng.random(n))
    return (
        Contexts.of(rng.normal(size=(n, FEATURES)), ARMS),
        rng.integers(ARMS, size=n),
        Outcomes.of(rng.random(n), cost, rng.random(n)),
    )


def test_what_has_left_the_window_never_was() -> None:
    contexts, arms, outcomes = log(150, 0)
    long, short = (SlidingWindowLinUCB(ARMS, FEATURES, window=WINDOW, refresh=1) for _ in range(2))
    long.update(contexts, arms, outcomes, np.ones(150))
    last = slice(150 - WINDOW, 150)
    short.update(contexts.take(last), arms[last], outcomes.take(last), np.ones(WINDOW))
    for name in ("inverse", "theta", "count", "total", "gram", "moment", "missing"):
        np.testing.assert_allclose(long.state().arrays[name], short.state().arrays[name], atol=1e-5)


def test_an_arm_forgotten_does_not_leave_a_second_time() -> None:
    contexts, arms, outcomes = log(WINDOW, 0)
    router = SlidingWindowLinUCB(ARMS, FEATURES, window=WINDOW, refresh=1)
    router.update(contexts, arms, outcomes, np.ones(WINDOW))
    router._posterior.forget(1)
    others = np.zeros(WINDOW, dtype=np.int64)
    router.update(contexts, others, outcomes, np.ones(WINDOW))
    assert router.state().arrays["count"][0].tolist() == [WINDOW, 0, 0]
    assert not router.state().arrays["gram"][1].any()


@pytest.mark.parametrize("setting", [{"window": 0}, {"refresh": 0}])
def test_settings_that_cannot_be_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="window and refresh"):
        SlidingWindowLinUCB(ARMS, FEATURES, **setting)
