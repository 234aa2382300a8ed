"""Doubtful numbers in a trace: scores, costs, latencies, tokens and propensities that are not what they seem."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools
from env.problem import Problem, Severity, some
from env.trace import Trace

# Fewer observations of an arm than this tell nothing about its scale, or about what its cost depends on.
_ENOUGH = 20
_TALL, _LOW = 0.9, 0.2  # highest scores that are far apart: one arm graded 0 to 1, another perhaps 0 to 0.1
_GRADES = 5  # more distinct scores than this are grades, and not right or wrong
_LONG_S = 3600.0
_DEAR_USD = 10.0
_UNRELATED = 0.3  # a correlation below this
_OFF, _SURELY = 0.2, 4.0  # by how much, and by how many standard errors, a mean may miss what it should be
_REFERENCE = 0.5


def value_problems(trace: Trace) -> Iterator[Problem]:
    """What is impossible or suspicious in the numbers of a trace."""
    yield from _impossible(trace)
    yield from _scores(trace)
    yield from _costs(trace)
    yield from _latencies(trace)
    yield from _tokens(trace)
    yield from _propensities(trace)


def _impossible(trace: Trace) -> Iterator[Problem]:
    """Reading a file refuses these; a trace made in memory may hold them."""
    limits = {"score": 1.0, "cost_usd": np.inf, "latency_s": np.inf, "input_tokens": np.inf, "output_tokens": np.inf}
    for column, high in limits.items():
        values = getattr(trace, column)
        wrong = np.isinf(values) | (values < 0) | (values > high)
        if wrong.any():
            rule = "scores are in [0, 1]" if column == "score" else "it must be finite and 0 or more"
            first = values[wrong][0]
            mend = f"correct or leave out the value; {rule}; NaN where not recorded"
            yield _cells(trace, "error", f"{column} is impossible, for example {first:g}", wrong, mend)
    if trace.features is not None and not (finite := np.isfinite(trace.features).all(axis=1)).all():
        unfit = trace.query_ids[~finite]
        mend = "make them anew from the prompts, or leave the queries out"
        yield Problem("error", "features are NaN or infinite", some(unfit), len(unfit), mend)


def _scores(trace: Trace) -> Iterator[Problem]:
    highest: dict[str, float] = {}
    graded: list[str] = []
    binary: list[str] = []
    for column, arm in enumerate(trace.arms):
        seen = trace.score[trace.observed[:, column], column]
        distinct = np.unique(seen)
        if len(seen) > 1 and len(distinct) == 1:
            is_reference = seen[0] == _REFERENCE
            yield Problem(
                "note" if is_reference else "warning",
                f"{arm} is constant: its score is always {seen[0]:g}",
                arm,
                len(seen),
                "right for a model that the others were compared with; else check how it was scored"
                if is_reference
                else "check how it was scored, or leave it out with trace.select_arms([...])",
            )
        elif len(seen) >= _ENOUGH:
            highest[arm] = float(distinct[-1])
            if len(distinct) > _GRADES:
                graded.append(arm)
            elif np.isin(distinct, (0, 1)).all():
                binary.append(arm)
    if graded and binary:
        few = min(graded, binary, key=len)
        kinds = ("graded", "right or wrong") if few is graded else ("right or wrong", "graded")
        yield Problem(
            "warning",
            f"scores are {kinds[0]} for {some(few)}, and {kinds[1]} for the other models",
            some(few),
            len(few),
            "score every model in one way",
        )
    low = [arm for arm, top in highest.items() if top < _LOW]
    if low and max(highest.values()) >= _TALL:
        yield Problem(
            "warning",
            f"scores of {some(low)} never exceed {max(highest[arm] for arm in low):g}, those of others reach "
            f"{max(highest.values()):g}",
            some(low),
            len(low),
            "check the scale: `pointsman trace import --score-range LOW HIGH` brings scores to 0..1",
        )


def _costs(trace: Trace) -> Iterator[Problem]:
    cost = trace.cost_usd
    used = np.nan_to_num(trace.input_tokens) + np.nan_to_num(trace.output_tokens)
    free = (cost == 0) & (used > 0)
    always = np.array([bool(free[:, column][np.isfinite(cost[:, column])].all()) for column in range(trace.n_arms)])
    sometimes = free & ~always
    if sometimes.any():
        yield _cells(
            trace,
            "warning",
            "cost_usd is 0 although tokens were used, by models that cost something elsewhere",
            sometimes,
            "leave an unknown cost null; `pointsman trace import --prices list` computes it",
        )
    if (free & always).any():
        names = some(arm for column, arm in enumerate(trace.arms) if (free & always)[:, column].any())
        mend = "right for a model of your own; else add prices"
        yield Problem("note", f"{names}: costs nothing", names, int((free & always).any(axis=0).sum()), mend)
    dear = [
        arm
        for column, arm in enumerate(trace.arms)
        if np.isfinite(cost[:, column]).any() and np.nanmedian(cost[:, column]) > _DEAR_USD
    ]
    if dear:
        yield Problem(
            "warning",
            f"half of all requests to {some(dear)} cost more than ${_DEAR_USD:g}",
            some(dear),
            len(dear),
            "cost_usd is dollars a request: are these cents, or dollars per thousand requests or million tokens?",
        )
    by_kind: dict[str, list[str]] = {}
    for column, arm in enumerate(trace.arms):
        if kind := _unlike_tokens(trace, column):
            by_kind.setdefault(kind, []).append(arm)
    if arms := by_kind.get("constant"):
        mend = "right where a request has a fixed price; else record the cost of each"
        what = f"{some(arms)}: cost_usd is the same for every request, whatever its tokens"
        yield Problem("note", what, some(arms), len(arms), mend)
    if arms := by_kind.get("unrelated"):
        mend = "check that costs and tokens are of the same request, and of the same model"
        yield Problem("warning", f"{some(arms)}: cost_usd does not rise with tokens", some(arms), len(arms), mend)


def _unlike_tokens(trace: Trace, column: int) -> str | None:
    """Whether tokens vary and the cost is ``"constant"``, or goes up with neither those read nor those written."""
    cost = trace.cost_usd[:, column].astype(np.float64)
    found = None
    for counted in (trace.input_tokens[:, column], trace.output_tokens[:, column]):
        both = np.isfinite(cost) & np.isfinite(counted)
        if both.sum() < _ENOUGH or np.ptp(counted[both]) == 0 or not cost[both].any():
            continue
        if np.ptp(cost[both]) == 0:
            return "constant"
        if np.corrcoef(counted[both].astype(np.float64), cost[both])[0, 1] > _UNRELATED:
            return None
        found = "unrelated"
    return found


def _latencies(trace: Trace) -> Iterator[Problem]:
    if (none := trace.latency_s == 0).any():
        yield _cells(trace, "warning", "latency_s is 0", none, "leave it null where no time was measured")
    if (long := trace.latency_s > _LONG_S).any():
        what = f"latency_s exceeds an hour, up to {np.nanmax(trace.latency_s):g}"
        yield _cells(trace, "warning", what, long, "it is in seconds: are these milliseconds?")


def _tokens(trace: Trace) -> Iterator[Problem]:
    responses = trace.cell_columns.get("response")
    if responses is not None:
        said = np.array([[bool(cell) for cell in row] for row in responses], dtype=np.bool_).reshape(responses.shape)
        if (silent := said & (trace.output_tokens == 0)).any():
            yield _cells(
                trace, "warning", "output_tokens is 0 although there is a response", silent, "leave unknown counts null"
            )
    if (unread := trace.input_tokens == 0).any():
        yield _cells(trace, "warning", "input_tokens is 0: no prompt has none", unread, "leave unknown counts null")


def _propensities(trace: Trace) -> Iterator[Problem]:
    column = trace.cell_columns.get("propensity")
    if column is None:
        return
    logged: NDArray[np.float64] = np.where(column == None, np.nan, column).astype(np.float64)  # noqa: E711 - elementwise
    if (lost := trace.observed & np.isnan(logged)).any() and np.isfinite(logged).any():
        mend = "write the chosen model's probability with every decision"
        yield _cells(trace, "warning", "scored without a propensity", lost, f"{mend}; such rows are no use off-policy")
    rows = np.isfinite(logged).sum(axis=1) == 1
    chance = np.nansum(logged[rows], axis=1)
    if not trace.is_log or not rows.any():
        return
    if (chance == 1).all() and trace.n_arms > 1:
        yield Problem(
            "warning",
            "every propensity is 1: whoever chose never explored",
            "propensity",
            len(chance),
            "other policies cannot be judged on this log; log with some exploration",
        )
        return
    # Under the policy that logged, 1 / propensity averages to the number of models that it could choose.
    available = trace.cell_columns.get("available")
    choices = np.full(len(trace), trace.n_arms) if available is None else (available != False).sum(axis=1)  # noqa: E712 - elementwise on objects
    ratio = 1 / chance / choices[rows]
    error = max(float(ratio.std()) / np.sqrt(len(ratio)), 1e-9)
    miss = float(ratio.mean()) - 1
    if abs(miss) > max(_OFF, _SURELY * error):
        yield Problem(
            "warning",
            f"1 / propensity averages {float((1 / chance).mean()):.3g}, and should average the number of models, "
            f"{float(choices[rows].mean()):.3g}",
            "propensity",
            len(chance),
            "log the probability of the model that was chosen, at the time it was; or a model was never possible",
        )


def _cells(trace: Trace, severity: Severity, what: str, cells: Bools, mend: str) -> Problem:
    """A problem of single values: how many, and of which arms, first query first."""
    arms = [arm for column, arm in enumerate(trace.arms) if cells[:, column].any()]
    first = trace.query_ids[int(np.argmax(cells.any(axis=1)))]
    return Problem(severity, what, f"query {first}; {some(arms)}", int(cells.sum()), mend)
