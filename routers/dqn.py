"""DQN: a network that tells what each arm is worth. Training is Stable-Baselines3's; serving is three products."""

from __future__ import annotations

from typing import Any, ClassVar

from env.errors import BadInput
from routers.network import Network, exported
from routers.network_router import Lesson, NetworkRouter
from routers.sb3_training import train

# Decisions between two verdicts, and those that are remembered.
_ROUND, _REMEMBERED = 8_192, 65_536


class DQNRouter(NetworkRouter):
    """Deep Q-learning (Mnih et al. 2015, Human-level control through deep reinforcement learning) on one-step episodes.

    An episode ends with its answer, so that nothing follows on it: the target of an arm's value is its reward, the
    target network has nothing to do, and what remains is regression of rewards that were chosen epsilon-greedily. The
    price of money, gaps and stopping are as in :class:`~routers.ppo.PPORouter`; rewards are those of
    :meth:`~routers.network_router.Lesson.even`.

    It decides for the arm of the highest value: propensities are 1.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        preference: take the cost weight as an input; see :class:`~routers.network_router.NetworkRouter`.
        hidden: width of the two tanh layers.
        n_envs: queries side by side, between two rounds of learning.
        gradient_steps: in a round of learning.
        batch_size: of a gradient step, drawn from the last 65,536 decisions.
        learning_rate: of Adam.
        exploration: share of training over which epsilon falls from 1 to 0.05, at most 1.
        total_steps: decisions at most.
        patience: verdicts, one each 8,192 decisions, without a gain on held-out rows before it stops.
        seed: of the held-out rows, the queries' order, the network and the draws.

    Raises:
        MissingExtra: on :meth:`fit`, without the ``train`` extra. Deciding needs numpy alone.

    Example:
        >>> from env.contexts import Contexts
        >>> DQNRouter(n_arms=2, n_features=2).law(Contexts.of([[0, 0]], n_arms=2))  # untrained
        array([[1., 0.]])
    """

    name: ClassVar[str] = "dqn"
    drawn: ClassVar[bool] = False

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        preference: bool = True,
        hidden: int = 64,
        n_envs: int = 256,
        gradient_steps: int = 4,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        exploration: float = 0.5,
        total_steps: int = 131_072,
        patience: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__(
            n_arms,
            n_features,
            preference=preference,
            hidden=hidden,
            n_envs=n_envs,
            gradient_steps=gradient_steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            exploration=exploration,
            total_steps=total_steps,
            patience=patience,
            seed=seed,
        )
        if exploration > 1:
            raise BadInput(f"router `{self.name}`: exploration is {exploration}; it must be at most 1")

    def _trained(self, lesson: Lesson) -> Network:
        from torch.nn import Tanh

        width, n_envs = self.settings["hidden"], self.settings["n_envs"]
        return train(
            "DQN",
            lesson,
            self.settings,
            export=values,
            judge_every=min(_ROUND, self.settings["total_steps"] // 8),
            **{name: self.settings[name] for name in ("gradient_steps", "batch_size", "learning_rate")},
            exploration_fraction=self.settings["exploration"],
            train_freq=1,
            learning_starts=n_envs,
            buffer_size=max(_REMEMBERED, n_envs),
            gamma=0.0,
            policy_kwargs={"net_arch": [width, width], "activation_fn": Tanh},
        )


def values(policy: Any) -> Network:
    """The network of an SB3 ``DQNPolicy`` with two tanh layers."""
    layers = policy.q_net.q_net
    return exported((layers[0], layers[2], layers[4]))
