"""The benchmark of PPO's training: figures of both sides on the same problem, and their ratios."""

from __future__ import annotations

import functools

import pytest

from experiments.benchmarks import ppo
from routers.ppo import PPORouter
from tests.conftest import needs


def test_medians_and_ratios_are_told() -> None:
    rows = [
        {"seed": seed, "who": who, "cpu_s": cpu_s + seed, "regret": 0.01, "arms": 10}
        for seed in range(3)
        for who, cpu_s in ((ppo.THEIRS, 29.0), (ppo.OURS, 5.0))
    ]
    assert ppo.summary(rows, ppo.OURS) == {"cpu_s": 6.0, "regret": 0.01, "arms": 10}
    cells = [list(column.cells) for column in ppo.table(rows).columns]
    assert cells[2] == ["30.0", "6.0"] and cells[3] == ["1.00", "0.20"]


def test_what_is_learned_is_measured_on_queries_never_met(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("train", "training `ppo`")
    small = functools.partial(PPORouter, n_envs=64, n_steps=16, batch_size=256, total_steps=16_384)
    blind = functools.partial(small, total_steps=1, patience=1, learning_rate=1e-9)
    for name, value in {"_FEATURES": 8, "_TRAINING": 500, "_CONTESTANTS": {"blind": blind, ppo.OURS: small}}.items():
        monkeypatch.setattr(ppo, name, value)
    regret = {row["who"]: row["regret"] for row in ppo.measure([0])}
    assert regret[ppo.OURS] < 0.5 * regret["blind"]
