"""Writes runs: a training, a comparison, a policy. Figures go in batches, never one call for each."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from env.trace import Trace
from env.uris import shown_uri
from experiments.cells import Curve
from experiments.compare import Report
from experiments.tracking.comparison import Online, log_comparison, training_series
from experiments.tracking.provenance import provenance
from experiments.tracking.pyfunc import make_loadable
from experiments.tracking.store import SQLITE, connect, speaking_plainly, tracking_uri
from routers.policy import Bundled, Policy

EXPERIMENT = "pointsman"
BUNDLE = "bundle"
"""Artifact folder of a run that holds a policy."""

_KEY = "comparison_key"
_BATCH = 800  # figures at once; the tracking API takes 1,000 of figures, parameters and tags together
_LONGEST = 500  # characters of a parameter


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

    def comparison(
        self,
        reports: Sequence[Report],
        files: Sequence[Path] = (),
        *,
        started: float | None = None,
        online: Online | None = None,
        run_id: str | None = None,
    ) -> str:
        """Log a comparison: a run for it, in that one for every router on every trace, in that one for every seed.

        Args:
            reports: of the traces.
            files: written with it (the page, pictures), kept as artifacts.
            started: seconds since the epoch; now when not given.
            online: by the name of a trace, how routers fared that learn as they go.
            run_id: of the comparison's run, where :meth:`open_comparison` opened one.

        Returns:
            The id of the outer run.
        """
        with speaking_plainly(self.uri):
            opened = run_id or self.open_comparison([report.trace for report in reports], started=started)
            with self._closing(opened):
                log_comparison(self, opened, reports, files, online or {})
        return opened

    def open_comparison(self, traces: Sequence[str], *, key: str | None = None, started: float | None = None) -> str:
        """The run of a comparison that is about to begin, or that was interrupted and goes on; its id.

        Args:
            traces: their names.
            key: says which comparison this is. An unfinished run with the same key is gone on with.
            started: seconds since the epoch; now when not given.
        """
        with speaking_plainly(self.uri):
            for run_id in self.find(f"tags.{_KEY} = '{key}' and attributes.status != 'FINISHED'") if key else ():
                self.client.update_run(run_id, status="RUNNING")
                return run_id
            tags = {"kind": "comparison", **({_KEY: key} if key else {})}
            return self.begin(f"compare {', '.join(traces)}", started=started, tags=tags)

    def stopped(self, run_id: str, why: BaseException) -> None:
        """Say of a run that its work did not come to its end; :meth:`open_comparison` finds it again."""
        with speaking_plainly(self.uri):
            self.client.set_terminated(run_id, "FAILED" if isinstance(why, Exception) else "KILLED")

    def address(self, run_id: str) -> str:
        """Where people look at a run, in words."""
        shown = shown_uri(self.uri)
        if self.uri.startswith("http"):
            return f"MLflow: {shown.rstrip('/')}/#/experiments/{self._experiment}/runs/{run_id}"
        return f"MLflow, {shown}: mlflow ui --backend-store-uri {shown}"

    def find(self, condition: str) -> list[str]:
        """Ids of the runs of which a condition holds, in MLflow's own words; the latest first."""
        found = []
        page: str | None = ""
        while page is not None:
            runs = self.client.search_runs([self._experiment], condition, page_token=page or None)
            found += [str(run.info.run_id) for run in runs]
            page = runs.token or None
        return found

    def training(self, policy: Bundled, trace: Trace, *, started: float | None = None, curve: Curve = ()) -> str:
        """Log a training run with its bundle.

        Args:
            policy: that was trained.
            trace: that it was trained on.
            started: seconds since the epoch; now when not given.
            curve: how the training went, where it said so.

        Returns:
            The id of the run.
        """
        tags = {"kind": "training", "trace_hash": trace.hash}
        with self.run(f"train {policy.name} on {trace.name}", started=started, tags=tags) as run_id:
            self.inputs(run_id, [(trace.name, trace.hash, trace.summary())], "training")
            self.log(run_id, series=training_series(curve))
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
        self.log(run_id, params=params, metrics=reached, tags={"policy_version": policy.version})
        with tempfile.TemporaryDirectory() as scratch:
            folder = policy.save(Path(scratch) / BUNDLE)
            if isinstance(policy, Policy):  # a plan has calls to make before it knows the answer
                make_loadable(folder)
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
            with self._closing(run_id):
                yield run_id

    @contextmanager
    def _closing(self, run_id: str) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.stopped(run_id, error)
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
        marks = {**provenance(), **(tags or {})}
        if parent is not None:
            marks["mlflow.parentRunId"] = parent
        since = int((started or time.time()) * 1000)
        made = self.client.create_run(self._experiment, start_time=since, tags=marks, run_name=name)
        return str(made.info.run_id)

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        series: Mapping[str, Iterable[tuple[int, float]]] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log into a run, in as few calls as the tracking API allows; what is not a finite number is left out.

        Args:
            run_id: of the run.
            params: settings; long ones are cut.
            metrics: figures.
            series: curves: steps and figures by name.
            tags: marks.
        """
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        points = [(name, 0, value) for name, value in (metrics or {}).items()]
        points += [(name, step, value) for name, curve in (series or {}).items() for step, value in curve]
        values = [Metric(name, float(value), now, step) for name, step, value in points if np.isfinite(value)]
        texts = [Param(name, str(value)[:_LONGEST]) for name, value in (params or {}).items()]
        marks = [RunTag(name, value) for name, value in (tags or {}).items()]
        if texts or marks:
            self.client.log_batch(run_id, params=texts, tags=marks, metrics=values[:_BATCH])
            values = values[_BATCH:]
        for start in range(0, len(values), _BATCH):
            self.client.log_batch(run_id, metrics=values[start : start + _BATCH])

    def inputs(self, run_id: str, traces: Sequence[tuple[str, str, Mapping[str, Any]]], context: str) -> None:
        """Log what a run was made from: name, hash and summary of each trace, as ``mlflow.data`` reads it."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        tags = [InputTag("mlflow.data.context", context)]
        found = []
        for name, digest, summary in traces:
            # The digest field is short; the whole hash stands in the source, the bundle and the report.
            source = json.dumps({"tags": {"trace": name, "trace_hash": digest}})
            size = json.dumps({"queries": summary["queries"], "arms": summary["arms"]})
            found.append(DatasetInput(Dataset(name, digest[:16], "code", source, profile=size), tags))
        self.client.log_inputs(run_id, found)

    def _open_experiment(self) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        where = None
        if self.uri.startswith(SQLITE):
            # Beside the database, not in whatever folder a later command happens to run.
            where = (Path(self.uri.removeprefix(SQLITE)).absolute().parent / "mlruns").as_uri()
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=where))
