"""MLflow: the record of what was trained and compared, on which data, with which result.

Nothing needs to be configured: without ``MLFLOW_TRACKING_URI`` the record is ``mlflow.db`` in the working folder,
with its artifacts beside it. A policy is logged as the plain files of its bundle, never as a pickle.
"""

from __future__ import annotations

from experiments.tracking.store import connect, exists, is_installed, speaking_plainly, tracking_uri
from experiments.tracking.tracker import BUNDLE, EXPERIMENT, Tracker

__all__ = ["BUNDLE", "EXPERIMENT", "Tracker", "connect", "exists", "is_installed", "speaking_plainly", "tracking_uri"]
