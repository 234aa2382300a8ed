"""Training a plan: what it learns from, and its dial, every choice made without the test part."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from env.arms import Arm
from env.contexts import Contexts, Outcomes, known, mean_observed
from env.features import Featuriser
from env.reward import DialMap, Reward
from env.splits import SplitBy
from env.trace import Trace
from experiments.evaluate import DIALS, Evaluation
from experiments.folds import Fold, contexts_of, featurised, fold, prepared
from routers.attempts import Attempts
from routers.bundle import check_folder
from routers.dial import cost_weights, fit_dial
from routers.plan import Plan, follow, make_plan, plan_class
from routers.plan_policy import PlanPolicy
from routers.policy import DEFAULT_DIAL


def train_plan(
    trace: Trace,
    plan: str,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    split_by: SplitBy = "prompt",
    latency_weight: float = 0.0,
    settings: Mapping[str, Any] | None = None,
    featuriser: Featuriser | None = None,
    arms: Sequence[Arm] = (),
) -> PlanPolicy:
    """Train a plan on a trace and put a dial on it; arguments as those of :func:`experiments.train.train`.

    Raises:
        BadInput: an unknown plan or setting, or a trace that keeps no responses or cannot be split.
    """
    recipe = plan_class(plan).featuriser
    Attempts.recorded(trace)  # what would fail at the end is looked at first
    if out is not None:
        check_folder(out)
    if featuriser is not None:
        trace = featurised(trace, featuriser)
    part, maker = prepared(fold(trace, seed, split_by=split_by), recipe, featuriser)
    policy = learn_plan(part, plan, maker, latency_weight=latency_weight, settings=settings, arms=arms)
    if out is not None:
        policy.save(out)
    return policy


def learn_plan(
    part: Fold,
    name: str,
    featuriser: Featuriser,
    *,
    latency_weight: float = 0.0,
    settings: Mapping[str, Any] | None = None,
    arms: Sequence[Arm] = (),
) -> PlanPolicy:
    """Train a plan on a fold whose traces have the featuriser's features.

    The dial is fitted on validation queries, with a plan that learned from the training queries. One that learns from
    a table then learns anew, from both; a price of money means the same to it.

    Raises:
        BadInput: an unknown plan or setting, or a trace that keeps no responses.
    """
    given = dict(settings or {})
    if "seed" in inspect.signature(plan_class(name)).parameters:
        given.setdefault("seed", part.seed)

    def taught(traces: Sequence[Trace]) -> Plan:
        plan = make_plan(name, part.train.n_arms, featuriser.d, **given)
        contexts = Contexts.joined([contexts_of(trace, latency_weight=latency_weight) for trace in traces])
        recorded = Attempts.stacked([Attempts.recorded(trace) for trace in traces])
        if plan.learns_from_table:
            return plan.fit(contexts, recorded)
        one_by_one(plan, contexts, recorded, part.seed)
        return plan

    plan = taught([part.train])
    dial_map, frontier = plan_dial(plan, part.validation, latency_weight=latency_weight, seed=part.seed)
    contexts = _priced(contexts_of(part.validation, latency_weight=latency_weight), float(dial_map(DEFAULT_DIAL)))
    got = follow(plan, contexts, Attempts.recorded(part.validation), np.random.default_rng(part.seed)).outcomes
    reached = {name: known(float(mean_observed(getattr(got, name)))) for name in ("score", "cost_usd", "latency_s")}
    if plan.learns_from_table:
        plan = taught([part.train, part.validation])
    listed = {arm.name: arm for arm in arms}
    metrics = {
        "trace": part.train.name,
        "trace_hash": part.trace_hash,
        "seed": part.seed,
        "feedback": "full" if plan.learns_from_table else "bandit",
        "cheapest": part.train.arms[part.cheapest],
        "best_single": part.train.arms[part.best_single],
        "trained_on": part.seen.to_json(),
        "validation": {"queries": len(part.validation), "frontier": frontier, **reached},
    }
    return PlanPolicy(
        plan,
        tuple(listed.get(arm, Arm(arm)) for arm in part.train.arms),
        featuriser,
        Reward(latency_weight=latency_weight),
        dial_map,
        metrics,
    )


def plan_dial(
    plan: Plan, validation: Trace, *, latency_weight: float = 0.0, seed: int = 0
) -> tuple[DialMap, dict[str, list[float]]]:
    """The dial of a plan on validation queries, fitted as that of every router is: on the costs of all calls."""
    contexts, recorded = contexts_of(validation, latency_weight=latency_weight), Attempts.recorded(validation)
    weights = cost_weights(validation.outcomes)
    tried = [
        follow(plan, _priced(contexts, float(weight)), recorded, np.random.default_rng(seed)).outcomes
        for weight in weights
    ]
    # One column a weight: what the plan got there. "Choosing" a weight is then choosing a column.
    columns = zip(*((got.score, got.cost_usd, got.latency_s) for got in tried), strict=True)
    got = Outcomes(*(np.stack(column, axis=1) for column in columns))
    at = {float(weight): column for column, weight in enumerate(weights)}
    return fit_dial(lambda weight: np.full(len(validation), at[weight]), got, weights)


def one_by_one(plan: Plan, contexts: Contexts, recorded: Attempts, seed: int) -> None:
    """One pass in random order: follow the plan, let it learn what its own calls brought; prices of money are drawn."""
    rng = np.random.default_rng([seed, len(contexts)])
    prices = rng.choice(cost_weights(recorded.outcomes), size=len(contexts))
    for row in rng.permutation(np.flatnonzero(recorded.answered.all(axis=1))):
        at = slice(int(row), int(row) + 1)
        one = _priced(contexts.take(at), float(prices[row]))
        plan.update(one, follow(plan, one, recorded.take(at), rng).attempts)


def follow_at_every_dial(policy: PlanPolicy, test: Trace, *, seed: int = 0) -> Evaluation:
    """What a plan does on recorded answers at every dial; it learns nothing from them.

    Returns:
        An evaluation whose arms are those whose answer was returned, and whose costs and latencies are of all calls.

    Raises:
        BadInput: the trace lacks an arm of the policy, or keeps no responses.
    """
    test = test.select_arms(policy.arm_names)
    recorded = Attempts.recorded(test)
    reached = [
        follow(policy.plan, policy.contexts(test.queries, dial=dial), recorded, np.random.default_rng([seed, at]))
        for at, dial in enumerate(DIALS)
    ]
    columns = zip(
        *((got.outcomes.score, got.outcomes.cost_usd, got.outcomes.latency_s) for got in reached), strict=True
    )
    return Evaluation(
        policy.name,
        seed,
        np.stack([got.arms for got in reached]),
        np.stack([got.propensities for got in reached]),
        Outcomes(*(np.stack(column) for column in columns)),
        np.stack([got.attempts.asked.sum(axis=1) for got in reached]),
    )


def _priced(contexts: Contexts, weight: float) -> Contexts:
    """The same at another price of money."""
    return replace(contexts, cost_weight=np.full(len(contexts), weight, dtype=np.float32))
