"""``pointsman/Routing-v0``: one query, one step; what the agent sees, and what it must not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from env.checkers import check_trace_env, check_vector_env
from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from env.features import Hashing
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
from env.trace import Trace
from env.trace_io import from_rows

HASHING = {"kind": "hashing", "n_features": 32}


def table(n: int = 12, n_arms: int = 3, **kwargs: Any) -> RoutingTable:
    rng = np.random.default_rng(5)
    outcomes = Outcomes.of(rng.random((n, n_arms)), rng.random((n, n_arms)), rng.random((n, n_arms)))
    return RoutingTable.of(Contexts.of(rng.uniform(-1, 1, (n, 4)), n_arms), outcomes, **kwargs)


def play(env: RoutingEnv, steps: int, seed: int | None = 0, arms_seed: int = 0) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(arms_seed)
    played = []
    for step in range(steps):
        observation, asked = env.reset(seed=seed if step == 0 else None)
        arm = int(rng.integers(env.table.n_arms))
        answer, reward, _, _, info = env.step(arm)
        played.append((observation, asked, arm, answer, reward, info))
    return played


@pytest.mark.parametrize(
    "settings_of",
    [
        {},
        {"cost_weight": 30.0, "latency_weight": 0.1},
        {"cost_weight": "observe"},
        {"order": "resample", "part": "test", "split_seed": 3},
        {"featuriser": HASHING, "part": "all"},
    ],
)
@pytest.mark.parametrize("name", ["small_trace", "gappy_trace"])
def test_gymnasium_and_own_checkers_pass(
    name: str, settings_of: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    env = gym.make("pointsman/Routing-v0", trace=request.getfixturevalue(name), **settings_of)
    check_env(env.unwrapped, skip_render_check=True)
    check_trace_env(env)


def test_the_full_view_passes_gymnasiums_checker_where_all_is_recorded(small_trace: Trace) -> None:
    check_trace_env(RoutingEnv(small_trace, view="full"))


def test_the_id_is_made_from_json(trace_file: Path) -> None:
    env = gym.make("pointsman/Routing-v0", trace=str(trace_file), featuriser=HASHING, cost_weight="observe")
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    one, other = env.reset(seed=4)[0], again.reset(seed=4)[0]
    assert np.array_equal(one, other)


def test_importing_pointsman_registers_the_id_and_leaves_torch_alone() -> None:
    code = (
        "import sys, pointsman, gymnasium; gymnasium.spec('pointsman/Routing-v0'); pointsman.RoutingEnv;"
        "import env.vector_env, env.checkers; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_step_terminates_and_rewards_score_minus_price(small_trace: Trace) -> None:
    env = RoutingEnv(small_trace, part="all", featuriser=Hashing(32), cost_weight=30.0, latency_weight=0.1)
    row_of = {query: row for row, query in enumerate(small_trace.query_ids)}
    for _, asked, arm, _, reward, info in play(env, 20):
        row = row_of[asked["query_id"]]
        expected = (
            small_trace.score[row, arm] - 30.0 * small_trace.cost_usd[row, arm] - 0.1 * small_trace.latency_s[row, arm]
        )
        assert reward == pytest.approx(float(expected), abs=1e-6)
        assert info["score"] == small_trace.score[row, arm]
        assert info["cost_usd"] == small_trace.cost_usd[row, arm]
        assert info["latency_s"] == small_trace.latency_s[row, arm]
        assert info["query_id"] == asked["query_id"]
        assert asked["task"] == small_trace.tasks[row]


def test_reset_goes_on_and_a_seed_rewinds() -> None:
    env = RoutingEnv(table())
    first = [env.reset(seed=1)[1]["query_id"]] + [env.reset()[1]["query_id"] for _ in range(11)]
    again = [env.reset(seed=1)[1]["query_id"]] + [env.reset()[1]["query_id"] for _ in range(11)]
    assert first == again
    assert sorted(first) == sorted(str(row) for row in range(12)), "a pass asks every query once"
    second = [env.reset()[1]["query_id"] for _ in range(12)]
    assert sorted(second) == sorted(first)
    assert second != first, "each pass is freshly shuffled"


def test_resampling_draws_with_replacement() -> None:
    env = RoutingEnv(table(), order="resample")
    asked = [env.reset(seed=0 if step == 0 else None)[1]["query_id"] for step in range(12)]
    assert len(set(asked)) < 12


def test_without_a_seed_the_stream_begins_anywhere_but_once() -> None:
    env = RoutingEnv(table())
    asked = {env.reset()[1]["query_id"] for _ in range(12)}
    assert len(asked) == 12
    assert RoutingEnv(table()).reset()[1].keys() == env.reset()[1].keys()


def test_the_stream_does_not_depend_on_the_arms_nor_on_an_observed_cost_weight() -> None:
    one = play(RoutingEnv(table()), 30, arms_seed=0)
    other = play(RoutingEnv(table(cost_weight="observe")), 30, arms_seed=9)
    assert [asked["query_id"] for _, asked, *_ in one] == [asked["query_id"] for _, asked, *_ in other]


def test_a_step_needs_a_query_that_is_not_answered() -> None:
    env = RoutingEnv(table())
    with pytest.raises(ResetNeeded):
        env.step(0)
    with pytest.raises(ResetNeeded):
        env.action_masks()
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(ResetNeeded, match="one query is one step"):
        env.step(0)


@pytest.mark.parametrize("arm", [-1, 3])
def test_an_arm_that_does_not_exist_is_refused(arm: int) -> None:
    env = RoutingEnv(table())
    env.reset(seed=0)
    with pytest.raises(BadInput, match="arms are 0 to 2"):
        env.step(arm)


def test_a_masked_arm_brings_the_refusal_and_no_outcome(gappy_trace: Trace) -> None:
    env = RoutingEnv(gappy_trace, part="all", featuriser=Hashing(32), masked_reward=-2.5)
    refused = 0
    for _, asked, arm, _, reward, info in play(env, 60):
        assert info["refused"] == (not asked["action_mask"][arm])
        if info["refused"]:
            refused += 1
            assert reward == -2.5
            assert info["score"] is info["cost_usd"] is info["latency_s"] is None
    assert refused > 3


def test_the_mask_is_what_was_observed(gappy_trace: Trace) -> None:
    env = RoutingEnv(gappy_trace, part="all", featuriser=Hashing(32))
    rows = {query: row for row, query in enumerate(gappy_trace.query_ids)}
    for step in range(60):
        _, info = env.reset(seed=0 if step == 0 else None)
        observed = gappy_trace.observed[rows[info["query_id"]]]
        assert info["action_mask"].dtype == np.int8
        assert np.array_equal(info["action_mask"], observed)
        assert np.array_equal(env.action_masks(), observed)
        assert env.action_masks().dtype == np.bool_


def test_the_observed_cost_weight_is_the_one_charged() -> None:
    env = RoutingEnv(table(cost_weight="observe", max_cost_weight=50.0))
    assert env.observation_space.shape == (5,)
    weights = []
    for observation, asked, _, _, reward, info in play(env, 50):
        seen = env.table.layout.cost_weight(observation[-1:])[0]
        assert seen == pytest.approx(asked["cost_weight"])
        assert reward == pytest.approx(info["score"] - seen * info["cost_usd"], abs=1e-5)
        weights.append(seen)
    assert 0 <= min(weights) < 0.5 < 10 < max(weights) <= 50, "spread over its orders of magnitude"


def test_train_and_test_parts_share_the_scale_of_the_cost_weight(small_trace: Trace) -> None:
    parts = [
        RoutingEnv(small_trace, part=part, featuriser=Hashing(32), cost_weight="observe")
        for part in ("train", "validation", "test")
    ]
    assert len({env.table.layout for env in parts}) == 1
    ids = [set(env.table.query_ids) for env in parts]
    assert sum(map(len, ids)) == len(set.union(*ids)) == len(small_trace)


def test_a_stated_propensity_is_in_the_info_of_that_step_only() -> None:
    env = RoutingEnv(table())
    env.reset(seed=0)
    env.declare_propensity(0.25)
    assert env.step(1)[4]["propensity"] == 0.25
    env.reset()
    assert env.step(1)[4]["propensity"] is None, "the environment does not know the agent's law"
    with pytest.raises(BadInput, match="in \\(0, 1\\]"):
        env.declare_propensity(0.0)


def test_writing_to_what_was_handed_out_changes_nothing_later() -> None:
    env = RoutingEnv(table(), view="full")
    before = play(env, 12)
    for observation, asked, _, answer, _, info in before:
        kept = observation.copy()
        for array in (observation, answer, asked["action_mask"], info["action_mask"], info["all_score"]):
            array[:] = 0
        observation[:] = kept
    for (one, *_), (other, asked, *_) in zip(before, play(env, 12), strict=True):
        assert np.array_equal(one, other)
        assert asked["action_mask"].all()


def test_the_full_view_tells_all_outcomes_and_only_when_asked() -> None:
    full = play(RoutingEnv(table(), view="full"), 3)
    bandit = play(RoutingEnv(table()), 3)
    for (*_, arm, _, _, info), (*_, little) in zip(full, bandit, strict=True):
        assert info["all_score"][arm] == np.float32(info["score"])
        assert {key for key in info if key not in little} == {"all_score", "all_cost_usd", "all_latency_s"}


@given(seed=st.integers(0, 1000), gaps=st.sampled_from([0.0, 0.3]), observe=st.booleans())
@settings(max_examples=40, deadline=None)
def test_outcomes_of_arms_not_chosen_do_not_reach_the_agent(seed: int, gaps: float, observe: bool) -> None:
    """Two worlds that differ in nothing but outcomes that were not chosen look the same, to the last bit."""
    rng = np.random.default_rng(seed)
    n, n_arms, steps = 8, 3, 16
    features = rng.uniform(-1, 1, (n, 4))
    score, cost, latency = rng.random((3, n, n_arms))
    score[rng.random(score.shape) < gaps] = np.nan
    score[:, 0] = 0.5
    weights = {"cost_weight": "observe", "max_cost_weight": 2.0} if observe else {"cost_weight": 0.3}

    def world(*outcomes: np.ndarray) -> RoutingEnv:
        contexts = Contexts.of(features, n_arms, latency_weight=0.1)
        return RoutingEnv(RoutingTable.of(contexts, Outcomes.of(*outcomes), accept_gaps=True, **weights))  # type: ignore[arg-type]  # weights by name

    # One arm for each query, so that all others can change in the second world.
    arm_of = rng.integers(n_arms, size=n)
    other = [values.copy() for values in (score, cost, latency)]
    for values in other:
        chosen = values[np.arange(n), arm_of].copy()
        values[~np.isnan(values)] = rng.random(int((~np.isnan(values)).sum()))
        values[np.arange(n), arm_of] = chosen
    worlds = world(score, cost, latency), world(*other)
    for step in range(steps):
        told = []
        for env in worlds:
            observation, asked = env.reset(seed=seed if step == 0 else None)
            arm = int(arm_of[int(asked["query_id"])])
            answer, reward, *_, info = env.step(arm)
            told.append(repr((observation.tolist(), asked, answer.tolist(), reward, info)))
        assert told[0] == told[1]


def test_the_stream_hash_is_the_same_in_another_process(trace_file: Path) -> None:
    code = (
        "import sys, gymnasium, env\n"
        "e = gymnasium.make('pointsman/Routing-v0', trace=sys.argv[1], cost_weight='observe').unwrapped\n"
        "e.reset(seed=7); print(e.stream_hash)"
    )
    hashes = {
        subprocess.run([sys.executable, "-c", code, str(trace_file)], check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    }
    assert len(hashes) == 1
    env = gym.make("pointsman/Routing-v0", trace=str(trace_file), cost_weight="observe").unwrapped
    assert isinstance(env, RoutingEnv)
    with pytest.raises(BadInput, match="reset"):
        _ = env.stream_hash
    env.reset(seed=7)
    assert {env.stream_hash + "\n"} == hashes


def test_the_stream_hash_tells_streams_apart_and_ignores_the_agents_features(small_trace: Trace) -> None:
    def digest(trace: Trace = small_trace, seed: int = 0, **settings_of: Any) -> str:
        env = RoutingEnv(trace, **{"featuriser": Hashing(16), **settings_of})
        env.reset(seed=seed)
        return env.stream_hash

    assert digest() == digest(featuriser=Hashing(64)) == digest(cost_weight=5.0)
    score = small_trace.score.copy()
    score[3, 2] = 0.123
    others = [
        digest(seed=1),
        digest(replace(small_trace, score=score), part="all"),
        digest(part="all"),
        digest(order="resample"),
    ]
    assert len({digest(), *others}) == 5


def test_features_kept_in_the_trace_are_used(small_trace: Trace) -> None:
    kept = replace(small_trace, features=Hashing(8).transform(list(small_trace.prompts)), featuriser="mine")
    assert RoutingEnv(kept).observation_space.shape == (8,)
    assert RoutingEnv(kept, featuriser=Hashing(16)).observation_space.shape == (16,)
    bare = replace(kept, prompts=np.full(len(kept), None, dtype=object))
    assert RoutingEnv(bare).observation_space.shape == (8,)
    with pytest.raises(BadInput, match=r"has no prompt.*leave `featuriser` out"):
        RoutingEnv(bare, featuriser=Hashing(16))


def test_features_on_another_scale_are_refused(small_trace: Trace) -> None:
    rows = np.full((len(small_trace), 2), 0.5, dtype=np.float32)
    rows[7, 1] = 3.0
    with pytest.raises(BadInput, match="feature 1 of mine reaches 3"):
        RoutingEnv(replace(small_trace, features=rows, featuriser="mine"), part="all")


def test_a_bandit_log_is_not_masked() -> None:
    row = {"task": None, "cost_usd": 0.1, "latency_s": 1.0, "propensity": 0.5}
    log = from_rows(
        [
            {**row, "query_id": f"q{number}", "prompt": f"say {number}", "model": "ab"[number % 2], "score": 0.5}
            for number in range(30)
        ]
    )
    with pytest.raises(BadInput, match="bandit log"):
        RoutingEnv(log)
    with pytest.raises(BadInput, match="bandit log"):
        RoutingEnv(replace(log, cell_columns={}), part="all")
    with pytest.raises(BadInput, match="were not observed"):
        RoutingEnv(log, unobserved="error")


@pytest.mark.parametrize(
    ("settings_of", "message"),
    [
        ({"part": "tests"}, "did you mean `test`"),
        ({"view": "fool"}, "view `fool` is unknown"),
        ({"order": "shufle"}, "did you mean `shuffle`"),
        ({"unobserved": "drop"}, "unobserved `drop` is unknown"),
        ({"cost_weight": -1.0}, "finite and 0 or more"),
        ({"cost_weight": float("nan")}, "finite and 0 or more"),
        ({"latency_weight": -1.0}, "latency_weight is finite"),
        ({"cost_weight": "observed"}, "number or `observe`"),
        ({"max_cost_weight": 3.0}, "is for cost_weight='observe'"),
        ({"render_mode": "human"}, "render_mode `human`"),
        ({"featuriser": {"kind": "hashed"}}, "did you mean `hashing`"),
        ({"trace": "nowhere.parquet"}, "no such file"),
    ],
)
def test_bad_arguments_are_told_with_the_mend(small_trace: Trace, settings_of: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        RoutingEnv(**{"trace": small_trace, "featuriser": Hashing(8), **settings_of})


def test_a_misspelt_argument_is_an_error(small_trace: Trace) -> None:
    with pytest.raises(BadInput, match="no argument `cost_weigth`; did you mean `cost_weight`"):
        RoutingEnv(small_trace, cost_weigth=1.0)  # type: ignore[call-arg]  # the point of the test
    with pytest.raises(BadInput, match="`part` belongs where it was made"):
        RoutingEnv(table(), part="all")
    with pytest.raises(BadInput, match="no options, got `query`"):
        RoutingEnv(table()).reset(options={"query": 3})


def test_what_the_reward_needs_must_be_recorded(small_trace: Trace) -> None:
    nothing = np.full_like(small_trace.score, np.nan)
    free = replace(small_trace, cost_usd=nothing)
    with pytest.raises(BadInput, match="the reward needs score, cost_usd"):
        RoutingEnv(free, featuriser=Hashing(8), cost_weight=1.0)
    with pytest.raises(BadInput, match="arms of different recorded costs"):
        RoutingEnv(free, featuriser=Hashing(8), cost_weight="observe")
    with pytest.raises(BadInput, match="score, latency_s"):
        RoutingEnv(replace(small_trace, latency_s=nothing), featuriser=Hashing(8), latency_weight=1.0)
    env = RoutingEnv(free, featuriser=Hashing(8))
    env.reset(seed=0)
    assert env.step(0)[4]["cost_usd"] is None


def test_gaps_are_an_error_where_asked_and_an_arm_never_seen_always(gappy_trace: Trace) -> None:
    with pytest.raises(BadInput, match=r"were not observed.*trace.complete\(\)"):
        RoutingEnv(gappy_trace, featuriser=Hashing(8), unobserved="error")
    score = gappy_trace.score.copy()
    score[:, 1] = np.nan
    with pytest.raises(BadInput, match="arm `small` has no observed outcome"):
        RoutingEnv(replace(gappy_trace, score=score), featuriser=Hashing(8))


def test_queries_without_any_outcome_are_left_out_and_counted(small_trace: Trace) -> None:
    score = small_trace.score.copy()
    score[:5] = np.nan
    env = RoutingEnv(replace(small_trace, score=score), featuriser=Hashing(8), part="all")
    assert (env.n_queries, env.table.left_out) == (len(small_trace) - 5, 5)


def test_the_bundled_trace_is_the_default() -> None:
    check_trace_env(gym.make("pointsman/Routing-v0", cost_weight="observe"))
    check_vector_env(gym.make_vec("pointsman/Routing-v0", num_envs=16), steps=5)


def test_an_environment_on_real_data(data_folder: Path) -> None:
    env = gym.make(
        "pointsman/Routing-v0",
        trace=str(data_folder / "routerbench_5shot_subset.parquet"),
        featuriser=HASHING,
        cost_weight="observe",
    )
    check_trace_env(env, steps=20)
