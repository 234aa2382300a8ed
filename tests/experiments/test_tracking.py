"""Runs in a real MLflow record on SQLite."""

from __future__ import annotations

import csv
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from env.contexts import Queries
from env.errors import PointsmanError
from env.features import Featuriser
from env.trace import Trace
from experiments.compare import Report, compare
from experiments.deploy import rollback, status
from experiments.evaluate import DIALS
from experiments.prequential import prequential
from experiments.tracking import EXPERIMENT, Tracker, connect, exists, speaking_plainly, tracking_uri
from experiments.train import train
from routers.policy import Policy
from tests.conftest import needs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

needs("mlflow", "tracking")

import mlflow.data  # noqa: E402 - only where it is installed
import mlflow.pyfunc  # noqa: E402
import pandas as pd  # noqa: E402

ROUTERS = ("random", "ridge", "zero")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def comparison(trace: Trace, featuriser: Featuriser) -> list[Report]:
    """Of a few of its routers: every run takes MLflow a tenth of a second."""
    (report,) = compare([trace], ROUTERS, seeds=2, featuriser=featuriser)
    kept = tuple(entry for entry in report.entries if entry.feedback is None or entry.router in ROUTERS)
    return [replace(report, entries=kept)]


def runs_of(client: MlflowClient) -> dict[str, Run]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def table(client: MlflowClient, run_id: str, name: str, folder: Path) -> list[dict[str, str]]:
    with Path(client.download_artifacts(run_id, f"tables/{name}", str(folder))).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_comparison_is_a_run_with_its_routers_in_it_and_their_seeds_in_them(
    record: str, comparison: list[Report], trace: Trace, tmp_path: Path
) -> None:
    picture = tmp_path / "frontier.png"
    picture.write_bytes(b"a picture")
    run_id = Tracker(record).comparison(comparison, [picture])

    client = connect(record)
    runs = runs_of(client)
    routers = [f"{router} on recorded" for router in ROUTERS]
    seeds = [f"{router}, seed {seed}" for router in routers for seed in (0, 1)]
    assert set(runs) == {"compare recorded", *routers, *seeds}
    outer, ridge, seed = (runs[name] for name in ("compare recorded", "ridge on recorded", "ridge on recorded, seed 1"))
    assert outer.info.run_id == run_id
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert ridge.data.tags["mlflow.parentRunId"] == run_id
    assert seed.data.tags["mlflow.parentRunId"] == ridge.info.run_id
    entry = comparison[0].entry("ridge")
    assert entry is not None
    assert ridge.data.metrics["aiq"] == pytest.approx(entry.pooled["aiq"].value)
    assert ridge.data.metrics["delta_aiq_zero_low"] == pytest.approx(entry.pooled["delta_aiq_zero"].low)
    assert seed.data.metrics["aiq"] == pytest.approx(entry.per_seed["aiq"][1])
    assert seed.data.params == {"router": "ridge", "trace": "recorded", "seed": "1"}
    assert ridge.data.params["feedback"] == "full"
    assert {file.path for file in client.list_artifacts(run_id)} == {"frontier.png", "rows.json"}
    dials = client.get_metric_history(ridge.info.run_id, "score_by_dial_percent")
    assert sorted((point.step, point.value) for point in dials) == [
        (round(100 * dial), pytest.approx(score)) for dial, score in zip(DIALS, entry.score, strict=True)
    ]


def test_every_run_says_which_code_and_data_made_it(record: str, comparison: list[Report], trace: Trace) -> None:
    Tracker(record).comparison(comparison)
    for run in runs_of(connect(record)).values():
        assert run.data.tags["trace_hash"] == trace.hash
        assert run.data.tags["pointsman_version"] == version("pointsman")
        assert run.data.tags["version.numpy"] == np.__version__
        if shutil.which("git") and (ROOT / ".git").exists():
            assert re.fullmatch("[0-9a-f]{40}(-dirty)?", run.data.tags["mlflow.source.git.commit"])
        if run.data.tags["kind"] != "seed":
            (given,) = run.inputs.dataset_inputs
            assert (given.dataset.name, given.dataset.digest) == ("recorded", trace.hash[:16])
            assert mlflow.data.get_source(given).to_dict()["tags"]["trace_hash"] == trace.hash


def test_a_routers_curves_and_tasks_are_tables(
    record: str, comparison: list[Report], trace: Trace, featuriser: Featuriser, tmp_path: Path
) -> None:
    (report,) = compare([trace], ("linucb",), seeds=1, featuriser=featuriser)
    entry, slices = report.entry("linucb"), report.slices
    assert entry is not None and slices is not None
    online = {"recorded": prequential(trace, ["linucb"], seeds=2, rounds=150, featuriser=featuriser)}
    Tracker(record).comparison([replace(report, entries=(entry,))], online=online)
    client = connect(record)
    run = runs_of(client)["linucb on recorded"]
    frontier = table(client, run.info.run_id, "frontier.csv", tmp_path)
    assert [float(row["cost_usd"]) for row in frontier] == entry.cost.tolist()
    assert [float(row["score_high"]) for row in frontier] == entry.band[1].tolist()
    tasks = table(client, run.info.run_id, "tasks.csv", tmp_path)
    assert [(row["task"], row["dial"]) for row in tasks] == [(t, d) for t in ("add", "spell") for d in ("0.5", "1.0")]
    assert float(tasks[0]["score"]) == slices.tasks[0].parts["linucb"][0].score.value
    assert sum(float(tasks[0][arm]) for arm in trace.arms) == pytest.approx(1)
    learning = table(client, run.info.run_id, "learning.csv", tmp_path)
    regret = online["recorded"].regret(online["recorded"].courses[0].reward).mean(axis=0)
    assert [float(row["regret"]) for row in learning] == pytest.approx(regret.tolist())
    points = client.get_metric_history(run.info.run_id, "online_regret")
    assert {(0, regret[0]), (149, regret[149])} <= {(point.step, point.value) for point in points}


def test_figures_go_in_batches(record: str, comparison: list[Report], monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, sent = Tracker(record), []
    send = tracker.client.log_batch

    def counted(run_id: str, **what: Any) -> None:
        sent.append(run_id)
        send(run_id, **what)

    monkeypatch.setattr(tracker.client, "log_batch", counted)
    monkeypatch.setattr(tracker.client, "log_metric", None)
    monkeypatch.setattr(tracker.client, "log_param", None)
    tracker.comparison(comparison)
    assert max(Counter(sent).values()) <= 2  # a router's run: its figures, and its policy
    with tracker.run("long") as run_id:
        tracker.log(run_id, params={"a": 1}, series={"curve": [(step, float(step)) for step in range(2_000)]})
    assert sent.count(run_id) == 3
    assert len(tracker.client.get_metric_history(run_id, "curve")) == 2_000


def test_an_interrupted_comparison_goes_on_in_its_own_run(record: str, comparison: list[Report]) -> None:
    tracker = Tracker(record)
    run_id = tracker.open_comparison(["recorded"], key="the same")
    tracker.stopped(run_id, KeyboardInterrupt())
    assert tracker.client.get_run(run_id).info.status == "KILLED"
    assert Tracker(record).open_comparison(["recorded"], key="another") != run_id

    # Stopped once more, while it was being logged.
    again = Tracker(record)
    assert again.open_comparison(["recorded"], key="the same") == run_id
    assert again.client.get_run(run_id).info.status == "RUNNING"
    with again.run("ridge on recorded", parent=run_id, tags={"comparison_run": run_id}):
        pass
    assert again.comparison(comparison, run_id=run_id) == run_id
    below = again.find(f"tags.comparison_run = '{run_id}'")
    assert len(below) == 3 * len(ROUTERS)
    assert again.client.get_run(run_id).info.status == "FINISHED"
    # One that is finished is not begun again.
    assert again.open_comparison(["recorded"], key="the same") != run_id


def test_the_logged_bundle_is_the_policy(record: str, trace: Trace, featuriser: Featuriser, tmp_path: Path) -> None:
    policy = train(trace, "ridge", featuriser=featuriser)
    run_id = Tracker(record).training(policy, trace)
    client = connect(record)
    folder = Path(client.download_artifacts(run_id, "bundle", str(tmp_path)))
    assert Policy.load(folder).version == policy.version
    # What MLflow's users need besides is no pickle of ours.
    beside = {file.name for file in folder.iterdir()} - {"policy.json", "weights.safetensors"}
    assert beside == {"MLmodel", "model.py", "requirements.txt", "conda.yaml", "python_env.yaml"}
    run = client.get_run(run_id)
    assert run.data.tags["policy_version"] == policy.version
    assert run.data.metrics["validation_score"] > 0.5
    assert run.inputs.dataset_inputs[0].tags[0].value == "training"


def test_mlflow_loads_a_logged_policy_and_it_decides_alike(record: str, trace: Trace, featuriser: Featuriser) -> None:
    policy = train(trace, "linear_thompson", featuriser=featuriser)
    run_id = Tracker(record).training(policy, trace)
    model = mlflow.pyfunc.load_model(f"runs:/{run_id}/bundle")
    prompts = [str(prompt) for prompt in trace.prompts[:20]]
    asked = pd.DataFrame({"prompt": prompts})

    got = model.predict(asked)
    expected = policy.decide(prompts, dial=0.5, rng=np.random.default_rng(0), explore=False)
    assert got["arm"].tolist() == [policy.arm_names[arm] for arm in expected.arms]
    assert got["propensity"].tolist() == expected.propensities.tolist()
    drawn = model.predict(asked, params={"dial": 1.0, "explore": True, "seed": 3})
    expected = policy.decide(prompts, dial=1.0, rng=np.random.default_rng(3))
    assert drawn["arm"].tolist() == [policy.arm_names[arm] for arm in expected.arms]
    assert drawn["propensity"].tolist() == expected.propensities.tolist()
    assert drawn["propensity"].min() < 1


def test_tasks_reach_a_policy_that_mlflow_loads(record: str, trace: Trace, featuriser: Featuriser) -> None:
    policy = train(trace, "best_per_task", featuriser=featuriser)
    run_id = Tracker(record).training(policy, trace)
    model = mlflow.pyfunc.load_model(f"runs:/{run_id}/bundle")
    got = model.predict(pd.DataFrame({"prompt": ["x", "x"], "task": ["add", "spell"]}), params={"dial": 0.5})
    expected = policy.decide(Queries.of(["x", "x"], ["add", "spell"]), rng=np.random.default_rng(0), dial=0.5)
    assert got["arm"].tolist() == [policy.arm_names[arm] for arm in expected.arms]
    assert got["arm"].nunique() == 2


def test_how_a_network_was_trained_is_in_its_run(record: str, trace: Trace, featuriser: Featuriser) -> None:
    needs("train", "training `a2c`")
    curve: list[tuple[int, dict[str, float]]] = []
    policy = train(
        trace,
        "a2c",
        featuriser=featuriser,
        settings={"total_steps": 8_192},
        progress=lambda step, said: curve.append((step, dict(said))),
    )
    tracker = Tracker(record)
    run_id = tracker.training(policy, trace, curve=tuple(curve))
    history = tracker.client.get_metric_history(run_id, "training/verdict")
    assert [(point.step, point.value) for point in history] == [(step, said["verdict"]) for step, said in curve]
    assert len(tracker.client.get_metric_history(run_id, "training/value_loss")) == len(curve) - 1


def test_how_the_networks_of_a_comparison_were_trained_is_in_the_runs_of_their_seeds(
    record: str, trace: Trace, featuriser: Featuriser, tmp_path: Path
) -> None:
    for _ in ("trained", "kept"):
        (report,) = compare([trace], ("barp",), seeds=1, featuriser=featuriser, resume=tmp_path / "cells")
    entry = report.entry("barp")
    assert entry is not None
    tracker = Tracker(record)
    tracker.comparison([replace(report, entries=(entry,))])
    (seed,) = tracker.find("tags.kind = 'seed'")
    history = tracker.client.get_metric_history(seed, "training/verdict")
    told = [(step, figures["verdict"]) for step, figures in report.curves["barp"][0]]
    assert [(point.step, point.value) for point in history] == told
    assert len(told) > 2


def test_a_run_whose_work_fails_or_is_stopped_says_so(record: str) -> None:
    tracker = Tracker(record)
    for error, marked in ((KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")):
        with pytest.raises(error), tracker.run("stopped") as run_id:
            raise error
        assert tracker.client.get_run(run_id).info.status == marked


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
