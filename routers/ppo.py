"""PPO: policy gradients on recorded traces. Training is Stable-Baselines3's; serving is three matrix products.

Routing is a one-step problem with recorded outcomes, so PPO learns from samples of what ridge regression reads off the
whole table; use it where that does not hold (rewards that are not a score minus its price, sequential environments).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np

from env.contexts import Contexts, Floats, Outcomes
from env.errors import BadInput, MissingExtra
from env.observation import ObservationLayout
from env.reward import Reward
from env.routing_table import RoutingTable
from routers.base import Array, Capabilities, Decision, Router, certain, greedy, sample
from routers.costs import column_means
from routers.least_squares import Doubles
from routers.ridge import Ridge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Share of the rows that judge when to stop, and the prices of money (normalised, -1 is free) they are judged at.
_HELD_OUT = 0.2
_PREFERENCES = np.linspace(-1, 1, 5)

Network: TypeAlias = dict[str, Floats]

# The largest cost weight trained for, as a multiple of what makes the mean of the cheapest arm the best.
_HEADROOM = 3.0

_LAYERS = ("hidden_1", "hidden_2", "logits")


class PPORouter(Router):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347, equation 7) on one-step episodes.

    Where costs were recorded, the policy takes the cost weight as an input, drawn anew for each step of training: one
    network for every setting of the dial. Cells without a score (or a price) are filled by ridge regression before
    training, so a bandit log trains it too. Learning stops when the reward on held-out rows no longer rises, and the
    best network seen is kept: after about a dozen passes PPO starts to fit the noise of the recorded outcomes.

    Scores of its decisions are the network's logits: preferences, not utilities.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        preference: see the cost weight; False trains for the weights that the contexts hold, and no others.
        hidden: width of the two tanh layers.
        n_envs: queries side by side. With ``n_steps`` it makes the rollout buffer; below some 32,000 decisions PPO
            tends to collapse onto a few arms.
        n_steps: decisions of each between two rounds of learning.
        batch_size: of a gradient step.
        n_epochs: passes over the buffer in a round of learning.
        learning_rate: of Adam.
        ent_coef: weight of the entropy bonus.
        total_steps: decisions at most.
        patience: rounds without a gain on held-out rows before it stops.
        seed: of the held-out rows, the queries' order, the network and the draws.

    Raises:
        MissingExtra: on :meth:`fit`, without the ``train`` extra. Deciding needs numpy alone.

    Example:
        >>> router = PPORouter(n_arms=3, n_features=2)
        >>> router.law(Contexts.of(np.zeros((1, 2)), n_arms=3, mask=np.array([True, False, True])))  # untrained
        array([[0.5, 0. , 0.5]])
    """

    name: ClassVar[str] = "ppo"
    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        preference: bool = True,
        hidden: int = 64,
        n_envs: int = 1024,
        n_steps: int = 32,
        batch_size: int = 1024,
        n_epochs: int = 5,
        learning_rate: float = 1e-3,
        ent_coef: float = 0.0,
        total_steps: int = 262_144,
        patience: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(
            n_arms,
            n_features,
            preference=preference,
            hidden=hidden,
            n_envs=n_envs,
            n_steps=n_steps,
            batch_size=batch_size,
            n_epochs=n_epochs,
            learning_rate=learning_rate,
            ent_coef=ent_coef,
            total_steps=total_steps,
            patience=patience,
            seed=seed,
        )
        for setting in ("hidden", "n_envs", "n_steps", "n_epochs", "learning_rate", "total_steps", "patience"):
            if not self.settings[setting] > 0:
                raise BadInput(f"router `ppo`: {setting} is {self.settings[setting]}; it must be above 0")
        if not 1 < batch_size <= n_envs * n_steps:
            raise BadInput(f"router `ppo`: batch_size is {batch_size}; it must be 2 to n_envs * n_steps")
        self._layout = ObservationLayout(n_features)
        self._network: Network = {
            "hidden_1_weights": np.zeros((n_features, hidden), dtype=np.float32),
            "hidden_2_weights": np.zeros((hidden, hidden), dtype=np.float32),
            "logits_weights": np.zeros((hidden, n_arms), dtype=np.float32),
            **{
                f"{layer}_bias": np.zeros(width, dtype=np.float32)
                for layer, width in zip(_LAYERS, (hidden, hidden, n_arms), strict=True)
            },
        }

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """A draw from the policy; without ``explore`` its most probable arm."""
        scores = self._scores(contexts)
        return sample(_softmax(scores), scores, rng) if explore else greedy(scores)

    def law(self, contexts: Contexts, *, explore: bool = True) -> Doubles:
        """``(n, K)`` softmax of the logits over the allowed arms."""
        scores = self._scores(contexts)
        if explore:
            return _softmax(scores)
        return certain(scores.argmax(axis=1), self.n_arms)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Train from scratch on a table; ``(n, K)`` outcomes, NaN where not observed.

        Raises:
            MissingExtra: the ``train`` extra is not installed.
        """
        whole = _without_gaps(contexts, outcomes)
        judging = np.random.default_rng(self.settings["seed"]).random(len(contexts)) < _HELD_OUT
        if judging.all() or not judging.any():
            # Too few rows to hold any out: the same ones teach and judge.
            taught = judged = np.arange(len(contexts))
        else:
            taught, judged = np.flatnonzero(~judging), np.flatnonzero(judging)
        top = _top_cost_weight(whole, contexts) if self.settings["preference"] else None
        table = RoutingTable.of(
            contexts.take(taught),
            whole.take(taught),
            cost_weight=None if top is None else "observe",
            max_cost_weight=top,
            name="router `ppo`",
            accept_gaps=True,  # an arm that nobody tried is never chosen in training
        )
        self._layout = table.layout
        mean_cost = float(np.nan_to_num(np.nanmean(whole.cost_usd))) if top else 0.0
        verdict = _judge(contexts.take(judged), whole.take(judged), self._layout, mean_cost)
        self._network = _train(table, self.settings, verdict, mean_cost)
        return self

    def _scores(self, contexts: Contexts) -> Floats:
        logits = _logits(self._network, self._layout.encode(contexts.features, contexts.cost_weight))
        return np.where(contexts.mask, logits, -np.inf).astype(np.float32)

    def _arrays(self) -> dict[str, Array]:
        top = self._layout.max_cost_weight
        return {**self._network, "max_cost_weight": np.array([] if top is None else [top])}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        top = arrays["max_cost_weight"]
        self._layout = ObservationLayout(self.n_features, float(top[0]) if len(top) else None)
        self._network = {name: array for name, array in arrays.items() if name != "max_cost_weight"}


def _logits(network: Network, rows: Floats) -> Floats:
    """``(n, K)`` outputs of the network for observations ``(n, width)``."""
    for layer in ("hidden_1", "hidden_2"):
        rows = np.tanh(rows @ network[f"{layer}_weights"] + network[f"{layer}_bias"])
    return rows @ network["logits_weights"] + network["logits_bias"]


def _softmax(scores: Floats) -> Doubles:
    exponent = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True), dtype=np.float64)


def _without_gaps(contexts: Contexts, outcomes: Outcomes) -> Outcomes:
    """The outcomes with what was not observed predicted by ridge regression from what was."""
    if not any(np.isnan(values).any() for values in (outcomes.score, outcomes.cost_usd, outcomes.latency_s)):
        return outcomes
    model = Ridge(contexts.n_arms, contexts.features.shape[1]).fit(contexts, outcomes).predict(contexts)
    return Outcomes(
        np.where(np.isnan(outcomes.score), model.score, outcomes.score),
        np.where(np.isnan(outcomes.cost_usd), model.cost_usd, outcomes.cost_usd),
        np.where(np.isnan(outcomes.latency_s), model.latency_s, outcomes.latency_s),
    )


def _top_cost_weight(outcomes: Outcomes, contexts: Contexts) -> float | None:
    """A cost weight at which no arm is worth more than the cheapest one; None where costs do not differ."""
    score, cost = column_means(outcomes.score), column_means(outcomes.cost_usd)
    if np.isnan(cost).all():
        return None
    cheapest = int(np.nanargmin(cost))
    dearer = cost > cost[cheapest]
    if not dearer.any():
        return None
    slopes = (score - score[cheapest])[dearer] / (cost - cost[cheapest])[dearer]
    # Where the cheapest arm is the best one too, the price of one whole score point does.
    steepest = max(float(np.nan_to_num(slopes).max()), 1 / float(np.ptp(cost[~np.isnan(cost)])))
    return max(_HEADROOM * steepest, float(contexts.cost_weight.max()))


def _judge(
    contexts: Contexts, outcomes: Outcomes, layout: ObservationLayout, mean_cost: float
) -> Callable[[Network], float]:
    """Mean reward of a network's greedy choices, over the prices of money that it is meant for."""
    prices = [contexts.cost_weight]
    if layout.max_cost_weight is not None:
        weights = layout.cost_weight(_PREFERENCES).astype(np.float32)
        prices = [np.broadcast_to(weight, (len(contexts),)) for weight in weights]
    observed = np.vstack([layout.encode(contexts.features, price) for price in prices])
    rewards = np.vstack(
        [Reward()(outcomes, price, contexts.latency_weight) / (1 + price * mean_cost)[:, None] for price in prices]
    )
    mask = np.tile(contexts.mask, (len(prices), 1)) & ~np.isnan(rewards)
    known = mask.any(axis=1)
    observed, rewards, mask = observed[known], rewards[known], mask[known]

    def verdict(network: Network) -> float:
        arms = np.where(mask, _logits(network, observed), -np.inf).argmax(axis=1)
        return float(rewards[np.arange(len(arms)), arms].mean())

    return verdict


def _train(
    table: RoutingTable, settings: Mapping[str, Any], verdict: Callable[[Network], float], mean_cost: float
) -> Network:
    """Train on a table; the network with the highest verdict."""
    try:
        from stable_baselines3 import PPO
        from stable_baselines3.common.callbacks import BaseCallback
        from stable_baselines3.common.logger import Logger
        from stable_baselines3.common.vec_env import VecEnvWrapper

        from env.sb3_vec_env import RoutingSB3VecEnv
    except ImportError as error:
        raise MissingExtra("training `ppo`", "train") from error

    class EvenRewards(VecEnvWrapper):
        """Divides a reward by ``1 + cost weight * mean cost``, which changes no preference between arms.

        Without it the highest cost weights, where rewards are counted in tens, would drown all the others.
        """

        def reset(self) -> Any:
            self.asked: Any = self.venv.reset()
            return self.asked

        def step_wait(self) -> Any:
            weights = table.layout.decode(self.asked)[1]
            self.asked, rewards, dones, infos = self.venv.step_wait()
            return self.asked, rewards / (1 + (0 if weights is None else weights) * mean_cost), dones, infos

    class StopInTime(BaseCallback):
        """Judges the network after each round of learning, keeps the best one and stops when it is an old one."""

        def __init__(self) -> None:
            super().__init__()
            self.best = float("-inf")
            self.network: Network = {}
            self.rounds = 0

        def judge(self) -> None:
            network = exported(model.policy)
            reached = verdict(network)
            self.rounds += 1
            if reached > self.best:
                self.best, self.network, self.rounds = reached, network, 0

        def _on_rollout_start(self) -> None:
            self.judge()

        def _on_step(self) -> bool:
            return bool(self.rounds < settings["patience"])

    with _one_thread():
        model = PPO(
            "MlpPolicy",
            EvenRewards(RoutingSB3VecEnv(settings["n_envs"], table)),
            **{
                key: settings[key] for key in ("n_steps", "batch_size", "n_epochs", "learning_rate", "ent_coef", "seed")
            },
            policy_kwargs={"net_arch": [settings["hidden"], settings["hidden"]]},
            device="cpu",
        )
        model.set_logger(Logger(None, []))  # the default one makes a folder for every training
        keeper = StopInTime()
        model.learn(settings["total_steps"], callback=keeper)
        keeper.judge()
    return keeper.network


def exported(policy: Any) -> Network:
    """The actor of an SB3 ``MlpPolicy`` with two tanh layers, as arrays: ``(inputs, outputs)`` weights and biases."""
    modules = (policy.mlp_extractor.policy_net[0], policy.mlp_extractor.policy_net[2], policy.action_net)
    arrays: Network = {}
    for layer, module in zip(_LAYERS, modules, strict=True):
        arrays[f"{layer}_weights"] = module.weight.detach().numpy().T.copy()
        arrays[f"{layer}_bias"] = module.bias.detach().numpy().copy()
    return arrays


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
