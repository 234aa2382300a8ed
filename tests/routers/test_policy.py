"""The policy: one decision rule for evaluation, environment and server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.arms import Arm, Price, Tier
from env.contexts import Contexts, Outcomes, Queries
from env.errors import BadInput
from env.features import Hashing
from env.reward import DialMap, Reward
from routers.base import Decision
from routers.bundle import POLICY_FILE, _hash_of_all_else
from routers.policy import Policy, new_policy

PROMPTS = [f"prompt number {number} about {topic}" for number in range(20) for topic in ("rain", "trains")]
ARMS = (
    Arm("cheap", Tier.LOCAL, Price(0.1, 0.2)),
    Arm("dear", Tier.STRONGEST_CLOUD, Price(5, 15)),
    Arm("odd"),
)


def policy_of(router: str = "linear_thompson", **settings: object) -> Policy:
    policy = new_policy(router, ARMS, Hashing(32), reward=Reward(latency_weight=0.1), **settings)
    return Policy(policy.router, ARMS, policy.featuriser, policy.reward, DialMap((0, 1), (50, 0)))


def taught(policy: Policy) -> Policy:
    rng = np.random.default_rng(0)
    score = rng.random((len(PROMPTS), 3))
    outcomes = Outcomes.of(score, np.tile([0.001, 0.02, 0.003], (len(PROMPTS), 1)), 1 + score)
    policy.router.fit(policy.contexts(PROMPTS), outcomes)
    return policy


def test_a_saved_policy_decides_the_same(tmp_path: Path) -> None:
    policy = taught(policy_of())
    loaded = Policy.load(policy.save(tmp_path / "policy"))
    before = policy.decide(PROMPTS, rng=np.random.default_rng(3), dial=0.4)
    after = loaded.decide(PROMPTS, rng=np.random.default_rng(3), dial=0.4)
    np.testing.assert_array_equal(before.arms, after.arms)
    np.testing.assert_array_equal(before.scores, after.scores)
    np.testing.assert_array_equal(before.propensities, after.propensities)
    assert (loaded.arms, loaded.version, loaded.reward) == (policy.arms, policy.version, policy.reward)


@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_a_batch_equals_its_rows_one_by_one(epsilon: float) -> None:
    policy = taught(policy_of())
    batch = policy.decide(PROMPTS, rng=np.random.default_rng(5), epsilon=epsilon)
    rng = np.random.default_rng(5)
    rows = [policy.decide([prompt], rng=rng, epsilon=epsilon) for prompt in PROMPTS]
    assert [int(row.arms[0]) for row in rows] == batch.arms.tolist()
    np.testing.assert_allclose([row.propensities[0] for row in rows], batch.propensities, rtol=1e-4)


def test_exploration_draws_the_law_that_it_states() -> None:
    policy = taught(policy_of("ridge"))
    contexts = policy.contexts(["the same prompt"] * 4000, mask=np.array([True, True, False]))
    decision = policy.decide(contexts, rng=np.random.default_rng(1), epsilon=0.3)
    stated = dict(zip(decision.arms.tolist(), decision.propensities.tolist(), strict=True))
    counts = Counter(decision.arms.tolist())
    assert set(counts) == {0, 1}
    assert sum(stated.values()) == pytest.approx(1)
    for arm, share in stated.items():
        assert counts[arm] / 4000 == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("router", ["ridge", "linucb", "linear_thompson", "knn"])
def test_serving_with_exploration_estimates_once(router: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = taught(policy_of(router))
    kind, made = type(policy.router), 0
    predict = kind.predict

    def counted(self: Any, contexts: Contexts) -> Outcomes:
        nonlocal made
        made += 1
        return predict(self, contexts)

    monkeypatch.setattr(kind, "predict", counted)
    decision = policy.decide(PROMPTS, rng=np.random.default_rng(1), explore=False, epsilon=0.3)
    assert made == 1
    assert set(decision.propensities.round(6)) == {0.1, 0.8}, "a third of 0.3 for each arm, and 0.7 for the best"


@pytest.mark.parametrize("router", ["ridge", "linucb", "knn"])
def test_a_rule_that_draws_nothing_decides_once_whatever_is_mixed_in(
    router: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = taught(policy_of(router))
    alone = policy.decide(PROMPTS, rng=np.random.default_rng(1))
    kind, made = type(policy.router), 0
    act = kind.act

    def counted(self: Any, *given: Any, **named: Any) -> Decision:
        nonlocal made
        made += 1
        return act(self, *given, **named)

    monkeypatch.setattr(kind, "act", counted)
    mixed = policy.decide(PROMPTS, rng=np.random.default_rng(1), epsilon=0.3)
    assert made == 1
    np.testing.assert_array_equal(mixed.scores, alone.scores)
    np.testing.assert_allclose(mixed.propensities, np.where(mixed.arms == alone.arms, 0.8, 0.1))


def test_the_dial_moves_choices_from_cheap_to_best() -> None:
    policy = taught(policy_of("ridge"))
    costs = np.array([0.001, 0.02, 0.003])
    spent = [
        costs[policy.decide(PROMPTS, rng=np.random.default_rng(0), dial=dial).arms].mean()
        for dial in np.linspace(0, 1, 6)
    ]
    assert spent == sorted(spent)
    assert spent[0] == pytest.approx(0.001)


def test_features_of_another_featuriser_are_not_used() -> None:
    policy = taught(policy_of())
    foreign = Queries.of(PROMPTS)
    with_features = Queries(foreign.prompts, None, np.ones((len(PROMPTS), 32), dtype=np.float32), "someone-elses")
    np.testing.assert_array_equal(policy.contexts(with_features).features, policy.contexts(foreign).features)
    without_text = Queries(np.array([None], dtype=object), None, np.ones((1, 32), dtype=np.float32), "someone-elses")
    with pytest.raises(BadInput, match=r"query 0 has no prompt.*someone-elses"):
        policy.contexts(without_text)


def edited(folder: Path, document: dict[str, Any]) -> Path:
    """The bundle, described as in ``document``, with a hash that fits: what only its writer could have made."""
    document["hashes"][POLICY_FILE] = _hash_of_all_else(document)
    (folder / POLICY_FILE).write_text(json.dumps(document))
    return folder


def test_an_edited_description_is_refused(tmp_path: Path) -> None:
    folder = taught(policy_of()).save(tmp_path / "policy")
    document = json.loads((folder / POLICY_FILE).read_text())
    document["arms"][0]["name"] = "renamed"
    with pytest.raises(BadInput, match=r"policy.json: describes another policy"):
        Policy.load(edited(folder, document))


def test_a_bundle_of_another_featuriser_is_refused_with_the_mend(tmp_path: Path) -> None:
    folder = taught(policy_of()).save(tmp_path / "policy")
    document = json.loads((folder / POLICY_FILE).read_text())
    document["featuriser"]["fingerprint"] = "hashing-000000000000"
    with pytest.raises(BadInput, match=r"decisions would differ.*train it again"):
        Policy.load(edited(folder, document))


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every field of a JSON value."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*at, key)
        yield from places(value[key], (*at, key))


WRONG = (None, True, 0, -1, 1.5, 10**30, float("inf"), "", "x", [], [1], ["x"], {}, {"x": 1})
GONE = object()


@pytest.fixture(scope="module", params=["linear_thompson", "knn", "best_per_task"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    policy = replace(taught(policy_of(request.param)), metrics={"score": 0.5, "frontier": {"dial": [0.0, 1.0]}})
    return policy.save(tmp_path_factory.mktemp("bundles") / request.param)


@pytest.mark.parametrize("fitting", [False, True], ids=["as edited", "with a hash that fits"])
def test_whatever_is_wrong_with_a_description_is_one_line(bundle: Path, fitting: bool) -> None:
    policy, text = Policy.load(bundle), (bundle / POLICY_FILE).read_text()
    refused = 0
    for place in places(json.loads(text)):
        for value in (GONE, *WRONG):
            document = json.loads(text)
            *way, last = place
            holder = document
            for key in way:
                holder = holder[key]
            if value is GONE:
                del holder[last]
            elif holder[last] == value and type(holder[last]) is type(value):
                continue
            else:
                holder[last] = value
            if fitting and isinstance(document.get("hashes"), dict):
                edited(bundle, document)
            (bundle / POLICY_FILE).write_text(json.dumps(document))
            try:
                read = Policy.load(bundle)
            except BadInput as error:
                assert "\n" not in str(error), (place, value)
                refused += 1
                continue
            finally:
                (bundle / POLICY_FILE).write_text(text)
            assert fitting, f"{place} was edited to {value}"
            # A setting left out that is the default, or an edited record of how the policy came about.
            assert read.version == policy.version, (place, value)
            assert place[0] == "metrics" or read.metrics == policy.metrics
            assert isinstance(read.metrics, dict)
    assert refused > 200


@pytest.mark.parametrize("arguments", [{"dial": 1.2}, {"dial": 0.5, "cost_weight": 1.0}, {"epsilon": -0.1}])
def test_impossible_settings_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"dial|epsilon"):
        policy_of("fixed").decide(PROMPTS, rng=np.random.default_rng(0), **arguments)
