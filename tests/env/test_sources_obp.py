"""Open Bandit Pipeline's dictionaries: in from an .npz file, and out again the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.errors import BadInput
from env.sources.importing import import_files
from env.sources.obp import save_bandit_feedback, to_bandit_feedback
from env.trace import Trace
from env.trace_io import from_rows, read_trace, save_trace


def feedback(**changes: Any) -> dict[str, Any]:
    """The keys, shapes and types of ``SyntheticBanditDataset.obtain_batch_bandit_feedback`` of obp 0.5.5."""
    n, rng = 6, np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "n_rounds": n,
        "n_actions": 4,
        "context": rng.normal(size=(n, 3)),
        "action_context": np.eye(4, dtype=int),
        "action": np.array([2, 0, 2, 1, 0, 2]),
        "position": None,
        "reward": np.array([1, 0, 1, 1, 0, 0]),
        "expected_reward": rng.random((n, 4)),
        "pi_b": np.full((n, 4, 1), 0.25),
        "pscore": np.array([0.25, 0.7, 1.0, 1e-6, 0.5, 0.25]),
    }
    return {**arrays, **changes}


def saved(path: Path, **changes: Any) -> Path:
    np.savez(path, **feedback(**changes))  # position=None is a pickle inside the file
    return path


def test_a_round_trip_keeps_every_array(tmp_path: Path) -> None:
    found = import_files([saved(tmp_path / "log.npz")])
    trace = found.trace
    assert (found.format, trace.is_log, trace.arms) == ("obp", True, ("0", "1", "2", "3"))
    assert trace.featuriser == "obp context"
    assert any("left out: expected_reward, pi_b" in note for note in found.notes)
    back = to_bandit_feedback(trace)
    given = feedback()
    assert list(back) == [
        "n_rounds", "n_actions", "context", "action_context", "action", "position", "reward", "pscore",
    ]  # fmt: skip
    assert (back["n_rounds"], back["n_actions"], back["position"]) == (6, 4, None)
    for name in ("action", "reward", "pscore", "action_context"):
        np.testing.assert_array_equal(back[name], given[name])
    assert np.issubdtype(back["action"].dtype, np.integer)
    np.testing.assert_array_equal(back["context"], given["context"].astype(np.float32))


def test_an_action_that_was_never_chosen_is_an_arm_still_when_saved_and_loaded(tmp_path: Path) -> None:
    trace = import_files([saved(tmp_path / "log.npz")]).trace
    assert not trace.observed[:, 3].any()
    assert read_trace(save_trace(trace, tmp_path / "log.parquet")).arms == trace.arms


def test_positions_survive(tmp_path: Path) -> None:
    position = np.array([0, 1, 2, 0, 1, 2])
    trace = import_files([saved(tmp_path / "log.npz", position=position)]).trace
    assert trace.tasks[1] == "position 1"
    np.testing.assert_array_equal(to_bandit_feedback(trace)["position"], position)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reward": np.array([1, 0, 3, 1, 0, 0])}, r"row 3: column reward: 3; a score is in \[0, 1\].*--score-range"),
        ({"pscore": np.array([0.5, 0, 1, 1, 1, 1])}, r"row 2: column pscore: 0; the chosen action's probability"),
        ({"action": np.array([0, 9, 0, 0, 0, 0])}, r"row 2: column action: 9; an action is one of 0 \.\.\. 3"),
        ({"context": np.zeros(6)}, r"one row a round is expected in each array, and a context \(n, d\); got .*\(6,\)"),
        ({"context": np.zeros((5, 2))}, r"got context \(5, 2\), action \(6,\)"),
        ({"context": np.array([{}] * 6)}, r"array context: Python objects, which are never loaded"),
    ],
)  # fmt: skip
def test_wrong_arrays_are_refused(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=expected):
        import_files([saved(tmp_path / "log.npz", **changes)])


def test_rewards_of_another_scale_are_mapped(tmp_path: Path) -> None:
    path = saved(tmp_path / "log.npz", reward=np.array([-1.0, 3.0, 1.0, 1.0, 1.0, 1.0]))
    trace = import_files([path], score_range=(-1, 3)).trace
    np.testing.assert_allclose(to_bandit_feedback(trace)["reward"], [0, 1, 0.5, 0.5, 0.5, 0.5])


def test_only_bandit_logs_with_features_become_feedback(small_trace: Trace) -> None:
    with pytest.raises(BadInput, match="no bandit log"):
        to_bandit_feedback(small_trace)
    row = {"query_id": "q", "prompt": "Hi", "model": "a", "score": 1.0, "propensity": 0.5}
    with pytest.raises(BadInput, match="no features"):
        to_bandit_feedback(from_rows([row]))


@pytest.mark.parametrize("position", [None, np.array([0, 1, 2, 0, 1, 2])])
def test_a_log_is_written_as_it_was_read(tmp_path: Path, position: Any) -> None:
    trace = import_files([saved(tmp_path / "theirs.npz", position=position)]).trace
    back = import_files([save_bandit_feedback(trace, tmp_path / "ours.npz")]).trace
    assert back.hash == trace.hash
    with np.load(tmp_path / "ours.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["action"], feedback()["action"])
        assert ("position" in arrays) == (position is not None)
    with pytest.raises(BadInput, match=r"a bandit_feedback is written as \.npz; name it .*ours\.npz"):
        save_bandit_feedback(trace, tmp_path / "ours.parquet")
