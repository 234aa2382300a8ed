"""A trace made ready for an experiment: features computed once, then one division into parts per seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from env.contexts import Bools, Contexts, Ints, mean_observed
from env.errors import BadInput
from env.features import Featuriser, NoText, default_featuriser
from env.splits import SplitBy
from env.text_features import RECIPES
from env.trace import Trace
from experiments.seen import Seen

RESAMPLED = 0.8
"""Share of the training prompts that a seed learns from where the parts were given: as of a five-fold division."""


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
        seen: the training and validation prompts, so that a policy is never judged on them.
        trace_hash: of the whole trace.
    """

    seed: int
    train: Trace
    validation: Trace
    test: Trace
    test_index: Ints
    cheapest: int
    best_single: int
    seen: Seen
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


def prepared(part: Fold, recipe: str, maker: Featuriser | None = None) -> tuple[Fold, Featuriser]:
    """A fold with the features that a router was made to see, and what makes them.

    Args:
        part: of a trace with prompts.
        recipe: a name of ``env.text_features.RECIPES``; it is fitted on the prompts of the training and validation
            parts. Test prompts and outcomes have no say in it.
        maker: makes the features instead, whatever the recipe.

    Raises:
        BadInput: a prompt is not kept, and the trace's features are another featuriser's.
    """
    if maker is None:
        seen = [*part.train.prompts, *part.validation.prompts]
        # Without all the text there is nothing to fit on; features that came with the trace may still be its own.
        fresh = RECIPES[recipe]()
        maker = fresh if None in seen else fresh.fit(seen)
    return replace(
        part,
        train=featurised(part.train, maker),
        validation=featurised(part.validation, maker),
        test=featurised(part.test, maker),
    ), maker


def is_blind(trace: Trace) -> bool:
    """True where neither prompts nor features were kept, so that no router can look at a query."""
    return trace.features is None and all(prompt is None for prompt in trace.prompts)


def without_text(part: Fold) -> tuple[Fold, Featuriser]:
    """A fold of a trace with neither prompts nor features, ready for routers that look at neither."""
    nothing = NoText()

    def ready(trace: Trace) -> Trace:
        return replace(trace, features=nothing.transform(list(trace.prompts)), featuriser=nothing.fingerprint)

    # Of a trace that is divided already: features of zeros would make one group of all its queries.
    return replace(part, train=ready(part.train), validation=ready(part.validation), test=ready(part.test)), nothing


def fold(trace: Trace, seed: int, *, resample: bool = False, split_by: SplitBy = "prompt") -> Fold:
    """Divide a trace by prompt, by whole tasks or by time.

    Args:
        trace: with or without a given split.
        seed: salts the division.
        resample: where a seed has nothing to divide, because the training and the validation part are both given or
            the split is by time, learn from a sample of the training prompts that differs from seed to seed.
        split_by: ``"prompt"``, ``"task"`` or ``"time"``, as in :meth:`env.trace.Trace.split`.

    Raises:
        BadInput: too few prompts, or no query on which every arm was observed to validate or test on.
    """
    split = trace.split(seed, by=split_by)
    complete: Bools = np.all(trace.observed, axis=1)
    validation, test = split.validation[complete[split.validation]], split.test[complete[split.test]]
    for name, index in (("validation", validation), ("test", test)):
        if not len(index):
            raise BadInput(
                f"trace {trace.name}: no {name} query has a score for all {trace.n_arms} models; comparing choices "
                "needs such queries (record the missing models, or keep only models that answered the same queries)"
            )
    learned = split.train
    if resample and has_fixed_training(trace, split_by):
        learned = _sampled(learned, trace.groups[learned], np.random.default_rng([seed, len(learned)]))
    train = trace.take(learned)
    seen = trace.take(np.concatenate([learned, validation]))
    return Fold(
        seed,
        train,
        trace.take(validation),
        trace.take(test),
        test,
        cheapest(seen),
        best_single(seen),
        Seen.of(seen),
        trace.hash,
    )


def has_fixed_training(trace: Trace, split_by: SplitBy = "prompt") -> bool:
    """True where every seed would learn from the same queries: by time, or by a given split with a validation part."""
    return split_by == "time" or (split_by == "prompt" and "validation" in trace.given_parts)


def _sampled(rows: Ints, groups: Ints, rng: np.random.Generator) -> Ints:
    """A share of the prompts with all their rows, without replacement.

    A prompt drawn twice would stand on both sides of what a router holds out of its training data for itself.
    """
    prompts = np.unique(groups)
    drawn = rng.permutation(prompts)[: max(1, round(RESAMPLED * len(prompts)))]
    return rows[np.isin(groups, drawn)]


def cheapest(trace: Trace) -> int:
    """Index of the arm with the lowest mean cost; of the weakest where no cost is known, to stand at the left end."""
    cost = mean_observed(trace.cost_usd)
    return int(np.nanargmin(mean_observed(trace.score) if np.isnan(cost).all() else cost))


def best_single(trace: Trace) -> int:
    """Index of the arm with the best mean score."""
    return int(np.nanargmax(mean_observed(trace.score)))


def contexts_of(trace: Trace, *, latency_weight: float = 0.0) -> Contexts:
    """Contexts of a featurised trace for learning: money has no price yet, every arm is allowed."""
    if trace.features is None:
        raise ValueError("featurise the trace first")
    return Contexts.of(trace.features, trace.n_arms, latency_weight=latency_weight, task=trace.tasks)
