"""A2C: what is served is what was trained, for every price of money."""

from __future__ import annotations

import numpy as np
import pytest

from env.errors import BadInput
from routers.a2c import A2CRouter
from tests.conftest import needs
from tests.routers.test_ppo import choices, priced

SMALL = {"total_steps": 131_072}


def test_one_network_serves_every_cost_weight() -> None:
    needs("train", "training `a2c`")
    router = A2CRouter(2, 3, **SMALL).fit(*priced(500, seed=0))
    unseen, outcomes = priced(500, seed=1)
    assert outcomes.at(choices(router, unseen, 0.0)).score.mean() > 0.95
    needed = (unseen.features[:, 0] <= 0).astype(int)
    assert (choices(router, unseen, 60.0) == needed).mean() > 0.8
    assert choices(router, unseen, 1e4).mean() < 0.05


def test_it_draws_from_its_law() -> None:
    needs("train", "training `a2c`")
    contexts, outcomes = priced(200, seed=0)
    router = A2CRouter(2, 3, total_steps=4_096).fit(contexts, outcomes)
    law = router.law(contexts)
    assert ((law > 0) & (law < 1)).all()
    assert set(np.unique(router.law(contexts, explore=False))) == {0.0, 1.0}


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="router `a2c`: n_envs is 0"):
        A2CRouter(2, 3, n_envs=0)
