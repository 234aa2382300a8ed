"""Runs in a real MLflow record on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from env.errors import PointsmanError
from env.features import Featuriser
from env.trace import Trace
from experiments.compare import REFERENCES, compare
from experiments.deploy import rollback, status
from experiments.tracking import EXPERIMENT, Tracker, connect, exists, speaking_plainly, tracking_uri
from experiments.train import train
from routers.policy import Policy
from tests.conftest import needs

needs("mlflow", "tracking")


def test_a_comparison_is_a_run_with_a_nested_run_for_each_router(
    record: str, trace: Trace, featuriser: Featuriser, tmp_path: Path
) -> None:
    reports = compare([trace], ("random", "ridge"), seeds=2, featuriser=featuriser)
    picture = tmp_path / "frontier.png"
    picture.write_bytes(b"a picture")
    run_id = Tracker(record).comparison(reports, [picture])

    client = connect(record)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"compare recorded", *(f"{router} on recorded" for router in REFERENCES)}
    outer, ridge = runs["compare recorded"], runs["ridge on recorded"]
    assert outer.info.run_id == run_id
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert ridge.data.tags["mlflow.parentRunId"] == run_id
    entry = reports[0].entry("ridge")
    assert entry is not None
    assert ridge.data.metrics["aiq"] == pytest.approx(entry.pooled["aiq"].value)
    assert ridge.data.metrics["delta_aiq_zero_low"] == pytest.approx(entry.pooled["delta_aiq_zero"].low)
    history = client.get_metric_history(ridge.info.run_id, "aiq_by_seed")
    assert [point.step for point in history] == [0, 1]
    assert ridge.data.params["feedback"] == "full"
    assert {file.path for file in client.list_artifacts(run_id)} == {"frontier.png", "rows.json"}
    dataset = outer.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("recorded", trace.hash[:16])


def test_the_logged_bundle_is_the_policy(record: str, trace: Trace, featuriser: Featuriser, tmp_path: Path) -> None:
    policy = train(trace, "ridge", featuriser=featuriser)
    run_id = Tracker(record).training(policy, trace)
    client = connect(record)
    folder = client.download_artifacts(run_id, "bundle", str(tmp_path))
    assert sorted(file.name for file in Path(folder).iterdir()) == ["policy.json", "weights.safetensors"]
    assert Policy.load(folder).version == policy.version
    run = client.get_run(run_id)
    assert run.data.tags["policy_version"] == policy.version
    assert run.data.metrics["validation_score"] > 0.5
    assert run.inputs.dataset_inputs[0].tags[0].value == "training"


def test_a_run_whose_work_fails_is_marked_failed(record: str) -> None:
    tracker = Tracker(record)
    with pytest.raises(KeyboardInterrupt), tracker.run("interrupted") as run_id:
        raise KeyboardInterrupt
    assert tracker.client.get_run(run_id).info.status == "FAILED"


def test_artifacts_lie_beside_the_database(record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    tracker = Tracker(record)
    with tracker.run("one") as run_id:
        tracker.client.log_text(run_id, "hello", "note.txt")
    assert list(elsewhere.iterdir()) == []
    assert len(list((tmp_path / "mlruns").rglob("note.txt"))) == 1


def test_looking_for_a_record_does_not_create_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == "sqlite:///mlflow.db"
    assert not exists()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert exists()


def test_what_mlflow_raises_becomes_one_line(record: str) -> None:
    client = connect(record)
    with pytest.raises(PointsmanError) as raised, speaking_plainly(record):
        client.get_run("0" * 32)
    assert "\n" not in str(raised.value)


def test_a_server_logs_its_aggregates_into_one_run(record: str) -> None:
    from experiments.live_metrics import MLflowMetricSink
    from instances.ports import MetricSink

    sink = MLflowMetricSink("abc123")
    assert isinstance(sink, MetricSink)
    assert sink.run_id is None
    for step in (1, 2):
        sink.log({"requests.text+image.ok": float(step), "small.calls": 2.0 * step}, step)
    run_id = sink.run_id
    assert run_id is not None
    sink.close()
    sink.close()
    client = connect(record)
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["policy_version"]) == ("FINISHED", "abc123")
    assert run.data.metrics == {"requests.text-image.ok": 2.0, "small.calls": 4.0}
    assert [point.step for point in client.get_metric_history(run_id, "small.calls")] == [1, 2]


SECRET = "http://me:s3cret@127.0.0.1:9"


def test_a_password_in_the_address_is_in_no_error_hint_or_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{SECRET}?token=t0ken")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for act in (Tracker, status):
        with pytest.raises(PointsmanError) as raised:
            act()
        assert "MLflow at http://***@127.0.0.1:9?token=***: " in str(raised.value)
        assert "s3cret" not in str(raised.value) and "t0ken" not in str(raised.value)


def test_a_password_that_mlflow_quotes_is_hidden_whatever_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow.exceptions import MlflowException

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:8")
    with pytest.raises(PointsmanError) as raised, speaking_plainly(SECRET):
        raise MlflowException(f"API request to {SECRET}/api/2.0 failed")
    assert str(raised.value) == "MLflow at http://***@127.0.0.1:9: API request to http://***@127.0.0.1:9/api/2.0 failed"


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("mysql+pymysql://me:s3cret@h/db", r"MLflow at mysql\+pymysql://\*\*\*@h/db: .*`pip install pymysql`"),
        ("postgresql+psycopg://me:s3cret@127.0.0.1:port/db", "not an address: .*'port'"),
        ("postgresql+nothing://me:s3cret@127.0.0.1/db", "nothing"),
    ],
)
def test_a_database_without_its_driver_or_an_address_is_one_line(uri: str, problem: str) -> None:
    with pytest.raises(PointsmanError, match=problem) as raised:
        connect(uri)
    assert "\n" not in str(raised.value) and "s3cret" not in str(raised.value)


@pytest.mark.parametrize("act", [Tracker, lambda uri: rollback(uri=uri), lambda uri: status(uri=uri)])
def test_a_database_that_is_not_there_is_tried_once(
    act: Callable[[str], object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needs("postgres", "a database that is not there")

    def no_second_try(_seconds: float) -> None:
        raise AssertionError("it waits to try again")

    monkeypatch.setattr("mlflow.store.db.utils.time.sleep", no_second_try)
    with pytest.raises(PointsmanError, match=r"MLflow at postgresql.*refused") as raised:
        act("postgresql+psycopg://me:s3cret@127.0.0.1:9/db")
    assert "\n" not in str(raised.value) and "s3cret" not in str(raised.value)
    assert not caplog.records


def test_the_status_of_a_registry_that_is_not_there_hides_the_query(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db?password=s3cret")
    assert status()["registry"] == f"sqlite:///{tmp_path}/none.db?password=***"
    with pytest.raises(PointsmanError, match=r"no registry at sqlite.*password=\*\*\*;"):
        rollback()
