"""Tables to learn from, made of a bandit log: what every arm would have brought, doubly robust.

The target of row ``i`` and arm ``k`` is ``q(x_i, k) + [a_i = k] (r_i - q(x_i, k)) / p_i`` (Dudik, Langford and Li 2011,
arXiv 1103.4601): what a model expects, corrected where the log knows better. Its mean given the context is what the
arm truly brings, whatever the model, so any learner of full tables learns of a log without learning who logged it.

A single target lies far outside [0, 1] where ``p`` is small, and learners that average few rows drown in that. So
``1 / p`` counts as ``K`` at most, what it would be had the log chosen uniformly: the rarest choices are left to the
model in part, as Switch-DR leaves them in whole. docs/off-policy.md has both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from env.contexts import Floats, Ints
from env.errors import BadInput
from env.features import default_featuriser
from env.trace import Trace
from experiments.ope.logs import BanditLog, Doubles, Outcome, Unjudged
from experiments.ope.models import cross_fitted


def targets(log: BanditLog, expected: Doubles, *, cap: float | None = None) -> Doubles:
    """``(n, K)`` doubly robust targets.

    Args:
        log: ``n`` decisions.
        expected: ``(n, K)`` of a model that has not seen the row (:func:`experiments.ope.models.cross_fitted`).
        cap: of ``1 / p``: less variance, and a bias towards the model; ``K`` when not given, infinity for none.

    Example:
        >>> log = BanditLog.of(["a", "b"], actions=[0, 1], rewards=[1.0, 0.0], propensities=[0.5, 0.25])
        >>> targets(log, np.full((2, 2), 0.5)).tolist(), targets(log, np.full((2, 2), 0.5), cap=np.inf).tolist()
        ([[1.5, 0.5], [0.5, -0.5]], [[1.5, 0.5], [0.5, -1.5]])
    """
    found = expected.copy()
    at = np.arange(len(log)), log.actions
    weights = np.minimum(1 / log.propensities, log.n_arms if cap is None else cap)
    found[at] += weights * (log.rewards - expected[at])
    return found


def decided(trace: Trace, *, unjudged: Unjudged = "error") -> Trace:
    """The decisions of a log that can be learned from: with a propensity and a score.

    Raises:
        BadInput: it is no log, or a decision has no score; see :meth:`BanditLog.from_trace`.
    """
    BanditLog.from_trace(trace, unjudged=unjudged)
    column = trace.cell_columns["propensity"]
    return trace.take(np.flatnonzero((trace.observed & (column != None)).any(axis=1)))  # noqa: E711 - elementwise


def corrected(trace: Trace, parts: Sequence[Ints] | None = None, *, cap: float | None = None) -> Trace:
    """A full table made of a log: every score, cost and latency a doubly robust target.

    Args:
        trace: a log whose decisions are all scored (:func:`decided`).
        parts: rows that must learn nothing of each other, as those of a split; each has models of its own. Rows in
            none stay unknown.
        cap: see :func:`targets`.

    Returns:
        The same queries without propensities. A cost or latency that is not known of every decision is left unknown.

    Raises:
        BadInput: an arm that was never chosen, about which the log knows nothing.
    """
    never = [trace.arms[arm] for arm in np.flatnonzero(~np.any(trace.observed, axis=0))]
    if never:
        raise BadInput(
            f"trace {trace.name}: {', '.join(never)} was never chosen, so nothing can be learned of it; log with some "
            "exploration, or leave it out with trace.select_arms([...])"
        )
    made = {name: np.full(trace.score.shape, np.nan, dtype=np.float32) for name in ("score", "cost_usd", "latency_s")}
    features = _features(trace)
    outcomes: list[Outcome] = ["score"]
    outcomes += ["cost_usd"] if trace.has_cost else []
    outcomes += ["latency_s"] if trace.has_latency else []
    for rows in parts or [np.arange(len(trace))]:
        here = trace.take(rows)
        for outcome in outcomes:
            log = BanditLog.from_trace(here, outcome=outcome)
            # Arms that were available and never chosen stand after the trace's own.
            made[outcome][rows] = targets(log, cross_fitted(log, features[rows]), cap=cap)[:, : trace.n_arms]
    columns = {name: values for name, values in trace.cell_columns.items() if name not in ("propensity", "available")}
    return replace(
        trace,
        score=made["score"],
        cost_usd=made["cost_usd"],
        latency_s=made["latency_s"],
        cell_columns=columns,
    )


def _features(trace: Trace) -> Floats:
    if trace.features is not None:
        return trace.features
    return default_featuriser().transform(list(trace.prompts))
