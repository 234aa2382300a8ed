"""Training: from a trace and the name of a router to a policy, every choice made without the test part."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from env.arms import Arm
from env.contexts import Contexts, Ints, Outcomes, known, mean_observed
from env.errors import BadInput
from env.features import Featuriser
from env.reward import Reward
from env.splits import SplitBy
from env.trace import Trace
from experiments.folds import Fold, contexts_of, featurised, fold, prepared
from experiments.ope.learning import corrected, decided
from routers import make, router_class
from routers.base import Estimator, Router, greedy, utility
from routers.bundle import check_folder
from routers.dial import choices_at, cost_weights, fit_dial
from routers.network_router import NetworkRouter, Progress, unheard
from routers.plan import kind_of
from routers.policy import Policy

DEFAULT_ROUTER = "ridge"


class Feedback(StrEnum):
    """What a router is told of a training query."""

    FULL = "full"
    """The outcome of every arm."""
    BANDIT = "bandit"
    """The outcome of the arm it chose, one query after another, each seen once."""
    DR = "dr"
    """A bandit log, made a full table of doubly robust targets (:mod:`experiments.ope.learning`)."""
    NONE = "none"
    """Nothing: the router does not learn."""


def train(
    trace: Trace,
    router: str = DEFAULT_ROUTER,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    split_by: SplitBy = "prompt",
    feedback: Feedback | None = None,
    latency_weight: float = 0.0,
    settings: Mapping[str, Any] | None = None,
    featuriser: Featuriser | None = None,
    arms: Sequence[Arm] = (),
    progress: Progress = unheard,
) -> Policy:
    """Train a router on a trace and put a dial on it.

    Args:
        trace: recorded outcomes; training queries may have gaps, validation and test queries may not. With
            ``Feedback.DR`` a bandit log, every decision scored.
        router: a name of ``routers.names()``.
        out: folder for the bundle; not saved when not given.
        seed: salts the split and the algorithm.
        split_by: ``"prompt"``, ``"task"`` or ``"time"``: what is kept from the policy, to validate and test it on.
        feedback: what the router learns from; by default everything recorded, if it can take that.
        latency_weight: score points per second that the policy will trade for speed.
        settings: keyword settings of the router.
        featuriser: makes what the router sees; when not given, what the router was made for, fitted on the prompts
            that it learns from.
        arms: tiers and prices of the trace's models, for the bundle; models not listed keep their name alone.
        progress: told how the training of a network goes.

    Raises:
        BadInput: an unknown router or setting, or a trace that cannot be split.
    """
    # What would fail at the end is looked at first: saying no takes no time, training may.
    kind = router_class(router)
    if out is not None:
        check_folder(out)
    if featuriser is not None:
        trace = featurised(trace, featuriser)
    if trace.is_log and trace.n_arms > 1 and feedback is not Feedback.DR:
        raise BadInput(
            f"trace {trace.name}: a bandit log, in which only the chosen model was observed; learn from it by "
            "feedback='dr' (--feedback dr)"
        )
    learned_from = _table_of_log(trace, seed, split_by) if feedback is Feedback.DR else trace
    part, maker = prepared(fold(learned_from, seed, split_by=split_by), kind.featuriser_for(settings or {}), featuriser)
    part = replace(part, trace_hash=trace.hash)
    policy = learn(
        part,
        router,
        maker,
        feedback=feedback,
        latency_weight=latency_weight,
        settings=settings,
        arms=arms,
        progress=progress,
    )
    if out is not None:
        policy.save(out)
    return policy


def _table_of_log(log: Trace, seed: int, split_by: SplitBy) -> Trace:
    """A log as a full table: the parts of its split know nothing of each other's outcomes."""
    scored = decided(log)
    parts = scored.split(seed, by=split_by)
    return corrected(scored, [parts.train, parts.validation, parts.test])


def learn(
    part: Fold,
    router: str,
    featuriser: Featuriser,
    *,
    feedback: Feedback | None = None,
    latency_weight: float = 0.0,
    settings: Mapping[str, Any] | None = None,
    arms: Sequence[Arm] = (),
    progress: Progress = unheard,
) -> Policy:
    """Train on a fold whose trace is featurised already; see :func:`train`."""
    kind = router_class(router)
    given = dict(settings or {})
    if "seed" in inspect.signature(kind).parameters:
        given.setdefault("seed", part.seed)
    made = make(router, part.train.n_arms, featuriser.d, **given)
    told = default_feedback(kind) if feedback is None else feedback
    if told in (Feedback.FULL, Feedback.DR):
        table = _table(made, part, latency_weight)
        _ = made.fit(*table, progress=progress) if isinstance(made, NetworkRouter) else made.fit(*table)
    elif told is Feedback.BANDIT:
        one_pass(made, part.train, latency_weight=latency_weight, seed=part.seed)
    known = {arm.name: arm for arm in arms}
    policy = Policy(
        made,
        tuple(known.get(name, Arm(name)) for name in part.train.arms),
        featuriser,
        Reward(latency_weight=latency_weight),
    )
    return _with_dial(policy, part, told)


def default_feedback(kind: type[Router], *, online: bool = False) -> Feedback:
    """What a kind of router learns from: everything recorded if it can, or with ``online`` its own choices first."""
    able = kind.capabilities
    if able.online and (online or not able.offline):
        return Feedback.BANDIT
    return Feedback.FULL if able.offline else Feedback.NONE


def one_pass(router: Router, trace: Trace, *, latency_weight: float = 0.0, seed: int = 0) -> None:
    """One pass over a trace in random order with bandit feedback: act, see the chosen arm's outcome, learn.

    The price of a dollar is drawn anew for each query, from those that make a difference on this trace, so that
    what is learned serves every setting of the dial. Arms that were not recorded on a query are masked there.

    Raises:
        Unsupported: the router does not learn online.
    """
    rng = np.random.default_rng([seed, len(trace)])
    outcomes, observed = trace.outcomes, trace.observed
    prices = rng.choice(cost_weights(outcomes), size=len(trace))
    order = rng.permutation(np.flatnonzero(observed.any(axis=1)))
    base = contexts_of(trace, latency_weight=latency_weight)
    contexts = Contexts.of(
        base.features,
        base.n_arms,
        cost_weight=prices,
        latency_weight=latency_weight,
        mask=observed,
        task=base.task,
    )
    router.replay(contexts.take(order), outcomes.take(order), rng)


def _table(router: Router, part: Fold, latency_weight: float) -> tuple[Contexts, Outcomes]:
    """What a router learns from: the training queries, and the validation ones too if it holds rows out for itself."""
    parts = [part.train, part.validation] if _holds_out(router) else [part.train]
    contexts = Contexts.joined([contexts_of(trace, latency_weight=latency_weight) for trace in parts])
    return contexts, Outcomes.joined([trace.outcomes for trace in parts])


def _holds_out(router: Router) -> bool:
    return isinstance(router, Estimator) and router.holds_out


def _with_dial(policy: Policy, part: Fold, told: Feedback) -> Policy:
    """The policy with a dial fitted on queries it did not learn from, and on the record what it reached there.

    Those are the validation queries or, of a router that holds rows out for itself, all it was given.
    """
    router, expected = policy.router, None
    if isinstance(router, Estimator) and router.held_out is not None:
        contexts, outcomes = _table(router, part, policy.reward.latency_weight)
        complete = np.flatnonzero(outcomes.observed.all(axis=1))
        contexts, outcomes = contexts.take(complete), outcomes.take(complete)
        expected = router.held_out.take(complete)
    else:
        contexts = contexts_of(part.validation, latency_weight=policy.reward.latency_weight)
        outcomes = part.validation.outcomes
        if isinstance(router, Estimator):
            expected = router.predict(contexts)
    weights = cost_weights(outcomes) if told is not Feedback.NONE else np.zeros(1)
    dial_map, frontier = fit_dial(_choices(router, expected, contexts, part.seed), outcomes, weights)
    trained = Policy(policy.router, policy.arms, policy.featuriser, policy.reward, dial_map)
    metrics = {
        "trace": part.train.name,
        "trace_hash": part.trace_hash,
        "seed": part.seed,
        "feedback": told.value,
        "cheapest": part.train.arms[part.cheapest],
        "best_single": part.train.arms[part.best_single],
        "trained_on": part.seen.to_json(),
        "validation": {"queries": len(part.validation), "frontier": frontier, **_reached(trained, part)},
    }
    return Policy(trained.router, trained.arms, trained.featuriser, trained.reward, dial_map, metrics)


def _choices(router: Router, expected: Outcomes | None, contexts: Contexts, seed: int) -> Callable[[float], Ints]:
    if expected is not None:
        # What is expected does not depend on the price of money, so it is asked for once, not once a price.
        known = expected

        def choose(asked: Contexts) -> Ints:
            return greedy(utility(known, asked)).arms
    else:

        def choose(asked: Contexts) -> Ints:
            return router.act(asked, np.random.default_rng(seed), explore=False).arms

    return choices_at(choose, contexts)


def _reached(policy: Policy, part: Fold) -> dict[str, float | None]:
    """Mean score, cost and latency on validation queries at the default dial."""
    rng = np.random.default_rng(part.seed)
    decision = policy.decide(part.validation.queries, rng=rng, explore=False)
    got: Outcomes = part.validation.outcomes.at(decision.arms)
    return {name: known(float(mean_observed(getattr(got, name)))) for name in ("score", "cost_usd", "latency_s")}


def check_routers(names: Sequence[str]) -> None:
    """Refuse a list of routers and plans that holds an unknown name or one name twice, before any work is done.

    Raises:
        BadInput: with the nearest known name.
        MissingExtra: a router's optional packages are not installed.
    """
    for name in names:
        kind_of(name)
        if list(names).count(name) > 1:
            raise BadInput(f"router `{name}` is listed twice")
