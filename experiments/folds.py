"""A trace made ready for an experiment: features computed once, then one division into parts per seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Contexts, Floats, Ints
from env.errors import BadInput
from env.features import Featuriser, default_featuriser
from env.trace import Trace


@dataclass(frozen=True, slots=True)
class Fold:
    """What one seed makes of a trace.

    Attributes:
        seed: salts the split; algorithms are salted with it too.
        train: queries to learn from; outcomes may have gaps.
        validation: complete queries (every arm observed), for the dial and every other choice.
        test: complete queries that nothing was learned or chosen on.
        test_index: ``(n_test,)`` rows of the test queries in the trace.
        cheapest: index of the arm with the lowest mean cost on training and validation queries.
        best_single: index of the arm with the best mean score there.
        trace_hash: of the whole trace, so that a policy can be judged on the right part of it.
    """

    seed: int
    train: Trace
    validation: Trace
    test: Trace
    test_index: Ints
    cheapest: int
    best_single: int
    trace_hash: str


def featurised(trace: Trace, featuriser: Featuriser | None = None) -> Trace:
    """The trace with the featuriser's own features, so that no prompt is embedded twice.

    Raises:
        BadInput: a prompt is not kept, and the trace's features are another featuriser's.
    """
    maker = featuriser or default_featuriser()
    if trace.features is not None and trace.featuriser == maker.fingerprint:
        return trace
    missing = [row for row, prompt in enumerate(trace.prompts) if prompt is None]
    if missing:
        raise BadInput(
            f"trace {trace.name}: query {trace.query_ids[missing[0]]} has no prompt, and its features were made by "
            f"{trace.featuriser or 'nothing'}, not by this installation's {maker.fingerprint}"
        )
    return replace(trace, features=maker.transform(list(trace.prompts)), featuriser=maker.fingerprint)


def fold(trace: Trace, seed: int) -> Fold:
    """Divide a trace by prompt.

    Raises:
        BadInput: too few prompts, or no query on which every arm was observed to validate or test on.
    """
    split = trace.split(seed)
    complete: Bools = np.all(trace.observed, axis=1)
    validation, test = split.validation[complete[split.validation]], split.test[complete[split.test]]
    for name, index in (("validation", validation), ("test", test)):
        if not len(index):
            raise BadInput(
                f"trace {trace.name}: no {name} query has a score for all {trace.n_arms} models; comparing choices "
                "needs such queries (record the missing models, or keep only models that answered the same queries)"
            )
    train = trace.take(split.train)
    seen = trace.take(np.concatenate([split.train, validation]))
    cost, score = _column_means(seen.cost_usd), _column_means(seen.score)
    # Without costs no arm is known to be cheaper; the weakest then stands at the left end.
    cheapest = score.argmin() if np.isnan(cost).all() else np.nanargmin(cost)
    return Fold(
        seed, train, trace.take(validation), trace.take(test), test, int(cheapest), int(np.nanargmax(score)), trace.hash
    )


def contexts_of(trace: Trace, *, latency_weight: float = 0.0) -> Contexts:
    """Contexts of a featurised trace for learning: money has no price yet, every arm is allowed."""
    if trace.features is None:
        raise ValueError("featurise the trace first")
    return Contexts.of(trace.features, trace.n_arms, latency_weight=latency_weight, task=trace.tasks)


def _column_means(values: Floats) -> NDArray[np.float64]:
    seen = np.isfinite(values)
    sums = np.where(seen, values, 0).sum(axis=0, dtype=np.float64)
    means: NDArray[np.float64] = np.full(values.shape[1], np.nan)
    np.divide(sums, seen.sum(axis=0), out=means, where=seen.any(axis=0))
    return means
