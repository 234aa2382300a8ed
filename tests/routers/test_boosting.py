"""Gradient boosting: what is served is what scikit-learn grew, to the last digits, without scikit-learn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.boosting import Boosting, Forest, grown
from routers.ridge import Ridge
from tests.conftest import needs


def steps(n: int, seed: int, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Scores that jump: the first arm is right where two features agree in sign, the second where they do not."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    agree = (x[:, 0] > 0) == (x[:, 1] > 0)
    return x, np.where(np.stack([agree, ~agree], axis=1), 0.9, 0.1) + rng.normal(0, 0.02, (n, 2))


@pytest.mark.parametrize("depth", [1, 3])
def test_the_forest_is_what_scikit_learn_grew(depth: int) -> None:
    needs("train", "growing trees")
    x, y = steps(400, seed=0)
    settings = {"depth": depth, "rounds": 30, "learning_rate": 0.3, "seed": 0}
    model = grown(x.astype(np.float64), y[:, 0].astype(np.float32), settings)
    forest = Forest.empty(2, depth).with_arm(1, model)
    unseen = steps(300, seed=1)[0].astype(np.float64)
    # Rows that lie on a threshold must fall on the same side, too.
    edges = np.repeat(unseen[:1], len(forest.threshold), axis=0)
    edges[np.arange(len(edges)), forest.feature[:, 0]] = forest.threshold[:, 0]
    rows = np.vstack([unseen, edges])
    assert len(forest.arm) >= 5
    np.testing.assert_allclose(forest(rows)[:, 1], model.predict(rows), rtol=0, atol=1e-12)
    assert np.isnan(forest(rows)[:, 0]).all()


def test_it_learns_what_a_linear_model_cannot() -> None:
    needs("train", "growing trees")
    x, y = steps(1_000, seed=0)
    unseen, truth = steps(500, seed=1)
    contexts, asked = Contexts.of(x, 2), Contexts.of(unseen, 2)

    def right(router: Boosting | Ridge) -> float:
        arms = router.fit(contexts, Outcomes.of(y)).act(asked, np.random.default_rng(0)).arms
        return float((arms == truth.argmax(axis=1)).mean())

    assert right(Boosting(2, 5, depth=2)) > 0.9
    assert right(Ridge(2, 5)) < 0.65


def test_noise_grows_hardly_any_tree() -> None:
    needs("train", "growing trees")
    x, _ = steps(500, seed=0)
    noise = np.random.default_rng(0).random((500, 2))
    router = Boosting(2, 5).fit(Contexts.of(x, 2), Outcomes.of(noise))
    assert len(router.state().arrays["tree_arm"]) < 60  # of 200: it stopped
    np.testing.assert_allclose(router.predict(Contexts.of(x, 2)).score, 0.5, atol=0.25)


def test_trees_look_at_the_leading_components() -> None:
    needs("train", "growing trees")
    x, y = steps(500, seed=0, d=30)
    x[:, :2] *= 5  # what matters varies most
    router = Boosting(2, 30, components=2, depth=2).fit(Contexts.of(x, 2), Outcomes.of(y))
    assert router.state().arrays["projection"].shape == (30, 2)
    arms = router.act(Contexts.of(x, 2), np.random.default_rng(0)).arms
    assert (arms == y.argmax(axis=1)).mean() > 0.8


def test_deciding_needs_no_scikit_learn_and_training_says_so() -> None:
    script = (
        "import sys; sys.modules['sklearn'] = sys.modules['sklearn.ensemble'] = None\n"
        "import numpy as np; from routers import make; from env.contexts import Contexts, Outcomes\n"
        "router, contexts = make('boosting', 2, 3), Contexts.of(np.random.default_rng(0).random((99, 3)), 2)\n"
        "print(len(router.act(contexts, np.random.default_rng(0))))\n"
        "from env.errors import MissingExtra\n"
        "try:\n    router.fit(contexts, Outcomes.of(contexts.features[:, :2]))\n"
        "except MissingExtra as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[0] == "99"
    assert "needs the `train` extra" in done.stdout


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="depth is 9"):
        Boosting(2, 3, depth=9)
    with pytest.raises(BadInput, match="rounds is 0"):
        Boosting(2, 3, rounds=0)
