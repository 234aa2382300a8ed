"""What is wrong with a trace, or must be known before numbers made from it are believed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from env.contexts import Ints
from env.errors import BadInput
from env.near_duplicates import BOILERPLATE, LEAST_SIMILARITY, near_duplicates
from env.problem import SEVERITIES, Problem, some
from env.prompts import normalise
from env.splits import PART_NAMES, PARTS, times
from env.trace import Trace
from env.trace_io import REQUIRED, likely_meant
from env.value_problems import value_problems

_FEW_PROMPTS = 100
_SMALL_TASK = 20
_MOSTLY = 0.5
# This many different prompts do not by chance share the length that none exceeds, if they are that long.
_CUT_PROMPTS, _CUT_CHARACTERS = 5, 1000


def problems(trace: Trace, *, near: bool = True) -> list[Problem]:
    """Everything found, errors first.

    Args:
        trace: recorded outcomes.
        near: look for nearly equal prompts too, which takes some seconds for ten thousand prompts.

    Example:
        >>> from env.trace_io import from_rows
        >>> rows = [{"query_id": str(n), "prompt": f"prompt {n}", "model": "ab"[n], "score": None} for n in (0, 1)]
        >>> found = problems(from_rows(rows))[0]
        >>> found.severity, found.what, found.where, found.count
        ('error', 'a, b: no score at all', 'a, b', 2)
    """
    found = [*_columns(trace), *_coverage(trace), *_split(trace), *_prompts(trace)]
    if near:
        found += _near(trace)
    found += [*_tasks(trace), *_order(trace), *value_problems(trace)]
    return sorted(found, key=lambda problem: SEVERITIES.index(problem.severity))


def _columns(trace: Trace) -> Iterator[Problem]:
    meant = likely_meant(trace.unread, [*REQUIRED, *trace.query_columns, *trace.cell_columns])
    for name, column in meant.items():
        what = (
            f"column {name} is not read; if {column} was meant, `pointsman trace import --map {name}={column}` "
            "renames it"
        )
        yield Problem("warning", what, name, 1, f"rename it: `pointsman trace import FILE --map {name}={column}`")
    others = [name for name in trace.unread if name not in meant]
    if others:
        what = f"not part of a trace, and not read: {', '.join(others)}"
        yield Problem("note", what, some(others), len(others), "nothing, or rename what is meant with --map OLD=NEW")
    if not trace.has_cost:
        missing = int((trace.observed & ~np.isfinite(trace.cost_usd)).sum())
        what = "cost_usd is not recorded for every scored cell: comparisons are on quality alone"
        yield Problem("note", what, "cost_usd", missing, "`pointsman trace import --prices list` computes it of tokens")
    if not trace.has_latency:
        missing = int((trace.observed & ~np.isfinite(trace.latency_s)).sum())
        what = "latency_s is not recorded for every scored cell: latency cannot be weighed"
        yield Problem("note", what, "latency_s", missing, "record it, where speed matters")
    if trace.skipped_attempts:
        what = (
            f"{trace.skipped_attempts} later attempts (retries, fallbacks) are left out: they were no router's choice"
        )
        yield Problem("note", what, "attempt", trace.skipped_attempts, "nothing")
    if "imputed" in trace.cell_columns:
        filled = int((trace.cell_columns["imputed"] == True).sum())  # noqa: E712 - elementwise on an object array
        if filled:
            what = f"{filled} cells were filled in by whoever recorded the trace (column imputed)"
            yield Problem("note", what, "imputed", filled, "leave them out where they weigh")


def _coverage(trace: Trace) -> Iterator[Problem]:
    observed = trace.observed
    silent = [arm for column, arm in enumerate(trace.arms) if not observed[:, column].any()]
    if silent:
        mend = "score them, or leave them out with trace.select_arms([...])"
        yield Problem("error", f"{', '.join(silent)}: no score at all", some(silent), len(silent), mend)
    if trace.n_arms == 1:
        what = "one model only: there is nothing to route between"
        yield Problem("warning", what, trace.arms[0], 1, "record other models on the same prompts (`pointsman record`)")
    nothing = trace.query_ids[~observed.any(axis=1)]
    if len(nothing):
        what = f"{len(nothing)} queries have no score of any model"
        yield Problem("warning", what, some(nothing), len(nothing), "score them, or leave them out")
    if trace.is_log:
        what = "a log: only the chosen model was observed on each query, so fixed choices cannot be compared on it"
        yield Problem("note", what, "propensity", len(trace), "judge policies on it by `pointsman ope`")
        return
    missing = int((~observed).sum())
    if not missing:
        return
    complete = int(observed.all(axis=1).sum())
    share = 1 - observed.mean(axis=0)
    worst = [f"{trace.arms[at]} ({share[at]:.1%})" for at in np.argsort(-share, kind="stable") if share[at] > 0]
    yield Problem(
        "warning" if not complete or share.max() > _MOSTLY else "note",
        f"{missing} of {observed.size} scores are missing; {complete} of {len(trace)} queries have every model",
        some(worst),
        missing,
        "models are compared on complete queries only: record what is missing, or leave out the model that misses most",
    )


def _prompts(trace: Trace) -> Iterator[Problem]:
    groups = trace.groups
    counts = np.bincount(groups)
    prompts = len(counts)
    if prompts < len(trace):
        extra = len(trace) - prompts
        what = f"{extra} queries repeat a prompt of another; they share a split and count as one draw"
        repeated = trace.query_ids[counts[groups] > 1]
        yield Problem("note", what, some(repeated), extra, "nothing; or leave out what was recorded twice by mistake")
        yield from _contradictions(trace, groups)
    if prompts < _FEW_PROMPTS:
        yield Problem("note", f"{prompts} prompts are few: expect wide intervals", "prompt", prompts, "record more")
    lengths = np.array([0 if prompt is None else len(prompt) for prompt in trace.prompts], dtype=np.int64)
    longest = int(lengths.max(initial=0))
    cut = len(np.unique(groups[lengths == longest]))
    if longest >= _CUT_CHARACTERS and cut >= _CUT_PROMPTS:
        what = f"{cut} prompts are exactly {longest:,} characters long, and none is longer: they were probably cut"
        where = some(trace.query_ids[lengths == longest])
        yield Problem("warning", what, where, cut, "record the whole prompts: the models saw what a router does not")


def _contradictions(trace: Trace, groups: Ints) -> Iterator[Problem]:
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    spread = np.fmax.reduceat(trace.score[order], starts) - np.fmin.reduceat(trace.score[order], starts)
    differ = spread > 0
    if differ.any():
        cells = int(differ.sum())
        what = f"{cells} times one model has several scores for one prompt, up to {np.nanmax(spread):.3g} apart"
        first = trace.query_ids[order[starts[differ.any(axis=1)]]]
        mend = "right where answers are drawn at random, else keep the score that is; no router can predict both"
        yield Problem("warning", what, some(first), cells, mend)


def _near(trace: Trace) -> Iterator[Problem]:
    """Nearly equal prompts, and those that were given to different parts."""
    groups = trace.groups
    _, first = np.unique(groups, return_index=True)
    rows = np.array([row for row in first if trace.prompts[row] is not None], dtype=np.int64)
    found = near_duplicates([normalise(trace.prompts[row]) for row in rows])
    items = len(np.unique(found.pairs[found.other_numbers]))
    if items:
        what = f"{items} prompts are the text of another with other numbers: items of one template"
        where = some(trace.query_ids[rows[np.unique(found.pairs[found.other_numbers])]])
        yield Problem("note", what, where, items, "nothing: they are different questions; count templates where few")
    if found.clusters:
        many = sum(map(len, found.clusters))
        what = (
            f"{many} prompts are, numbers aside, {LEAST_SIMILARITY:.0%} or more the same as at least "
            f"{BOILERPLATE // 2} others"
        )
        where = some(trace.query_ids[rows[cluster[0]]] for cluster in found.clusters)
        mend = "look at one group: of copies keep one; of one long template, a router sees hardly anything but that"
        yield Problem("note", what, where, many, mend)
    pairs = found.pairs[~found.other_numbers]
    if not len(pairs):
        return
    alike = np.unique(pairs)
    what = f"{len(alike)} prompts share {LEAST_SIMILARITY:.0%} or more of their word triples with another"
    where = some(f"{trace.query_ids[rows[one]]} ~ {trace.query_ids[rows[other]]}" for one, other in pairs)
    mend = "keep one of them, or give a `split` that has them in one part"
    yield Problem("warning", what, where, len(alike), mend)
    parts = _parts_of_prompts(trace, groups)
    if parts is None:
        return
    across = pairs[parts[groups[rows[pairs[:, 0]]]] != parts[groups[rows[pairs[:, 1]]]]]
    if len(across):
        what = f"{len(np.unique(across))} prompts are nearly equal to one of another part of the given split"
        where = some(f"{trace.query_ids[rows[one]]} ~ {trace.query_ids[rows[other]]}" for one, other in across)
        mend = "move them to one part: what is learned of the one is tested on the other"
        yield Problem("warning", what, where, len(np.unique(across)), mend)


def _parts_of_prompts(trace: Trace, groups: Ints) -> Ints | None:
    """The part of each prompt, the last where it was given to several; ``None`` where no split was given."""
    names = trace.query_columns.get("split")
    if names is None or not trace.given_parts:
        return None
    parts = np.full(groups.max() + 1, -1, dtype=np.int64)
    given = np.array([PARTS.index(PART_NAMES[name]) if name in PART_NAMES else -1 for name in names], dtype=np.int64)
    np.maximum.at(parts, groups, given)
    return parts


def _split(trace: Trace) -> Iterator[Problem]:
    names = trace.query_columns.get("split")
    if names is None:
        return
    unknown = np.array([name not in PART_NAMES for name in names], dtype=np.bool_)
    if unknown.any():
        what = f"split is {names[int(np.argmax(unknown))]!r}, which is no part"
        mend = "write train, validation or test for every query, or leave the column out"
        yield Problem("error", what, some(trace.query_ids[unknown]), int(unknown.sum()), mend)
        return
    for part in ("train", "test"):
        if part not in trace.given_parts:
            mend = f"give some prompts to {part}, or leave the column out"
            yield Problem("error", f"the given split has no {part} prompts", "split", len(trace), mend)
    groups = trace.groups
    last = _parts_of_prompts(trace, groups)
    if last is None:
        return
    earlier = np.array([PARTS.index(PART_NAMES[name]) for name in names]) < last[groups]
    if earlier.any():
        leaked = len(np.unique(groups[earlier]))
        what = f"{leaked} prompts stand in several parts of the given split"
        mend = "splits here leave them in the last part only; leave them out before you train elsewhere"
        yield Problem("warning", what, some(trace.query_ids[earlier]), leaked, mend)


def _tasks(trace: Trace) -> Iterator[Problem]:
    tasks, counts = np.unique([str(task) for task in trace.tasks if task is not None], return_counts=True)
    single, small = tasks[counts == 1], tasks[(counts > 1) & (counts < _SMALL_TASK)]
    if len(single) and len(tasks) > 1:
        what = f"{len(single)} of {len(tasks)} tasks have one query only"
        mend = "check the labels: is this an id? Nothing can be learned of such a task"
        yield Problem("warning", what, some(single), len(single), mend)
    if len(small):
        what = f"{len(small)} of {len(tasks)} tasks have fewer than {_SMALL_TASK} queries, for example {small[0]}"
        yield Problem("note", what, some(small), len(small), "do not read results of such a task alone")


def _order(trace: Trace) -> Iterator[Problem]:
    column = trace.query_columns.get("timestamp")
    if column is None or all(value is None for value in column):
        return
    try:
        moments = times(trace)
    except BadInput as error:
        what = str(error).removeprefix(f"trace {trace.name}: ")
        yield Problem("warning", what, "timestamp", 1, "needed for a split by time only")
        return
    early = np.flatnonzero(np.diff(moments) < 0) + 1
    if len(early):
        what = f"{len(early)} queries come before the one above them by `timestamp`"
        mend = "nothing for a split by time, which sorts; sort the file where rows are replayed in its order"
        yield Problem("note", what, some(trace.query_ids[early]), len(early), mend)
