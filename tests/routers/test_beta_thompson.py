"""Beta Thompson: its law against closed forms and simulation, its groups against sorting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from env.contexts import Contexts, Outcomes
from env.errors import BadInput
from routers.beta_law import beta_argmax_law
from routers.beta_thompson import BetaThompson
from routers.beta_thompson_task import BetaThompsonTask
from routers.kmeans import fit_centres, nearest_centre

ARMS = 3


def larger(a: int, b: int, c: int, d: int) -> float:
    """P(Beta(a, b) > Beta(c, d)) for whole parameters, as a finite sum."""

    def log_beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    return sum(
        math.exp(log_beta(c + i, b + d) - math.log(b + i) - log_beta(1 + i, b) - log_beta(c, d)) for i in range(a)
    )


def test_the_closed_form_is_right_where_it_is_obvious() -> None:
    assert larger(1, 1, 1, 1) == pytest.approx(1 / 2)
    assert larger(2, 1, 1, 1) == pytest.approx(2 / 3)


@given(st.tuples(*[st.integers(1, 60)] * 4))
def test_two_arms_have_the_law_of_the_closed_form(parameters: tuple[int, int, int, int]) -> None:
    a, b, c, d = parameters
    law = beta_argmax_law(np.array([[a, c]], dtype=float), np.array([[b, d]], dtype=float), np.zeros((1, 2)))[0]
    np.testing.assert_allclose(law, [larger(a, b, c, d), larger(c, d, a, b)], atol=1e-3)


@pytest.mark.parametrize(
    ("a", "b", "price"),
    [
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]),
        ([0.5, 3.0, 40.0], [0.5, 1.0, 60.0], [0.0, 0.3, -0.1]),
        ([5e4, 1.0, 800.0], [5e4, 1.0, 820.0], [0.0, 0.2, 0.0]),
        ([9.5, 700.0, 2.0], [1.0, 80.0, 0.7], [0.2, 0.1, np.inf]),
        ([2.0, 3.0, 4.0], [3.0, 2.0, 1.0], [0.0, 5.0, np.inf]),
    ],
)
def test_the_law_with_prices_equals_simulation(a: list[float], b: list[float], price: list[float]) -> None:
    draws = 400_000
    drawn = np.random.default_rng(0).beta(a, b, (draws, ARMS)) - price
    shares = np.bincount(drawn.argmax(axis=1), minlength=ARMS) / draws
    law = beta_argmax_law(np.array([a]), np.array([b]), np.array([price]))[0]
    # Four standard errors, and the error that the law states.
    assert (np.abs(law - shares) <= 4 * np.sqrt(law * (1 - law) / draws) + 1e-3).all(), (law, shares)
    assert (law[np.isinf(price)] == 0).all() and law.sum() == pytest.approx(1)


def three_groups(n: int = 90, seed: int = 0) -> tuple[Contexts, np.ndarray, Outcomes]:
    """Far apart in the features; in group ``g`` arm ``g`` is the best. Costs grow with the arm."""
    rng = np.random.default_rng(seed)
    group = rng.integers(3, size=n)
    features = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])[group] + rng.normal(0, 0.5, (n, 2))
    score = np.where(group[:, None] == np.arange(ARMS), 0.9, 0.3)
    task = np.array([("sum", "spell", None)[at] for at in group], dtype=object)
    return Contexts.of(features, ARMS, task=task), group, Outcomes.of(score, np.tile([0.1, 0.2, 0.4], (n, 1)))


def test_kmeans_finds_groups_far_apart() -> None:
    contexts, group, _ = three_groups()
    centres = fit_centres(contexts.features, 3)
    member = nearest_centre(contexts.features, centres)
    assert len({(g, m) for g, m in zip(group, member, strict=True)}) == 3
    for g in range(3):
        own = contexts.features[group == g].mean(axis=0)
        assert np.abs(centres - own).sum(axis=1).min() < 1e-4


def test_kmeans_has_no_more_centres_than_different_rows() -> None:
    rows = np.repeat(np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32), 5, axis=0)
    assert sorted(fit_centres(rows, 4).tolist()) == [[1.0, 2.0], [3.0, 4.0]]
    assert fit_centres(rows[:0], 4).shape == (0, 2)


@pytest.mark.parametrize("kind", [BetaThompson, BetaThompsonTask])
def test_beliefs_are_prior_plus_fractional_counts_in_each_group(kind: type[BetaThompson | BetaThompsonTask]) -> None:
    contexts, group, outcomes = three_groups()
    settings = {"clusters": 3} if kind is BetaThompson else {}
    router = kind(ARMS, 2, prior=4.0, **settings).fit(contexts, outcomes)
    sizes = np.bincount(group)[group]
    expected = (2 + sizes[:, None] * outcomes.score) / (4 + sizes[:, None])
    np.testing.assert_allclose(router.predict(contexts).score, expected, rtol=1e-5)
    np.testing.assert_allclose(router.predict(contexts).cost_usd, outcomes.cost_usd, rtol=1e-5)
    assert (router.act(contexts, np.random.default_rng(0), explore=False).arms == group).all()


@pytest.mark.parametrize("kind", [BetaThompson, BetaThompsonTask])
def test_draws_follow_the_law(kind: type[BetaThompson | BetaThompsonTask]) -> None:
    contexts, _, outcomes = three_groups(12)
    router, draws = kind(ARMS, 2).fit(contexts, outcomes), 40_000
    asked = Contexts.of(contexts.features[:1], ARMS, cost_weight=0.5, task=contexts.task[:1])
    law = router.law(asked)[0]
    decision = router.act(asked.take(np.zeros(draws, dtype=np.int64)), np.random.default_rng(0))
    shares = np.bincount(decision.arms, minlength=ARMS) / draws
    assert (np.abs(shares - law) <= 4 * np.sqrt(law * (1 - law) / draws) + 1e-3).all()
    assert (law > 0.01).all()
    np.testing.assert_array_equal(decision.propensities, law[decision.arms])


def test_without_a_table_the_first_prompts_found_clusters_and_centres_move_to_their_means() -> None:
    router, (contexts, group, outcomes) = BetaThompson(ARMS, 2, clusters=3), three_groups()
    first = [int(np.flatnonzero(group == g)[0]) for g in range(3)]
    order = np.array(first + [row for row in range(len(group)) if row not in first])
    arms = group[order]
    router.update(contexts.take(order), arms, outcomes.take(order).at(arms), np.ones(len(order)))
    expected = [contexts.features[group == g].mean(axis=0) for g in range(3)]
    np.testing.assert_allclose(router.state().arrays["centres"], expected, atol=1e-4)


def test_a_task_never_seen_is_at_the_prior_and_then_learned() -> None:
    router, (contexts, _, outcomes) = BetaThompsonTask(ARMS, 2), three_groups()
    router.fit(contexts, outcomes)
    new = Contexts.of(np.zeros((1, 2)), ARMS, task=np.array(["translate"], dtype=object))
    np.testing.assert_allclose(router.law(new), 1 / 3, atol=1e-3)
    for _ in range(50):
        router.update(new, np.array([1]), Outcomes.of(np.ones(1)), np.ones(1))
    assert router.law(new)[0, 1] > 0.9
    np.testing.assert_array_equal(router.state().arrays["count"][:, -1], 0)


@pytest.mark.parametrize(
    ("kind", "settings", "what"),
    [
        (BetaThompson, {"clusters": 0}, "clusters is 0"),
        (BetaThompson, {"prior": 0.5}, "prior is 0.5"),
        (BetaThompsonTask, {"prior": math.nan}, "prior is nan"),
    ],
)
def test_settings_that_cannot_be_are_refused(kind: type[BetaThompson], settings: dict[str, float], what: str) -> None:
    with pytest.raises(BadInput, match=what):
        kind(ARMS, 2, **settings)
