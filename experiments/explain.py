"""A decision and why: what a policy believes of every arm, and how that made its choice."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from env.contexts import Outcomes, known
from experiments.money import per_thousand
from routers.base import Estimator
from routers.policy import DEFAULT_DIAL, Policy


@dataclass(frozen=True, slots=True)
class Belief:
    """What a policy expects of one arm; ``None`` where it has no estimate."""

    model: str
    score: float | None
    cost_usd: float | None
    latency_s: float | None
    utility: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision.

    Attributes:
        model: the arm chosen.
        dial: it was asked for.
        cost_weight: score points that a dollar is worth at this dial.
        beliefs: per arm that may be chosen, best first.
        policy_version: of the policy.
        router: its algorithm.
    """

    model: str
    dial: float
    cost_weight: float
    beliefs: tuple[Belief, ...]
    policy_version: str
    router: str

    @property
    def why(self) -> str:
        """One sentence.

        Example:
            >>> likely, unlikely = Belief("a", 0.9, 0.001, None, 0.8), Belief("b", 0.5, 0.0, None, 0.5)
            >>> Explanation("a", 1.0, 0.0, (likely, unlikely), "v", "ridge").why
            'a: expected score 0.900 at $1 per 1,000; next b: 0.500 at $0 per 1,000'
        """
        words = [_in_words(belief) for belief in self.beliefs[:2]]
        return f"{self.beliefs[0].model}: {words[0]}" + (
            f"; next {self.beliefs[1].model}: {words[1].removeprefix('expected score ')}" if len(words) > 1 else ""
        )


def explain(
    policy: Policy, prompt: str, *, dial: float = DEFAULT_DIAL, models: Collection[str] | None = None
) -> Explanation:
    """What a policy decides on a prompt, and on what grounds; no model is called.

    Args:
        policy: decides.
        prompt: to route.
        dial: 0 = cheapest, 1 = best.
        models: the arms that may be chosen, at least one of the policy's; all when not given.

    Example:
        >>> from env.features import Hashing
        >>> from routers.policy import new_policy
        >>> explain(new_policy("fixed", ["a", "b"], Hashing(8), arm=1), "Hello").model
        'b'
    """
    allowed = [models is None or name in models for name in policy.arm_names]
    contexts = policy.contexts([prompt], dial=dial, mask=np.array(allowed))
    decision = policy.decide(contexts, rng=np.random.default_rng(0), explore=False)
    router = policy.router
    estimates = router.predict(contexts) if isinstance(router, Estimator) else None
    beliefs = []
    for arm, name in enumerate(policy.arm_names):
        if not allowed[arm]:
            continue
        score, cost, latency = (None, None, None) if estimates is None else _row(estimates, arm)
        beliefs.append(Belief(name, score, cost, latency, float(decision.scores[0, arm])))
    chosen = policy.arm_names[int(decision.arms[0])]
    beliefs.sort(key=lambda belief: (belief.model != chosen, -belief.utility))
    return Explanation(chosen, dial, float(contexts.cost_weight[0]), tuple(beliefs), policy.version, router.name)


def table(explained: Explanation) -> Table:
    """The beliefs, best first."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("model", no_wrap=True)
    for head in ("expected score", "expected $/1k", "expected latency s", "utility"):
        shown.add_column(head, justify="right")
    for belief in explained.beliefs:
        numbers = [_cell(value) for value in (belief.score, belief.latency_s, belief.utility)]
        cells = [numbers[0], per_thousand(belief.cost_usd), *numbers[1:]]
        shown.add_row(belief.model, *cells, style="bold" if belief.model == explained.model else "")
    shown.caption = (
        f"utility = score - {explained.cost_weight:.4g} x dollars at dial {explained.dial:g}; "
        f"{explained.router} {explained.policy_version}"
    )
    shown.caption_justify = "left"
    return shown


def _row(estimates: Outcomes, arm: int) -> tuple[float | None, float | None, float | None]:
    values = (estimates.score[0, arm], estimates.cost_usd[0, arm], estimates.latency_s[0, arm])
    score, cost, latency = (known(value) for value in values)
    return score, cost, latency


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:#.3g}"


def _in_words(belief: Belief) -> str:
    if belief.score is None:
        return f"preference {belief.utility:.3g}"
    cost = "an unknown cost" if belief.cost_usd is None else f"${per_thousand(belief.cost_usd)} per 1,000"
    return f"expected score {belief.score:.3f} at {cost}"
