"""The policy that ships with the package is the one that ``make policy`` trains, for the models that ship with it."""

from __future__ import annotations

import numpy as np
import pytest

from env.trace import Trace
from env.trace_io import read_trace
from experiments.train import Feedback, train
from instances.config import load_config
from instances.runtime import SHIPPED_POLICY
from routers.policy import Policy


@pytest.fixture(scope="module")
def trace() -> Trace:
    return read_trace("bundled")


@pytest.fixture(scope="module")
def shipped() -> Policy:
    return Policy.load(SHIPPED_POLICY)


def test_its_arms_are_the_shipped_models(shipped: Policy) -> None:
    assert set(shipped.arm_names) == {instance.name for instance in load_config().instances}


def test_it_was_trained_on_the_bundled_trace_as_it_is_now(shipped: Policy, trace: Trace) -> None:
    assert shipped.metrics["trace_hash"] == trace.hash
    fresh = train(trace, "linucb", feedback=Feedback.FULL)
    for dial in (0.0, 0.5, 1.0):
        chosen = [
            policy.decide(trace.queries, dial=dial, rng=np.random.default_rng(0), explore=False).arms
            for policy in (shipped, fresh)
        ]
        assert np.mean(chosen[0] == chosen[1]) > 0.99  # another machine's BLAS may turn a tie


def test_it_uses_every_kind_of_model_somewhere_on_the_dial(shipped: Policy, trace: Trace) -> None:
    used = {
        shipped.arm_names[arm]
        for dial in np.linspace(0, 1, 6)
        for arm in shipped.decide(trace.queries, dial=dial, rng=np.random.default_rng(0), explore=False).arms
    }
    assert {"custom-linear", "smollm2-few", "gemma3-few"} <= used
