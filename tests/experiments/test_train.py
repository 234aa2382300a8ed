"""Training: every choice without the test part, bandit feedback that is really bandit, one dial for all routers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import routers
from env.contexts import Contexts, Ints, Outcomes
from env.errors import BadInput
from env.features import Featuriser
from env.trace import Trace
from experiments.folds import contexts_of, featurised, fold
from experiments.train import Feedback, _choices, default_feedback, learn, one_pass, train
from routers import router_class
from routers.base import Estimator, Unsupported
from routers.policy import Policy
from routers.ucb import UCB1

QUICK = [name for name in routers.names() if name not in ("a2c", "boosting", "dqn", "ppo")]


def test_outcomes_of_test_queries_change_nothing(trace: Trace, featuriser: Featuriser) -> None:
    test = trace.split(0).test
    score, cost = trace.score.copy(), trace.cost_usd.copy()
    score[test], cost[test] = 1 - score[test], 7.0
    altered = replace(trace, score=score, cost_usd=cost)
    for name in ("ridge", "knn", "linucb", "placebo"):
        assert train(trace, name, featuriser=featuriser).version == train(altered, name, featuriser=featuriser).version


def test_the_seed_salts_the_split_and_the_algorithm(trace: Trace, featuriser: Featuriser) -> None:
    versions = {train(trace, "placebo", seed=seed, featuriser=featuriser).version for seed in (0, 1, 0)}
    assert len(versions) == 2
    assert train(trace, "placebo", seed=3, featuriser=featuriser).router.settings["seed"] == 3


def test_the_record_says_what_was_done(trace: Trace, featuriser: Featuriser, tmp_path: Path) -> None:
    train(trace, "ridge", tmp_path / "bundle", seed=2, featuriser=featuriser)
    metrics = Policy.load(tmp_path / "bundle").metrics
    assert (metrics["trace"], metrics["trace_hash"], metrics["seed"]) == ("recorded", trace.hash, 2)
    assert (metrics["cheapest"], metrics["best_single"], metrics["feedback"]) == ("small", "large", "full")
    assert metrics["validation"]["score"] > 0.7


def test_a_folder_that_is_not_a_bundle_is_refused_before_the_work(
    trace: Trace, featuriser: Featuriser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    monkeypatch.setattr("experiments.train.learn", lambda *_a, **_k: pytest.fail("it trained"))
    with pytest.raises(BadInput, match="exists and is not a policy bundle"):
        train(trace, "ridge", tmp_path, featuriser=featuriser)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_turning_the_dial_up_never_gets_cheaper_on_validation(trace: Trace, featuriser: Featuriser) -> None:
    frontier = train(trace, "ridge", featuriser=featuriser).metrics["validation"]["frontier"]
    assert np.all(np.diff(frontier["cost_usd"]) >= 0)
    assert np.all(np.diff(frontier["score"]) >= 0)
    assert np.all(np.diff(frontier["cost_weight"]) <= 0)


class Watcher(UCB1):
    """Keeps what it was shown."""

    shown: list[tuple[Contexts, Ints, Outcomes, Any]]

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Any) -> None:
        self.shown.append((contexts, arms, outcomes, propensities))
        super().update(contexts, arms, outcomes, propensities)


def test_bandit_feedback_is_one_outcome_a_query_each_seen_once(trace: Trace, featuriser: Featuriser) -> None:
    ready = featurised(trace, featuriser)
    router = Watcher(trace.n_arms, featuriser.d)
    router.shown = []
    one_pass(router, ready, seed=1)
    assert len(router.shown) == len(trace)
    assert all(outcomes.score.shape == (1,) for _, _, outcomes, _ in router.shown)
    assert len({float(contexts.cost_weight[0]) for contexts, *_ in router.shown}) > 20


def test_arms_that_were_not_recorded_are_not_chosen(trace: Trace, featuriser: Featuriser) -> None:
    score = trace.score.copy()
    score[::2, 0] = np.nan
    ready = featurised(replace(trace, score=score), featuriser)
    router = Watcher(trace.n_arms, featuriser.d)
    router.shown = []
    one_pass(router, ready)
    assert all(np.isfinite(outcomes.score).all() for _, _, outcomes, _ in router.shown)


def test_a_router_without_online_learning_refuses_bandit_feedback(trace: Trace, featuriser: Featuriser) -> None:
    with pytest.raises(Unsupported):
        train(trace, "ridge", feedback=Feedback.BANDIT, featuriser=featuriser)


def test_what_each_kind_is_told() -> None:
    assert default_feedback(router_class("linucb")) is Feedback.FULL
    assert default_feedback(router_class("linucb"), online=True) is Feedback.BANDIT
    assert default_feedback(router_class("ridge"), online=True) is Feedback.FULL
    assert default_feedback(router_class("random"), online=True) is Feedback.NONE


@pytest.mark.parametrize("name", QUICK)
def test_the_dial_is_fitted_on_what_the_policy_would_decide(name: str, trace: Trace, featuriser: Featuriser) -> None:
    part = fold(featurised(trace, featuriser), seed=0)
    policy = learn(part, name, featuriser)
    if not isinstance(policy.router, Estimator):
        return
    contexts = contexts_of(part.validation)
    choose = _choices(policy.router, policy.router.predict(contexts), contexts, seed=0)
    for weight in (0.0, 50.0, 5000.0):
        decided = policy.decide(
            part.validation.queries, cost_weight=weight, rng=np.random.default_rng(0), explore=False
        )
        np.testing.assert_array_equal(choose(weight), decided.arms)


def test_features_of_another_featuriser_without_text_are_refused(trace: Trace, featuriser: Featuriser) -> None:
    prompts = np.full(len(trace), None, dtype=object)
    theirs = replace(trace, prompts=prompts, features=np.zeros((len(trace), 3), np.float32), featuriser="theirs-1")
    with pytest.raises(BadInput, match="query q0 has no prompt, and its features were made by theirs-1"):
        train(theirs, featuriser=featuriser)
    ours = replace(featurised(trace, featuriser), prompts=prompts)
    assert train(ours, "ridge", featuriser=featuriser).metrics["validation"]["score"] > 0.5


@pytest.mark.parametrize(
    "settings", [{"router": "tfidf_ridge"}, {"router": "max_cost", "settings": {"router": "tfidf_ridge"}}]
)
def test_a_wrapped_router_sees_what_it_was_made_for(trace: Trace, settings: dict[str, Any]) -> None:
    made = [
        train(trace, name, settings=given).featuriser.fingerprint
        for name, given in (("max_cost", settings), ("tfidf_ridge", {}), ("max_cost", {}))
    ]
    assert made[0] == made[1] != made[2]
