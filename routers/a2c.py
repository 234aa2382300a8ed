"""A2C: one gradient step for every batch of decisions. Training is Stable-Baselines3's; serving is three products."""

from __future__ import annotations

from typing import ClassVar

from routers.network import Network
from routers.network_router import Lesson, NetworkRouter
from routers.ppo import actor
from routers.sb3_training import train

# Decisions between two verdicts: as many as PPO makes.
_ROUND = 32_768


class A2CRouter(NetworkRouter):
    """Advantage actor-critic (Mnih et al. 2016, arXiv 1602.01783, the synchronous form) on one-step episodes.

    The plainest of the policy gradients of Stable-Baselines3: each decision is learned from once, where
    :class:`~routers.ppo.PPORouter` goes over it several times. The price of money, gaps and stopping are as there.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        preference: take the cost weight as an input; see :class:`~routers.network_router.NetworkRouter`.
        hidden: width of the two tanh layers.
        n_envs: queries side by side; with ``n_steps`` it makes the batch of a gradient step.
        n_steps: decisions of each between two gradient steps.
        learning_rate: of Adam.
        ent_coef: weight of the entropy bonus, 0 or more.
        total_steps: decisions at most.
        patience: verdicts, one each 32,768 decisions, without a gain on held-out rows before it stops.
        seed: of the held-out rows, the queries' order, the network and the draws.

    Raises:
        MissingExtra: on :meth:`fit`, without the ``train`` extra. Deciding needs numpy alone.

    Example:
        >>> from env.contexts import Contexts
        >>> A2CRouter(n_arms=2, n_features=2).law(Contexts.of([[0, 0]], n_arms=2))  # untrained
        array([[0.5, 0.5]])
    """

    name: ClassVar[str] = "a2c"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        preference: bool = True,
        hidden: int = 64,
        n_envs: int = 256,
        n_steps: int = 1,
        learning_rate: float = 1e-3,
        ent_coef: float = 0.01,
        total_steps: int = 524_288,
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
            learning_rate=learning_rate,
            ent_coef=ent_coef,
            total_steps=total_steps,
            patience=patience,
            seed=seed,
        )

    def _trained(self, lesson: Lesson) -> Network:
        width = self.settings["hidden"]
        return train(
            "A2C",
            lesson,
            self.settings,
            export=actor,
            judge_every=min(_ROUND, self.settings["total_steps"] // 8),
            **{name: self.settings[name] for name in ("n_steps", "learning_rate", "ent_coef")},
            use_rms_prop=False,
            normalize_advantage=True,
            policy_kwargs={"net_arch": {"pi": [width, width], "vf": []}},
        )
