"""The sweep: settings are searched on inner folds, and what was found is judged on queries that had no say in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from env.errors import BadInput
from env.features import Featuriser
from env.splits import SplitBy
from env.trace import Trace
from experiments.compare import Report
from experiments.folds import featurised, fold
from experiments.sweep import engines
from experiments.sweep.engines import Engine
from experiments.sweep.judge import Judge, tuned_name
from experiments.sweep.objective import Objective
from experiments.sweep.space import Given, Space, size, space_of, to_json
from experiments.sweep.study import Study, Trial, address_of, best
from experiments.train import Feedback, default_feedback
from routers import router_class
from routers.bundle import check_folder
from routers.policy import Policy

if TYPE_CHECKING:
    import optuna

TRIALS, FOLDS = 50, 5
_DEFAULT = "default"

Step: TypeAlias = Callable[[int, str], None]
"""Called before each trial with the seed and what is tried."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What one seed's search came to.

    Attributes:
        seed: of the division into parts, and of the search.
        study: its name in the storage.
        settings: that were chosen, with those held still.
        searched: the chosen values of what was searched; empty where no trial was better than the router's own.
        value: the metric of the chosen settings, mean over the inner folds: tuned on, so it flatters.
        default: that of the router's own settings.
        trials: all of the study, in order.
    """

    seed: int
    study: str
    settings: Mapping[str, Any]
    searched: Mapping[str, Any]
    value: float
    default: float
    trials: tuple[Trial, ...]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {"seed": self.seed, "study": self.study, "settings": dict(self.settings),
                "searched": dict(self.searched), "value": self.value, "default_value": self.default,
                "trials": [trial.to_json() for trial in self.trials]}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sweep:
    """A search and its judgement.

    Attributes:
        router: that was tuned.
        metric: made as large as it could be on the inner folds.
        space: that was searched.
        tuned: one for each seed.
        report: on the test queries, which nothing was tuned on: the tuned settings (``tuned:ROUTER``) beside the
            router's own and the references, as ``compare`` reports.
    """

    router: str
    metric: str
    space: Space
    tuned: tuple[Tuned, ...]
    report: Report

    @property
    def policy(self) -> Policy:
        """The tuned policy of the first seed."""
        return self.report.policies[tuned_name(self.router)]

    def to_json(self) -> dict[str, Any]:
        """For programs: ``rows`` are those of a comparison."""
        return {"trace": self.report.trace, "trace_hash": self.report.trace_hash, "router": self.router,
                "metric": self.metric, "space": to_json(self.space),
                "seeds": [one.to_json() for one in self.tuned], "rows": self.report.rows()}  # fmt: skip


def sweep(
    trace: Trace,
    router: str,
    space: Given | None = None,
    trials: int = TRIALS,
    *,
    storage: str | Path | None = None,
    out: str | Path | None = None,
    engine: str = "local",
    jobs: int | None = None,
    seeds: int = 1,
    folds: int = FOLDS,
    settings: Mapping[str, Any] | None = None,
    feedback: Feedback | None = None,
    split_by: SplitBy = "prompt",
    featuriser: Featuriser | None = None,
    step: Step | None = None,
) -> Sweep:
    """Search a router's settings, and judge what was found on queries that were never tuned on.

    The search (a tree-structured Parzen estimator that gives up trials below the median of the others; Optuna, arXiv
    1907.10902) sees training and validation queries only, divided anew into folds that share no prompt. What it finds
    is trained as ``train`` would, and judged on the test queries beside the router's own settings. Trials no better
    than those change nothing.

    Args:
        trace: every model's outcome; a bandit log has no queries to judge on.
        router: a name of ``routers.names()``.
        space: setting -> range or values, as :func:`experiments.sweep.space.space_of` reads them.
        trials: of each seed, finished ones of the same study in ``storage`` included.
        storage: a file or SQL address in which studies are kept; a study that is there goes on. ``None`` forgets.
        out: folder for the bundle of the first seed's tuned policy.
        engine: ``"local"`` or ``"ray"``.
        jobs: trials at once, on Ray.
        seeds: how often the trace is divided, and the search done, anew.
        folds: inner divisions that a trial is judged on.
        settings: of the router, held still.
        feedback: what the router learns from; by default as in ``compare``.
        split_by: ``"prompt"``, ``"task"`` or ``"time"``.
        featuriser: makes what the router sees; when not given, what it was made for.
        step: told what comes next, for a progress bar.

    Raises:
        BadInput: an unknown router, setting or engine, a space that is none, or a trace that cannot be divided.
        MissingExtra: Optuna, or Ray where it is asked for, is not installed.
    """
    held = dict(settings or {})
    searched = space_of(router, space, held)
    for what, count in (("trial", trials), ("seed", seeds)):
        if count < 1:
            raise BadInput(f"a sweep needs one {what} or more, got {count}")
    address_of(storage)  # what would fail later is looked at first
    if out is not None:
        check_folder(out)
    fold(trace, 0, split_by=split_by)  # a trace that cannot be divided is refused before it is embedded
    told = default_feedback(router_class(router), online=True) if feedback is None else feedback
    ready, step = featurised(trace, featuriser), step or _silent
    judge = Judge(ready, router, held, told, featuriser, split_by, seeds)
    found = []
    with engines.engine(engine, jobs) as at_work:
        for seed in range(seeds):
            known = _known(ready, seed, split_by)
            objective = Objective.of(
                known,
                router,
                folds=folds,
                seed=seed,
                split_by=split_by,
                settings=held,
                feedback=told,
                maker=featuriser,
            )
            study = Study(_study_name(objective, searched, known, seed, split_by), searched, storage=storage, seed=seed)
            found.append(_tuned(study, objective, at_work, trials, seed, step))
            step(seed, "test queries")
            judge.add(seed, found[-1].settings)
    report = judge.report()
    if out is not None:
        report.policies[tuned_name(router)].save(out)
    return Sweep(router, objective.metric, searched, tuple(found), report)


def steps(
    router: str, trials: int, seeds: int, space: Given | None = None, settings: Mapping[str, Any] | None = None
) -> int:
    """How often ``step`` will be called.

    Example:
        >>> steps("knn", 50, seeds=2, space={"k": [5, 10, 20]})
        10
    """
    n = size(space_of(router, space, settings))
    return seeds * (2 + (trials if n is None else min(n, trials)))


def _silent(seed: int, what: str) -> None:
    """No progress bar."""


def _known(trace: Trace, seed: int, split_by: SplitBy) -> Trace:
    """The queries that may be tuned on: all but the test part, and no prompt of it."""
    parts = trace.split(seed, by=split_by)
    return trace.take(np.sort(np.concatenate([parts.train, parts.validation])))


def _study_name(objective: Objective, space: Space, known: Trace, seed: int, split_by: SplitBy) -> str:
    """The same for the same search alone: another space, other data or other folds are another study."""
    about = {
        "queries": known.hash,
        "space": to_json(space),
        "settings": objective.settings,
        "feedback": objective.feedback,
        "metric": objective.metric,
        "folds": len(objective.folds),
        "split_by": split_by,
        "featuriser": None if objective.maker is None else objective.maker.fingerprint,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
    return f"{objective.router} on {known.name}, seed {seed}, {digest[:12]}"


def _tuned(study: Study, objective: Objective, at_work: Engine, trials: int, seed: int, step: Step) -> Tuned:
    at_work.load(objective)
    step(seed, "the router's own settings")
    default = study.note(_DEFAULT)
    if default is None:
        default = _of_default(objective, at_work)
        study.keep(_DEFAULT, default)
    _search(study, len(objective.folds), at_work, study.planned(trials), lambda what: step(seed, what))
    done = study.trials()
    chosen = best(done, default)
    value = max([default, *(one.value for one in done if one.value is not None)])
    return Tuned(seed, study.name, {**objective.settings, **chosen}, chosen, value, default, tuple(done))


def _of_default(objective: Objective, at_work: Engine) -> float:
    """The metric of the router's own settings, which any others must beat."""
    for at in range(len(objective.folds)):
        at_work.submit(at, {}, at)
    values = dict(at_work.next() for _ in objective.folds)
    for at, value in values.items():
        if isinstance(value, str):
            raise BadInput(f"router `{objective.router}` cannot be trained on fold {at} of the sweep: {value}")
    return float(np.mean([values[at] for at in sorted(values)]))


def _search(study: Study, n_folds: int, at_work: Engine, trials: int, step: Callable[[str], None]) -> None:
    """Run trials until there are so many, as many at once as the engine has lanes, fold by fold."""
    running: dict[int, tuple[optuna.Trial, list[float]]] = {}
    done = study.trials()
    for one in done[:trials]:
        step(f"trial {one.number}, kept")
    try:
        while True:
            while len(running) < at_work.lanes and len(done) + len(running) < trials:
                trial = study.ask(trials, [other.params for other, _ in running.values()])
                step(f"trial {trial.number}: {shown(trial.params)}")
                same = next((one for one in done if one.settings == trial.params), None)
                if same is not None:
                    study.repeat(trial, same)
                    done = study.trials()
                else:
                    running[trial.number] = trial, []
                    at_work.submit(trial.number, trial.params, 0)
            if not running:
                return
            number, value = at_work.next()
            trial, values = running[number]
            if isinstance(value, str):
                study.fail(trial, value)
            else:
                values.append(value)
                is_last = len(values) == n_folds
                if not study.report(trial, values) and not is_last:
                    at_work.submit(number, trial.params, len(values))
                    continue
                study.finish(trial, values, pruned=not is_last)
            del running[number]
            done = study.trials()
    except BaseException:
        for trial, _ in running.values():
            study.fail(trial)
        raise


def shown(settings: Mapping[str, Any]) -> str:
    """Settings on one line, as ``--set`` takes them.

    Example:
        >>> shown({"alpha": 3.14159265, "predict_cost": True, "k": None})
        'alpha=3.14159 predict_cost=true k=null'
    """
    words = {True: "true", False: "false", None: "null"}
    return " ".join(
        f"{name}={words[value] if value is None or isinstance(value, bool) else _number(value)}"
        for name, value in settings.items()
    )


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
