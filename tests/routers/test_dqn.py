"""DQN: its outputs are the arms' rewards at any price of money, and its choices are certain."""

from __future__ import annotations

import numpy as np
import pytest

from env.contexts import Contexts
from env.errors import BadInput
from routers.dqn import DQNRouter, values
from tests.conftest import needs
from tests.routers.test_ppo import choices, priced

SMALL = {"total_steps": 65_536, "patience": 20}


def test_one_network_tells_what_arms_are_worth_at_every_price() -> None:
    needs("train", "training `dqn`")
    router = DQNRouter(2, 3, **SMALL).fit(*priced(500, seed=0))
    unseen, outcomes = priced(500, seed=1)
    assert outcomes.at(choices(router, unseen, 0.0)).score.mean() > 0.95
    needed = (unseen.features[:, 0] <= 0).astype(int)
    assert (choices(router, unseen, 60.0) == needed).mean() > 0.85
    assert choices(router, unseen, 1e4).mean() < 0.05
    free = router.act(Contexts.of(unseen.features, 2), np.random.default_rng(0)).scores
    assert np.abs(free - outcomes.score).mean() < 0.15  # without a price the reward is the score


def test_its_choices_are_certain() -> None:
    contexts, _ = priced(20, seed=0)
    assert (DQNRouter(2, 3).act(contexts, np.random.default_rng(0)).propensities == 1).all()


def test_exported_arrays_are_the_trained_network() -> None:
    needs("train", "training `dqn`")
    import stable_baselines3 as sb3
    import torch

    from env.routing_table import RoutingTable
    from env.sb3_vec_env import RoutingSB3VecEnv

    contexts, outcomes = priced(32, seed=0)
    envs = RoutingSB3VecEnv(4, RoutingTable.of(contexts, outcomes))
    shape = {"net_arch": [64, 64], "activation_fn": torch.nn.Tanh}
    model = sb3.DQN("MlpPolicy", envs, policy_kwargs=shape, buffer_size=8, seed=0, device="cpu")
    with torch.no_grad():
        theirs = model.q_net(torch.as_tensor(contexts.features)).numpy()
    router = DQNRouter(2, 3)
    state = router.state()
    loaded = DQNRouter.from_state(type(state)(state.config, {**state.arrays, **values(model.policy)}))
    np.testing.assert_allclose(loaded.act(contexts, np.random.default_rng(0)).scores, theirs, atol=1e-6)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="exploration is 2"):
        DQNRouter(2, 3, exploration=2)
