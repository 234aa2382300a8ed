"""PPO: what is served is what was trained, the dial is an input, and serving needs no torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput, MissingExtra
from routers.base import Router
from routers.ppo import PPORouter, actor
from tests.conftest import needs

SMALL = {"n_envs": 256, "n_steps": 8, "batch_size": 256, "total_steps": 40_960, "patience": 20}


def priced(n: int, seed: int) -> tuple[Contexts, Outcomes]:
    """The dear arm answers everything; the cheap one only where the first feature is positive."""
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    score = np.stack([x[:, 0] > 0, np.ones(n, dtype=bool)], axis=1)
    return Contexts.of(x, 2), Outcomes.of(score, np.tile([0.001, 0.01], (n, 1)))


def choices(router: Router, contexts: Contexts, weight: float) -> np.ndarray:
    asked = Contexts.of(contexts.features, 2, cost_weight=weight)
    return router.act(asked, np.random.default_rng(0), explore=False).arms


def test_one_network_serves_every_cost_weight() -> None:
    needs("train", "training `ppo`")
    router = PPORouter(2, 3, **SMALL).fit(*priced(500, seed=0))
    unseen, outcomes = priced(500, seed=1)
    assert outcomes.at(choices(router, unseen, 0.0)).score.mean() > 0.95
    needed = (unseen.features[:, 0] <= 0).astype(int)
    # Worth a ninth of a dollar cent, but only where it is needed.
    assert (choices(router, unseen, 60.0) == needed).mean() > 0.85
    assert choices(router, unseen, 1e4).mean() < 0.05


def test_training_says_how_it_goes_and_is_not_changed_by_it() -> None:
    needs("train", "training `ppo`")
    few = {**SMALL, "total_steps": 8_192}
    told: list[tuple[int, dict[str, float]]] = []
    heard = PPORouter(2, 3, **few).fit(*priced(300, seed=0), progress=lambda at, said: told.append((at, dict(said))))
    steps = [step for step, _ in told]
    assert steps == sorted(steps) and steps[0] == 0 and steps[-1] >= 8_192
    assert all(np.isfinite(said["verdict"]) for _, said in told)
    assert all("train/value_loss" in said for _, said in told[1:])
    unheard = PPORouter(2, 3, **few).fit(*priced(300, seed=0))
    for name, array in heard.state().arrays.items():
        np.testing.assert_array_equal(array, unheard.state().arrays[name])


def test_masked_arms_are_not_drawn_in_training() -> None:
    needs("agents", "training MaskablePPO")
    contexts, outcomes = priced(400, seed=0)
    # The dear arm, which answers everything, is closed on every other query.
    mask = np.stack([np.ones(400, dtype=bool), np.arange(400) % 2 == 0], axis=1)
    closed = Contexts.of(contexts.features, 2, mask=mask)
    router = PPORouter(2, 3, **SMALL, masked=True).fit(closed, outcomes)
    unseen, answers = priced(400, seed=1)
    # Half of its draws brought -1 without masks, and the cheap arm would look better wherever it scores.
    assert answers.at(choices(router, unseen, 0.0)).score.mean() > 0.95
    assert (router.act(closed, np.random.default_rng(0)).arms[1::2] == 0).all()


def test_exported_arrays_are_the_trained_network() -> None:
    needs("train", "training `ppo`")
    import stable_baselines3 as sb3
    import torch

    from env.routing_table import RoutingTable
    from env.sb3_vec_env import RoutingSB3VecEnv

    contexts, outcomes = priced(32, seed=0)
    envs = RoutingSB3VecEnv(4, RoutingTable.of(contexts, outcomes))
    model = sb3.PPO("MlpPolicy", envs, policy_kwargs={"net_arch": [64, 64]}, seed=0, device="cpu")
    with torch.no_grad():
        theirs = model.policy.get_distribution(torch.as_tensor(contexts.features)).distribution.probs.numpy()
    router = PPORouter(2, 3)
    state = router.state()
    loaded = PPORouter.from_state(type(state)(state.config, {**state.arrays, **actor(model.policy)}))
    np.testing.assert_allclose(loaded.law(contexts), theirs, atol=1e-6)


def test_deciding_needs_neither_torch_nor_the_training_library() -> None:
    script = (
        "import sys; sys.modules['torch'] = sys.modules['stable_baselines3'] = None\n"
        "import numpy as np; from routers import make; from env.contexts import Contexts, Outcomes\n"
        "router, contexts = make('ppo', 2, 3), Contexts.of(np.zeros((4, 3)), 2)\n"
        "print(len(router.act(contexts, np.random.default_rng(0))))\n"
        "from env.errors import MissingExtra\n"
        "try:\n    router.fit(contexts, Outcomes.of(np.zeros((4, 2))))\n"
        "except MissingExtra as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[0] == "4"
    assert "needs the `train` extra" in done.stdout


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="patience is 0"):
        PPORouter(2, 3, patience=0)
    with pytest.raises(BadInput, match="batch_size is 1;"):
        PPORouter(2, 3, batch_size=1)
    assert issubclass(MissingExtra, Exception)
