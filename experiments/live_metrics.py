"""What a running server does, as MLflow metrics: aggregates in batches, from a worker thread, never per request."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from experiments.tracking import Tracker, speaking_plainly


class MLflowMetricSink:
    """Implements ``instances.ports.MetricSink``: one run per server, begun with its first metrics.

    Args:
        policy_version: of the policy that serves, for the run's tags.
        uri: of the record; see ``experiments.tracking.tracking_uri`` for the default.
    """

    def __init__(self, policy_version: str, *, uri: str | None = None) -> None:
        self._tracker = Tracker(uri)
        self._tags = {"kind": "serving", "policy_version": policy_version}
        self._run_id: str | None = None
        self._lock = threading.Lock()

    @property
    def run_id(self) -> str | None:
        """The run; ``None`` before the first metrics."""
        return self._run_id

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep these values in one batch."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        # MLflow's names take no plus sign, which model types have (text+image).
        points = [Metric(name.replace("+", "-"), float(value), now, step) for name, value in metrics.items()]
        if not points:
            return
        with self._lock, speaking_plainly(self._tracker.uri):
            if self._run_id is None:
                self._run_id = self._tracker.begin("serve", tags=self._tags)
            self._tracker.client.log_batch(self._run_id, metrics=points)

    def close(self) -> None:
        """End the run; safe to call twice."""
        with self._lock, speaking_plainly(self._tracker.uri):
            if self._run_id is not None:
                self._tracker.client.set_terminated(self._run_id, "FINISHED")
                self._run_id = None
