"""Finished cells of a comparison: one router on one seed of one trace, kept as soon as it is done.

A comparison that was interrupted finds there what it had finished, and neither trains nor decides it again. A cell's
name is a hash of all that decides what is in it, the code and the numerical packages among it: after a change of any
of them a cell is another one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from env.contexts import Outcomes
from env.errors import BadInput
from env.files import whole_file
from env.trace import Trace
from experiments.evaluate import DIALS, Evaluation, realised
from experiments.folds import Fold
from experiments.train import Feedback
from routers.policy import Policy

Curve: TypeAlias = tuple[tuple[int, Mapping[str, float]], ...]
"""How a training went: after how many decisions, and figures by name."""

_CODE = ("env", "routers", "experiments")
_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "stable-baselines3", "numba", "wordllama")
_SAID = b"pointsman"  # key of the file's metadata
_OUTCOMES = ("score", "cost_usd", "latency_s")


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of one router on one seed.

    Attributes:
        made: its decisions on the test queries.
        feedback: what it learned from.
        fit_s: seconds it took to train.
        curve: how its training went, where it said so.
        policy: what was trained; ``None`` of a plan, and of kept cells that were kept without.
    """

    made: Evaluation
    feedback: Feedback
    fit_s: float
    curve: Curve = ()
    policy: Policy | None = None


class Cells:
    """Cells kept in a folder.

    Args:
        folder: is made with the first cell; nothing is kept where it is ``None``.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._used: set[str] = set()

    @property
    def used(self) -> int:
        """How many cells were kept or found."""
        return len(self._used)

    def get(self, test: Trace, make: Callable[[], Cell], *, with_policy: bool = False, **of: str | int | None) -> Cell:
        """The cell if it is finished, else what ``make`` makes, which is kept.

        Args:
            test: the queries that were decided on.
            make: trains and decides.
            with_policy: keep the policy too.
            **of: all that decides what is in the cell, beside the code: ``router`` and ``seed`` among it.

        Raises:
            BadInput: a file of the folder is not a cell.
        """
        if self.folder is None:
            return make()
        name = key(with_policy=with_policy, **of)
        file, bundle = self.folder / f"{name}.parquet", self.folder / f"{name}.policy"
        if file.is_file():
            cell = _read(file, bundle if with_policy else None, test, str(of["router"]), int(of["seed"] or 0))
            self._used.add(name)
            return cell
        cell = make()
        if with_policy and cell.policy is not None:
            cell.policy.save(bundle)
        _write(cell, file)  # last: the file is what says that the cell is finished
        self._used.add(name)
        return cell

    def discard(self) -> None:
        """Remove the cells that were used; those of other comparisons stay."""
        if self.folder is None or not self.folder.is_dir():
            return
        for name in self._used:
            (self.folder / f"{name}.parquet").unlink(missing_ok=True)
            shutil.rmtree(self.folder / f"{name}.policy", ignore_errors=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def key(**of: object) -> str:
    """A short name for all that decides what something is, and for the code and packages that make it.

    Example:
        >>> key(seed=1, router="knn") == key(router="knn", seed=1) != key(router="knn", seed=2)
        True
    """
    said = json.dumps({**of, "code": code_version()}, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


@cache
def code_version() -> str:
    """SHA-256, hex, of the sources of this package and the versions of those that it computes with."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for part in _CODE:
        for file in sorted((root / part).rglob("*.py")):
            digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    for package in _PACKAGES:
        try:
            digest.update(f"{package}=={version(package)}\0".encode())
        except PackageNotFoundError:
            continue
    return digest.hexdigest()


def division(part: Fold) -> str:
    """SHA-256, hex, of who is learned from, validated and tested on: a trace's hash does not know when queries came.

    Example:
        >>> from env.trace_io import from_rows
        >>> from experiments.folds import fold
        >>> rows = [{"query_id": str(n), "prompt": f"question {n}", "model": "a", "score": 1.0} for n in range(50)]
        >>> division(fold(from_rows(rows), seed=0)) == division(fold(from_rows(rows), seed=1))
        False
    """
    digest = hashlib.sha256()
    for trace in (part.train, part.validation, part.test):
        digest.update(json.dumps(list(trace.query_ids)).encode())
    return digest.hexdigest()


def _write(cell: Cell, file: Path) -> None:
    made = cell.made
    columns = {"arm": made.arms.ravel().astype(np.int16), "propensity": made.propensities.ravel()}
    if made.calls is not None:
        # What several calls cost together cannot be read off the trace by the arm that answered.
        columns["calls"] = made.calls.ravel().astype(np.int16)
        columns |= {name: getattr(made.outcomes, name).ravel() for name in _OUTCOMES}
    said = {"feedback": cell.feedback.value, "fit_s": cell.fit_s, "curve": cell.curve}
    table = pa.table(columns).replace_schema_metadata({_SAID: json.dumps(said).encode()})
    with whole_file(file) as scratch:
        pq.write_table(table, scratch, compression="zstd")


def _read(file: Path, bundle: Path | None, test: Trace, router: str, seed: int) -> Cell:
    try:
        table = pq.read_table(file)
        said = json.loads(table.schema.metadata[_SAID])
        columns = {name: table[name].to_numpy().reshape(len(DIALS), -1) for name in table.column_names}
        arms, feedback = columns["arm"].astype(np.int64), Feedback(said["feedback"])
        curve = tuple((int(step), figures) for step, figures in said["curve"])
    except (pa.ArrowException, LookupError, TypeError, ValueError) as error:
        raise BadInput(f"{file}: not a finished cell of a comparison; delete it ({type(error).__name__})") from error
    several = "calls" in columns
    made = Evaluation(
        router,
        seed,
        arms,
        columns["propensity"],
        Outcomes(*(columns[name] for name in _OUTCOMES)) if several else realised(test, arms),
        columns["calls"].astype(np.int64) if several else None,
    )
    policy = Policy.load(bundle) if bundle is not None and bundle.is_dir() else None
    return Cell(made, feedback, float(said["fit_s"]), curve, policy)
