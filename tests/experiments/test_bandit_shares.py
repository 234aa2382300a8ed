"""The study of bandit feedback: nothing is chosen on test queries, and the page shows what was run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from env.errors import BadInput
from env.features import Hashing
from experiments.bootstrap import Bootstrap
from experiments.folds import featurised
from experiments.studies import bandit_few_pulls
from experiments.studies.bandit_few_pulls import few_pulls, matter
from experiments.studies.bandit_problems import Problem, divide
from experiments.studies.bandit_shares import CANDIDATES, choose, study
from experiments.studies.bandit_shares_report import few_markdown, markdown, verdicts
from tests.conftest import make_trace

ROOT = Path(__file__).parents[2]
MAKER = Hashing(16)
FEW = (CANDIDATES[0], CANDIDATES[-1])
SETTINGS = {"cold": FEW[0], "warm": FEW[1]}
MATTER = "told which arms matter, those asked equally often"


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem.of(featurised(make_trace(n=160), MAKER), 0)


def test_the_setting_is_chosen_without_test_queries(problem: Problem) -> None:
    part = problem.part
    spoilt = replace(problem, part=replace(part, test=replace(part.test, score=1 - part.test.score)))
    for warm in (False, True):
        assert choose([problem], CANDIDATES[:6], warm=warm) == choose([spoilt], CANDIDATES[:6], warm=warm)


def test_a_pass_sees_each_query_once_and_a_warm_start_no_more_than_its_share(problem: Problem) -> None:
    n, n_arms = len(problem.part.train), problem.part.train.n_arms
    for share in (0.5, 1.0):
        assert problem.learned(FEW[0], share=share).state().arrays["count"][0].sum() == round(share * n)
    warm = problem.learned(FEW[0], warm=True).state().arrays["count"][0].sum()
    assert warm == round(0.1 * n) * n_arms + n - round(0.1 * n)


def test_prices_are_drawn_for_each_query_up_to_the_highest(problem: Problem) -> None:
    contexts, order = problem.stream(replace(FEW[0], highest_price=1.0))
    relative = contexts.cost_weight * problem.part.train.cost_usd.mean()
    assert relative.min() >= 9e-4 and relative.max() <= 1.1 and len(np.unique(relative)) > len(order) / 2


def test_features_are_reduced_by_the_training_prompts_alone() -> None:
    ready = featurised(make_trace(n=160), MAKER)
    one = Problem.of(ready, 0)
    shifted = ready.features.copy()
    shifted[one.part.test_index] += 5
    other = Problem.of(replace(ready, features=shifted), 0)
    np.testing.assert_array_equal(one.part.train.features, other.part.train.features)
    assert not np.array_equal(one.part.test.features, other.part.test.features)


def test_the_first_figure_is_the_data_and_the_others_its_replicates(problem: Problem) -> None:
    trace = make_trace(n=160)
    draws = Bootstrap.draw(trace.groups, 1, replicates=20)
    values = problem.tested(problem.fitted("ridge"), draws)
    assert values.shape == (21,) and abs(values[0] - np.nanmean(values[1:])) < 4 * np.nanstd(values[1:])


def test_a_study_gives_every_figure_and_again_the_same() -> None:
    one, again = (study(divide([make_trace(n=160)], 2, MAKER), SETTINGS) for _ in range(2))
    assert {row["start"] for row in one} == {"cold", "warm"}
    assert all(row["share"] is None or row["low"] <= row["share"] <= row["high"] for row in one)
    assert one == again


def test_a_pass_cut_short_ends_there(problem: Problem) -> None:
    assert problem.learned(FEW[0], rows=12).state().arrays["count"][0].sum() == 12
    np.testing.assert_array_equal(problem.stream(FEW[0])[1][:12], problem.stream(FEW[1])[1][:12])


def test_better_informed_learners_get_as_many_outcomes_as_the_bandit(problem: Problem) -> None:
    n_arms, pulls = problem.part.train.n_arms, 10
    learners = bandit_few_pulls._learners(SETTINGS, pulls)
    counts = {}
    for name in ("every arm asked equally often", MATTER, "every arm asked, on as many queries as it has pulls"):
        router, among = learners[name](problem)
        counts[name] = router.state().arrays["count"][0]
        assert counts[name].sum() == pulls * n_arms
        assert among is None or not counts[name][~among].any()
    assert np.ptp(counts["every arm asked equally often"]) <= 1


def test_only_arms_that_matter_are_chosen_by_who_is_told_of_them(problem: Problem) -> None:
    one = np.arange(problem.part.train.n_arms) == problem.part.cheapest
    draws = Bootstrap.draw(make_trace(n=160).groups, 1, replicates=2)
    cheapest = problem.part.test.score[:, one].mean()
    assert problem.tested(problem.fitted("ridge"), draws, one)[0] == pytest.approx(cheapest, abs=1e-6)
    assert matter(problem.part.train)[problem.part.cheapest]


def test_few_pulls_are_measured_where_a_set_holds_them_against_both_ridges() -> None:
    sets = divide([make_trace(n=160)], 1, MAKER)
    rows = few_pulls(sets, SETTINGS, pulls=(10, 10_000))
    assert {row["pulls"] for row in rows} == {10} and {row["against"] for row in rows} == {"all", "same"}
    whole = [row for row in rows if row["learner"].startswith("told every outcome of all") and row["against"] == "all"]
    assert all(row["daiq"] == row["ridge_daiq"] for row in whole)
    assert "Over the zero router after 10 pulls an arm:" in few_markdown(rows)


def test_a_trace_without_costs_is_refused() -> None:
    trace = make_trace()
    with pytest.raises(BadInput, match="the cost of every outcome"):
        divide([replace(trace, cost_usd=np.full_like(trace.cost_usd, np.nan))], 1, MAKER)


@pytest.mark.parametrize(("share", "met"), [(0.86, True), (0.84, False), (None, False)])
def test_a_bar_is_met_by_the_share_itself(share: float | None, met: bool) -> None:
    row = {"sets": "at least 1,000 pulls an arm", "start": "cold", "share_of_pass": 1.0, "share": share}
    assert ("**not met**" not in verdicts([row | {"low": 0.0, "high": 2.0}])[0]) == met


def test_the_page_shows_the_study_that_was_run() -> None:
    rows = json.loads((ROOT / "docs" / "bandits" / "rows.json").read_text())
    few = json.loads((ROOT / "docs" / "bandits" / "few_pulls.json").read_text())
    page = (ROOT / "docs" / "bandits.md").read_text()
    assert markdown(rows) in page and few_markdown(few) in page
