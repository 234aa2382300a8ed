"""``pointsman sweep``: for people, for programs and in the record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.cli import main
from routers.policy import Policy
from tests.conftest import needs

needs("sweep", "the command")

QUICK = ("--router", "knn", "--space", "k=2,40", "--folds", "3", "--storage", "studies/knn.db")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_the_result_is_told_and_kept(trace_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["sweep", str(trace_file), *QUICK, "--set", "tau=1.5", "--out", "policy", "--no-track"]
    assert main([*given, "--json", "found.json"]) == 0
    said = capsys.readouterr().out
    assert "tuned:knn" in said and "over" in said and "never" not in said.splitlines()[0]
    assert "seed 0: k=" in said and "2 trials, 0 given up" in said
    found = json.loads(Path("found.json").read_text())
    (seed,) = found["seeds"]
    assert found["space"] == {"k": {"values": [2, 40]}}
    assert [one["settings"]["k"] for one in seed["trials"]] == [2, 40]
    assert seed["settings"] == {"tau": 1.5, **seed["searched"]}
    metrics = {row["metric"] for row in found["rows"] if row["router"] == "tuned:knn"}
    assert {"aiq", "delta_aiq_knn", "delta_aiq_zero", "delta_aiq_placebo"} <= metrics
    assert Policy.load("policy").router.settings["tau"] == 1.5
    # Again: nothing is left to try, and the result is the same.
    assert main([*given[:-3], "--no-track", "--json", "again.json"]) == 0
    assert json.loads(Path("again.json").read_text()) == found
    assert not Path("mlflow.db").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--space", "alpha"], "--space alpha: write NAME=LOW:HIGH"),
        (["--space", "alpah=1:2"], "did you mean `alpha`"),
        (["--router", "random"], "router `random`: it has no settings to tune"),
        (["--engine", "rya"], "did you mean `ray`"),
        (["--storage", "redis://host"], "a study is kept in a file"),
    ],
)
def test_bad_input_is_one_line(
    trace_file: Path, capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    assert main(["sweep", str(trace_file), *given]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("error: ") and complaint.count("\n") == 1
    assert said in complaint


def test_a_sweep_is_one_run_of_the_record(trace_file: Path, record: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(trace_file), *QUICK, "--track", "--json", "found.json"]) == 0
    from experiments.tracking import EXPERIMENT, connect

    client = connect(record)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    found = json.loads(Path("found.json").read_text())
    assert (run.info.run_id, run.info.run_name) == (found["mlflow_run"], "sweep knn on recorded")
    assert (run.info.status, run.data.tags["kind"]) == ("FINISHED", "sweep")
    (seed,) = found["seeds"]
    assert {name: value for name, value in run.data.params.items() if name.startswith("best.")} == {
        f"best.{name}": str(value) for name, value in seed["searched"].items()
    }
    (aiq,) = [row for row in found["rows"] if row["router"] == "tuned:knn" and row["metric"] == "aiq" and row["low"]]
    assert run.data.metrics["test_aiq"] == pytest.approx(aiq["value"])
    assert run.data.metrics["test_aiq_low"] == pytest.approx(aiq["low"])
    kept = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"trials.json", "sweep.json", "bundle"} <= kept
    table = json.loads(Path(client.download_artifacts(run.info.run_id, "trials.json", ".")).read_text())
    assert table["columns"] == ["seed", "trial", "state", "value", "k"]
    assert [row[4] for row in table["data"]] == [2, 40]
