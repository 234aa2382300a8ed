"""BaRP: REINFORCE with a preference vector, in plain numpy; the plainest way to one policy for every dial."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from env.contexts import Floats, Ints
from env.vector_env import RoutingVectorEnv
from routers.base import sample
from routers.least_squares import Doubles
from routers.network import LAYERS, Network, activations, softmax
from routers.network_router import Lesson, NetworkRouter

# Gradient steps between two verdicts.
_ROUND = 64
_ADAM = (0.9, 0.999, 1e-8)


class BaRP(NetworkRouter):
    """Bandit-feedback routing with preferences (arXiv 2510.07429): a policy that is told what money weighs.

    Each training query comes with a freshly drawn preference between quality and cost; an arm is drawn from the
    policy, and its reward ``a * score - (1 - a) * cost / mean cost`` (:meth:`~routers.network_router.Lesson.even`)
    raises or lowers its logit by REINFORCE (Williams 1992) with an entropy bonus. Where the paper has no baseline that
    we know of, a linear one is learned alongside, which makes the gradient less noisy and leaves its mean alone. Gaps
    and stopping are as in :class:`~routers.ppo.PPORouter`.

    Scores of its decisions are the network's logits: preferences, not utilities.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        preference: take the cost weight as an input; see :class:`~routers.network_router.NetworkRouter`.
        hidden: width of the two tanh layers.
        batch_size: decisions of a gradient step.
        learning_rate: of Adam (Kingma, Ba 2015, arXiv 1412.6980, algorithm 1).
        ent_coef: weight of the entropy bonus, 0 or more.
        total_steps: decisions at most.
        patience: verdicts, one each 64 gradient steps, without a gain on held-out rows before it stops.
        seed: of the held-out rows, the queries' order, the network and the draws.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> x = np.tile([[-1.0], [1.0]], (100, 1))
        >>> contexts, outcomes = Contexts.of(x, n_arms=2), Outcomes.of(np.hstack([x > 0, x < 0]))
        >>> router = BaRP(2, 1, total_steps=16_384).fit(contexts, outcomes)
        >>> router.act(contexts.take([0, 1]), np.random.default_rng(0), explore=False).arms
        array([1, 0])
    """

    name: ClassVar[str] = "barp"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        preference: bool = True,
        hidden: int = 64,
        batch_size: int = 256,
        learning_rate: float = 3e-3,
        ent_coef: float = 0.01,
        total_steps: int = 524_288,
        patience: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__(
            n_arms,
            n_features,
            preference=preference,
            hidden=hidden,
            batch_size=batch_size,
            learning_rate=learning_rate,
            ent_coef=ent_coef,
            total_steps=total_steps,
            patience=patience,
            seed=seed,
        )

    def _trained(self, lesson: Lesson) -> Network:
        batch, patience, seed = (self.settings[name] for name in ("batch_size", "patience", "seed"))
        rng = np.random.default_rng([seed, 1])
        envs = RoutingVectorEnv(batch, lesson.table)
        asked, told = envs.reset(seed=seed)
        network = drawn(lesson.table.layout.width, self.settings["hidden"], self.n_arms, rng)
        baseline = np.zeros(lesson.table.layout.width + 1, dtype=np.float32)
        learner = _Adam({**network, "baseline": baseline}, self.settings["learning_rate"])
        best, reached, rounds = network, lesson.verdict(network), 0
        for step in range(1, max(1, self.settings["total_steps"] // batch) + 1):
            open_arms = told["action_mask"].astype(bool)
            answered, (first, second, said) = asked, activations(network, asked)
            law = softmax(np.where(open_arms, said, -np.inf))
            arms = sample(law, said, rng).arms
            asked, rewards, _, _, told = envs.step(arms)
            with_constant = np.hstack([answered, np.ones((batch, 1), dtype=np.float32)])
            surprise = np.asarray(lesson.even(rewards, answered) - with_constant @ baseline, dtype=np.float64)
            slope = logit_slope(law, arms, surprise, self.settings["ent_coef"]) / batch
            gradient = gradients(network, answered, first, second, slope.astype(np.float32))
            gradient["baseline"] = -(surprise @ with_constant / batch).astype(np.float32)
            parameters = learner.step(gradient)
            baseline = parameters.pop("baseline")
            network = parameters
            if step % _ROUND == 0:
                verdict, rounds = lesson.verdict(network), rounds + 1
                lesson.progress(step * batch, {"verdict": verdict})
                if verdict > reached:
                    best, reached, rounds = network, verdict, 0
                if rounds == patience:
                    break
        return best if reached >= lesson.verdict(network) else network


def drawn(n_inputs: int, hidden: int, n_outputs: int, rng: np.random.Generator) -> Network:
    """A network to begin with: weights that keep the size of what passes, and hardly any preference at the end."""
    widths = (n_inputs, hidden, hidden, n_outputs)
    arrays: Network = {}
    for at, layer in enumerate(LAYERS):
        size = 0.01 if layer == "logits" else 1.0
        weights = rng.normal(0, size / np.sqrt(widths[at]), (widths[at], widths[at + 1]))
        arrays[f"{layer}_weights"] = weights.astype(np.float32)
        arrays[f"{layer}_bias"] = np.zeros(widths[at + 1], dtype=np.float32)
    return arrays


def logit_slope(law: Doubles, arms: Ints, surprise: Doubles, ent: float) -> Doubles:
    """Slope ``(n, K)`` by the logits of ``-surprise * log law[arm] - ent * entropy`` of each row.

    Args:
        law: ``(n, K)``; 0 where masked.
        arms: ``(n,)`` drawn.
        surprise: ``(n,)`` reward above the baseline.
        ent: weight of the entropy.

    Example:
        >>> logit_slope(np.array([[0.5, 0.5]]), np.array([0]), np.array([1.0]), 0.0).tolist()
        [[-0.5, 0.5]]
    """
    chosen = np.arange(law.shape[1]) == arms[:, None]
    logarithm = np.log(np.where(law > 0, law, 1))
    entropy = -(law * logarithm).sum(axis=1, keepdims=True)
    return np.asarray(surprise[:, None] * (law - chosen) + ent * law * (logarithm + entropy), dtype=np.float64)


def gradients(network: Network, rows: Floats, first: Floats, second: Floats, slope: Floats) -> Network:
    """Slopes of a loss by the weights and biases, from its slope ``(n, K)`` by the outputs.

    Args:
        network: whose.
        rows: ``(n, inputs)``.
        first: what its first layer said to them, see :func:`~routers.network.activations`.
        second: likewise.
        slope: ``(n, K)``.
    """
    found: Network = {}
    for layer, seen in zip(reversed(LAYERS), (second, first, rows), strict=True):
        found[f"{layer}_weights"] = seen.T @ slope
        found[f"{layer}_bias"] = slope.sum(axis=0)
        if layer != LAYERS[0]:
            slope = (slope @ network[f"{layer}_weights"].T) * (1 - seen * seen)
    return found


class _Adam:
    """Adam over named arrays, which it never writes to."""

    def __init__(self, parameters: Network, learning_rate: float) -> None:
        self._parameters, self._rate, self._steps = parameters, learning_rate, 0
        self._mean = {name: np.zeros_like(array) for name, array in parameters.items()}
        self._square = {name: np.zeros_like(array) for name, array in parameters.items()}

    def step(self, gradient: Network) -> Network:
        """The parameters after a step down the gradient."""
        fade, fade_square, least = _ADAM
        self._steps += 1
        rate = self._rate * np.sqrt(1 - fade_square**self._steps) / (1 - fade**self._steps)
        moved: Network = {}
        for name, array in self._parameters.items():
            mean, square, slope = self._mean[name], self._square[name], gradient[name]
            mean += (1 - fade) * (slope - mean)
            square += (1 - fade_square) * (slope * slope - square)
            moved[name] = (array - rate * mean / (np.sqrt(square) + least)).astype(np.float32)
        self._parameters = moved
        return dict(moved)
