"""Training a network router with Stable-Baselines3: its algorithms, on our environment, stopped in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from env.errors import MissingExtra
from routers.network import Network
from routers.network_router import Lesson


def train(
    algorithm: str,
    lesson: Lesson,
    settings: Mapping[str, Any],
    *,
    export: Callable[[Any], Network],
    judge_every: int = 0,
    library: str = "stable_baselines3",
    **arguments: Any,
) -> Network:
    """Train on a lesson; the network with the highest verdict.

    Args:
        algorithm: name of the class, ``"PPO"``.
        lesson: what is learned, and who judges it.
        settings: ``n_envs``, ``total_steps``, ``patience`` (verdicts without a gain before it stops) and ``seed``.
        export: the network of a policy of the library.
        judge_every: decisions between two verdicts; 0 for whenever it has learned.
        library: where the algorithm is.
        **arguments: of the algorithm.

    Raises:
        MissingExtra: the library, or torch, is not installed.
    """
    try:
        made = getattr(import_module(library), algorithm)
        from stable_baselines3.common.vec_env import VecEnvWrapper

        from env.sb3_vec_env import RoutingSB3VecEnv
    except ImportError as error:
        extra = "train" if library == "stable_baselines3" else "dev"
        raise MissingExtra(f"training `{algorithm.lower()}`", extra) from error

    class EvenRewards(VecEnvWrapper):
        """Gives rewards of the same size at every price of money, see :meth:`Lesson.even`."""

        def reset(self) -> Any:
            self.asked: Any = self.venv.reset()
            return self.asked

        def step_wait(self) -> Any:
            answered = self.asked
            self.asked, rewards, dones, infos = self.venv.step_wait()
            return self.asked, lesson.even(rewards, answered), dones, infos

    with one_thread():
        envs = EvenRewards(RoutingSB3VecEnv(settings["n_envs"], lesson.table))
        model = made("MlpPolicy", envs, device="cpu", seed=settings["seed"], **arguments)
        return learned(model, lesson, export, settings["patience"], settings["total_steps"], judge_every)


def learned(
    model: Any,
    lesson: Lesson,
    export: Callable[[Any], Network],
    patience: int,
    total_steps: int,
    judge_every: int = 0,
) -> Network:
    """Let a model of the library learn until verdicts no longer rise; see :func:`train`."""
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.logger import Logger

    class StopInTime(BaseCallback):
        """Judges the network as it learns, keeps the best one and stops when it is an old one."""

        def __init__(self) -> None:
            super().__init__()
            self.best = float("-inf")
            self.network: Network = {}
            self.rounds = self.next = 0

        def judge(self) -> None:
            network = export(model.policy)
            reached = lesson.verdict(network)
            # What the library noted of its last round of learning; nothing before the first.
            noted = model.logger.name_to_value
            figures = {name: float(said) for name, said in noted.items() if isinstance(said, int | float | np.number)}
            lesson.progress(int(model.num_timesteps), {"verdict": reached, **figures})
            self.rounds += 1
            if reached > self.best:
                self.best, self.network, self.rounds = reached, network, 0

        def _on_rollout_start(self) -> None:
            if self.num_timesteps >= self.next:
                self.judge()
                self.next += judge_every

        def _on_step(self) -> bool:
            return bool(self.rounds < patience)

    model.set_logger(Logger(None, []))  # the default one makes a folder for every training
    keeper = StopInTime()
    model.learn(total_steps, callback=keeper)
    keeper.judge()
    return keeper.network


@contextmanager
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
