"""The cascade: when it goes on, when it stops, what it returns, and what it learns from answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from env.contexts import Contexts
from env.errors import BadInput
from routers.attempts import Attempts
from routers.cascade import Cascade
from routers.plan import Followed, follow
from routers.signals import SIGNALS, agreement, signals
from tests.routers.test_plan import ARMS, FEATURES, recorded


def fitted(**settings: int) -> Cascade:
    return Cascade(ARMS, FEATURES, **settings).fit(*recorded(600))


def followed(plan: Cascade, cost_weight: float, latency_weight: float = 0.0) -> Followed:
    contexts, attempts = recorded(400, seed=9)
    asked = Contexts.of(contexts.features, ARMS, cost_weight=cost_weight, latency_weight=latency_weight)
    return follow(plan, asked, attempts, np.random.default_rng(0))


def test_the_dearer_money_is_the_fewer_the_calls() -> None:
    plan = fitted()
    calls = [followed(plan, weight).attempts.asked.sum() for weight in (0.0, 5.0, 30.0, 1e4)]
    assert calls == sorted(calls, reverse=True)
    assert calls[0] > 2.5 * 400 and calls[-1] == 400


def test_time_has_a_price_too() -> None:
    plan = fitted()
    assert followed(plan, 5.0, 1.0).outcomes.latency_s.mean() < followed(plan, 5.0).outcomes.latency_s.mean()


def test_it_beats_one_call_at_the_same_money() -> None:
    """What is learned from the answers is worth more than it costs; one call sees only the prompt."""
    several, one = fitted(), fitted(max_calls=1)
    got, alone = followed(several, 15.0).outcomes, followed(one, 5.0).outcomes
    assert got.cost_usd.mean() < alone.cost_usd.mean()
    assert got.score.mean() > alone.score.mean() + 0.05


def test_a_sure_answer_is_returned_and_an_unsure_one_is_followed_up() -> None:
    plan, (contexts, attempts) = fitted(), recorded(400, seed=9)
    dear = Contexts.of(contexts.features, ARMS, cost_weight=15.0)
    got = follow(plan, dear, attempts, np.random.default_rng(0))
    opened = got.attempts.round == 0
    sure = attempts.logprob[opened]
    several = got.attempts.asked.sum(axis=1) > 1
    assert several.any() and (~several).any()
    assert sure[several].mean() < sure[~several].mean() - 0.5


def test_its_chances_are_calibrated_on_new_requests() -> None:
    plan = Cascade(ARMS, FEATURES).fit(*recorded(2000))
    contexts, attempts = recorded(2000, seed=11)
    found = plan.beliefs(contexts, attempts)
    for believed in (found.answered, plan.beliefs(contexts, Attempts.none(attempts.prompts, ARMS)).unasked):
        low = believed < np.quantile(believed, 0.3)
        high = believed > np.quantile(believed, 0.7)
        for part in (low, high):
            assert abs(believed[part].mean() - attempts.score[part].mean()) < 0.05


def test_no_more_calls_than_allowed_but_for_failures() -> None:
    assert followed(fitted(max_calls=2), 0.0).attempts.asked.sum(axis=1).max() == 2
    assert (followed(fitted(max_calls=1), 0.0).attempts.asked.sum(axis=1) == 1).all()


def test_the_index_is_where_the_expected_gain_is_the_price() -> None:
    """Against draws from the logistic distribution that it stands for (Weitzman 1979)."""
    plan = fitted()
    contexts, attempts = recorded(5)
    asked = Contexts.of(contexts.features, ARMS, cost_weight=5.0)
    found = plan.beliefs(asked, Attempts.none(attempts.prompts, ARMS))
    index = plan._index(found)
    spread = np.sqrt(plan.chances.revealed * found.unasked * (1 - found.unasked))
    draws = np.random.default_rng(0).logistic(size=(200_000, 1, 1))
    seen = found.unasked + spread * np.sqrt(3) / np.pi * draws
    gain = np.maximum(seen - index, 0).mean(axis=0)
    assert np.allclose(gain, found.price, rtol=0.05, atol=1e-4)


def test_a_log_probability_that_is_not_told_counts_as_an_ordinary_one() -> None:
    plan, (contexts, attempts) = fitted(), recorded(50, seed=12)
    untold = replace(attempts, logprob=np.full_like(attempts.logprob, np.nan))
    usual = np.broadcast_to(plan.chances.centre[:, SIGNALS.index("logprob")].astype(np.float32), attempts.logprob.shape)
    told, also = (plan.beliefs(contexts, one).answered for one in (untold, replace(attempts, logprob=usual)))
    # The total is mean times words, whose own mean is not exactly the product of the means.
    assert np.isfinite(told).all() and np.abs(told - also).mean() < 0.1


def test_gaps_in_the_table_teach_nothing() -> None:
    contexts, attempts = recorded(600)
    rng = np.random.default_rng(0)
    score = np.where(rng.random(attempts.score.shape) < 0.3, np.nan, attempts.score).astype(np.float32)
    plan = Cascade(ARMS, FEATURES).fit(contexts, replace(attempts, score=score))
    assert followed(plan, 5.0).outcomes.score.mean() > 0.75


def test_labels_of_tasks_are_used_where_they_are_given() -> None:
    contexts, attempts = recorded(600)
    task = np.array(["easy" if row else "hard" for row in attempts.score[:, 0] > 0], dtype=object)
    labelled = replace(contexts, task=task)
    plan = Cascade(ARMS, FEATURES).fit(labelled, attempts)
    none = Attempts.none(attempts.prompts, ARMS)
    believed = plan.beliefs(labelled, none).unasked[:, 0]
    assert believed[task == "easy"].mean() > believed[task == "hard"].mean() + 0.5


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"max_calls": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="cascade"):
        Cascade(2, 1, **settings)  # type: ignore[arg-type]  # settings of several kinds in one mapping


def test_a_repeated_prompt_is_held_out_whole() -> None:
    """Else what ridge expects of a row would come from its own twin."""
    from routers.chances import _folds

    prompts = np.array(["Same", " same", "other"], dtype=object)
    first, second, _ = _folds(Attempts.none(prompts, 2))
    assert first == second


def test_the_form_that_was_asked_for_is_a_signal() -> None:
    prompts = np.array(["How many legs has a cat?", "Positive or negative: I like it"], dtype=object)
    said = np.array([["4", "A cat is a mammal"], ["positive", None]], dtype=object)
    found = signals(prompts, said, np.full((2, 2), -0.5, dtype=np.float32))
    form, quoted, wordy = (found[:, :, SIGNALS.index(name)] for name in ("form", "quoted", "wordy"))
    assert form.tolist() == [[0, 1], [0, 0]]
    assert quoted[1, 0] == 1 and quoted[0, 0] == 0
    assert wordy[0].tolist() == [0, 1]
    assert not found[1, 1].any()


def test_agreement_is_symmetric_and_needs_whole_words() -> None:
    said = np.array([["no", "Not now", "No, it is not.", ""]], dtype=object)
    found = agreement(said, np.ones((1, 4), dtype=bool))[0]
    assert (found == found.T).all() and not np.diag(found).any()
    assert found[0].tolist() == [0.0, 0.0, 0.5, 0.0]
    assert not agreement(said, np.zeros((1, 4), dtype=bool)).any()
