"""PPO: policy gradients on recorded traces. Training is Stable-Baselines3's; serving is three matrix products.

Routing is a one-step problem with recorded outcomes, so PPO learns from samples of what ridge regression reads off the
whole table; use it where that does not hold (rewards that are not a score minus its price, sequential environments).
"""

from __future__ import annotations

from typing import Any, ClassVar

from env.errors import BadInput
from routers.network import Network, exported
from routers.network_router import Lesson, NetworkRouter
from routers.sb3_training import train

# What a small table makes of the settings: passes over it in a round of learning at most, batches in a round at least,
# and rounds at most.
_PASSES, _BATCHES, _ROUNDS = 4, 16, 16


class PPORouter(NetworkRouter):
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
        masked: train with sb3-contrib's MaskablePPO (Huang, Ontañón 2020, arXiv 2006.14171), which never draws an arm
            that may not be chosen; without it such draws bring -1, and the network wastes what it learns of them.
            Decisions obey masks either way.
        hidden: width of the two tanh layers.
        n_envs: queries side by side at most. With ``n_steps`` it makes the rollout buffer; on large tables PPO tends to
            collapse onto a few arms below some 32,000 decisions. A small table gets fewer, so that a round is at most
            four passes over it, in 16 batches or more, and training 16 rounds: what is learned of more is its noise.
        n_steps: decisions of each between two rounds of learning.
        batch_size: of a gradient step, at most.
        n_epochs: passes over the buffer in a round of learning.
        learning_rate: of Adam at first; it falls to 0 on a line, which lets the last rounds average over what the
            draws happened to be.
        ent_coef: weight of the entropy bonus, 0 or more.
        total_steps: decisions at most.
        patience: rounds without a gain on held-out rows before it stops.
        seed: of the held-out rows, the queries' order, the network and the draws.

    Raises:
        MissingExtra: on :meth:`fit`, without the ``train`` extra, or with ``masked`` without sb3-contrib. Deciding
            needs numpy alone.

    Example:
        >>> from env.contexts import Contexts
        >>> router = PPORouter(n_arms=3, n_features=2)
        >>> router.law(Contexts.of([[0, 0]], n_arms=3, mask=[True, False, True]))  # untrained
        array([[0.5, 0. , 0.5]])
    """

    name: ClassVar[str] = "ppo"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        preference: bool = True,
        masked: bool = False,
        hidden: int = 64,
        n_envs: int = 1024,
        n_steps: int = 32,
        batch_size: int = 1024,
        n_epochs: int = 4,
        learning_rate: float = 2e-3,
        ent_coef: float = 0.003,
        total_steps: int = 262_144,
        patience: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(
            n_arms,
            n_features,
            preference=preference,
            masked=masked,
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
        if not 1 < batch_size <= n_envs * n_steps:
            raise BadInput(f"router `ppo`: batch_size is {batch_size}; it must be 2 to n_envs * n_steps")

    def _trained(self, lesson: Lesson) -> Network:
        width, first = self.settings["hidden"], self.settings["learning_rate"]
        fitted = dict(self.settings)
        n_steps, wanted = self.settings["n_steps"], _PASSES * len(lesson.table) // self.settings["n_steps"]
        if wanted < self.settings["n_envs"]:
            # A multiple of the batches, so that each has as many decisions.
            fitted["n_envs"] = max(wanted // _BATCHES, 1) * _BATCHES
            buffer, batches = fitted["n_envs"] * n_steps, _BATCHES
            while buffer // batches > self.settings["batch_size"] and buffer % (2 * batches) == 0:
                batches *= 2
            fitted["batch_size"] = max(2, buffer // batches)
            fitted["total_steps"] = min(self.settings["total_steps"], _ROUNDS * buffer)
        algorithm, library = ("MaskablePPO", "sb3_contrib") if self.settings["masked"] else ("PPO", "stable_baselines3")
        return train(
            algorithm,
            lesson,
            fitted,
            export=actor,
            library=library,
            # Rounds are whole: the last may end past the total, where what is left is below 0.
            learning_rate=lambda left: first * max(left, 0.0),
            **{name: fitted[name] for name in ("n_steps", "batch_size", "n_epochs", "ent_coef")},
            # Half the work would go into the value of a query. One answer ends an episode: it only takes off what is
            # common to all arms, and a linear guess of that will do.
            policy_kwargs={"net_arch": {"pi": [width, width], "vf": []}},
        )


def actor(policy: Any) -> Network:
    """The actor of an SB3 ``MlpPolicy`` with two tanh layers."""
    return exported((policy.mlp_extractor.policy_net[0], policy.mlp_extractor.policy_net[2], policy.action_net))
