"""The benchmark of deciding and learning: what it tells, not how fast this machine is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from experiments.benchmarks.rounds import Problem, Turns, measure, table


def test_everything_is_set_beside_the_floor() -> None:
    rows = measure(sizes=(3,), pass_s=0.002)
    assert rows[0] == {**rows[0], "features": 3, "who": "floor: read all, rewrite one", "of_floor": 1.0}
    told = " ".join(row["who"] for row in rows[1:])
    for name in ("linucb", "linear_thompson"):
        assert f"{name}, " in told
    assert all(row["rounds_per_s"] > 0 and row["of_floor"] > 0 for row in rows)
    assert table(rows).row_count == len(rows)


def test_turns_go_on_where_they_stopped_and_begin_again_at_the_end() -> None:
    seen: list[tuple[int, int]] = []
    turns = Turns(lambda start, stop: seen.append((start, stop)))
    assert turns.seconds(0.01) > 0 and turns.seconds(0.01) > 0
    assert seen[0] == (0, 1)
    for (_, stop), (start, _) in pairwise(seen):
        assert start in (stop, 0)
    assert any(start == 0 for start, _ in seen[1:])


def test_the_problem_is_the_same_whenever_it_is_drawn() -> None:
    one, other = Problem.drawn(4, n=50), Problem.drawn(4, n=50)
    np.testing.assert_array_equal(one.outcomes.score, other.outcomes.score)
    np.testing.assert_allclose(np.linalg.norm(one.contexts.features, axis=1), 1, rtol=1e-5)
    assert one.inputs.shape == (50, 5) and (one.inputs[:, -1] == 1).all()
