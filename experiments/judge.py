"""One trained policy judged on its own: beside the fixed arms, with intervals over prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from env.errors import BadInput
from env.trace import Trace
from experiments.baselines import BEST_SINGLE, CHEAPEST
from experiments.bootstrap import Bootstrap, Estimate, estimate
from experiments.evaluate import DIALS, DecisionsFile, decide_at_every_dial, realised, stream_hash
from experiments.folds import best_single, cheapest, featurised
from experiments.metrics import Frontier, mean_over
from experiments.money import per_thousand
from experiments.plans import follow_at_every_dial
from experiments.seen import Seen
from experiments.trace_report import same_arms
from routers.plan_policy import PlanPolicy
from routers.policy import Bundled, Policy

_SHOWN_DIALS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a policy reached.

    Attributes:
        trace: name of the trace.
        router: the policy's algorithm.
        part: what the queries are, in words.
        n: how many.
        trained_on: how many were left out because the policy was trained on their prompts; ``None`` where the
            policy does not say what it was trained on.
        incomplete: how many of the others were left out because not every arm of the policy was observed.
        figures: metric -> value with its interval; ``score@D`` and ``cost_usd@D`` for dials ``D``, and ``aiq``.
        references: metrics of the best single and the cheapest arm, by ``name (arm)``.
        stream_hash: of exactly the queries judged and their outcomes; that of a comparison's report on the same ones,
            with the policy's seed alone.
    """

    trace: str
    router: str
    part: str
    n: int
    trained_on: int | None
    incomplete: int
    figures: dict[str, Estimate]
    references: dict[str, dict[str, Estimate]]
    stream_hash: str = ""

    def rows(self) -> list[dict[str, Any]]:
        """Rows as those of a comparison, and how many queries were judged and left out."""
        counts = {"queries": self.n, "queries_trained_on": self.trained_on, "queries_incomplete": self.incomplete}
        named = {self.router: self.figures, **self.references}
        found = [
            {"trace": self.trace, "router": router, "seed": None, "metric": metric,
             "value": figure.value, "low": figure.low, "high": figure.high}
            for router, figures in named.items()
            for metric, figure in figures.items()
        ]  # fmt: skip
        return found + [
            {"trace": self.trace, "router": self.router, "seed": None, "metric": metric,
             "value": value, "low": None, "high": None}
            for metric, value in counts.items()
        ]  # fmt: skip


def evaluate(policy: Policy | PlanPolicy, trace: Trace, *, decisions: str | Path | None = None) -> Judgement:
    """Evaluate a policy on queries whose prompts it was not trained on.

    The policy says which those are (``experiments.seen``), so it does not matter whether the
    trace is the one it was trained on, a part of that, the same in another order, or another trace.

    Args:
        policy: to be judged.
        trace: recorded outcomes of the policy's arms, and maybe of others.
        decisions: Parquet file for every decision.

    Raises:
        BadInput: an arm of the policy is missing, no query is left to judge on, or the policy was trained on a
            trace and does not say on which prompts.
    """
    seed = int(policy.metrics.get("seed", 0))
    trace = featurised(same_arms(trace, policy.arm_names), policy.featuriser)
    seen = _seen(policy)
    unseen = np.ones(len(trace), dtype=bool) if seen is None else ~seen.holds(trace)
    if not unseen.any():
        raise BadInput(
            f"trace {trace.name}: the policy was trained on the prompts of all {len(trace)} queries; "
            "evaluate it on the whole trace it was trained on, or on prompts it has not seen"
        )
    rows = np.flatnonzero(unseen & np.all(trace.observed, axis=1))
    if not len(rows):
        raise BadInput(f"trace {trace.name}: no query has a score for all of the policy's {trace.n_arms} arms")
    test = trace.take(rows)
    if isinstance(policy, PlanPolicy):
        made = follow_at_every_dial(policy, test, seed=seed)
    else:
        made = decide_at_every_dial(policy, test, seed=seed)
    if decisions is not None:
        with DecisionsFile(decisions) as file:
            file.add(trace.name, test, made)
    draws = Bootstrap.draw(test.groups, n_seeds=1)
    weights = np.vstack([np.ones((1, len(test))), draws.prompts])
    cost, score = mean_over(weights, made.outcomes.cost_usd), mean_over(weights, made.outcomes.score)
    arms = {name: _arm(policy, test, name) for name in (CHEAPEST, BEST_SINGLE)}
    fixed = {name: realised(test, np.full((1, len(test)), arm)) for name, arm in arms.items()}
    arm_cost = {name: mean_over(weights, got.cost_usd)[:, 0] for name, got in fixed.items()}
    arm_score = {name: mean_over(weights, got.score)[:, 0] for name, got in fixed.items()}
    frontier = Frontier(cost, score, arm_cost[CHEAPEST], arm_score[CHEAPEST], arm_cost[BEST_SINGLE])
    figures = {"aiq": frontier.aiq}
    for at, dial in enumerate(DIALS):
        if dial in _SHOWN_DIALS:
            figures |= {f"score@{dial:g}": score[:, at], f"cost_usd@{dial:g}": cost[:, at]}
    references = {
        f"{name} ({test.arms[arm]})": _estimates({"score": arm_score[name], "cost_usd": arm_cost[name]})
        for name, arm in arms.items()
    }
    return Judgement(
        trace.name,
        policy.name,
        _part(seen, test, len(trace) - int(unseen.sum())),
        len(test),
        None if seen is None else len(trace) - int(unseen.sum()),
        int(unseen.sum()) - len(rows),
        _estimates(figures),
        references,
        stream_hash([seed], [test]),
    )


def _seen(policy: Bundled) -> Seen | None:
    """The prompts that the policy was trained on; ``None`` where it was never trained on a trace."""
    seen = Seen.from_json(policy.metrics.get("trained_on"))
    if seen is None and "trace_hash" in policy.metrics:
        raise BadInput(
            f"the policy was trained on trace {policy.metrics.get('trace')} and does not say on which prompts "
            "(an older version wrote it), so what it has not seen cannot be told; train it again"
        )
    return seen


def _part(seen: Seen | None, test: Trace, left_out: int) -> str:
    """What the queries are, and what cannot be told of them."""
    if seen is None:
        return "all; the policy does not say what it was trained on"
    untold = int((~seen.decides_by_text(test)).sum())
    if left_out:
        said = f"{left_out} left out: the policy was trained on their prompts"
    elif untold:
        said = "none is known to be one that the policy was trained on"
    else:
        said = "the policy was trained on none of their prompts"
    if untold:
        said += (
            f"; {untold} compared by hash or features, for want of text: a training prompt spelt otherwise among "
            "them cannot be told"
        )
    return said


def table(judged: Judgement) -> Table:
    """Score and cost at five dials, and of the fixed arms that bound them."""
    shown = Table(
        title=f"{judged.router} on {judged.trace}: {judged.n} queries ({_which(judged)})",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    shown.add_column("", no_wrap=True)
    shown.add_column("score [95 %]", justify="right")
    shown.add_column("$/1k requests [95 %]", justify="right")
    for dial in _SHOWN_DIALS:
        score, cost = judged.figures.get(f"score@{dial:g}"), judged.figures.get(f"cost_usd@{dial:g}")
        shown.add_row(f"dial {dial:g}", _cell(score, lambda score: f"{score:.3f}"), _cell(cost, per_thousand))
    shown.add_section()
    for name, figures in judged.references.items():
        shown.add_row(
            name,
            _cell(figures.get("score"), lambda score: f"{score:.3f}"),
            _cell(figures.get("cost_usd"), per_thousand),
        )
    lines = [f"hash of the queries judged {judged.stream_hash[:12]}"]
    if "aiq" in judged.figures:
        area = _cell(judged.figures["aiq"], lambda score: f"{score:.4f}")
        lines.insert(0, f"AIQ {area}: mean score between the costs of those two")
    shown.caption, shown.caption_justify = "\n".join(lines), "left"
    return shown


def _which(judged: Judgement) -> str:
    if not judged.incomplete:
        return judged.part
    return f"{judged.part}; {judged.incomplete} left out: not every model was scored"


def _arm(policy: Bundled, test: Trace, role: str) -> int:
    """The arm that training data showed to be the cheapest or the best; without a record, what these data show."""
    name = policy.metrics.get(role)
    if name in policy.arm_names:
        return policy.arm_names.index(name)
    return best_single(test) if role == BEST_SINGLE else cheapest(test)


def _estimates(figures: dict[str, np.ndarray[tuple[Any, ...], np.dtype[np.float64]]]) -> dict[str, Estimate]:
    found = {metric: estimate(values[:1], values[1:]) for metric, values in figures.items()}
    return {metric: value for metric, value in found.items() if value is not None}


def _cell(found: Estimate | None, shown: Callable[[float], str]) -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return shown(found.value)
    return f"{shown(found.value)} [{shown(found.low)}, {shown(found.high)}]"
