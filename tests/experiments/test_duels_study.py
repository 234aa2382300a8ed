"""The study of duels: what a duel tells, the same stream for all, and the page that was made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from env.features import Hashing
from experiments.folds import contexts_of, featurised
from experiments.studies.duels import CHOSEN, FULL, PARTS, RANDOM, SCORES, SHARES, duels, learned, main, study
from experiments.studies.duels_report import markdown
from tests.conftest import make_trace

ROOT = Path(__file__).parents[2]
MAKER = Hashing(16)


def test_a_pass_of_chosen_duels_shows_better_answers_than_one_of_random_ones() -> None:
    train = featurised(make_trace(n=300), MAKER)
    (_, chosen, calls), (_, drawn, twice) = (
        duels(train, 0, uniform=uniform, priced=False) for uniform in (False, True)
    )
    assert (twice == 2).all() and set(calls) == {1, 2}
    assert drawn.mean() == pytest.approx(train.score.mean(), abs=0.03)
    assert chosen[200:].mean() > drawn.mean() + 0.1


def test_all_rules_learn_which_model_is_good() -> None:
    train, unseen = (featurised(make_trace(n=n, seed=seed), MAKER) for n, seed in ((300, 0), (100, 1)))
    for rule in (CHOSEN, RANDOM, SCORES, FULL):
        router, calls = learned(rule, train, 0)
        assert 1 <= calls <= train.n_arms
        arms = router.act(contexts_of(unseen), np.random.default_rng(0), explore=False).arms
        assert unseen.outcomes.at(arms).score.mean() > unseen.score.mean() + 0.1, rule


def test_the_study_says_the_same_again_and_writes_its_page(tmp_path: Path) -> None:
    trace = make_trace(n=80)
    rows = study(trace, range(2), maker=MAKER)
    assert rows == study(trace, range(2), maker=MAKER)
    assert len([row for row in rows if (row["rule"], row["metric"]) == (CHOSEN, "over ridge")]) == len(SHARES)
    assert len([row for row in rows if (row["rule"], row["metric"]) == (CHOSEN, "shown")]) == PARTS
    assert all(row["low"] - 1e-9 <= row["value"] <= row["high"] + 1e-9 for row in rows)
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- duels -->\nstale\n<!-- /duels -->\nbelow\n")
    main(["--rows", str(tmp_path / "rows.json"), "--document", str(page)])
    assert markdown(rows) in page.read_text() and "stale" not in page.read_text()


def test_the_page_holds_the_rows_that_are_kept() -> None:
    rows = json.loads((ROOT / "docs" / "duels" / "rows.json").read_text())
    assert markdown(rows) in (ROOT / "docs" / "duels.md").read_text()
