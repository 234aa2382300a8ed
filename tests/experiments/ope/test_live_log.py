"""From live requests to a verdict on another policy: serve with exploration, judge, export, estimate."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from env.features import Hashing
from env.trace import Trace
from env.trace_io import save_trace
from experiments.export import export_log
from experiments.ope.judge import off_policy
from experiments.ope.logs import BanditLog
from instances.calls import Call
from instances.config import parse_config
from instances.providers.base import ChatRequest
from instances.runtime import Runtime
from routers.policy import new_policy
from tests.experiments.conftest import recorded

N = 300


async def served(trace: Trace, folder: Path, store: str) -> None:
    """Every query of a trace asked once of a runtime that replays it, two in ten at random, and judged as recorded."""
    file = str(save_trace(trace, folder / "replayed.parquet"))
    instances = [{"name": arm, "provider": "replay", "trace": file, "concurrency": 8} for arm in trace.arms]
    config = parse_config({"instances": instances, "exploration": 0.4, "seed": 0, "store": store})
    policy = new_policy("fixed", trace.arms, Hashing(16), arm=0)
    async with Runtime(config, policy=policy) as runtime:
        for row, prompt in enumerate(trace.prompts):
            answer = await runtime.router().ask(Call(ChatRequest(({"role": "user", "content": prompt},))))
            if row != 7:  # nobody judged this one
                score = trace.score[row, trace.arms.index(answer.model)]
                await runtime.feedback(answer.request_id, float(score))


def test_a_policy_is_judged_by_what_a_server_logged(tmp_path: Path) -> None:
    # Replayed answers take as long as they took: these take no time.
    trace = replace(recorded(N), latency_s=np.zeros((N, 3), dtype=np.float32))
    store = f"sqlite:///{tmp_path / 'live.db'}"
    asyncio.run(served(trace, tmp_path, store))
    log = export_log(store, tmp_path / "log.parquet")
    read = BanditLog.from_trace(log, unjudged="drop")
    assert (len(read), dict(read.left_out)) == (N - 1, {"not judged": 1})
    assert set(read.propensities.round(4)) == {round(0.6 + 0.4 / 3, 4), round(0.4 / 3, 4)}
    assert read.mask.all()
    target = new_policy("fixed", trace.arms, Hashing(16), arm=trace.arms.index("large"))
    score, cost = off_policy(target, log, unjudged="drop", estimators=["snips", "dr"])
    truth = float(trace.score[:, trace.arms.index("large")].mean())
    for name in ("snips", "dr"):
        assert score.estimates[name].interval.holds(truth), name
    assert score.verdict.startswith("more than what the log brought")
    assert cost.estimates["snips"].value == pytest.approx(
        float(np.mean(trace.cost_usd[:, trace.arms.index("large")])), rel=0.15
    )
