"""MLflow: the record of what was trained and compared, on which data, with which result.

Nothing needs to be configured: without ``MLFLOW_TRACKING_URI`` the record is ``mlflow.db`` in the working folder,
with its artifacts beside it. Runs are written when their work is done, in batches; a comparison that was
interrupted leaves no trace of itself. A policy is logged as the plain files of its bundle, never as a pickle.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from env.errors import BadInput, MissingExtra, PointsmanError
from env.files import write_json
from env.trace import Trace
from env.uris import shown_uri, without_secrets
from experiments.compare import Entry, Report
from experiments.report import json_rows
from routers.policy import Bundled

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "pointsman"
BUNDLE = "bundle"
"""Artifact folder of a run that holds a policy."""

_URI_VARIABLE = "MLFLOW_TRACKING_URI"
_SQLITE = "sqlite:///"
_BATCH = 1000  # metrics that the tracking API takes at once
_CONNECT_S = 3  # for a database, which answers at once or not at all
_CONNECT_ARGUMENT = {
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "mysqlconnector": "connection_timeout",
    "pg8000": "timeout",
    "pyodbc": "timeout",
}
"""What the drivers call the time limit of a connection."""
_SERVERS = ("postgresql", "mysql", "mssql")
_HTTP_RETRIES = "2"  # MLflow's own 7 take minutes, in which a command seems to hang


def tracking_uri() -> str:
    """Where the record is kept."""
    return os.environ.get(_URI_VARIABLE) or f"{_SQLITE}mlflow.db"


def is_installed() -> bool:
    """True where MLflow can be imported; does not import it, which takes seconds."""
    return importlib.util.find_spec("mlflow") is not None


def exists(uri: str | None = None) -> bool:
    """True where a record may be found, so that looking for one never creates it.

    Example:
        >>> exists("sqlite:///no/such/folder/mlflow.db")
        False
    """
    where = uri or tracking_uri()
    return Path(where.removeprefix(_SQLITE)).is_file() if where.startswith(_SQLITE) else True


def connect(uri: str | None = None) -> MlflowClient:
    """A client of the record.

    Raises:
        BadInput: the address names a database whose driver is not installed, or makes no sense.
        MissingExtra: MLflow is not installed.
        PointsmanError: nothing answers there.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _HTTP_RETRIES)
    try:
        with _ctrl_c_waits():
            from mlflow import MlflowClient
    except ImportError as error:
        raise MissingExtra("a record or registry in MLflow", "mlflow") from error
    # The first connection creates tables, and says so line by line. MLflow sets its own level when imported.
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of every retry
    where = uri or tracking_uri()
    if where.startswith(_SQLITE):
        Path(where.removeprefix(_SQLITE)).absolute().parent.mkdir(parents=True, exist_ok=True)
    with speaking_plainly(where):
        if where.partition(":")[0].partition("+")[0] in _SERVERS:
            _try_database(where)
        return MlflowClient(tracking_uri=where, registry_uri=where)


def _try_database(uri: str) -> None:
    """Connect once: MLflow itself would try for a minute, and log every failure at length."""
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.pool import NullPool

    try:
        url = make_url(uri)
        argument = _CONNECT_ARGUMENT.get(url.get_driver_name())
        limits = {argument: _CONNECT_S} if argument is not None and argument not in url.query else {}
        engine = create_engine(url, connect_args=limits, poolclass=NullPool)
    except ImportError as error:
        raise BadInput(
            f"MLflow at {shown_uri(uri)}: the database's driver is not installed: `pip install {error.name}`"
        ) from None
    except ValueError as error:
        raise BadInput(f"MLflow at {shown_uri(uri)}: not an address: {without_secrets(str(error), uri)}") from None
    with engine.connect():
        pass


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Hold Ctrl-C back until the block is over: somewhere in MLflow's imports it would be caught and forgotten."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def speaking_plainly(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into one line.

    Args:
        uri: of the record that is spoken to; its passwords are in no error.

    Raises:
        PointsmanError: in place of MLflow's own exception.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("mlflow", "sqlalchemy", "requests"):
            raise
        lines = without_secrets(str(error).strip(), uri).splitlines()
        raise PointsmanError(f"MLflow at {shown_uri(uri)}: {lines[0] if lines else type(error).__name__}") from error


class Tracker:
    """Writes runs.

    Args:
        uri: of the record; see :func:`tracking_uri` for the default.

    Raises:
        MissingExtra: MLflow is not installed.
    """

    def __init__(self, uri: str | None = None) -> None:
        self.uri = uri or tracking_uri()
        self.client = connect(self.uri)
        with speaking_plainly(self.uri):
            self._experiment = self._open_experiment()

    def comparison(self, reports: Sequence[Report], files: Sequence[Path] = (), *, started: float | None = None) -> str:
        """Log a comparison: one run for it, one nested run for every router on every trace.

        Args:
            reports: of the traces.
            files: written with it (pictures, tables), kept as artifacts.
            started: seconds since the epoch; now when not given.

        Returns:
            The id of the outer run.
        """
        names = ", ".join(report.trace for report in reports)
        with self.run(f"compare {names}", started=started, tags={"kind": "comparison"}) as run_id:
            self._log(run_id, params={"traces": names, "seeds": len(reports[0].seeds) if reports else 0})
            for report in reports:
                self._dataset(run_id, report.trace, report.trace_hash, report.summary, context="comparison")
            with tempfile.TemporaryDirectory() as scratch:
                rows = write_json(json_rows(reports), Path(scratch) / "rows.json")
                for file in (rows, *files):
                    self.client.log_artifact(run_id, str(file))
            for report in reports:
                for entry in report.entries:
                    if entry.feedback is not None:
                        self._router(run_id, report, entry, started)
        return run_id

    def training(self, policy: Bundled, trace: Trace, *, started: float | None = None) -> str:
        """Log a training run with its bundle.

        Returns:
            The id of the run.
        """
        with self.run(f"train {policy.name} on {trace.name}", started=started, tags={"kind": "training"}) as run_id:
            self._dataset(run_id, trace.name, trace.hash, trace.summary(), context="training")
            self.policy(run_id, policy)
        return run_id

    def policy(self, run_id: str, policy: Bundled) -> None:
        """Log a policy into a run: settings, what it reached on validation data, and its bundle."""
        validation: Mapping[str, Any] = policy.metrics.get("validation", {})
        reached = {f"validation_{name}": value for name, value in validation.items() if isinstance(value, int | float)}
        told = {name: value for name, value in policy.metrics.items() if isinstance(value, str | int | float)}
        params = {
            "router": policy.name,
            "arms": ",".join(policy.arm_names),
            "featuriser": policy.featuriser.fingerprint,
            "latency_weight": policy.reward.latency_weight,
            **told,
            **{f"setting.{name}": value for name, value in policy.decider.settings.items()},
        }
        self._log(run_id, params=params, metrics=reached, tags={"policy_version": policy.version})
        with tempfile.TemporaryDirectory() as scratch:
            folder = policy.save(Path(scratch) / BUNDLE)
            self.client.log_artifacts(run_id, str(folder), BUNDLE)

    @contextmanager
    def run(
        self,
        name: str,
        *,
        parent: str | None = None,
        started: float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Iterator[str]:
        """A run that is closed however its block ends: finished, or failed when it raised."""
        with speaking_plainly(self.uri):
            run_id = self.begin(name, parent=parent, started=started, tags=tags)
            try:
                yield run_id
            except BaseException:
                self.client.set_terminated(run_id, "FAILED")
                raise
            self.client.set_terminated(run_id, "FINISHED")

    def begin(
        self,
        name: str,
        *,
        parent: str | None = None,
        started: float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Open a run, which the caller must terminate; its id."""
        marks = {"pointsman_version": version("pointsman"), **(tags or {})}
        if parent is not None:
            marks["mlflow.parentRunId"] = parent
        since = int((started or time.time()) * 1000)
        made = self.client.create_run(self._experiment, start_time=since, tags=marks, run_name=name)
        return str(made.info.run_id)

    def _router(self, parent: str, report: Report, entry: Entry, started: float | None) -> None:
        name = f"{entry.router} on {report.trace}"
        with self.run(name, parent=parent, started=started, tags={"kind": "router"}) as run_id:
            told = entry.feedback.value if entry.feedback is not None else "none"
            self._log(run_id, params={"router": entry.router, "trace": report.trace, "feedback": told})
            pooled = {metric: found.value for metric, found in entry.pooled.items()}
            bounds = {
                f"{metric}_{side}": bound
                for metric, found in entry.pooled.items()
                for side, bound in (("low", found.low), ("high", found.high))
                if bound is not None
            }
            self._log(run_id, metrics={**pooled, **bounds})
            for metric, values in entry.per_seed.items():
                self._series(run_id, f"{metric}_by_seed", report.seeds, values)
            if entry.router in report.policies:
                self.policy(run_id, report.policies[entry.router])

    def _log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        values = [Metric(name, float(value), now, 0) for name, value in (metrics or {}).items() if np.isfinite(value)]
        texts = [Param(name, str(value)[:500]) for name, value in (params or {}).items()]
        marks = [RunTag(name, value) for name, value in (tags or {}).items()]
        self.client.log_batch(run_id, metrics=values, params=texts, tags=marks)

    def _series(self, run_id: str, name: str, steps: Sequence[int], values: Any) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [Metric(name, float(v), now, s) for s, v in zip(steps, values, strict=True) if np.isfinite(v)]
        for start in range(0, len(points), _BATCH):
            self.client.log_batch(run_id, metrics=points[start : start + _BATCH])

    def _dataset(self, run_id: str, name: str, digest: str, summary: Mapping[str, Any], *, context: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        size = f'{{"queries": {summary["queries"]}, "arms": {summary["arms"]}}}'
        source = f'{{"name": "{name}"}}'
        # The digest field is short; the whole hash stands in the bundle and the report.
        dataset = Dataset(name, digest[:16], "local", source, profile=size)
        self.client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def _open_experiment(self) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        where = None
        if self.uri.startswith(_SQLITE):
            # Beside the database, not in whatever folder a later command happens to run.
            where = (Path(self.uri.removeprefix(_SQLITE)).absolute().parent / "mlruns").as_uri()
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=where))
