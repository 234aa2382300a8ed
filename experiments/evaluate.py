"""Evaluation: what a frozen policy chooses on test queries at every dial, and what came of those choices.

``Policy.decide`` is the only thing that is asked, the same call that serves live requests. Every figure of a
report is a function of the decisions kept here, which ``--decisions`` writes down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from env.contexts import Floats, Ints, Outcomes
from env.files import whole_file
from env.trace import Trace
from routers.policy import Policy

DIALS: tuple[float, ...] = tuple(round(step / 20, 2) for step in range(21))
"""From the cheapest setting to the best, evenly."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Decisions on test queries, and their recorded outcomes.

    Attributes:
        router: its name in reports.
        seed: of the split and the algorithm.
        arms: ``(D, n)`` the arm chosen for each query at each of ``DIALS``.
        propensities: ``(D, n)`` with which it was chosen.
        outcomes: each ``(D, n)``; a NaN cost or latency was not recorded.
        calls: ``(D, n)`` how many were made, where a plan may make several; ``None`` for one each.
    """

    router: str
    seed: int
    arms: Ints
    propensities: NDArray[np.float64]
    outcomes: Outcomes
    calls: Ints | None = None


def decide_at_every_dial(policy: Policy, test: Trace, *, router: str | None = None, seed: int = 0) -> Evaluation:
    """Let a policy decide on every query it is given at every dial, frozen and greedy.

    On which queries that is fair is for the caller to know, as ``experiments.judge.evaluate`` does.

    Args:
        policy: decides; its arms must be the trace's.
        test: queries with every arm observed.
        router: name in reports; the policy's router when not given.
        seed: of the draws of a policy that draws.

    Raises:
        BadInput: the trace lacks an arm of the policy.

    Example:
        >>> from env.features import Hashing
        >>> from env.trace_io import from_rows
        >>> from routers.policy import new_policy
        >>> rows = [{"query_id": "q", "prompt": "2 + 2?", "model": m, "score": s} for m, s in [("a", 0.0), ("b", 1.0)]]
        >>> policy = new_policy("fixed", ["a", "b"], Hashing(16), arm=1)
        >>> decide_at_every_dial(policy, from_rows(rows)).outcomes.score[-1].tolist()
        [1.0]
    """
    test = test.select_arms(policy.arm_names)
    decided = [
        policy.decide(test.queries, dial=dial, rng=np.random.default_rng([seed, at]), explore=False)
        for at, dial in enumerate(DIALS)
    ]
    arms = np.stack([decision.arms for decision in decided])
    propensities = np.stack([decision.propensities for decision in decided])
    return Evaluation(router or policy.router.name, seed, arms, propensities, realised(test, arms))


def realised(test: Trace, arms: Ints) -> Outcomes:
    """Recorded outcomes, each ``(D, n)``, of the arms ``(D, n)`` that were chosen."""

    def of(column: Floats) -> Floats:
        return np.take_along_axis(column[None], arms[:, :, None], axis=2)[:, :, 0]

    return Outcomes(of(test.score), of(test.cost_usd), of(test.latency_s))


def stream_hash(seeds: Sequence[int], tests: Sequence[Trace]) -> str:
    """SHA-256, hex, of what was evaluated: for each seed its number and the hash of its test queries.

    Two reports with one stream hash were made on the same queries and outcomes, whatever was learned before.

    Example:
        >>> from env.trace_io import from_rows
        >>> test = from_rows([{"query_id": "q", "prompt": "2 + 2?", "model": "a", "score": 1.0}])
        >>> stream_hash([0, 1], [test, test]) == stream_hash([1, 0], [test, test])
        False
    """
    lines = [f"{seed} {test.hash}\n" for seed, test in zip(seeds, tests, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class DecisionsFile:
    """Writes ``trace, router, seed, dial, query_id, model, propensity`` as Parquet; whole or not at all.

    Used as a context manager: the file takes its name when the block ends without an error.

    Args:
        path: of the file.
    """

    SCHEMA = pa.schema(
        [
            ("trace", pa.dictionary(pa.int32(), pa.string())),
            ("router", pa.dictionary(pa.int32(), pa.string())),
            ("seed", pa.int32()),
            ("dial", pa.float64()),
            ("query_id", pa.dictionary(pa.int32(), pa.string())),
            ("model", pa.dictionary(pa.int32(), pa.string())),
            ("propensity", pa.float32()),
        ]
    )

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            scratch = stack.enter_context(whole_file(self.path))
            self._writer = stack.enter_context(pq.ParquetWriter(scratch, self.SCHEMA, compression="zstd"))
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add(self, trace: str, test: Trace, made: Evaluation) -> None:
        """Append the decisions that an evaluation made on the test queries of a trace."""
        n_dials, n = made.arms.shape
        rows = np.arange(n_dials * n, dtype=np.int32)
        one = pa.array(np.zeros(n_dials * n, dtype=np.int32))
        columns = [
            pa.DictionaryArray.from_arrays(one, pa.array([trace])),
            pa.DictionaryArray.from_arrays(one, pa.array([made.router])),
            pa.array(np.full(n_dials * n, made.seed, dtype=np.int32)),
            pa.array(np.repeat(np.asarray(DIALS), n)),
            pa.DictionaryArray.from_arrays(pa.array(rows % n), pa.array(test.query_ids)),
            pa.DictionaryArray.from_arrays(pa.array(made.arms.ravel().astype(np.int32)), pa.array(test.arms)),
            pa.array(made.propensities.ravel().astype(np.float32)),
        ]
        self._writer.write_table(pa.table(columns, schema=self.SCHEMA))
