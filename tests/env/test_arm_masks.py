"""Who can answer what, and outcomes that were not recorded: masks of modality and window, and the reward model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from env.arm_masks import arm_masks
from env.arms import Arm
from env.checkers import check_trace_env, check_vector_env
from env.contexts import Objects, Outcomes
from env.errors import BadInput
from env.features import Hashing
from env.reward_model import fill_gaps, folds
from env.routing_env import RoutingEnv
from env.trace import Trace
from env.trace_io import from_rows, read_trace, save_trace
from env.trace_table import trace_table

HASHING = Hashing(16)
ARMS = [
    Arm("tiny"),
    Arm("small", context_window=9),
    Arm("large", model_types=("text", "text+image")),
    Arm("spam-filter"),
]


def column(values: list[Any]) -> Objects:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def with_images(trace: Trace, every: int = 4) -> Trace:
    kinds = column(["text+image" if row % every == 0 else None for row in range(len(trace))])
    return replace(trace, query_columns={"model_type": kinds})


def log(n: int = 120, arms: str = "abc", seed: int = 0) -> Trace:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        hard, arm = bool(rng.random() < 0.5), int(rng.integers(len(arms)))
        rows.append(
            {
                "query_id": f"q{number}",
                "prompt": f"{'prove the lemma' if hard else 'say hello'} {number}",
                "model": arms[arm],
                "score": float(np.clip(0.9 - 0.6 * hard * (arm == 0) + rng.normal(0, 0.02), 0, 1)),
                "cost_usd": 0.01 * (arm + 1),
                "latency_s": 1.0 + arm,
                "propensity": 1 / len(arms),
            }
        )
    return from_rows(rows, name="log")


def test_an_arm_takes_the_modalities_it_has(small_trace: Trace) -> None:
    may = arm_masks(with_images(small_trace), ARMS)
    images = np.arange(len(small_trace)) % 4 == 0
    assert (may[images] == [False, False, True, False]).all()
    assert may[~images][:, [0, 2, 3]].all()


def test_a_prompt_must_fit_into_the_context_window(small_trace: Trace) -> None:
    may = arm_masks(small_trace, ARMS)
    fits = small_trace.input_tokens[:, 1] <= 9
    assert 0 < fits.sum() < len(fits)
    assert np.array_equal(may[:, 1], fits)


def test_tokens_that_an_arm_did_not_count_are_the_most_that_others_did(small_trace: Trace) -> None:
    tokens = np.full_like(small_trace.input_tokens, np.nan)
    tokens[:, 0], tokens[:20, 1], tokens[50:] = 10, 9, np.nan
    may = arm_masks(replace(small_trace, input_tokens=tokens), ARMS)
    assert may[:20, 1].all()
    assert not may[20:50, 1].any()
    assert may[50:].all(), "where nobody counted, it fits"


def test_environments_have_the_masks_and_they_are_made_from_json(trace_file: Any, small_trace: Trace) -> None:
    env = gym.make("pointsman/Routing-v0", trace=str(trace_file), arms=[arm.to_json() for arm in ARMS], part="all")
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json())).unwrapped
    assert isinstance(again, RoutingEnv)
    assert np.array_equal(again.table.allowed, arm_masks(small_trace, ARMS))
    check_trace_env(env)
    check_vector_env(gym.make_vec("pointsman/Routing-v0", num_envs=3, trace=small_trace, arms=ARMS))


def test_queries_that_no_arm_can_take_are_left_out_and_counted(small_trace: Trace) -> None:
    text_only = [replace(arm, model_types=("text",)) for arm in ARMS]
    made = trace_table(with_images(small_trace), part="all", featuriser=HASHING, arms=text_only, unobserved="error")
    assert (len(made), made.left_out) == (45, 15)
    assert "q0" not in made.query_ids


def test_what_an_arm_cannot_take_is_no_gap(small_trace: Trace) -> None:
    chosen = np.full(small_trace.score.shape, None, dtype=object)
    chosen[:, 0] = 0.5
    logged = replace(small_trace, cell_columns={"propensity": chosen})
    made = trace_table(logged, part="all", featuriser=HASHING, arms=ARMS, unobserved="error")
    assert made.mask.sum() < made.mask.size


def test_the_model_type_is_a_column_of_the_file(small_trace: Trace, tmp_path: Any) -> None:
    path = save_trace(with_images(small_trace), tmp_path / "images.parquet")
    assert np.array_equal(arm_masks(read_trace(path), ARMS), arm_masks(with_images(small_trace), ARMS))


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (ARMS[:3], "nothing is said of `spam-filter`"),
        ([*ARMS, Arm("larg")], "no arm `larg`; did you mean `large`"),
        ([*ARMS, Arm("tiny")], "`tiny` is there twice"),
        ([{"tier": "local"}], r"is no arm \('name'\)"),
        (["tiny"], "'tiny' is no arm"),
        ([Arm("tiny", context_window=1), *ARMS[1:]], "arm `tiny` can take no query"),
        ([Arm("tiny", model_types=("audio",)), *ARMS[1:]], "arm `tiny` can take no query"),
    ],
)
def test_bad_arms_are_told_with_the_mend(small_trace: Trace, arms: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message) as told:
        trace_table(small_trace, featuriser=HASHING, arms=arms)
    assert "\n" not in str(told.value)


def test_an_arm_that_was_not_available_is_masked(small_trace: Trace) -> None:
    available = np.full(small_trace.score.shape, None, dtype=object)
    available[:, 0], available[7, 2] = True, False
    made = trace_table(replace(small_trace, cell_columns={"available": available}), part="all", featuriser=HASHING)
    assert np.argwhere(made.mask == 0).tolist() == [[7, 2]]
    available[5] = None
    available[5, 2] = [small_trace.arms[0], small_trace.arms[2], "one of another time"]
    made = trace_table(replace(small_trace, cell_columns={"available": available}), part="all", featuriser=HASHING)
    assert made.mask[5].tolist() == [1, 0, 1, 0]
    available[3, 1] = "no"
    with pytest.raises(BadInput, match=r"query q3, arm `small`: available is 'no'; it must be true or false"):
        trace_table(replace(small_trace, cell_columns={"available": available}), part="all", featuriser=HASHING)


# -- the reward model --------------------------------------------------------------------------------------------


def gappy(n: int = 90, seed: int = 0) -> tuple[np.ndarray, Outcomes, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, (n, 3)).astype(np.float32)
    score = np.clip(0.5 + features @ rng.uniform(-0.3, 0.3, (3, 4)), 0, 1)
    cost, latency = rng.random((2, n, 4))
    gaps = rng.random(score.shape) < 0.4
    score[gaps] = cost[gaps] = np.nan
    latency[:, 1] = np.nan
    return features, Outcomes.of(score, cost, latency), rng.integers(60, size=n)


def test_no_fold_sees_its_own_outcomes() -> None:
    features, outcomes, groups = gappy()
    fold = folds(groups)
    before, gaps = fill_gaps(features, outcomes, groups, tuple("abcd"))
    rng = np.random.default_rng(1)
    for part in np.unique(fold):
        mine = fold == part
        columns = []
        for values in (outcomes.score, outcomes.cost_usd, outcomes.latency_s):
            other = values.copy()
            other[mine] = np.where(np.isnan(values[mine]), np.nan, rng.random(values[mine].shape))
            columns.append(other)
        after, _ = fill_gaps(features, Outcomes(*columns), groups, tuple("abcd"))
        own, others = gaps & mine[:, None], gaps & ~mine[:, None]
        assert np.allclose(after.score[own], before.score[own], atol=1e-6), "nothing of its own is in it"
        assert np.allclose(after.cost_usd[own], before.cost_usd[own], atol=1e-6)
        assert not np.allclose(after.score[others], before.score[others], atol=1e-3), "the others learn from it"


def test_a_prompt_is_in_one_fold() -> None:
    groups = np.random.default_rng(0).integers(20, size=200)
    assert all(len(set(folds(groups)[groups == group])) == 1 for group in range(20))
    assert len(set(folds(groups))) == 5


def test_what_was_recorded_stays_and_what_is_modelled_is_near_and_in_range() -> None:
    features, outcomes, groups = gappy()
    filled, imputed = fill_gaps(features, outcomes, groups, tuple("abcd"))
    seen = ~np.isnan(outcomes.score)
    assert np.array_equal(filled.score[seen], outcomes.score[seen])
    assert np.array_equal(imputed, ~seen)
    assert np.isnan(filled.latency_s[:, 1]).all(), "of what an arm never told there is no model"
    assert ((filled.score >= 0) & (filled.score <= 1)).all()
    top = np.nanmax(outcomes.cost_usd, axis=0)
    assert (filled.cost_usd <= top).all()
    truth = np.random.default_rng(0)
    truth.uniform(-1, 1, (90, 3))
    exact = np.clip(0.5 + features @ truth.uniform(-0.3, 0.3, (3, 4)), 0, 1)
    assert np.abs(filled.score - exact)[imputed].mean() < 0.03
    assert filled.score.dtype == np.float32


def test_modelled_answers_are_told_as_such(gappy_trace: Trace) -> None:
    env = RoutingEnv(gappy_trace, part="all", featuriser=HASHING, unobserved="model", cost_weight=1.0)
    check_env(env, skip_render_check=True)
    check_trace_env(env)
    row_of = {query: row for row, query in enumerate(gappy_trace.query_ids)}
    rng, modelled = np.random.default_rng(0), 0
    for _ in range(120):
        _, asked = env.reset()
        assert "imputed" not in asked
        assert asked["action_mask"].all()
        arm = int(rng.integers(4))
        info = env.step(arm)[4]
        observed = bool(gappy_trace.observed[row_of[info["query_id"]], arm])
        assert info["imputed"] is not observed
        modelled += info["imputed"]
    assert modelled > 10
    check_vector_env(
        gym.make_vec("pointsman/Routing-v0", num_envs=3, trace=gappy_trace, featuriser=HASHING, unobserved="model")
    )


def test_a_bandit_log_can_be_modelled_and_hides_what_was_logged() -> None:
    env = RoutingEnv(log(), part="all", featuriser=HASHING, unobserved="model", cost_weight=1.0)
    assert env.table.allowed.all()
    assert env.table.imputed is not None
    assert env.table.imputed.mean() == pytest.approx(2 / 3)
    prompts = log().prompts[[int(query[1:]) for query in env.table.query_ids]]
    hard = np.array([prompt.startswith("prove") for prompt in prompts])
    modelled = np.where(env.table.imputed, env.table.score, np.nan)[:, env.table.arms.index("a")]
    assert np.nanmean(modelled[hard]) < np.nanmean(modelled[~hard]) - 0.3
    check_trace_env(env)


def test_an_arm_that_cannot_take_a_query_is_not_modelled_there(gappy_trace: Trace) -> None:
    made = trace_table(gappy_trace, part="all", featuriser=HASHING, unobserved="model", arms=ARMS)
    assert np.array_equal(made.allowed, arm_masks(gappy_trace, ARMS))
    assert made.imputed is not None
    assert not (made.imputed & ~made.allowed).any()


def test_too_few_outcomes_to_model_are_told_with_the_mend(gappy_trace: Trace) -> None:
    score = gappy_trace.score.copy()
    score[:, 1] = np.nan
    settings: dict[str, Any] = {"part": "all", "featuriser": HASHING, "unobserved": "model"}
    with pytest.raises(BadInput, match=r"arm `small` has no observed outcome.*select_arms"):
        trace_table(replace(gappy_trace, score=score), **settings)
    score[3, 1] = 0.5
    with pytest.raises(BadInput, match=r"arm `small`: its score was observed on too few prompts.*select_arms"):
        trace_table(replace(gappy_trace, score=score), **settings)


def test_the_test_part_is_modelled_from_itself(gappy_trace: Trace) -> None:
    score = gappy_trace.score.copy()
    score[gappy_trace.split(0).train] *= 0.5
    one, other = (
        trace_table(trace, part="test", featuriser=HASHING, unobserved="model")
        for trace in (gappy_trace, replace(gappy_trace, score=score))
    )
    assert np.array_equal(one.score, other.score)
