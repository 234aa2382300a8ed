"""One artefact, two worlds: the bundle decides in the live runtime as it does in the environment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from env.arms import Arm
from env.contexts import Contexts
from env.features import default_featuriser
from env.reward import DialMap, Reward
from env.routing_env import RoutingEnv
from env.trace import Trace
from env.trace_io import save_trace
from instances.calls import Call
from instances.config import InstanceConfig, RuntimeConfig
from instances.providers.base import ChatRequest
from instances.rows import DecisionRow
from instances.runtime import Runtime
from routers.policy import Policy, new_policy
from tests.conftest import make_trace

N_PROMPTS = 500
SEED, DIAL, EPSILON = 11, 0.3, 0.1


def trained(router: str, trace: Trace) -> Policy:
    """A policy whose choices depend on prompt, dial and load."""
    fresh = new_policy(router, [Arm(name) for name in trace.arms], default_featuriser())
    fresh.router.fit(fresh.contexts(trace.queries), trace.outcomes)
    dial_map = DialMap((0, 0.3, 1), (400, 280, 0))
    return Policy(fresh.router, fresh.arms, fresh.featuriser, Reward(latency_weight=0.05), dial_map)


async def served(bundle: Path, trace_file: Path, trace: Trace, store: Path) -> tuple[Policy, list[DecisionRow]]:
    """The decisions that the runtime made and stored, one prompt after the other."""
    config = RuntimeConfig(
        instances=tuple(
            InstanceConfig(name=name, provider="replay", trace=str(trace_file), speed=float("inf"))
            for name in trace.arms
        ),
        policy=str(bundle),
        dial=DIAL,
        exploration=EPSILON,
        seed=SEED,
        store=f"sqlite:///{store}",
        learn=False,
    )
    async with Runtime(config) as runtime:
        router = runtime.router("text")
        for prompt in trace.prompts:
            request = ChatRequest(messages=({"role": "user", "content": prompt},), params={})
            answer = await router.ask(Call(request))
            await runtime.feedback(answer.request_id, 1.0)
        return runtime.policy, [judged.decision for judged in runtime.store.judged_of(runtime.policy.version)]


@pytest.mark.parametrize("name", ["ridge", "linear_thompson", "knn"])
async def test_served_and_environment_decisions_agree(name: str, tmp_path: Path) -> None:
    trace = make_trace(N_PROMPTS, seed=3)
    policy = trained(name, trace)
    bundle, trace_file = policy.save(tmp_path / "policy"), save_trace(trace, tmp_path / "trace.parquet")
    loaded, rows = await served(bundle, trace_file, trace, tmp_path / "log.db")

    # The environment shows its own observations of the same queries, in its own order.
    env = RoutingEnv(trace, part="all", cost_weight=float(policy.dial_map(DIAL)), latency_weight=0.05)
    observations = {}
    for step in range(N_PROMPTS):
        observation, info = env.reset(seed=0) if step == 0 else env.reset()
        observations[info["query_id"]] = observation
        env.step(0)
    contexts = Contexts.of(
        np.stack([observations[query_id] for query_id in trace.query_ids]),
        trace.n_arms,
        cost_weight=policy.dial_map(DIAL),
        latency_weight=policy.reward.latency_weight,
        load=np.array([[row.waits[arm] for arm in trace.arms] for row in rows]),
    )
    decision = policy.decide(contexts, rng=np.random.default_rng(SEED), explore=False, epsilon=EPSILON)

    assert [row.model for row in rows] == [trace.arms[arm] for arm in decision.arms]
    np.testing.assert_allclose([row.propensity for row in rows], decision.propensities, rtol=1e-4)
    features = np.stack([row.features for row in rows if row.features is not None])
    np.testing.assert_array_equal(features, contexts.features)
    live = loaded.router.act(contexts, np.random.default_rng(0), explore=False).scores
    np.testing.assert_allclose(live, decision.scores, rtol=1e-4)
    # A test that cannot fail proves nothing: the policy must use more than one arm, and explore.
    assert len(set(decision.arms.tolist())) > 1
    assert len(set(decision.propensities.round(6).tolist())) > 1
