"""The compiled posterior decides as the plain one, and as float64 does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env.contexts import Contexts, Floats, Outcomes
from routers import make
from routers.linear import LinearPosterior, make_posterior, with_constant
from tests.conftest import needs

needs("fast", "the compiled posterior")

from routers.packed import PackedPosterior  # noqa: E402 - an absent package skips before it is imported

ROUTERS = ("linucb", "linear_thompson")


def problem(n: int, n_features: int, n_arms: int, seed: int, gaps: float = 0.1) -> tuple[Contexts, Outcomes]:
    """Contexts of every kind (weights of 0 and more, masks, queues) and outcomes with gaps."""
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(n, n_features)) / np.sqrt(n_features)).astype(np.float32)
    mask = rng.random((n, n_arms)) < 0.8
    mask[np.arange(n), rng.integers(n_arms, size=n)] = True
    contexts = Contexts.of(
        features,
        n_arms,
        cost_weight=rng.choice([0.0, 10.0], n),
        latency_weight=rng.choice([0.0, 0.1], n),
        mask=mask,
        load=rng.random((n, n_arms)) if seed % 2 else None,
    )
    score = 0.5 + features @ rng.normal(size=(n_features, n_arms)) + rng.normal(0, 0.1, (n, n_arms))
    values = (score, rng.random((n, n_arms)) * 0.01 * 2.0 ** np.arange(n_arms), rng.random((n, n_arms)))
    return contexts, Outcomes.of(*(np.where(rng.random((n, n_arms)) < gaps, np.nan, column) for column in values))


def clear(scores: Floats) -> Any:
    """``(n,)`` where the best two scores differ by more than 1e-4 relative."""
    if scores.shape[1] == 1:
        return np.ones(len(scores), dtype=bool)
    second, best = np.sort(scores, axis=1)[:, -2:].T
    with np.errstate(invalid="ignore"):
        return ~(best - second <= 1e-4 * np.maximum(np.abs(best), np.abs(second)))


@settings(max_examples=60, deadline=None)
@given(
    n_features=st.integers(1, 40),
    n_arms=st.integers(1, 9),
    ridge=st.floats(0.1, 30),
    alpha=st.floats(0, 2),
    seed=st.integers(0, 10_000),
)
def test_beliefs_and_decisions_equal_the_plain_posterior(
    n_features: int, n_arms: int, ridge: float, alpha: float, seed: int
) -> None:
    contexts, outcomes = problem(80, n_features, n_arms, seed)
    targets = np.stack([outcomes.score, outcomes.cost_usd, outcomes.latency_s])
    inputs = with_constant(contexts.features)
    plain = LinearPosterior(n_arms, n_features + 1, ridge)
    packed = PackedPosterior(n_arms, n_features + 1, ridge)
    for row, arm in enumerate(np.random.default_rng(seed).integers(n_arms, size=80)):
        (worth, width), (own_worth, own_width) = (p.believe(contexts.take([row])) for p in (plain, packed))
        np.testing.assert_allclose(own_worth, worth, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(own_width, width, rtol=1e-4, atol=1e-5)
        scores = worth + np.float32(alpha) * width
        same = scores.argmax(axis=1) == (own_worth + np.float32(alpha) * own_width).argmax(axis=1)
        assert (same | ~clear(scores)).all()
        if not np.isnan(targets[0, row, arm]):
            for posterior in (plain, packed):
                posterior.update(inputs[row], int(arm), targets[:, row, arm])
    for name, array in plain.arrays().items():
        np.testing.assert_allclose(packed.arrays()[name], array, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(packed.widths(inputs), plain.widths(inputs), rtol=1e-4, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    n_features=st.integers(1, 40),
    n_arms=st.integers(1, 9),
    ridge=st.floats(0.1, 30),
    alpha=st.floats(0, 2),
    drawn=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_arms_that_are_skipped_change_no_decision(
    n_features: int, n_arms: int, ridge: float, alpha: float, drawn: bool, seed: int
) -> None:
    contexts, outcomes = problem(150, n_features, n_arms, seed)
    targets = np.stack([outcomes.score, outcomes.cost_usd, outcomes.latency_s])
    bonus = np.full((150, n_arms), alpha, dtype=np.float32)
    if drawn:
        bonus *= np.random.default_rng(seed).standard_normal(bonus.shape).astype(np.float32)
    runs = [PackedPosterior(n_arms, n_features + 1, ridge) for _ in range(2)]
    (_, width, arms), (_, bounds, chosen) = (
        run.replay(contexts, bonus, targets, skip=skip) for run, skip in zip(runs, (False, True), strict=True)
    )
    np.testing.assert_array_equal(chosen, arms)
    np.testing.assert_array_equal(runs[0].packed, runs[1].packed)
    assert (bounds >= width).all()
    rows = np.arange(150)
    np.testing.assert_array_equal(bounds[rows, arms], width[rows, arms])


def test_arms_that_cannot_be_the_best_are_not_read() -> None:
    contexts, outcomes = problem(1_000, 8, 6, seed=2, gaps=0.0)
    posterior = PackedPosterior(6, 9, 10.0)
    targets = np.stack([outcomes.score, outcomes.cost_usd, outcomes.latency_s])
    posterior.replay(contexts, np.full((1_000, 6), 0.1, dtype=np.float32), targets, skip=True)
    assert 1_000 <= posterior.reads[0] < 0.6 * contexts.mask.sum()


@pytest.mark.parametrize("name", ROUTERS)
def test_a_run_equals_the_plain_one_and_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts, outcomes = problem(400, 12, 5, seed=1)
    runs = [make(name, 5, 12).replay(contexts, outcomes, np.random.default_rng(3)) for _ in range(2)]
    monkeypatch.setattr("routers.linear.find_spec", lambda _name: None)
    plain = make(name, 5, 12).replay(contexts, outcomes, np.random.default_rng(3))
    np.testing.assert_array_equal(runs[0].arms, runs[1].arms)
    np.testing.assert_array_equal(runs[0].scores, runs[1].scores)
    # From the first decision that differs on, the two learn different things; it must be an unclear one.
    differ = np.append(runs[0].arms != plain.arms, True)
    until = int(differ.argmax())
    assert until > 100 and (until == len(contexts) or not clear(plain.scores)[until])
    np.testing.assert_allclose(runs[0].propensities[:until], plain.propensities[:until], atol=1e-3)


def test_what_is_saved_is_the_same_and_moves_between_the_two(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts, outcomes = problem(200, 10, 3, seed=0)
    router = make("linucb", 3, 10)
    router.replay(contexts, outcomes, np.random.default_rng(0))
    saved = router.state()
    np.testing.assert_array_equal(saved.arrays["inverse"], saved.arrays["inverse"].swapaxes(1, 2))
    decided = router.act(contexts, np.random.default_rng(0)).scores
    np.testing.assert_array_equal(
        type(router).from_state(saved).act(contexts, np.random.default_rng(0)).scores, decided
    )
    monkeypatch.setattr("routers.linear.find_spec", lambda _name: None)
    plain = type(router).from_state(saved)
    assert {name: array.shape for name, array in plain.state().arrays.items()} == {
        name: array.shape for name, array in saved.arrays.items()
    }
    np.testing.assert_allclose(plain.act(contexts, np.random.default_rng(0)).scores, decided, rtol=1e-4)


@pytest.mark.parametrize("learned", ["prior", "fit", "updates"])
def test_a_state_is_the_same_to_the_last_bit_after_it_went_through_the_compiled_one(
    learned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts, outcomes = problem(300, 21, 3, seed=0)
    with monkeypatch.context() as plainly:
        plainly.setattr("routers.linear.find_spec", lambda _name: None)
        router = make("linucb", 3, 21)
        if learned == "fit":
            router.fit(contexts, outcomes)
        elif learned == "updates":
            router.replay(contexts, outcomes, np.random.default_rng(0))
        saved = router.state()
    saved.arrays["inverse"][:, 0, 5] = -0.0  # not symmetric in its signs, as a solver may leave it
    again = type(router).from_state(saved).state()
    assert again.config == saved.config
    for name, array in saved.arrays.items():
        assert again.arrays[name].dtype == array.dtype and again.arrays[name].tobytes() == array.tobytes(), name


def test_the_engine_is_compiled_where_numba_is_and_plain_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(make_posterior(2, 3, 1.0)) is PackedPosterior
    monkeypatch.setattr("routers.linear.find_spec", lambda _name: None)
    assert type(make_posterior(2, 3, 1.0)) is LinearPosterior


@pytest.mark.parametrize(("alpha", "ridge"), [(0.1, 1.0), (0.3, 1.0), (0.3, 0.1), (1.0, 1.0)])
def test_regret_equals_float64_to_three_digits(alpha: float, ridge: float) -> None:
    rng = np.random.default_rng(0)
    n, d, arms = 4_000, 24, 5
    features = rng.normal(size=(n, d)) / np.sqrt(np.arange(1, d + 1))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    features = features.astype(np.float32).astype(np.float64)
    mean = features @ rng.normal(size=(d, arms))
    mean = 0.5 + 0.15 * (mean - mean.mean()) / mean.std()
    outcomes = Outcomes.of(mean + 0.1 * rng.normal(size=mean.shape))
    router = make("linucb", arms, d, alpha=alpha, ridge=ridge)
    chosen = router.replay(Contexts.of(features, arms), outcomes, rng).arms

    x = np.c_[features, np.ones(n)]
    inverse = np.tile(np.diag([1 / ridge] * d + [1.0]), (arms, 1, 1))
    theta, exact = np.zeros((arms, d + 1)), np.empty(n, dtype=np.int64)
    for row in range(n):
        spread = inverse @ x[row]
        variance = spread @ x[row]
        arm = exact[row] = np.argmax(theta @ x[row] + alpha * np.sqrt(variance))
        gain = spread[arm] / (1 + variance[arm])
        theta[arm] += gain * (float(outcomes.score[row, arm]) - 0.5 - theta[arm] @ x[row])
        inverse[arm] -= np.outer(gain, spread[arm])

    regret, wanted = ((mean.max(axis=1) - mean[np.arange(n), arms]).sum() for arms in (chosen, exact))
    assert wanted < 0.5 * (mean.max(axis=1) - mean.mean(axis=1)).sum()
    assert regret == pytest.approx(wanted, rel=1e-3)


def test_propensities_that_nobody_logs_are_left_out_and_the_decisions_are_the_same() -> None:
    contexts, outcomes = problem(300, 9, 4, seed=2)
    logged, unlogged = (
        make("linear_thompson", 4, 9).replay(contexts, outcomes, np.random.default_rng(3), propensities=told)  # type: ignore[call-arg] # of these routers
        for told in (True, False)
    )
    np.testing.assert_array_equal(unlogged.arms, logged.arms)
    assert np.isnan(unlogged.propensities).all() and (logged.propensities > 0).all()
    rows = np.arange(300)
    np.testing.assert_array_equal(unlogged.scores[rows, unlogged.arms], logged.scores[rows, logged.arms])
    certain = make("linucb", 4, 9).replay(contexts, outcomes, np.random.default_rng(3), propensities=False)  # type: ignore[call-arg] # likewise
    assert (certain.propensities == 1).all()


@pytest.mark.parametrize("name", ROUTERS)
def test_many_rows_at_once_are_believed_as_one_by_one(name: str) -> None:
    contexts, outcomes = problem(400, 21, 5, seed=1)
    router = make(name, 5, 21)
    router.replay(contexts, outcomes, np.random.default_rng(0))
    many = router._posterior.believe(contexts)  # type: ignore[attr-defined] # what both share
    single = [router._posterior.believe(contexts.take([row])) for row in range(400)]  # type: ignore[attr-defined] # likewise
    for column, rows in zip(many, zip(*single, strict=True), strict=True):
        np.testing.assert_allclose(column, np.concatenate(rows), rtol=1e-4, atol=1e-6)
