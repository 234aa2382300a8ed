"""What every router must do: one suite, run over the whole registry, so that a new router gets it for free."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load, save

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers import Router, RouterState, Unsupported, make, names, router_class
from routers.base import Estimator
from tests.conftest import needs

ARMS, FEATURES = 4, 6

# Training these needs torch or scikit-learn; deciding with them does not.
NEEDS_TRAIN = {"boosting", "ppo", "a2c", "dqn"}
# So that the suite stays quick; `ppo` reaches the thresholds below with far fewer steps than it takes on real data.
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {"n_envs": 256, "n_steps": 8, "batch_size": 256, "total_steps": 24_576},
    "a2c": {"n_envs": 64, "total_steps": 16_384, "learning_rate": 3e-3},
    "dqn": {"n_envs": 64, "total_steps": 8_192, "learning_rate": 3e-3},
    "barp": {"batch_size": 64, "total_steps": 32_768},
}

# Chance, one arm whatever happens, all in turn, and a router that is fooled on purpose: nothing to learn there.
NEVER_LEARNS = {"random", "fixed", "round_robin", "placebo"}


def built(name: str, n_arms: int = ARMS, n_features: int = FEATURES) -> Router:
    return make(name, n_arms, n_features, **SETTINGS.get(name, {}))


def train_or_skip(name: str) -> None:
    if name in NEEDS_TRAIN:
        needs("train", f"training `{name}`")


def table(
    n: int = 300, n_arms: int = ARMS, n_features: int = FEATURES, *, seed: int = 0, gaps: float = 0.0
) -> tuple[Contexts, Outcomes]:
    """Scores linear in the features with noise; arms cost more the higher their index; some cells unobserved."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, n_features)).astype(np.float32) / np.sqrt(n_features)
    score = 0.5 + 0.3 * features @ rng.normal(size=(n_features, n_arms)) + rng.normal(0, 0.05, (n, n_arms))
    length = 1 + 0.5 * np.tanh(features[:, :1])
    cost = length * 0.001 * 2.0 ** np.arange(n_arms)
    latency = length * 0.1 * (1 + np.arange(n_arms))
    task = np.array([("sum", "spell", None)[at] for at in rng.integers(3, size=n)], dtype=object)
    outcomes = Outcomes.of(np.clip(score, 0, 1), cost, latency)
    if gaps:
        hidden = rng.random((n, n_arms)) < gaps
        outcomes = Outcomes(*(np.where(hidden, np.nan, getattr(outcomes, f.name)) for f in fields(outcomes)))
    return Contexts.of(features, n_arms, task=task), outcomes


def weighted(contexts: Contexts, cost_weight: Any = 0.0, latency_weight: Any = 0.0, mask: Any = None) -> Contexts:
    return Contexts.of(
        contexts.features,
        contexts.n_arms,
        cost_weight=cost_weight,
        latency_weight=latency_weight,
        mask=mask,
        task=contexts.task,
    )


def trained(name: str, *, gaps: float = 0.0) -> Router:
    """A router that has learned the table, offline if it can, else online."""
    router = built(name)
    contexts, outcomes = table(gaps=gaps)
    if router.capabilities.offline:
        train_or_skip(name)
        return router.fit(contexts, outcomes)
    if router.capabilities.online:
        arms = np.arange(len(contexts)) % ARMS
        router.update(contexts, arms, outcomes.at(arms), np.full(len(contexts), 1 / ARMS))
    return router


_TRAINED: dict[str, RouterState] = {}


def decider(name: str) -> Router:
    """A trained router of its own for each test; training happens once."""
    if name not in _TRAINED:
        _TRAINED[name] = trained(name).state()
    return router_class(name).from_state(_TRAINED[name])


def varied(n: int = 64, seed: int = 5) -> Contexts:
    """Queries at many cost and latency weights, with holes in the mask."""
    contexts, _ = table(n, seed=seed)
    rng = np.random.default_rng(seed)
    mask = rng.random((n, ARMS)) < 0.7
    mask[np.arange(n), rng.integers(ARMS, size=n)] = True
    return weighted(contexts, rng.choice([0.0, 1.0, 50.0], n), rng.choice([0.0, 0.1], n), mask)


every_router = pytest.mark.parametrize("name", names())


def routers_that(able: Callable[[type[Router]], bool]) -> pytest.MarkDecorator:
    """The routers that a test is about, told by what their class declares."""
    return pytest.mark.parametrize("name", [name for name in names() if able(router_class(name))])


online_routers = routers_that(lambda kind: kind.capabilities.online)
offline_routers = routers_that(lambda kind: kind.capabilities.offline)
growing_routers = routers_that(lambda kind: kind.capabilities.adds_arms)
estimators = routers_that(lambda kind: issubclass(kind, Estimator))


@every_router
def test_decision_has_the_stated_shapes(name: str) -> None:
    contexts = varied()
    for explore in (True, False):
        decision = decider(name).act(contexts, np.random.default_rng(0), explore=explore)
        assert decision.arms.shape == (len(contexts),) and decision.arms.dtype == np.int64
        assert decision.propensities.shape == (len(contexts),) and decision.propensities.dtype == np.float64
        assert decision.scores.shape == (len(contexts), ARMS) and decision.scores.dtype == np.float32
        assert ((decision.propensities > 0) & (decision.propensities <= 1)).all()
        assert np.isneginf(decision.scores[~contexts.mask]).all()
        assert np.isfinite(decision.scores[contexts.mask]).all()


@every_router
def test_an_untrained_router_decides(name: str) -> None:
    contexts = varied()
    decision = built(name).act(contexts, np.random.default_rng(0))
    assert contexts.mask[np.arange(len(contexts)), decision.arms].all()


@every_router
def test_no_rows_are_no_decisions(name: str) -> None:
    empty = varied().take(slice(0, 0))
    assert len(decider(name).act(empty, np.random.default_rng(0))) == 0
    assert decider(name).law(empty).shape == (0, ARMS)


@every_router
def test_equal_seeds_give_equal_decisions(name: str) -> None:
    first, second = (decider(name).act(varied(), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.arms, second.arms)
    np.testing.assert_array_equal(first.propensities, second.propensities)
    np.testing.assert_array_equal(first.scores, second.scores)


@every_router
@pytest.mark.parametrize("explore", [True, False])
def test_a_batch_equals_the_loop(name: str, explore: bool) -> None:
    contexts, router = varied(), decider(name)
    together, apart = np.random.default_rng(7), np.random.default_rng(7)
    batch = router.act(contexts, together, explore=explore)
    rows = [router.act(contexts.take([row]), apart, explore=explore) for row in range(len(contexts))]
    loop_scores = np.vstack([row.scores for row in rows])
    allowed = contexts.mask
    np.testing.assert_allclose(loop_scores[allowed], batch.scores[allowed], rtol=1e-4, atol=1e-6)
    ranked = np.sort(np.where(allowed, batch.scores, -np.inf), axis=1)
    scale = np.maximum(np.abs(ranked[:, -1]), 1e-2)
    clear = ~(ranked[:, -1] - ranked[:, -2] <= 1e-4 * scale)
    arms, propensities = (
        np.concatenate(parts) for parts in zip(*((r.arms, r.propensities) for r in rows), strict=True)
    )
    # Where an arm is drawn from a law, scores do not decide; there the law itself is the same and so is the draw.
    np.testing.assert_array_equal(arms[clear], batch.arms[clear])
    np.testing.assert_allclose(propensities[clear], batch.propensities[clear], rtol=1e-3, atol=1e-6)
    assert together.random() == apart.random(), "batch and loop consumed different amounts of randomness"


@every_router
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_mask_is_never_violated(name: str, data: st.DataObject) -> None:
    row = st.lists(st.booleans(), min_size=ARMS, max_size=ARMS).filter(any)
    mask = np.array(data.draw(st.lists(row, min_size=1, max_size=8)))
    explore, seed = data.draw(st.booleans()), data.draw(st.integers(0, 99))
    contexts = weighted(table(len(mask), seed=seed)[0], cost_weight=10.0, mask=mask)
    router = decider(name)
    decision = router.act(contexts, np.random.default_rng(seed), explore=explore)
    assert mask[np.arange(len(mask)), decision.arms].all()
    law = router.law(contexts, explore=explore)
    assert (law[~mask] == 0).all() and (law >= 0).all()
    np.testing.assert_allclose(law.sum(axis=1), 1, atol=1e-9)


@every_router
def test_saved_and_loaded_it_decides_the_same(name: str) -> None:
    router = decider(name)
    state = router.state()
    arrays = load(save({key: np.ascontiguousarray(array) for key, array in state.arrays.items()}))
    config = json.loads(json.dumps(state.config, allow_nan=False))
    loaded = router_class(name).from_state(RouterState(config, arrays))
    contexts = varied()
    before, after = (r.act(contexts, np.random.default_rng(1)) for r in (router, loaded))
    np.testing.assert_array_equal(before.arms, after.arms)
    np.testing.assert_array_equal(before.scores, after.scores)
    np.testing.assert_array_equal(before.propensities, after.propensities)


@online_routers
def test_a_replay_equals_deciding_and_learning_row_after_row(name: str) -> None:
    contexts, outcomes = varied(120), table(120, gaps=0.2)[1]
    replayed, stepped = built(name), built(name)
    decision = replayed.replay(contexts, outcomes, np.random.default_rng(7))
    rng = np.random.default_rng(7)
    for row in range(len(contexts)):
        asked = contexts.take([row])
        one = stepped.act(asked, rng)
        assert decision.arms[row] == one.arms[0]
        np.testing.assert_allclose(decision.propensities[row], one.propensities[0], rtol=1e-4)
        np.testing.assert_allclose(decision.scores[row, one.arms], one.scores[0, one.arms], rtol=1e-4, atol=1e-5)
        assert (decision.scores[row] >= one.scores[0] - 1e-5).all()
        stepped.update(asked, one.arms, outcomes.take([row]).at(one.arms), one.propensities)
    for array, other in zip(replayed.state().arrays.values(), stepped.state().arrays.values(), strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-4, atol=1e-5)


@online_routers
def test_a_loaded_router_goes_on_learning(name: str) -> None:
    router = decider(name)
    state = router.state()
    loaded = router_class(name).from_state(RouterState(state.config, load(save(state.arrays))))
    contexts, outcomes = table(20, seed=9)
    arms = np.arange(20) % ARMS
    for learner in (router, loaded):
        learner.update(contexts, arms, outcomes.at(arms), np.full(20, 0.25))
    for key, array in router.state().arrays.items():
        np.testing.assert_array_equal(array, loaded.state().arrays[key])


@online_routers
def test_a_state_does_not_change_when_its_router_goes_on_learning(name: str) -> None:
    router = decider(name)
    kept = router.state()
    copies = {key: array.copy() for key, array in kept.arrays.items()}
    contexts, outcomes = table(5, seed=9)
    arms = np.zeros(5, dtype=np.int64)
    router.update(contexts, arms, outcomes.at(arms), np.full(5, 0.25))
    for key, array in copies.items():
        np.testing.assert_array_equal(kept.arrays[key], array)


@every_router
@pytest.mark.parametrize("explore", [True, False])
def test_propensities_are_those_of_the_law(name: str, explore: bool) -> None:
    router, contexts = decider(name), varied()
    law = router.law(contexts, explore=explore)
    decision = router.act(contexts, np.random.default_rng(0), explore=explore)
    # Thompson states its law by quadrature (error below 1e-3), and normalises only the whole row.
    np.testing.assert_allclose(decision.propensities, law[np.arange(len(contexts)), decision.arms], atol=1e-3)


@routers_that(lambda kind: kind.capabilities.exact_propensity)
@pytest.mark.parametrize("explore", [True, False])
def test_the_law_is_the_one_that_acts(name: str, explore: bool) -> None:
    router, contexts, draws = decider(name), varied(4), 20_000
    law = router.law(contexts, explore=explore)
    for row in range(len(contexts)):
        repeated = contexts.take(np.full(draws, row))
        seen = router.act(repeated, np.random.default_rng(row), explore=explore)
        shares = np.bincount(seen.arms, minlength=ARMS) / draws
        # Five standard errors of a share, and what quadrature may err: with fixed seeds this cannot flake.
        tolerance = 5 * np.sqrt(law[row] * (1 - law[row]) / draws) + 1e-3
        assert (np.abs(shares - law[row]) <= tolerance).all(), (shares, law[row])


def decisions_differ(router: Router, contexts: Contexts, others: Contexts, *, explore: bool) -> bool:
    """Whether a router tells two contexts apart, by anything that it states about its decisions."""
    one, other = (router.act(asked, np.random.default_rng(2), explore=explore) for asked in (contexts, others))
    return any(not np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


@every_router
@pytest.mark.parametrize("explore", [True, False])
def test_queues_are_looked_at_exactly_by_routers_that_say_so(name: str, explore: bool) -> None:
    router = decider(name)
    contexts = weighted(table(40, seed=6)[0], latency_weight=0.1)
    busy = router.act(contexts, np.random.default_rng(2), explore=explore).arms
    # A minute in the queue of the arm that would be chosen: ten times what a score can be worth.
    queues = np.where(np.arange(ARMS) == busy[:, None], 60, 0).astype(np.float32)
    differ = decisions_differ(router, contexts, replace(contexts, load=queues), explore=explore)
    assert differ == router.capabilities.uses_load


@routers_that(lambda kind: kind.capabilities.uses_load)
def test_a_router_that_looks_at_queues_avoids_a_long_one(name: str) -> None:
    router = decider(name)
    contexts = weighted(table(40, seed=6)[0], latency_weight=0.1)
    first = router.act(contexts, np.random.default_rng(2), explore=False).arms
    queues = np.where(np.arange(ARMS) == first[:, None], 60, 0).astype(np.float32)
    assert (router.act(replace(contexts, load=queues), np.random.default_rng(2), explore=False).arms != first).all()


@every_router
@pytest.mark.parametrize("explore", [True, False])
def test_the_prompt_is_looked_at_exactly_by_routers_that_say_so(name: str, explore: bool) -> None:
    contexts = weighted(table(40, seed=6)[0], cost_weight=50.0, latency_weight=0.1)
    others = replace(contexts, features=contexts.features[::-1])
    router = decider(name)
    assert decisions_differ(router, contexts, others, explore=explore) == router.capabilities.uses_features


def fit_a_table(router: Router) -> None:
    router.fit(*table(8))


def update_once(router: Router) -> None:
    contexts, outcomes = table(8)
    arms = np.zeros(8, dtype=np.int64)
    router.update(contexts, arms, outcomes.at(arms), np.ones(8))


CALLS: dict[str, tuple[str, Callable[[Router], None]]] = {
    "offline": ("fit", fit_a_table),
    "online": ("update", update_once),
    "adds_arms": ("add_arm", lambda router: router.add_arm()),
}


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        (name, capability)
        for name in names()
        for capability in CALLS
        if not getattr(router_class(name).capabilities, capability)
    ],
)
def test_unsupported_calls_are_refused_by_capability(name: str, capability: str) -> None:
    called, make_call = CALLS[capability]
    with pytest.raises(Unsupported, match=f"router `{name}` does not support {called};"):
        make_call(built(name))


@every_router
def test_learning_is_deterministic_and_leaves_its_input_alone(name: str) -> None:
    contexts, outcomes = table(gaps=0.2)
    arrays = [contexts.features, contexts.mask, outcomes.score, outcomes.cost_usd, outcomes.latency_s]
    before = [array.copy() for array in arrays]
    first, second = trained(name, gaps=0.2), trained(name, gaps=0.2)
    first.act(contexts, np.random.default_rng(0))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    for key, array in first.state().arrays.items():
        np.testing.assert_array_equal(array, second.state().arrays[key])


@offline_routers
def test_fit_returns_the_router_and_forgets_what_was_before(name: str) -> None:
    router = decider(name)
    contexts, outcomes = table()
    other, other_outcomes = table(seed=8)
    assert router.fit(other, other_outcomes) is router
    router.fit(contexts, outcomes)
    for key, array in decider(name).state().arrays.items():
        np.testing.assert_array_equal(array, router.state().arrays[key])


@every_router
def test_act_does_not_learn(name: str) -> None:
    router = decider(name)
    before = {key: array.copy() for key, array in router.state().arrays.items()}
    router.act(varied(), np.random.default_rng(0))
    router.law(varied())
    for key, array in router.state().arrays.items():
        np.testing.assert_array_equal(array, before[key])


@every_router
def test_gaps_and_arms_never_seen_are_tolerated(name: str) -> None:
    router = built(name)
    contexts, outcomes = table(gaps=0.5)
    hidden = np.array([False] * (ARMS - 1) + [True])
    outcomes = Outcomes(*(np.where(hidden, np.nan, getattr(outcomes, f.name)) for f in fields(outcomes)))
    unscored = np.arange(len(contexts)) < 3
    outcomes = Outcomes(np.where(unscored[:, None], np.nan, outcomes.score), outcomes.cost_usd, outcomes.latency_s)
    if router.capabilities.offline:
        train_or_skip(name)
        router.fit(contexts, outcomes)
    if router.capabilities.online:
        arms = np.arange(len(contexts)) % ARMS
        router.update(contexts, arms, outcomes.at(arms), np.full(len(contexts), 0.25))
    decision = router.act(varied(), np.random.default_rng(0))
    assert np.isfinite(decision.scores[varied().mask]).all()


@routers_that(lambda kind: kind.capabilities.offline and kind.name not in NEEDS_TRAIN)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_table_of_hardly_any_rows_is_learned_without_complaint(name: str, n: int) -> None:
    router = built(name)
    contexts, outcomes = table(n)
    decision = router.fit(contexts, outcomes).act(varied(), np.random.default_rng(0))
    assert np.isfinite(decision.scores[varied().mask]).all()


@offline_routers
def test_costs_never_recorded_do_not_matter(name: str) -> None:
    router = built(name)
    contexts, outcomes = table(100)
    train_or_skip(name)
    router.fit(contexts, Outcomes.of(outcomes.score))
    free, dear = (
        router.act(weighted(contexts, cost_weight=weight), np.random.default_rng(0), explore=False)
        for weight in (0, 99)
    )
    np.testing.assert_array_equal(free.arms, dear.arms)


@growing_routers
def test_an_added_arm_is_tried_and_learned(name: str) -> None:
    router = decider(name)
    router.add_arm()
    assert router.n_arms == ARMS + 1
    contexts, _ = table(400, seed=3)
    wider = Contexts.of(contexts.features, ARMS + 1)
    only_new = Contexts.of(contexts.features, ARMS + 1, mask=np.arange(ARMS + 1) == ARMS)
    rng = np.random.default_rng(0)
    assert (router.act(only_new, rng).arms == ARMS).all()
    if router.capabilities.online and name not in NEVER_LEARNS:
        for row in range(len(wider)):
            asked = wider.take([row])
            decision = router.act(asked, rng)
            score = np.where(decision.arms == ARMS, 1.0, 0.3)
            router.update(asked, decision.arms, Outcomes.of(score), decision.propensities)
        assert (router.act(wider, rng, explore=False).arms == ARMS).mean() > 0.9
    reloaded = router_class(name).from_state(router.state())
    np.testing.assert_array_equal(
        reloaded.act(wider, np.random.default_rng(2)).arms, router.act(wider, np.random.default_rng(2)).arms
    )


@estimators
def test_a_higher_cost_weight_never_chooses_dearer_arms(name: str) -> None:
    router = decider(name)
    contexts, _ = table(seed=4)
    expected = router.predict(contexts).cost_usd
    previous: NDArray[np.float32] = np.full(len(contexts), np.inf, dtype=np.float32)
    for weight in (0.0, 3.0, 30.0, 300.0, 1e5):
        chosen = router.act(weighted(contexts, cost_weight=weight), np.random.default_rng(0), explore=False).arms
        cost = expected[np.arange(len(contexts)), chosen]
        assert (cost <= previous + 1e-9).all()
        previous = cost
    np.testing.assert_array_equal(previous, expected.min(axis=1))


@every_router
def test_an_unknown_setting_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=name):
        make(name, ARMS, FEATURES, no_such_setting=1)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean `linucb`"):
        make("linucp", ARMS, FEATURES)
