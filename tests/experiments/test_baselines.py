"""Fixed arms and the oracle."""

from __future__ import annotations

import numpy as np

from env.features import Featuriser
from env.trace import Trace
from env.trace_io import from_rows
from experiments.baselines import fixed_arms, oracle
from experiments.evaluate import DIALS
from experiments.folds import featurised, fold


def test_fixed_arms_are_constant_and_the_ends_are_named(trace: Trace, featuriser: Featuriser) -> None:
    part = fold(featurised(trace, featuriser), seed=0)
    rows = {made.router: made for made in fixed_arms(part)}
    assert list(rows) == ["fixed:small", "fixed:middle", "fixed:large", "best_single", "cheapest"]
    assert (rows["fixed:middle"].arms == 1).all()
    np.testing.assert_array_equal(rows["best_single"].arms, rows["fixed:large"].arms)
    np.testing.assert_array_equal(rows["cheapest"].arms, rows["fixed:small"].arms)
    assert rows["fixed:small"].arms.shape == (len(DIALS), len(part.test))


def test_the_oracle_is_right_wherever_any_arm_is(trace: Trace, featuriser: Featuriser) -> None:
    part = fold(featurised(trace, featuriser), seed=0)
    best = oracle(part).outcomes.score[-1]
    np.testing.assert_array_equal(best, part.test.score.max(axis=1))


def test_between_equal_answers_the_oracle_takes_the_cheaper() -> None:
    rows = [
        {"query_id": f"q{n}", "prompt": f"prompt {n}", "model": model, "score": 1.0, "cost_usd": usd}
        for n in range(40)
        for model, usd in (("dear", 0.01), ("cheap", 0.001))
    ]
    assert (oracle(fold(from_rows(rows), seed=0)).arms == 1).all()
