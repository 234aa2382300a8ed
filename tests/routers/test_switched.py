"""Switched: it stays, asks several when something looks odd, and switches on evidence, rarely in vain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from env.contexts import Contexts
from env.errors import BadInput
from routers.attempts import Attempt, Attempts
from routers.switched import Switched


def scored(score: np.ndarray, cost: float = 0.0) -> Attempts:
    """Every arm answered; the last one costs ``cost``."""
    n, k = score.shape
    nothing = Attempts.none(np.full(n, "?", dtype=object), k)
    dollars = np.zeros((n, k), dtype=np.float32)
    dollars[:, -1] = cost
    return replace(
        nothing,
        round=np.zeros((n, k), dtype=np.int64),
        response=np.full((n, k), "!", dtype=object),
        score=score.astype(np.float32),
        cost_usd=dollars,
    )


def contexts(n: int, k: int = 2, cost_weight: float = 0.0) -> Contexts:
    return Contexts.of(np.zeros((n, 1)), k, cost_weight=cost_weight)


def learned(plan: Switched, mean: list[float], n: int, seed: int = 0) -> list[int]:
    """The arm at work after each of ``n`` compared requests."""
    score = np.random.default_rng(seed).random((n, len(mean))) < mean
    attempts, asked, at_work = scored(score), contexts(n, len(mean)), []
    for row in range(n):
        plan.update(asked.take([row]), attempts.take([row]))
        at_work.append(plan.arm)
    return at_work


def test_it_switches_to_a_better_arm_and_stays_there() -> None:
    at_work = learned(Switched(3, 1, warm_up=0), [0.5, 0.5, 0.8], 1500)
    assert at_work[-1] == 2
    assert at_work.index(2) < 400


def test_it_notices_when_the_arm_at_work_gets_worse_later() -> None:
    """Evidence for it from better times does not count against the change."""
    plan = Switched(2, 1, warm_up=0)
    assert set(learned(plan, [0.8, 0.6], 2000)) == {0}
    at_work = learned(plan, [0.3, 0.6], 400, seed=1)
    assert at_work[-1] == 1


def test_between_equals_it_switches_in_vain_no_more_often_than_stated() -> None:
    patience, runs, length = 100.0, 40, 500
    switches = sum(
        int((np.diff(learned(Switched(2, 1, warm_up=0, patience=patience), [0.5, 0.5], length, seed)) != 0).sum())
        for seed in range(runs)
    )
    assert 0 < switches < runs * length / patience


def test_a_better_arm_that_is_not_worth_its_money_is_left_alone() -> None:
    score = np.random.default_rng(0).random((800, 2)) < [0.5, 0.7]
    for weight, expected in ((0.0, 1), (30.0, 0)):
        plan = Switched(2, 1, warm_up=0)
        plan.update(contexts(800, cost_weight=weight), scored(score, cost=0.01))
        assert plan.arm == expected


def test_requests_on_which_one_arm_was_asked_compare_nothing() -> None:
    plan = Switched(2, 1, warm_up=0)
    attempts = scored(np.tile([0.0, 1.0], (500, 1)))
    plan.update(contexts(500), attempts.only(np.tile([True, False], (500, 1))))
    assert plan.arm == 0 and (plan._wealth == 1).all()


def with_history(logprob: list[float]) -> Switched:
    plan = Switched(2, 1, warm_up=0, probe=0.0)
    attempts = scored(np.full((len(logprob), 2), np.nan))
    plan.update(contexts(len(logprob)), replace(attempts, logprob=np.array([logprob, logprob], dtype=np.float32).T))
    return plan


def test_an_unusually_unsure_or_blank_answer_is_checked_with_the_others() -> None:
    plan = with_history(np.random.default_rng(0).normal(-0.5, 0.1, 100).tolist())
    for text, logprob, checked in (("yes", -0.55, False), ("yes", -1.5, True), (" ", -0.5, True)):
        attempts = Attempts.of([Attempt(0, text, logprob=logprob)], "?", 2)
        assert plan.next(contexts(1), attempts).tolist() == [[False, checked]]
    both = Attempts.of([Attempt(0, "yes", logprob=-1.5), Attempt(1, "no", round=1)], "?", 2)
    assert not plan.next(contexts(1), both).any()


def test_what_is_unusual_takes_some_answers_to_tell() -> None:
    plan = with_history([-0.5, -0.51, -0.49])
    assert not plan.next(contexts(1), Attempts.of([Attempt(0, "yes", logprob=-9.0)], "?", 2)).any()


def test_all_are_asked_while_it_warms_up_then_a_share() -> None:
    plan, rng = Switched(2, 1, warm_up=2, probe=0.25), np.random.default_rng(0)
    assert plan.first(contexts(1), rng).calls.all()
    plan.update(contexts(2), scored(np.full((2, 2), np.nan)))
    opening = plan.first(contexts(4000), rng)
    probed = opening.calls.all(axis=1)
    assert opening.calls[:, 0].all() and abs(probed.mean() - 0.25) < 0.03
    assert np.allclose(opening.propensities, np.where(probed, 0.25, 0.75))


def test_a_masked_arm_at_work_has_a_stand_in() -> None:
    plan = Switched(3, 1, arm=2, warm_up=0, probe=0.0)
    mask = np.array([[True, True, False], [False, True, False]])
    opening = plan.first(Contexts.of(np.zeros((2, 1)), 3, mask=mask), np.random.default_rng(0))
    assert opening.calls.tolist() == [[True, False, False], [False, True, False]]
    assert opening.propensities.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("settings", [{"arm": 2}, {"warm_up": -1}, {"probe": 1.0}, {"unusual": 0.0}, {"patience": 1.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="switched"):
        Switched(2, 1, **settings)  # type: ignore[arg-type]  # settings of several kinds in one mapping
