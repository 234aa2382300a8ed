"""Compare routers on traces: split, train, decide, and report with paired intervals. The numbers behind the table.

For each trace and seed every router is trained on the same queries and decides on the same test queries, at the
same dials. ``experiments.metrics`` says what is computed, ``experiments.bootstrap`` how sure one can be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from env.contexts import known
from env.errors import BadInput
from env.features import Featuriser
from env.splits import SplitBy
from env.trace import Trace
from experiments.baselines import CHEAPEST, ORACLE, fixed_arms, oracle
from experiments.bootstrap import Bootstrap
from experiments.cells import Cell, Cells, Curve, division
from experiments.evaluate import DecisionsFile, Evaluation, decide_at_every_dial, stream_hash
from experiments.folds import RESAMPLED, Fold, featurised, fold, has_fixed_training, is_blind, prepared, without_text
from experiments.plans import follow_at_every_dial, learn_plan
from experiments.slices import Slicer, Slices
from experiments.tally import FIT_TIME as FIT_TIME
from experiments.tally import PLACEBO as PLACEBO
from experiments.tally import ZERO as ZERO
from experiments.tally import Entry as Entry
from experiments.tally import Tally
from experiments.train import Feedback, check_routers, default_feedback, learn
from routers import router_class
from routers.attempts import Attempts
from routers.plan import Plan, kind_of, plan_names
from routers.policy import Policy

REFERENCES = (
    "random",
    "zero",
    "zero_cost",
    "best_per_task",
    "placebo",
    "knn",
    "ridge",
    "tfidf_knn",
    "tfidf_knn_mean_cost",
    "tfidf_ridge",
    "tfidf_ridge_mean_cost",
)
"""In every comparison, asked for or not: what a router has to beat before it is worth having."""
DEFAULT_ROUTERS = (*REFERENCES, "ucb1", "linucb", "linear_thompson")
SIMPLE = tuple(name for name in REFERENCES if name not in ("random", ZERO, PLACEBO))
"""The simple rules: who has something new is asked whether it beats the best of them."""
_OF_PLANS = "{}: several calls for a query; cost and time are of all of them, the score is of the answer returned"

Step: TypeAlias = Callable[[str, int, str], None]
"""Called before each router with the trace's name, the seed and the router's name."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one trace has to say.

    Attributes:
        trace: its name.
        trace_hash: of the whole trace.
        summary: counts and means, as ``Trace.summary`` gives them.
        seeds: that were run.
        n_test: test queries of each seed.
        entries: rows, routers first in the order asked for, then fixed arms, then the oracle.
        notes: what a reader must know before believing the figures.
        policies: the policy of the first seed of each router; plans have none here.
        split_by: what was held out.
        simple: the best of :data:`SIMPLE` on the test queries, which every row's difference is told from.
        slices: what was chosen, and how that went on each task.
        stream_hash: of exactly what was evaluated: the test queries of each seed, in order, with all their outcomes.
        against: routers that somebody asked to have differences told from.
        curves: of routers that say how their training goes, what they said, by seed.
    """

    trace: str
    trace_hash: str
    summary: Mapping[str, Any]
    seeds: tuple[int, ...]
    n_test: tuple[int, ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]
    policies: Mapping[str, Policy] = field(default_factory=dict)
    split_by: SplitBy = "prompt"
    simple: str | None = None
    slices: Slices | None = None
    stream_hash: str = ""
    against: tuple[str, ...] = ()
    curves: Mapping[str, Mapping[int, Curve]] = field(default_factory=dict)

    def entry(self, router: str) -> Entry | None:
        """The row of a router, ``None`` if it was not run."""
        return next((entry for entry in self.entries if entry.router == router), None)

    def rows(self) -> list[dict[str, Any]]:
        """Rows ``trace, router, seed, metric, value, low, high``; ``seed`` is null where seeds are pooled.

        Times are left to the table: the same comparison gives the same rows.
        """
        found: list[dict[str, Any]] = []
        for entry in self.entries:
            for metric, pooled in entry.pooled.items():
                if metric == FIT_TIME:
                    continue
                common = {"trace": self.trace, "router": entry.router, "metric": metric}
                found.append({**common, "seed": None, "value": pooled.value, "low": pooled.low, "high": pooled.high})
                for seed, value in zip(self.seeds, entry.per_seed[metric], strict=True):
                    found.append({**common, "seed": seed, "value": known(value), "low": None, "high": None})
            for metric, p_value in entry.adjusted.items():
                named = {"trace": self.trace, "router": entry.router, "metric": f"adjusted_p_{metric}"}
                found.append({**named, "seed": None, "value": p_value, "low": None, "high": None})
        order = ("trace", "router", "seed", "metric", "value", "low", "high")
        return [{key: row[key] for key in order} for row in found]


def compare(
    traces: Sequence[Trace],
    routers: Sequence[str] = DEFAULT_ROUTERS,
    *,
    seeds: int = 10,
    decisions: str | Path | None = None,
    featuriser: Featuriser | None = None,
    step: Step | None = None,
    split_by: SplitBy = "prompt",
    against: Sequence[str] = (),
    resume: Cells | str | Path | None = None,
) -> list[Report]:
    """Train and evaluate every router on every trace with every seed.

    Args:
        traces: each is compared on its own.
        routers: names of ``routers.names()`` and ``routers.plan.plan_names()``; :data:`REFERENCES` are added to them,
            as far as the trace has text.
        seeds: number of seeds, from 0.
        decisions: Parquet file for every decision on every test query.
        featuriser: what the routers see; when not given, what each was made for, fitted on the prompts of the training
            and validation parts of each seed.
        step: told what comes next, for a progress bar.
        against: routers that every row's paired difference is told from, beside zero and the placebo.
        split_by: ``"prompt"``, ``"task"`` to test on whole tasks that nothing was learned of, or ``"time"``.
        resume: folder in which every router's work on a seed is kept once it is done, and looked for before: what an
            interrupted comparison finished is not done again, and the figures are those of one that ran through.

    Raises:
        BadInput: an unknown router, two traces of one name, or a trace that cannot be compared on.
    """
    check_routers(routers)
    check_routers(against)
    routers = list(dict.fromkeys([*routers, *against]))
    if seeds < 1:
        raise BadInput(f"a comparison needs one seed or more, got {seeds}")
    names = [trace.name for trace in traces]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"two traces are called {name}; decisions could not be told apart, rename a file")
    cells = resume if isinstance(resume, Cells) else Cells(resume)
    with ExitStack() as stack:
        # Opened first: a path that cannot be written to should say so before the work, not after.
        file = stack.enter_context(DecisionsFile(decisions)) if decisions is not None else None
        rest = range(seeds), featuriser, file, step or _silent, split_by, against, cells
        return [_compare_one(trace, _with_references(trace, routers), *rest) for trace in traces]


def steps(traces: Sequence[Trace], routers: Sequence[str], seeds: int) -> int:
    """How often ``step`` will be called."""
    return sum(len(_with_references(trace, routers)) for trace in traces) * seeds


def _with_references(trace: Trace, routers: Sequence[str]) -> list[str]:
    """The references, then the routers asked for; what is fitted on text is no reference where text was not kept.

    Where there is nothing to look at, not even features, they are those that look at nothing.
    """
    fitted = {name for name in REFERENCES if router_class(name).featuriser != "default"}
    without = fitted if None in trace.prompts else set()
    found = dict.fromkeys([*(name for name in REFERENCES if name not in without), *routers])
    return [name for name in found if not (is_blind(trace) and _looks(name))]


def _looks(name: str) -> bool:
    """Whether a router, or plan, decides by the prompt."""
    return name in plan_names() or router_class(name).capabilities.uses_features


def _silent(trace: str, seed: int, router: str) -> None:
    """No progress bar."""


def _compare_one(
    trace: Trace,
    routers: Sequence[str],
    seeds: Sequence[int],
    maker: Featuriser | None,
    file: DecisionsFile | None,
    step: Step,
    split_by: SplitBy,
    against: Sequence[str],
    cells: Cells,
) -> Report:
    fold(trace, seeds[0], split_by=split_by)  # a trace that cannot be compared on is refused before it is embedded
    plans = [name for name in routers if name in plan_names()]
    if plans:
        Attempts.recorded(trace)  # refuses a trace without the answers that plans look at
    blind = is_blind(trace)
    ready = trace if blind else featurised(trace, maker)
    parts = [fold(ready, seed, resample=True, split_by=split_by) for seed in seeds]
    draws = Bootstrap.draw(trace.groups, len(seeds))
    tally, slicer = Tally(draws, (ZERO, PLACEBO, *against)), Slicer(trace, draws)
    policies: dict[str, Policy] = {}
    feedback: dict[str, Feedback] = {}
    curves: dict[str, dict[int, Curve]] = {}
    for part in parts:
        made: list[Evaluation] = [*fixed_arms(part), oracle(part)]
        maker_name = maker.fingerprint if maker is not None else None
        of = {"trace": trace.name, "hash": trace.hash, "division": division(part), "featuriser": maker_name}
        prepare = _preparer(part, blind, maker)
        for name in routers:
            step(trace.name, part.seed, name)
            cell = cells.get(
                part.test,
                partial(_work, name, part.seed, prepare),
                with_policy=part is parts[0],
                router=name,
                seed=part.seed,
                **of,
            )
            made.append(cell.made)
            feedback[name] = cell.feedback
            tally.fit_s.setdefault(name, []).append(cell.fit_s)
            if cell.policy is not None:
                policies.setdefault(name, cell.policy)
            if cell.curve:
                curves.setdefault(name, {})[part.seed] = cell.curve
        tally.add(part, made)
        slicer.add(part, made)
        for one in made if file is not None else ():
            assert file is not None
            file.add(trace.name, part.test, one)
    # Where costs are not known, no arm is the cheapest.
    apart = {*routers, ORACLE} if trace.has_cost else {*routers, ORACLE, CHEAPEST}
    order = [*routers, *(name for name in tally.names if name not in apart), ORACLE]
    simple, slices = tally.hold_to_best([name for name in routers if name in SIMPLE]), slicer.slices()
    notes = [*_notes(trace, parts, split_by), *_notes_on_dials([name for name in routers if slices.is_constant(name)])]
    if plans:
        notes.append(_OF_PLANS.format(", ".join(plans)))
    return Report(
        trace.name,
        trace.hash,
        trace.summary(),
        tuple(seeds),
        tuple(len(part.test) for part in parts),
        tally.entries(order, feedback),
        tuple(notes),
        policies,
        split_by,
        simple,
        slices,
        stream_hash(seeds, [part.test for part in parts]),
        tuple(against),
        curves,
    )


_Prepare: TypeAlias = Callable[[str], tuple[Fold, Featuriser]]


def _preparer(part: Fold, blind: bool, maker: Featuriser | None) -> _Prepare:
    """Gives the fold with the features of a recipe, each made once, and only if somebody asks."""

    @cache
    def prepare(recipe: str) -> tuple[Fold, Featuriser]:
        return without_text(part) if blind else prepared(part, recipe, maker)

    return prepare


def _work(name: str, seed: int, prepare: _Prepare) -> Cell:
    """Train one router, or plan, on one seed, and let it decide."""
    kind = kind_of(name)
    own, featuriser = prepare(kind.featuriser)
    curve: list[tuple[int, Mapping[str, float]]] = []
    started = time.perf_counter()
    if issubclass(kind, Plan):
        plan = learn_plan(own, name, featuriser)
        fit_s = time.perf_counter() - started
        return Cell(follow_at_every_dial(plan, own.test, seed=seed), Feedback(plan.metrics["feedback"]), fit_s)
    told = default_feedback(kind, online=True)
    policy = learn(own, name, featuriser, feedback=told, progress=lambda *said: curve.append(said))
    fit_s = time.perf_counter() - started
    return Cell(decide_at_every_dial(policy, own.test, router=name, seed=seed), told, fit_s, tuple(curve), policy)


def _notes(trace: Trace, parts: Sequence[Fold], split_by: SplitBy) -> list[str]:
    notes = []
    if is_blind(trace):
        notes.append(
            "neither prompts nor features were kept: only routers that look at no prompt are compared, and nothing "
            "here says what routing by prompt would bring"
        )
    elif None in trace.prompts:
        notes.append("some prompts are not kept: nothing can be fitted on words, so the TF-IDF references are left out")
    complete = int(trace.observed.all(axis=1).sum())
    if complete < len(trace):
        notes.append(f"{complete} of {len(trace)} queries have all {trace.n_arms} models; only those are tested on")
    if not trace.has_cost:
        notes.append("costs are not recorded for every cell: compared on the score at dial 1 alone")
    elif any(part.cheapest == part.best_single for part in parts):
        notes.append("the best single arm is also the cheapest: no range of costs to compare over (AIQ is empty)")
    if len(np.unique(trace.groups)) < len(trace):
        notes.append("some prompts occur more than once; they share a part, and count as one draw in the intervals")
    if split_by == "task":
        notes.append("whole tasks are held out: each seed validates and tests on tasks that nothing was learned of")
    elif split_by == "time":
        notes.append(
            "the newest queries are tested on, whatever the seed; each seed learns from another "
            f"{RESAMPLED * 100:.0f} % of the oldest prompts"
        )
    elif has_fixed_training(trace):
        notes.append(
            "training, validation and test parts were given with the trace; each seed learns from another "
            f"{RESAMPLED * 100:.0f} % of the training prompts"
        )
    elif trace.given_parts:
        notes.append(
            "the test part was given with the trace; seeds divide the other prompts into training and validation"
        )
    return notes


def _notes_on_dials(constant: Sequence[str]) -> list[str]:
    """What a reader must know of routers whose points are no curve."""
    found = ["random ignores the dial: its points differ by their draws alone"]
    if constant:
        found.append(f"{', '.join(constant)}: the same choices at every dial, so one point and no curve")
    return found
