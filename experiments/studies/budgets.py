"""What a budget buys: half of a trace to learn from, the other half streamed with bandit feedback at seven budgets.

python -m experiments.studies.budgets --out docs/budgets --document docs/budgets.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from env.contexts import Ints
from env.errors import BadInput
from env.features import Featuriser, default_featuriser
from env.files import write_json
from env.sources.named import load_trace
from env.trace import Trace
from experiments.bootstrap import Array, Bootstrap, estimate
from experiments.documents import put
from experiments.folds import contexts_of, featurised
from experiments.metrics import mean_over
from experiments.studies.budgets_report import markdown, picture
from experiments.studies.paretobandit import ParetoBandit, candidates, installed
from routers import make
from routers.dial import upper_hull

Settings: TypeAlias = Mapping[str, Any]
Choices: TypeAlias = Sequence[Settings]
"""Settings for each of the seven budgets."""
Rows: TypeAlias = list[dict[str, Any]]
Play: TypeAlias = Callable[[Trace, Trace, float, Settings, Sequence[int]], list[Ints]]
"""The arms chosen on a stream in each order, from: offline trace, stream, dollars a request, settings, orders."""

MULTIPLES = (1.2, 3.0, 8.0, 23.0, 65.0, 180.0)
"""Budgets in mean costs of the cheapest arm on the stream; the seventh is the mean cost of the dearest."""
POINTSMAN, PARETOBANDIT, BLIND = "pointsman", "paretobandit", "zero, paced"
RULES = (POINTSMAN, PARETOBANDIT, BLIND)
# What is tried on the offline half: routers inside and the prior precision of LinUCB, and steps of the price.
_INSIDE: tuple[tuple[str, Settings], ...] = (
    *(("linucb", {"alpha": 0.1, "ridge": ridge}) for ridge in (3.0, 10.0, 30.0)),
    ("ridge", {}),
    ("knn", {}),
)
_STEPS = (0.01, 0.03)
CANDIDATES: tuple[Settings, ...] = tuple(
    {"router": router, "settings": settings, "step": step} for router, settings in _INSIDE for step in _STEPS
)
# Ways to cut the offline half in two on which candidates are judged, each half a stream in turn.
_CUTS = 2


@dataclass(frozen=True, slots=True)
class Halves:
    """A trace cut in two by prompt, featurised.

    Attributes:
        offline: with all outcomes, to learn from and to choose on.
        stream: where only the chosen arm's outcome is seen.
    """

    offline: Trace
    stream: Trace

    @classmethod
    def of(cls, trace: Trace, seed: int = 0) -> Halves:
        """Half of the prompts each, drawn by ``seed``."""
        prompts = np.random.default_rng(seed).permutation(int(trace.groups.max()) + 1)
        held = np.isin(trace.groups, prompts[: len(prompts) // 2])
        return cls(trace.take(np.flatnonzero(held)), trace.take(np.flatnonzero(~held)))


def budgets(stream: Trace) -> Array:
    """``(7,)`` dollars a request.

    Example:
        >>> from env.trace_io import from_rows
        >>> cells = [{"model": "a", "score": 0.0, "cost_usd": 1.0}, {"model": "b", "score": 1.0, "cost_usd": 500.0}]
        >>> budgets(from_rows([{"query_id": "q", "prompt": "2 + 2?", **cell} for cell in cells])).round(1).tolist()
        [1.2, 3.0, 8.0, 23.0, 65.0, 180.0, 500.0]
    """
    means = stream.cost_usd.mean(axis=0, dtype=np.float64)
    return np.array([*(times * means.min() for times in MULTIPLES), means.max()])


def paced(offline: Trace, stream: Trace, budget_usd: float, settings: Settings, orders: Sequence[int]) -> list[Ints]:
    """Arms ``(n,)`` that a router under :class:`routers.budget.Budget` chooses in each order, by row of the stream."""
    assert stream.features is not None
    fitted = make("budget", stream.n_arms, stream.features.shape[1], budget_usd=budget_usd, **settings)
    fitted.fit(contexts_of(offline), offline.outcomes)
    contexts, found = contexts_of(stream), []
    for order in orders:
        rows, arms = _order(stream, order), np.empty(len(stream), dtype=np.int64)
        router = type(fitted).from_state(fitted.state())
        arms[rows] = router.replay(contexts.take(rows), stream.outcomes.take(rows), np.random.default_rng(order)).arms
        found.append(arms)
    return found


def paretobandit(
    offline: Trace, stream: Trace, budget_usd: float, settings: Settings, orders: Sequence[int]
) -> list[Ints]:
    """Arms ``(n,)`` that the package chooses in each order, by row of the stream."""
    return [
        ParetoBandit(offline, budget_usd, settings, seed=order).stream(stream, _order(stream, order))
        for order in orders
    ]


def _order(stream: Trace, number: int) -> Ints:
    return np.random.default_rng([number, len(stream)]).permutation(len(stream))


def choose(offline: Trace, play: Play, tried: Sequence[Settings]) -> Array:
    """What settings add over the zero router at the realised spend, at each budget, seen on the offline half alone.

    It is cut in two, twice; each part is streamed once with the other as offline data.

    Returns:
        ``(settings, 7)`` score points; the largest of a column is to be chosen at that budget.
    """
    cuts = [Halves.of(offline, seed) for seed in range(_CUTS)]
    parts = [pair for cut in cuts for pair in ((cut.offline, cut.stream), (cut.stream, cut.offline))]
    added = np.zeros((len(tried), len(MULTIPLES) + 1))
    for learned, stream in parts:
        ones = np.ones((1, len(stream)))
        for at, usd in np.ndenumerate(budgets(stream)):
            for number, settings in enumerate(tried):
                (arms,) = play(learned, stream, float(usd), settings, [0])
                added[number, at] += margin(arms, stream, ones) / len(parts)
    return added


def margin(arms: Ints, stream: Trace, counts: Array) -> Array:
    """Score above the zero router at the same spend, ``(B,)``, where query ``i`` counts ``counts[b, i]`` times.

    The zero router is the hull of the fixed arms' mean costs and scores on the very same queries: what mixing them
    blindly, with knowledge of these means, would have brought for the money that was spent.

    Example:
        >>> from env.trace_io import from_rows
        >>> cells = [{"model": "a", "score": 0.0, "cost_usd": 1.0}, {"model": "b", "score": 1.0, "cost_usd": 3.0}]
        >>> rows = [{"query_id": q, "prompt": q, **cell} for q in ("p", "q") for cell in cells]
        >>> margin(np.array([0, 1]), from_rows(rows), np.ones((1, 2))).tolist()
        [0.0]
    """
    chosen = stream.outcomes.at(arms)
    score, cost = (mean_over(counts, values[None])[:, 0] for values in (chosen.score, chosen.cost_usd))
    return np.asarray(score - zero_at(cost, stream, counts))


def zero_at(cost: Array, stream: Trace, counts: Array) -> Array:
    """Score of the zero router at mean costs ``(B,)``, each in its own replicate."""
    costs, scores = mean_over(counts, stream.cost_usd.T), mean_over(counts, stream.score.T)
    found = np.empty(len(cost))
    for at, (x, y) in enumerate(zip(costs, scores, strict=True)):
        hull = upper_hull(x, y)
        found[at] = np.interp(cost[at], x[hull], y[hull])
    return found


def study(
    trace: Trace,
    orders: int,
    *,
    maker: Featuriser | None = None,
    tried: Sequence[Settings] = CANDIDATES,
    peer: bool | None = None,
    half: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Rows:
    """Choose settings on the offline half, then stream the other half in random orders at every budget.

    Args:
        trace: every outcome with its cost.
        orders: random orders of the stream.
        maker: makes the features; the default featuriser when ``None``.
        tried: settings of :class:`routers.budget.Budget` to choose from.
        peer: run ParetoBandit too; ``None`` where it is installed.
        half: draws the halves.
        say: told of choices and progress.

    Returns:
        Rows ``trace, half, multiple, budget_usd, rule, settings, metric, value, low, high``. Metrics: ``score``,
        ``cost_usd``, ``spent`` (mean cost over budget), ``most_spent`` (of the worst order), ``above_zero``, and of
        the peer ``behind`` (by how many score points Pointsman is above it) and ``adds_less`` (the same of
        ``above_zero``), these two also in the mean over budgets, where ``budget_usd`` is ``None``.

    Raises:
        BadInput: outcomes without a score or cost.
    """
    if not (trace.has_cost and trace.observed.all()):
        raise BadInput(f"trace {trace.name}: budgets are studied on traces with a score and a cost of every outcome")
    cut = Halves.of(featurised(trace, maker or default_featuriser()), half)
    plays: dict[str, tuple[Play, Choices]] = {POINTSMAN: (paced, _chosen(cut.offline, POINTSMAN, paced, tried, say))}
    if installed() if peer is None else peer:
        plays[PARETOBANDIT] = (
            paretobandit,
            _chosen(cut.offline, PARETOBANDIT, paretobandit, candidates(len(cut.offline)), say),
        )
    else:
        say("paretobandit is not installed and left out: pip install paretobandit")
    plays[BLIND] = (paced, [{"router": "zero"}] * (len(MULTIPLES) + 1))
    draws = Bootstrap.draw(cut.stream.groups, orders)
    counts = np.vstack([np.ones((1, len(cut.stream))), draws.prompts])
    rows: Rows = [{"trace": trace.name, "half": half, **row} for row in _fixed(cut.stream)]
    differences: dict[str, list[Array]] = {}
    for number, usd in enumerate(budgets(cut.stream)):
        multiple = MULTIPLES[number] if number < len(MULTIPLES) else None
        found: dict[str, dict[str, Array]] = {}
        for rule, (play, choices) in plays.items():
            arms = play(cut.offline, cut.stream, float(usd), choices[number], range(orders))
            found[rule] = _figures(arms, cut.stream, counts, usd)
        if PARETOBANDIT in found:
            for metric, of in (("behind", "score"), ("adds_less", "above_zero")):
                found[PARETOBANDIT][metric] = found[POINTSMAN][of] - found[PARETOBANDIT][of]
                differences.setdefault(metric, []).append(found[PARETOBANDIT][metric])
        named = {"trace": trace.name, "half": half, "multiple": multiple, "budget_usd": float(usd)}
        for rule, figures in found.items():
            settings = dict(plays[rule][1][number])
            rows += [{**named, "rule": rule, "settings": settings, **row} for row in _rows(figures, draws)]
        say(f"{usd:.3g} USD a request: streamed in {orders} orders")
    pooled = {metric: np.mean(values, axis=0) for metric, values in differences.items()}
    named = {"trace": trace.name, "half": half, "multiple": None, "budget_usd": None, "rule": PARETOBANDIT}
    return rows + [{**named, "settings": None, **row} for row in _rows(pooled, draws)]


def _chosen(offline: Trace, rule: str, play: Play, tried: Sequence[Settings], say: Callable[[str], None]) -> Choices:
    added = choose(offline, play, tried)
    for settings, values in zip(tried, added, strict=True):
        say(f"{rule} on the offline half: {' '.join(f'{value:+.4f}' for value in values)} {dict(settings)}")
    return [tried[number] for number in added.argmax(axis=0)]


def _figures(arms: Sequence[Ints], stream: Trace, counts: Array, budget_usd: float) -> dict[str, Array]:
    """Each metric ``(S, 1 + B)``: an order a row, the data as they are first, then the replicates."""
    chosen = [stream.outcomes.at(one) for one in arms]
    score = np.stack([mean_over(counts, one.score[None])[:, 0] for one in chosen])
    cost = np.stack([mean_over(counts, one.cost_usd[None])[:, 0] for one in chosen])
    above = np.stack([margin(one, stream, counts) for one in arms])
    return {"score": score, "cost_usd": cost, "spent": cost / budget_usd, "above_zero": above}


def _fixed(stream: Trace) -> Rows:
    """Mean cost and score of each arm on the stream, for the hull that is drawn."""
    cost, score = (values.mean(axis=0, dtype=np.float64).tolist() for values in (stream.cost_usd, stream.score))
    named = {"multiple": None, "budget_usd": None, "settings": None, "low": None, "high": None}
    return [
        {**named, "rule": f"always {arm}", "metric": metric, "value": values[number]}
        for number, arm in enumerate(stream.arms)
        for metric, values in (("cost_usd", cost), ("score", score))
    ]


def _rows(figures: Mapping[str, Array], draws: Bootstrap) -> Rows:
    rows: Rows = []
    for metric, values in figures.items():
        pooled = estimate(values[:, 0], draws.pooled(values[:, 1:]))
        assert pooled is not None
        rows.append({"metric": metric, "value": pooled.value, "low": pooled.low, "high": pooled.high})
    if "spent" in figures:
        most = float(figures["spent"][:, 0].max())
        rows.append({"metric": "most_spent", "value": most, "low": None, "high": None})
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.budgets", description=__doc__.splitlines()[0])
    parser.add_argument("--trace", default="paretobandit_val", help="by name or path (paretobandit_val)")
    parser.add_argument("--orders", type=int, default=20, help="random orders of the stream (20)")
    parser.add_argument("--half", type=int, default=0, help="which division into halves (0)")
    parser.add_argument("--out", type=Path, help="folder for the rows and the picture")
    parser.add_argument("--document", type=Path, help="whose tables to replace, e.g. docs/budgets.md")
    given = parser.parse_args(arguments)
    rows = study(
        load_trace(given.trace),
        given.orders,
        half=given.half,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(markdown(rows))
    if given.out is not None:
        write_json(rows, given.out / "rows.json")
        picture(rows, given.out)
    if given.document is not None:
        put("budgets", markdown(rows), given.document)


if __name__ == "__main__":
    main()
