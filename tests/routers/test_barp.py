"""BaRP: its gradients are those of its loss, and one policy serves every preference."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from env.errors import BadInput
from routers.barp import BaRP, drawn, gradients, logit_slope
from routers.network import activations, logits, softmax
from tests.routers.test_ppo import choices, priced

SMALL = {"total_steps": 131_072}


def test_gradients_are_those_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    network = {name: array + 0.3 * rng.normal(size=array.shape) for name, array in drawn(3, 5, 4, rng).items()}
    rows, arms, surprise = rng.normal(size=(6, 3)), rng.integers(1, 4, 6), rng.normal(size=6)
    mask = np.ones((6, 4), dtype=bool)
    mask[:3, 0] = False

    def loss() -> float:
        law = softmax(np.where(mask, logits(network, rows), -np.inf))
        entropy = -(law * np.log(np.where(law > 0, law, 1))).sum(axis=1)
        return float((-surprise * np.log(law[np.arange(6), arms]) - 0.2 * entropy).sum())

    first, second, said = activations(network, rows)
    slope = logit_slope(softmax(np.where(mask, said, -np.inf)), arms, surprise, 0.2)
    found = gradients(network, rows, first, second, slope)
    for name, array in network.items():
        for _ in range(3):
            cell = tuple(int(rng.integers(size)) for size in array.shape)
            kept, step = array[cell], 1e-5
            array[cell] = kept + step
            above = loss()
            array[cell] = kept - step
            below = loss()
            array[cell] = kept
            np.testing.assert_allclose(found[name][cell], (above - below) / (2 * step), rtol=1e-4, atol=1e-7)


def test_one_network_serves_every_cost_weight() -> None:
    router = BaRP(2, 3, **SMALL).fit(*priced(500, seed=0))
    unseen, outcomes = priced(500, seed=1)
    assert outcomes.at(choices(router, unseen, 0.0)).score.mean() > 0.95
    needed = (unseen.features[:, 0] <= 0).astype(int)
    assert (choices(router, unseen, 60.0) == needed).mean() > 0.85
    assert choices(router, unseen, 1e4).mean() < 0.05


def test_training_needs_no_torch() -> None:
    script = (
        "import sys; sys.modules['torch'] = sys.modules['stable_baselines3'] = None\n"
        "import numpy as np; from routers import make; from env.contexts import Contexts, Outcomes\n"
        "contexts = Contexts.of(np.random.default_rng(0).random((40, 3)), 2)\n"
        "router = make('barp', 2, 3, total_steps=512).fit(contexts, Outcomes.of(contexts.features[:, :2]))\n"
        "print(len(router.act(contexts, np.random.default_rng(0))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "40"


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="batch_size is 0"):
        BaRP(2, 3, batch_size=0)
    with pytest.raises(BadInput, match="ent_coef is -1"):
        BaRP(2, 3, ent_coef=-1)
