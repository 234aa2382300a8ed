"""A comparison that was interrupted goes on where it stopped, and comes to the figures of one that ran through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from env.errors import BadInput
from env.features import Featuriser, Hashing
from env.trace import Trace
from experiments import compare as module
from experiments.cells import Cells
from experiments.cli import main
from experiments.compare import Report, compare
from experiments.tally import FIT_TIME
from experiments.tracking import Tracker
from routers.policy import Policy
from tests.experiments.conftest import recorded
from tests.experiments.test_cascade_study import answered

ROUTERS = ("knn", "linucb")
SEEDS = 2


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Which router was trained on which seed, in order; training is what it always is."""
    done: list[tuple[str, int]] = []
    train = module.learn

    def counted(part: Any, router: str, *rest: Any, **more: Any) -> Policy:
        done.append((router, part.seed))
        return train(part, router, *rest, **more)

    monkeypatch.setattr(module, "learn", counted)
    return done


def interrupt_after(cells: int) -> Any:
    """A step that is interrupted, as by Ctrl-C, when so many cells are done."""
    begun = 0

    def step(_trace: str, _seed: int, _router: str) -> None:
        nonlocal begun
        if begun == cells:
            raise KeyboardInterrupt
        begun += 1

    return step


def figures(reports: list[Report]) -> list[dict[str, Any]]:
    return [row for report in reports for row in report.rows()]


def test_what_was_finished_is_not_trained_again_and_the_figures_are_the_same(
    trace: Trace, featuriser: Featuriser, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    whole = compare([trace], ROUTERS, seeds=SEEDS, featuriser=featuriser, decisions=tmp_path / "whole.parquet")
    every, cells = list(trained), tmp_path / "cells"
    trained.clear()
    finished = len(every) // 2 + 1  # in the middle of the second seed
    with pytest.raises(KeyboardInterrupt):
        compare([trace], ROUTERS, seeds=SEEDS, featuriser=featuriser, resume=cells, step=interrupt_after(finished))
    assert trained == every[:finished]
    assert len(list(cells.glob("*.parquet"))) == finished
    trained.clear()
    resumed = compare(
        [trace], ROUTERS, seeds=SEEDS, featuriser=featuriser, resume=cells, decisions=tmp_path / "resumed.parquet"
    )
    assert trained == every[finished:]
    assert figures(resumed) == figures(whole)
    assert pq.read_table(tmp_path / "resumed.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))
    versions = [{name: policy.version for name, policy in found[0].policies.items()} for found in (resumed, whole)]
    assert versions[0] == versions[1] and "knn" in versions[0]
    trained.clear()
    again = compare([trace], ROUTERS, seeds=SEEDS, featuriser=featuriser, resume=cells)
    assert trained == []
    # The times are those of the trainings that were done.
    for entry, other in zip(again[0].entries, resumed[0].entries, strict=True):
        if FIT_TIME in entry.per_seed:
            np.testing.assert_array_equal(entry.per_seed[FIT_TIME], other.per_seed[FIT_TIME])


def test_another_trace_seed_or_featuriser_is_another_cell(
    trace: Trace, featuriser: Featuriser, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    def run(what: Trace, seeds: int = 1, maker: Featuriser | None = featuriser) -> int:
        trained.clear()
        compare([what], (), seeds=seeds, featuriser=maker, resume=tmp_path)
        return len(trained)

    routers = run(trace)
    assert run(trace) == 0
    assert run(trace, seeds=2) == routers
    assert run(recorded(seed=1)) == routers
    assert run(recorded(name="renamed")) == routers
    assert run(trace, maker=Hashing(16)) == routers


def test_the_same_command_goes_on_where_ctrl_c_stopped_it(
    trace_file: Path,
    record: str,
    trained: list[tuple[str, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["compare", str(trace_file), "--routers", "knn", "--seeds", "1", "--out", "report"]
    assert main([*command, "--out", "whole", "--no-track"]) == 0
    every = list(trained)
    trained.clear()
    train, stop = module.learn, len(every) - 2

    def stopped(*given: Any, **more: Any) -> Policy:
        if len(trained) == stop:
            raise KeyboardInterrupt
        return train(*given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(module, "learn", stopped)
        assert main(command) == 130
    said = capsys.readouterr().err
    assert f"{stop} finished trainings are kept in report/cells; the same command goes on from there" in said
    tracker = Tracker(record)
    (begun,) = tracker.find("tags.kind = 'comparison'")
    assert tracker.client.get_run(begun).info.status == "KILLED"

    assert main([*command, "--json", "result.json"]) == 0
    assert trained == every
    assert not (tmp_path / "report" / "cells").exists()
    rows = [
        json.loads((tmp_path / file).read_text()) for file in ("report/rows.json", "whole/rows.json", "result.json")
    ]
    assert rows[0] == rows[1] == rows[2]
    assert tracker.find("tags.kind = 'comparison'") == [begun]
    assert tracker.client.get_run(begun).info.status == "FINISHED"
    said = capsys.readouterr().out
    assert f"mlflow ui --backend-store-uri {record}; --no-track switches this off" in said.replace("\n", "")


def test_bad_input_leaves_neither_a_run_nor_cells(
    trace_file: Path, record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", str(trace_file), "--routers", "knnn"]) == 2
    assert Tracker(record).find("") == []
    assert not (tmp_path / "report").exists()


def test_only_the_cells_that_were_used_are_discarded(trace: Trace, featuriser: Featuriser, tmp_path: Path) -> None:
    mine, others = Cells(tmp_path / "cells"), Cells(tmp_path / "cells")
    compare([trace], (), seeds=1, featuriser=featuriser, resume=mine)
    compare([trace], (), seeds=2, featuriser=featuriser, resume=others)
    mine.discard()
    left = [file for file in (tmp_path / "cells").iterdir() if file.suffix == ".parquet"]
    assert len(left) == others.used - mine.used > 0
    others.discard()
    assert not (tmp_path / "cells").exists()


def test_a_file_that_is_no_cell_is_named(trace: Trace, featuriser: Featuriser, tmp_path: Path) -> None:
    compare([trace], (), seeds=1, featuriser=featuriser, resume=tmp_path)
    broken = next(tmp_path.glob("*.parquet"))
    broken.write_bytes(b"half")
    with pytest.raises(BadInput, match=rf"{broken.name}: not a finished cell of a comparison; delete it"):
        compare([trace], (), seeds=1, featuriser=featuriser, resume=tmp_path)


def test_what_a_plan_called_is_kept(tmp_path: Path) -> None:
    trace = answered()
    whole = compare([trace], ("parallel",), seeds=1, featuriser=Hashing(16))
    for _ in range(2):
        assert figures(compare([trace], ("parallel",), seeds=1, featuriser=Hashing(16), resume=tmp_path)) == figures(
            whole
        )
