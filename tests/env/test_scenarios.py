"""Scenarios: what happens to a stream happens to every router alike, and is what its name says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from env import scenarios
from env.checkers import check_vector_env
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
from env.scenarios import Scenario
from env.stream import Batch, QueryStream
from env.vector_env import RoutingVectorEnv

N, K = 40, 3


def table(**kwargs: Any) -> RoutingTable:
    """Arm `large` is best and dearest, `small` weakest and cheapest; two tasks."""
    rng = np.random.default_rng(3)
    level = np.array([0.1, 0.4, 0.7])
    outcomes = Outcomes.of(level + 0.25 * rng.random((N, K)), level * 0.01, 1 + rng.random((N, K)))
    outcomes = Outcomes.of(outcomes.score, np.tile(level * 0.01, (N, 1)), outcomes.latency_s)
    tasks = np.array(["maths", "mail"] * (N // 2), dtype=object)
    contexts = Contexts.of(rng.uniform(-1, 1, (N, 4)), K, task=tasks)
    return RoutingTable.of(contexts, outcomes, arms=("small", "middle", "large"), **kwargs)


def first(scenario: Any, n: int = N, seed: int = 0, **kwargs: Any) -> Batch:
    stream = QueryStream(table(), scenario=scenario, **kwargs)
    stream.rewind(np.random.default_rng(seed))
    return stream.take(n)


def calm(n: int = N) -> Batch:
    return first(None, n)


@pytest.mark.parametrize("name", scenarios.names())
def test_every_scenario_has_defaults_that_fit_any_priced_trace_with_tasks(name: str) -> None:
    changed, plain = first(name), calm()
    assert (changed.steps == np.arange(N)).all()
    differs = any(
        not np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind == "f")
        for one, other in zip(changed, plain, strict=True)
        if one is not None
    )
    assert differs == (name != "stationary")


@pytest.mark.parametrize("name", scenarios.names())
def test_the_first_queries_do_not_depend_on_how_many_are_taken_at_once(name: str) -> None:
    whole = first(name, 100)
    stream = QueryStream(table(), scenario=name)
    stream.rewind(np.random.default_rng(0))
    pieces = [stream.take(n) for n in (1, 7, 40, 3, 49)]
    for column, parts in zip(whole, zip(*pieces, strict=True), strict=True):
        if column is not None:
            assert np.array_equal(column, np.concatenate(parts), equal_nan=np.asarray(column).dtype.kind == "f")


def test_a_price_change_touches_one_arms_price_from_its_step_on() -> None:
    changed, plain = first({"kind": "price_change", "arm": "large", "at": 10, "factor": 0.5}), calm()
    expected = plain.cost_usd.copy()
    expected[10:, 2] *= np.float32(0.5)
    assert np.array_equal(changed.cost_usd, expected)
    assert np.array_equal(changed.score, plain.score)


def test_a_quality_drop_is_silent() -> None:
    changed, plain = first(scenarios.make("quality_drop", arm="large", at=0, share=0.5), 400), calm(400)
    spoiled = changed.score[:, 2] == 0
    assert 0.35 < spoiled.mean() < 0.65
    assert np.array_equal(changed.score[~spoiled], plain.score[~spoiled])
    assert changed.mask.all()
    assert np.array_equal(changed.told, changed.score), "the judge judges what was answered"


def test_an_outage_that_is_noticed_closes_the_arm_and_ends() -> None:
    changed = first(scenarios.make("outage", arm="large", at=5, until=9))
    assert changed.mask[:, 2].tolist() == [True] * 5 + [False] * 4 + [True] * (N - 9)
    assert np.isnan(changed.score[5:9, 2]).all()


def test_an_outage_that_nobody_noticed_fails_at_no_cost() -> None:
    changed = first(scenarios.make("outage", arm="large", at=5, until=9, noticed=False, timeout_s=12.0))
    assert changed.mask.all()
    assert (changed.score[5:9, 2] == 0).all()
    assert (changed.cost_usd[5:9, 2] == 0).all()
    assert (changed.latency_s[5:9, 2] == 12).all()


def test_the_last_arm_is_never_taken_away_its_calls_fail() -> None:
    everything = [{"kind": "outage", "arm": arm, "at": 0, "until": 4} for arm in ("small", "middle", "large")]
    changed = first(everything)
    assert changed.mask.any(axis=1).all()
    assert (changed.score[:4, 2] == 0).all()


def test_a_rate_limit_leaves_the_first_calls_of_each_window() -> None:
    changed = first(scenarios.make("rate_limit", arm="large", calls=2, window=5), 20)
    assert changed.mask[:, 2].tolist() == [True, True, False, False, False] * 4


def test_an_arm_comes_and_another_goes() -> None:
    changed = first(scenarios.make("new_arm", arm="large", at=8) + scenarios.make("arm_retired", arm="small", at=20))
    assert changed.mask[:, 2].tolist() == [False] * 8 + [True] * (N - 8)
    assert changed.mask[:, 0].tolist() == [True] * 20 + [False] * (N - 20)


def test_prompts_shift_to_other_tasks() -> None:
    made = table()
    changed = first(scenarios.make("prompt_shift", tasks=("mail",), at=10), 120)
    tasks = made.tasks[changed.rows]
    assert set(tasks[:10]) == {"mail", "maths"}
    assert set(tasks[10:]) == {"mail"}
    assert np.array_equal(changed.score, made.score[changed.rows]), "the outcomes are those of the queries asked"
    for block in range(5):
        asked = changed.rows[10 + 20 * block : 30 + 20 * block]
        assert len(set(asked)) == 20, "none comes again before all have been asked, whatever passes they fall into"
    drawn = first(scenarios.make("prompt_shift", tasks="mail", at=10), 120, order="resample").rows[10:30]
    assert set(made.tasks[drawn]) == {"mail"}
    assert len(set(drawn)) < 20, "with replacement"


def test_a_later_pass_is_told_in_passes() -> None:
    changed = first(scenarios.make("price_change", arm="large", at=1.5, until=2.0, factor=0.5), 120)
    before = first(None, 120)
    halved = changed.cost_usd[:, 2] != before.cost_usd[:, 2]
    assert np.flatnonzero(halved).tolist() == list(range(60, 80))


def test_what_is_said_in_another_way_is_the_same_stream() -> None:
    def digest(**settings: Any) -> str:
        stream = QueryStream(table(), scenario=scenarios.make("price_change", **settings))
        stream.rewind(np.random.default_rng(0))
        return stream.hash

    assert digest(arm="large", at=20) == digest(arm="dearest", at=0.5) == digest(arm="best", at=np.int64(20))
    assert digest(arm="large", at=20) != digest(arm="large", at=21)


def test_the_hash_is_of_what_is_told_too() -> None:
    streams = [QueryStream(table(), scenario={"kind": "noisy_judge", "noise": noise}) for noise in (0.1, 0.2)]
    for stream in streams:
        stream.rewind(np.random.default_rng(0))
        stream.scenario.scenario.__dict__["events"] = ()  # the contents alone must tell them apart
    assert streams[0].hash != streams[1].hash


def test_the_truth_is_the_stream_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    env = RoutingEnv(table(), scenario=[{"kind": "delayed_feedback"}, {"kind": "noisy_judge"}])
    asked = [env.reset(seed=4)[1]] + [env.reset()[1] for _ in range(59)]
    truth = env.truth(60)
    assert [int(info["query_id"]) for info in asked] == truth.rows.tolist()
    assert np.array_equal(truth.score, env.table.score[truth.rows], equal_nan=True)
    assert env.reset()[1]["step"] == 60, "the stream goes on where it was"


def test_missing_feedback_is_nan_and_leaves_the_truth_alone() -> None:
    changed, plain = first(scenarios.make("missing_feedback", share=0.8), 400), calm(400)
    assert 0.7 < np.isnan(changed.told).mean() < 0.9
    assert np.array_equal(changed.score, plain.score)


def test_a_noisy_judge_errs_within_bounds_and_favours_whom_it_favours() -> None:
    noisy = first(scenarios.make("noisy_judge", noise=0.2), 400)
    assert 0.1 < (noisy.told - noisy.score).std() < 0.25
    assert noisy.told.min() >= 0
    assert noisy.told.max() <= 1
    partial = first(scenarios.make("noisy_judge", noise=0.0, bias=0.2, arm="small"))
    assert np.allclose(partial.told - partial.score, [0.2, 0, 0], atol=1e-6)


def test_bought_feedback_praises_one_arm() -> None:
    bought = first(scenarios.make("poisoned_feedback", arm="small", share=0.3), 400)
    assert 0.2 < (bought.told[:, 0] == 1).mean() < 0.4
    assert np.array_equal(bought.told[:, 1:], bought.score[:, 1:])


def test_more_events_leave_the_chance_of_the_others_alone() -> None:
    one = first([scenarios.make("quality_drop", at=0), scenarios.make("noisy_judge")])
    both = first([scenarios.make("quality_drop", at=0), scenarios.make("noisy_judge"), scenarios.make("price_change")])
    assert np.array_equal(one.told, both.told)
    assert np.array_equal(one.rows, both.rows)


@pytest.mark.parametrize("law", ["fixed", "geometric"])
def test_a_late_judgement_arrives_once_and_is_about_the_answer_it_names(law: str) -> None:
    env = RoutingEnv(table(), scenario={"kind": "delayed_feedback", "queries": 7, "law": law})
    rng = np.random.default_rng(0)
    answered: dict[int, tuple[int, str]] = {}
    arrived = []
    for step in range(200):
        _, asked = env.reset(seed=1 if step == 0 else None)
        arm = int(rng.integers(K))
        answered[asked["step"]] = arm, asked["query_id"]
        _, reward, _, _, info = env.step(arm)
        assert info["score"] is None, "nobody knows yet"
        assert reward == pytest.approx(env.table.mean_score), "the mean stands in"
        assert info["cost_usd"] is not None, "a bill comes at once"
        arrived += [(step, judgement) for judgement in info["judgements"]]
    for step, judgement in arrived:
        arm, query_id = answered[judgement["step"]]
        assert (judgement["arm"], judgement["query_id"]) == (arm, query_id)
        assert judgement["score"] == pytest.approx(env.table.score[int(query_id), arm])
        assert judgement["step"] < step
        assert law == "geometric" or judgement["step"] == step - 7
    steps = [judgement["step"] for _, judgement in arrived]
    assert len(steps) == len(set(steps))
    assert len(steps) > 150


def test_a_rewind_forgets_what_was_on_its_way() -> None:
    env = RoutingEnv(table(), scenario=scenarios.make("delayed_feedback", queries=3))
    for seed in (0, None, None, 0):
        env.reset(seed=seed)
        info = env.step(0)[4]
    assert info["judgements"] == ()


@pytest.mark.parametrize("num_envs", [1, 3, 64])
@pytest.mark.parametrize("name", scenarios.names())
def test_a_vector_is_a_loop_of_single_ones_under_every_scenario(name: str, num_envs: int) -> None:
    made = table(cost_weight="observe")
    check_vector_env(RoutingVectorEnv(num_envs, made, scenario=name), RoutingEnv(made, scenario=name), steps=8)


@pytest.mark.parametrize("name", scenarios.names())
def test_scenarios_survive_json(name: str) -> None:
    scenario = scenarios.make(name)
    assert Scenario.of(json.loads(json.dumps(scenario.to_json()))).events == scenario.events


def test_an_environment_made_from_its_spec_has_the_scenario(trace_file: Path) -> None:
    arguments: dict[str, Any] = {"trace": str(trace_file), "featuriser": {"kind": "hashing", "n_features": 8}}
    both = scenarios.make("price_change", at=3) + scenarios.make("delayed_feedback", queries=2)
    env = gym.make("pointsman/Routing-v0", scenario=both.to_json(), **arguments)
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    hashes = []
    for made in (env, again, gym.make("pointsman/Routing-v0", **arguments)):
        made.reset(seed=4)
        assert isinstance(made.unwrapped, RoutingEnv)
        hashes.append(made.unwrapped.stream_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_stream_hash_under_a_scenario_is_the_same_in_another_process() -> None:
    code = (
        "import numpy as np, sys; sys.path.insert(0, 'tests/env')\n"
        "from test_scenarios import table\n"
        "from env import scenarios\n"
        "from env.stream import QueryStream\n"
        "for name in scenarios.names():\n"
        "    s = QueryStream(table(), scenario=name); s.rewind(np.random.default_rng(5)); print(name, s.hash)"
    )
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split("\n")
    hashes = []
    for name in scenarios.names():
        stream = QueryStream(table(), scenario=name)
        stream.rewind(np.random.default_rng(5))
        hashes.append(stream.hash)
        assert f"{name} {stream.hash}" in there
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ("price_chang", "unknown scenario `price_chang`; did you mean `price_change`"),
        ({"kind": "outage", "arms": "large"}, "has no `arms`; did you mean `arm`"),
        ({"kind": "outage", "arm": "lage"}, "no arm `lage`; did you mean `large`"),
        ({"kind": "outage", "at": 60}, "step 60, which never comes in a pass of 40 queries; for a later pass"),
        (5, "a scenario is a name, an event"),
        ({"kind": "delayed_feedback", "queries": 2.5}, "queries is a whole number, 1 or more, got 2.5"),
        ({"kind": "outage", "at": -1}, "0 or more"),
        ({"kind": "outage", "at": float("nan")}, "0 or more"),
        ({"kind": "outage", "at": 9, "until": 9}, "over at step 9, before it begins"),
        ({"kind": "price_change", "factor": -1.0}, "factor is 0 or more, got -1.0"),
        ({"kind": "missing_feedback", "share": 1.5}, "share is 0 to 1, got 1.5"),
        ({"kind": "rate_limit", "calls": 9, "window": 5}, "calls is a whole number, 0 to 5, got 9"),
        ({"kind": "delayed_feedback", "law": "normal"}, "law is `fixed` or `geometric`"),
        ({"kind": "prompt_shift", "tasks": ["chess"]}, "no query has the task `chess`; tasks: mail, maths"),
        ({"kind": "price_change", "factor": "half"}, "factor is 0 or more, got 'half'"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_said_in_one_line(scenario: Any, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        QueryStream(table(), scenario=scenario)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_roles_need_what_they_are_told_by() -> None:
    bare = RoutingTable.of(Contexts.of(np.zeros((6, 1)), 2), Outcomes.of(np.full((6, 2), 0.5)))
    with pytest.raises(BadInput, match="no cost is recorded; name the arm"):
        QueryStream(bare, scenario="price_change")
    with pytest.raises(BadInput, match="two or more tasks; the trace has 0"):
        QueryStream(bare, scenario="prompt_shift")
