"""Percentiles by nearest rank."""

from __future__ import annotations

import numpy as np
import pytest

from env.errors import BadInput
from experiments.metrics import percentiles


def test_nearest_ranks_worked_by_hand() -> None:
    values = np.arange(20, 0, -1) / 10
    assert percentiles(values, [0, 0.05, 0.5, 0.95, 1]).tolist() == [0.1, 0.1, 1.0, 1.9, 2.0]


def test_replicates_at_once_equal_queries_taken_so_often() -> None:
    rng = np.random.default_rng(0)
    values, counts = rng.random(11), rng.integers(0, 4, (2, 3, 11))
    together = percentiles(values, [0.1, 0.5, 0.95], counts)
    assert together.shape == (2, 3, 3)
    for at in np.ndindex(2, 3):
        drawn = np.sort(np.repeat(values, counts[at]))
        apart = [drawn[int(np.ceil(share * len(drawn) - 1e-9)) - 1] for share in (0.1, 0.5, 0.95)]
        assert together[at].tolist() == apart


def test_an_unknown_latency_leaves_none() -> None:
    assert np.isnan(percentiles([0.1, np.nan], [0.5])).all()
    with pytest.raises(BadInput, match=r"in \[0, 1\]"):
        percentiles([0.1], [95])
