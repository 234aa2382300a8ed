"""CPU time that PPO takes to a held-out regret, against Stable-Baselines3's defaults on 16 environments.

Both learn the problem of :mod:`experiments.benchmarks.rounds` from the same training queries by bandit feedback, both
are judged on the same held-out ones after each round of learning, stop when three of them brought no gain, and keep the
best network. Their regret is measured on queries that neither met, against the best arm's expected score.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from env.contexts import Outcomes
from env.errors import MissingExtra
from env.routing_env import RoutingEnv
from experiments.benchmarks.rounds import Problem
from routers.network import Network
from routers.network_router import Lesson
from routers.ppo import PPORouter, actor
from routers.sb3_training import learned, one_thread

_FEATURES, _TRAINING, _TEST = 384, 12_500, 5_000  # of the training queries a fifth is held out
_ENVS, _MOST_STEPS = 16, 400_000
OURS, THEIRS = "ppo", "SB3's defaults, 16 environments"


def measure(seeds: Sequence[int] = range(5)) -> list[dict[str, Any]]:
    """Train both on the same problem, one seed after another.

    Returns:
        Rows ``seed, who, cpu_s, regret, arms``: seconds of training with all verdicts, regret a query on the test
        part, and how many arms are chosen there.

    Raises:
        MissingExtra: without the ``train`` extra.
    """
    problem = Problem.drawn(_FEATURES, _TRAINING + _TEST)
    taught, tested = slice(0, _TRAINING), slice(_TRAINING, None)
    contexts = problem.contexts
    # Noise carries one score in a thousand out of its range.
    outcomes = Outcomes.of(np.clip(problem.outcomes.score, 0, 1))
    rows = []
    for seed in seeds:
        for who, kind in _CONTESTANTS.items():
            router = kind(contexts.n_arms, _FEATURES, preference=False, seed=seed)
            began = time.process_time()
            router.fit(contexts.take(taught), outcomes.take(taught))
            cpu_s = time.process_time() - began
            arms = router.act(contexts.take(tested), np.random.default_rng(0), explore=False).arms
            rows.append(
                {
                    "seed": seed,
                    "who": who,
                    "cpu_s": cpu_s,
                    "regret": _regret(problem.expected[tested], arms),
                    "arms": len(np.unique(arms)),
                }
            )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Medians over the seeds, and each against Stable-Baselines3's defaults."""
    shown = Table(
        title=f"PPO, 10 arms, {_FEATURES} features, {_TRAINING:,} training queries; medians of seeds",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    shown.add_column("who", no_wrap=True)
    for head in ("seeds", "CPU s", "of theirs", "regret", "of theirs", "arms"):
        shown.add_column(head, justify="right")
    medians = {who: summary(rows, who) for who in (THEIRS, OURS)}
    theirs = medians[THEIRS]
    for who, median in medians.items():
        shown.add_row(
            who,
            str(sum(row["who"] == who for row in rows)),
            f"{median['cpu_s']:.1f}",
            f"{median['cpu_s'] / theirs['cpu_s']:.2f}",
            f"{median['regret']:.4f}",
            f"{median['regret'] / theirs['regret']:.2f}",
            f"{median['arms']:.0f}",
        )
    return shown


def summary(rows: Sequence[dict[str, Any]], who: str) -> dict[str, float]:
    """Medians of ``cpu_s``, ``regret`` and ``arms`` over the seeds."""
    return {
        key: statistics.median(row[key] for row in rows if row["who"] == who) for key in ("cpu_s", "regret", "arms")
    }


class _Defaults(PPORouter):
    """PPO as Stable-Baselines3 has it, on 16 single environments in its own vector environment."""

    def _trained(self, lesson: Lesson) -> Network:
        try:
            from stable_baselines3 import PPO
            from stable_baselines3.common.vec_env import DummyVecEnv
        except ImportError as error:
            raise MissingExtra("the benchmark of `ppo`", "train") from error
        with one_thread():
            envs = DummyVecEnv([lambda: RoutingEnv(lesson.table)] * _ENVS)
            model = PPO("MlpPolicy", envs, device="cpu", seed=self.settings["seed"])
            return learned(model, lesson, actor, self.settings["patience"], _MOST_STEPS)


def _regret(expected: NDArray[np.float64], arms: NDArray[np.int64]) -> float:
    return float((expected.max(axis=1) - expected[np.arange(len(arms)), arms]).mean())


_CONTESTANTS: dict[str, type[PPORouter]] = {THEIRS: _Defaults, OURS: PPORouter}
