"""What the runtime wants from the outside, as protocols: whoever has MLflow, or a folder, implements them.

The runtime calls them in a worker thread, never on the path of a request; what they raise is logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from routers.policy import Policy


@runtime_checkable
class PolicySource(Protocol):
    """Where new policy versions come from."""

    def latest(self) -> Policy | None:
        """A policy that is newer than the last one returned, or ``None``."""


@runtime_checkable
class PolicySink(Protocol):
    """Where a policy that has learned while it ran goes."""

    def publish(self, policy: Policy) -> None:
        """Keep this policy."""


@runtime_checkable
class MetricSink(Protocol):
    """Where aggregates go, in batches."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep these values; ``step`` counts the batches since the start from 1, those that could not be kept too."""
