"""Auto and the recipe: averages of learners, what they make of tasks, and what they hold out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from env.contexts import Contexts, Outcomes
from routers import make
from routers.auto import _TASK_SHARES, Auto, _folds
from routers.base import Estimator, Router
from routers.recipe import Recipe
from tests.conftest import needs

K, D = 3, 6


def table(n: int, *, signal: float, tasks: bool = False, seed: int = 0) -> tuple[Contexts, Outcomes]:
    """Arm 0 or 1 is better by the sign of a feature; arm 2 by the task, where there are tasks."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, D)).astype(np.float32)
    task = np.array(["maths", "prose"], dtype=object)[rng.integers(2, size=n)] if tasks else None
    scores = np.full((n, K), 0.5)
    scores[:, 0] += signal * np.sign(x[:, 0])
    scores[:, 1] -= signal * np.sign(x[:, 0])
    if task is not None:
        scores[:, 2] += np.where(task == "maths", 1.5, -1.5) * signal
    scores = np.clip(scores + rng.normal(0, 0.2, scores.shape), 0, 1)
    cost = np.tile([0.001, 0.001, 0.002], (n, 1)) * (1 + 0.1 * np.abs(x[:, :1]))
    return Contexts.of(x, K, task=task), Outcomes.of(scores, cost_usd=cost)


def regret(router: Estimator, contexts: Contexts, outcomes: Outcomes) -> float:
    got = outcomes.at(router.act(contexts, np.random.default_rng(0)).arms).score
    return float((outcomes.score.max(axis=1) - got).mean())


def test_where_nothing_can_be_told_it_is_zero_and_cost() -> None:
    contexts, outcomes = table(200, signal=0.0)
    router = Auto(K, D).fit(contexts, outcomes)
    assert router.members == ()
    zero_cost = make("zero_cost", K, D).fit(contexts, outcomes)
    asked = replace(contexts, cost_weight=np.full(len(contexts), 50, dtype=np.float32))
    np.testing.assert_array_equal(*(one.act(asked, np.random.default_rng(0)).arms for one in (router, zero_cost)))


def test_where_the_prompt_tells_it_beats_the_means() -> None:
    contexts, outcomes = table(300, signal=0.2)
    router = Auto(K, D).fit(contexts, outcomes)
    assert {"ridge", "logistic", "kernel_ridge"} <= set(router.members)
    new = table(300, signal=0.2, seed=1)
    zero = make("zero", K, D).fit(contexts, outcomes)
    assert isinstance(zero, Estimator)
    assert regret(router, *new) < regret(zero, *new) - 0.05


@pytest.mark.parametrize("kind", [Auto, Recipe])
def test_a_task_that_is_named_helps_and_one_that_is_not_is_guessed(kind: type[Auto] | type[Recipe]) -> None:
    needs("train", "guessing tasks")
    contexts, outcomes = table(400, signal=0.2, tasks=True)
    router = kind(K, D).fit(contexts, outcomes)
    asked, truth = table(400, signal=0.2, tasks=True, seed=1)
    named = regret(router, asked, truth)
    assert named < regret(router, replace(asked, task=None), truth) - 0.02
    unheard = replace(asked, task=np.full(len(asked), "unheard of", dtype=object))
    np.testing.assert_array_equal(router.predict(unheard).score, router.predict(replace(asked, task=None)).score)


def test_the_share_of_the_task_is_read_off_held_out_rows_where_they_tell() -> None:
    needs("train", "guessing tasks")

    def share(prompt: float, task: float, noise: float) -> float:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(800, D)).astype(np.float32)
        named = rng.integers(8, size=800)
        best = rng.normal(size=(8, 2))[named]
        better = prompt * np.stack([x[:, 0], -x[:, 0]], axis=1)
        scores = 0.5 + better + task * best + noise * rng.normal(size=best.shape)
        labels = named.astype(str).astype(object)
        return Auto(2, D).fit(Contexts.of(x, 2, task=labels), Outcomes.of(scores))._task_share

    assert share(prompt=0.2, task=0.05, noise=0.05) == 0
    assert share(prompt=0.0, task=0.2, noise=0.05) > _TASK_SHARES[0]
    assert share(prompt=0.01, task=0.01, noise=0.5) == _TASK_SHARES[0]


def test_a_guess_at_the_task_is_a_member_where_it_is_a_good_one() -> None:
    needs("train", "guessing tasks")
    contexts, outcomes = table(300, signal=0.2, tasks=True)
    assert contexts.task is not None
    shown = contexts.features.copy()
    shown[:, 5] = np.where(contexts.task == "maths", 2.0, -2.0)
    told = Auto(K, D).fit(replace(contexts, features=shown), outcomes)
    assert "task_posterior" in told.members and "task_posterior" not in Auto(K, D).fit(contexts, outcomes).members


def test_rows_without_a_task_are_held_out_too() -> None:
    needs("train", "guessing tasks")
    contexts, outcomes = table(300, signal=0.2, tasks=True)
    assert contexts.task is not None
    mixed = contexts.task.copy()
    mixed[::2] = None
    held_out = Auto(K, D).fit(replace(contexts, task=mixed), outcomes).held_out
    assert held_out is not None and np.isfinite(held_out.score).all()


def test_rows_are_told_apart_by_whether_their_task_is_known() -> None:
    needs("train", "guessing tasks")
    contexts, outcomes = table(200, signal=0.2, tasks=True)
    router = Auto(K, D).fit(contexts, outcomes)
    assert contexts.task is not None
    mixed = contexts.task.copy()
    mixed[::2] = None
    told = router.predict(replace(contexts, task=mixed)).score
    np.testing.assert_allclose(told[1::2], router.predict(contexts).score[1::2], rtol=1e-4)
    np.testing.assert_allclose(told[::2], router.predict(replace(contexts, task=None)).score[::2], rtol=1e-4)


def test_what_is_held_out_was_not_seen() -> None:
    contexts, outcomes = table(200, signal=0.2)
    router = Auto(K, D).fit(contexts, outcomes)
    rows = _folds(contexts.features, 4, 0) == 0
    spoilt = outcomes.score.copy()
    spoilt[rows] = 1 - spoilt[rows]
    before, after = (router._left_out(contexts, given) for given in (outcomes, replace(outcomes, score=spoilt)))
    assert before is not None
    assert after is not None
    for name, told in before[0].items():
        np.testing.assert_array_equal(after[0][name][rows], told[rows])
        assert (after[0][name][~rows] != told[~rows]).any()


def test_gaps_and_too_few_rows_are_no_trouble() -> None:
    contexts, outcomes = table(120, signal=0.3)
    score = outcomes.score.copy()
    score[:40, 1] = np.nan
    router = Auto(K, D).fit(contexts, replace(outcomes, score=score))
    assert np.isfinite(router.predict(contexts).score).all()
    few = Auto(K, D).fit(contexts.take(slice(0, 5)), outcomes.take(slice(0, 5)))
    assert few.members == ()
    assert few.held_out is None
    assert few.predict(contexts).score.shape == (120, K)


@pytest.mark.parametrize("name", ["auto", "recipe", "kernel_ridge", "task_posterior"])
@pytest.mark.parametrize("tasks", [True, False])
def test_it_decides_the_same_when_restored(name: str, tasks: bool) -> None:
    needs("train", "guessing tasks")
    contexts, outcomes = table(160, signal=0.2, tasks=tasks)
    router: Router = make(name, K, D).fit(contexts, outcomes)
    again = type(router).from_state(router.state())
    np.testing.assert_array_equal(
        *(one.act(contexts, np.random.default_rng(0), explore=False).scores for one in (router, again))
    )
