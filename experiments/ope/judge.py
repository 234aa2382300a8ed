"""A policy bundle judged on a log, as ``pointsman ope`` does it: score, and cost beside it where it was recorded."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from env.errors import BadInput
from env.trace import Trace
from experiments.bootstrap import LEVEL
from experiments.ope.evaluation import DEFAULT, Estimated, OffPolicy, evaluate
from experiments.ope.intervals import REPLICATES, Interval
from experiments.ope.logs import BanditLog, Outcome, Unjudged
from experiments.ope.target import law_of
from experiments.seen import Seen
from routers.policy import Policy

_TRAINED = "the policy was trained on such prompts"


def off_policy(
    policy: Policy,
    trace: Trace,
    *,
    dial: float | None = None,
    estimators: Sequence[str] = DEFAULT,
    explore: bool = False,
    retired: Collection[str] = (),
    unjudged: Unjudged = "error",
    least_propensity: float | None = None,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> list[OffPolicy]:
    """What a policy would have brought on the requests of a log.

    Decisions on prompts that the policy was trained on are left out: it would be judged on what it was told.

    Args:
        policy: is judged.
        trace: a bandit log (:meth:`experiments.ope.logs.BanditLog.from_trace`).
        dial: of the policy; what each caller asked for when not given, 0.5 where that was not kept.
        estimators: names of ``experiments.ope.estimators.ESTIMATORS``.
        explore: judge the router's randomised law, not its greedy one.
        retired: arms of the log that the policy is known not to have.
        unjudged: what becomes of decisions without a score: ``"error"`` or ``"drop"``.
        least_propensity: see :func:`experiments.ope.evaluation.evaluate`.
        level: of confidence.
        replicates: of the bootstrap.
        seed: of its draws.

    Returns:
        The score's, and the cost's where every judged decision has one.

    Raises:
        BadInput: no log, other arms, or nothing is left to judge by.
    """
    seen = Seen.from_json(policy.metrics.get("trained_on"))
    known = np.zeros(len(trace), dtype=bool) if seen is None else seen.holds(trace)
    if known.all():
        raise BadInput(
            f"trace {trace.name}: the policy was trained on the prompts of all {len(trace)} queries; judge it on a log "
            "of other prompts"
        )
    fresh = trace.take(np.flatnonzero(~known)) if known.any() else trace
    found = []
    law = None
    outcomes: tuple[Outcome, ...] = ("score", "cost_usd") if fresh.has_cost else ("score",)
    for outcome in outcomes:
        log = BanditLog.from_trace(fresh, outcome=outcome, unjudged=unjudged)
        log = log.having_left_out({_TRAINED: int(known.sum())} if known.any() else {})
        # The law takes long where there are many rows, and is the same for both.
        law = law_of(policy, log, dial=dial, explore=explore, retired=retired) if law is None else law
        found.append(
            evaluate(
                log,
                law,
                estimators=estimators,
                least_propensity=least_propensity,
                level=level,
                replicates=replicates,
                seed=seed,
            )
        )
    return found


def table(found: OffPolicy) -> Table:
    """Every estimate with its intervals; what the log itself brought stands first."""
    met = found.overlap
    shown = Table(
        title=f"{found.outcome}, {found.log}: {met.n:,} decisions, worth {met.ess:,.0f} of the policy's own",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        caption=_caption(found),
        caption_justify="left",
    )
    shown.add_column("", no_wrap=True)
    shown.add_column("estimate", justify="right")
    for head in ("95 % bootstrap", "empirical Bernstein", "anytime"):
        shown.add_column(head, justify="right", no_wrap=True)
    shown.add_row("the log itself", *_cells(found.logged))
    shown.add_section()
    for name, estimate in found.estimates.items():
        shown.add_row(name, *_cells(estimate))
    return shown


def _caption(found: OffPolicy) -> str:
    met = found.overlap
    weights = ", ".join(f"{100 * level:g} % {value:.3g}" for level, value in met.quantiles.items())
    lines = [
        f"weights: mean {met.mean_weight:.3g}, at most {met.max_weight:.3g}; quantiles: {weights}",
        f"unsupported: {100 * met.unsupported:.2g} % of the policy's decisions",
    ]
    return "\n".join([*lines, *(f"note: {caveat}" for caveat in met.caveats)])


def _cells(found: Estimated) -> list[str]:
    return [f"{found.value:.4g}", *(_shown(one) for one in (found.interval, found.bernstein, found.anytime))]


def _shown(interval: Interval | None) -> str:
    return "-" if interval is None else f"[{interval.low:.4g}, {interval.high:.4g}]"
