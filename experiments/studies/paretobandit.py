"""ParetoBandit (arXiv 2604.00136) on the stream of a budget study, given the same data: ``pip install paretobandit``.

Features are brought into the form that its authors advise: 25 principal components of the offline features, whitened,
and a constant. Its prior is made from the offline outcomes by the statistics that its ``generate_warmup_priors``
accumulates. Bills are told to its pacer as its own experiments do.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.contexts import Ints
from env.trace import Trace

Array: TypeAlias = NDArray[np.float64]

_COMPONENTS = 25


def installed() -> bool:
    """Whether the package can be imported."""
    return find_spec("pareto_bandit") is not None


def candidates(n_offline: int) -> tuple[Mapping[str, float], ...]:
    """Settings to choose from on the offline half: those that the package ships for three arms, and neighbours.

    Args:
        n_offline: offline queries; one candidate trusts the prior as that many.
    """
    best = import_module("pareto_bandit.config").BEST_K3_HPARAMS
    shipped = {name: float(best[name]) for name in ("alpha", "prior_n_effective", "forgetting_factor")}
    changes: tuple[dict[str, float], ...] = (
        {},
        {"alpha": 0.05},
        {"forgetting_factor": 1.0},
        {"prior_n_effective": 200.0},
        {"prior_n_effective": float(n_offline), "forgetting_factor": 1.0},
        {"alpha": 0.1, "prior_n_effective": 200.0, "forgetting_factor": 1.0},
    )
    return tuple({**shipped, **change} for change in changes)


@dataclass(frozen=True, slots=True)
class Projection:
    """Whitened principal components and a constant.

    Attributes:
        mean: ``(d,)``.
        axes: ``(d, 25)``, each divided by the standard deviation along it.
    """

    mean: Array
    axes: Array

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Projection:
        """Of the offline features ``(n, d)``."""
        rows = features.astype(np.float64)
        mean = rows.mean(axis=0)
        _, spread, axes = np.linalg.svd(rows - mean, full_matrices=False)
        kept = spread[:_COMPONENTS] / np.sqrt(len(rows) - 1)
        return cls(mean, axes[:_COMPONENTS].T / np.maximum(kept, 1e-6))

    def __call__(self, features: NDArray[np.float32]) -> Array:
        """Inputs ``(n, 26)``."""
        return np.column_stack([(features - self.mean) @ self.axes, np.ones(len(features))])


class ParetoBandit:
    """One router of the package with its pacer, warm from an offline trace.

    Args:
        offline: featurised, with all outcomes.
        budget_usd: dollars a request.
        settings: of the router, as :func:`candidates` names them.
        seed: of its ties.
    """

    def __init__(self, offline: Trace, budget_usd: float, settings: Mapping[str, float], seed: int) -> None:
        logging.getLogger("pareto_bandit").setLevel(logging.ERROR)
        assert offline.features is not None
        self._project = Projection.of(offline.features)
        self._arms = offline.arms
        inputs = self._project(offline.features)
        router, pacer = import_module("pareto_bandit.router"), import_module("pareto_bandit.budget_pacer")
        features = import_module("pareto_bandit.feature_service").FeatureService.for_precomputed(inputs.shape[1])
        storage = import_module("pareto_bandit.storage").EphemeralContextStore()
        with tempfile.TemporaryDirectory() as folder:
            self._router = router.BanditRouter.create(
                model_registry=None,  # the one it ships: the list prices of these three models
                feature_service=features,
                context_store=storage,
                priors="warmup",
                warmup_path=_priors(inputs, offline, Path(folder)),
                budget_pacer=pacer.BudgetPacer(budget_usd),
                bandit_seed=seed,
                cost_penalty=0.0,  # as in its own experiments with a pacer; its default is 0.3, whatever the budget
                **settings,
            )

    def stream(self, online: Trace, order: Ints) -> Ints:
        """The arms ``(n,)`` it chooses on a trace in some order, learning each outcome; by row of the trace."""
        assert online.features is not None
        inputs, arms = self._project(online.features), np.empty(len(online), dtype=np.int64)
        for row in order.tolist():
            name, log = self._router.route(inputs[row])
            arm = arms[row] = self._arms.index(name)
            log.cost_usd = float(online.cost_usd[row, arm])
            self._router.process_feedback(log.request_id, reward=float(online.score[row, arm]))
        return arms


def _priors(inputs: Array, offline: Trace, folder: Path) -> str:
    """A file of priors as its loader reads them: ``A = I + X'X`` and ``b = X'y`` of every arm."""
    gram = np.eye(inputs.shape[1]) + inputs.T @ inputs
    known = {
        "A": {arm: gram.copy() for arm in offline.arms},
        "b": {arm: inputs.T @ offline.score[:, k].astype(np.float64) for k, arm in enumerate(offline.arms)},
        "pca_whitened": False,
    }
    file = folder / "priors.joblib"
    import_module("joblib").dump(known, file)
    return str(file)
