"""Between a weak and a strong model: RouteLLM's measures of routers that learned from labelled questions.

python -m experiments.studies.routellm --out docs/routellm --document docs/routellm.md
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from env.contexts import Bools, Ints
from env.errors import BadInput
from env.files import write_json
from env.sources.named import load_trace
from env.text_features import RECIPES
from env.trace import Trace
from experiments.bootstrap import Array, Bootstrap, estimate
from experiments.documents import put
from experiments.folds import contexts_of, featurised
from experiments.metrics.weak_strong import apgr, call_curve, cpt
from experiments.studies.routellm_report import markdown
from routers import make, router_class
from routers.base import Estimator

ROUTERS = ("best_per_task", "tfidf_ridge", "knn", "ridge", "logistic", "recipe", "auto")
RANDOM, ORACLE = "random", "oracle"
NAMED, NOT_NAMED = "named", "not named"
"""Whether the caller says which task a test question is of. The recorded training questions say so in any case."""
REFERENCE = "tfidf_ridge"
CPTS = (0.5, 0.8)
_RANDOM_ORDERS = 100


@dataclass(frozen=True, slots=True)
class Setting:
    """What is learned from, and what is tested on.

    Attributes:
        name: in the tables.
        families: of the labelled questions: what stands before the first ``/`` of a task.
        labelled: questions learned from; all of the training and validation parts when ``None``.
        tested: families whose test questions are ranked, each on its own.
        routers: that learn.
    """

    name: str
    families: tuple[str, ...]
    labelled: int | None
    tested: tuple[str, ...]
    routers: tuple[str, ...] = ROUTERS


SETTINGS = (
    Setting("in domain", ("mmlu", "gsm8k"), None, ("mmlu", "gsm8k")),
    Setting("1,500 MMLU questions", ("mmlu",), 1_500, ("mmlu",)),
    Setting("500 MMLU questions", ("mmlu",), 500, ("mmlu",), (REFERENCE, "auto")),
)


def study(
    trace: Trace,
    seeds: Sequence[int],
    *,
    settings: Sequence[Setting] = SETTINGS,
    keep: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Every router in every setting on the test questions of every seed.

    Nothing is chosen on what is left out of the learning: no router here has a dial to fit, so that the questions of
    the validation part are learned from as well.

    Args:
        trace: two models, every outcome known, tasks as ``family/subject`` or ``family``.
        seeds: each a split, a draw of the labelled questions and a salt of the routers.
        settings: what to learn from.
        keep: folder for what each router said of each test question; what an earlier run left there is not made again.
        say: told of each setting and seed.

    Returns:
        Rows ``setting, family, router, task, metric, value, low, high, seeds``; ``task`` says whether the caller names
        it, ``seeds`` how many there were.
        Metrics: ``weak`` and ``strong`` (mean scores), ``apgr``, ``cpt50``, ``cpt80``, and ``over tfidf_ridge``.

    Raises:
        BadInput: not two models, a gap, a setting that asks for more questions than there are, or a family in which
            the strong model is not better.
    """
    weak, strong = weak_and_strong(trace)
    groups = trace.groups
    draws = Bootstrap.draw(groups, len(seeds))
    found: dict[tuple[str, str, str, str, str], list[Array]] = {}
    for setting in settings:
        for seed in seeds:
            split = trace.split(seed)
            learned = _labelled(trace, np.concatenate([split.train, split.validation]), setting, seed)
            test = split.test[_of_families(trace, setting.tested)[split.test]]
            kept = None if keep is None else keep / f"{setting.name} {seed} {trace.hash[:12]}.json"
            if kept is not None and kept.exists():
                told = json.loads(kept.read_text())
            else:
                told = _rankings(trace, learned, test, setting.routers, seed, strong)
                if kept is not None:
                    write_json(told, kept)
            rankings = {(router, task): np.array(values) for router, task, values in told}
            rankings[ORACLE, NOT_NAMED] = trace.score[test, strong] - trace.score[test, weak]
            for family in setting.tested:
                rows = np.flatnonzero(_of_families(trace, (family,))[test])
                counts = np.vstack([np.ones((1, len(rows))), draws.prompts[:, test[rows]]])
                measured = _measured(trace.score[test[rows]][:, [weak, strong]], rankings, rows, counts, seed)
                for key, values in measured.items():
                    found.setdefault((setting.name, family, *key), []).append(values)
                areas = " ".join(f"{key[0]} {v[0]:.4f}" for key, v in measured.items() if key[2] == "apgr")
                say(f"{setting.name}, {family}, seed {seed}: {areas}")
    made = [*_facts(trace, weak, strong), *(_row(key, np.stack(values), draws) for key, values in found.items())]
    return [row | {"seeds": len(seeds)} for row in made]


def weak_and_strong(trace: Trace) -> tuple[int, int]:
    """Indices of the arm with the lower mean score, and of that with the higher.

    Raises:
        BadInput: not two models, or a gap.
    """
    if trace.n_arms != 2 or not trace.observed.all():
        raise BadInput(
            f"trace {trace.name}: {trace.n_arms} models, {int((~trace.observed).sum())} gaps; weak and strong are "
            "two models that answered every question"
        )
    weak, strong = (int(arm) for arm in np.argsort(trace.score.mean(axis=0, dtype=np.float64)))
    return weak, strong


def _labelled(trace: Trace, rows: Ints, setting: Setting, seed: int) -> Ints:
    """The questions that are learned from, drawn where the setting says how many."""
    able = rows[_of_families(trace, setting.families)[rows]]
    if setting.labelled is None:
        return able
    if setting.labelled > len(able):
        raise BadInput(f"trace {trace.name}: {len(able)} questions to learn from, {setting.name} asks for more")
    drawn = np.random.default_rng([seed, setting.labelled]).permutation(able)[: setting.labelled]
    return np.sort(drawn)


def _of_families(trace: Trace, families: Sequence[str]) -> Bools:
    return np.array([str(task).split("/")[0] in families for task in trace.tasks], dtype=bool)


def _rankings(
    trace: Trace, learned: Ints, test: Ints, names: Sequence[str], seed: int, strong: int
) -> list[tuple[str, str, list[float]]]:
    """Router, whether the task is named, and the expected gain of the strong model on each test question."""
    found: list[tuple[str, str, list[float]]] = []
    parts: dict[str, tuple[Trace, Trace]] = {}
    for name in names:
        kind = router_class(name)
        if kind.featuriser not in parts:
            maker = RECIPES[kind.featuriser]().fit(list(trace.prompts[learned]))
            parts[kind.featuriser] = featurised(trace.take(learned), maker), featurised(trace.take(test), maker)
        train, asked = parts[kind.featuriser]
        assert asked.features is not None
        settings = {"seed": seed} if "seed" in inspect.signature(kind).parameters else {}
        router = make(name, trace.n_arms, asked.features.shape[1], **settings)
        assert isinstance(router, Estimator)
        router.fit(contexts_of(train), train.outcomes)
        for task in _ways(name):
            contexts = contexts_of(asked)
            told = router.predict(contexts if task == NAMED else replace(contexts, task=None)).score
            found.append((name, task, [float(gain) for gain in told[:, strong] - told[:, 1 - strong]]))
    return found


def _ways(name: str) -> tuple[str, ...]:
    """A router that never looks at tasks, or at nothing else, has one row."""
    return {"best_per_task": (NAMED,), "recipe": (NOT_NAMED, NAMED), "auto": (NOT_NAMED, NAMED)}.get(name, (NOT_NAMED,))


def _measured(
    scores: Any, rankings: Mapping[tuple[str, str], Any], rows: Ints, counts: Any, seed: int
) -> dict[tuple[str, str, str], Array]:
    """Every metric of every ranking, each ``(1 + B,)``, the data as they are first."""
    weak, strong = scores.astype(np.float64).T
    found: dict[tuple[str, str, str], Array] = {}
    orders = np.random.default_rng([seed, len(rows)]).random((1, len(rows)))
    for (router, task), ranking in {(RANDOM, NOT_NAMED): None, **rankings}.items():
        curve = call_curve(orders[0] if ranking is None else ranking[rows], weak, strong, counts)
        found[router, task, "apgr"] = apgr(curve)
        for share in CPTS:
            found[router, task, f"cpt{100 * share:.0f}"] = cpt(curve, share)
    if (REFERENCE, NOT_NAMED, "apgr") in found:
        against = found[REFERENCE, NOT_NAMED, "apgr"]
        for router, task in [way for way in rankings if way[0] != REFERENCE]:
            found[router, task, f"over {REFERENCE}"] = found[router, task, "apgr"] - against
    return found


def _facts(trace: Trace, weak: int, strong: int) -> list[dict[str, Any]]:
    """What RouteLLM's own figures can be held against: both models, and a random order, on all questions."""
    rows: list[dict[str, Any]] = []
    for family in sorted({str(task).split("/")[0] for task in trace.tasks}):
        scores = trace.score[_of_families(trace, (family,))].astype(np.float64)
        rng = np.random.default_rng(0)
        areas = [
            apgr(call_curve(rng.random(len(scores)), scores[:, weak], scores[:, strong])) for _ in range(_RANDOM_ORDERS)
        ]
        values = {"weak": scores[:, weak].mean(), "strong": scores[:, strong].mean(), "apgr": np.mean(areas)}
        named = {"setting": "all questions", "family": family, "router": RANDOM, "task": NOT_NAMED}
        rows += [
            named | {"metric": metric, "value": float(value), "low": None, "high": None}
            for metric, value in values.items()
        ]
    return rows


def _row(key: tuple[str, str, str, str, str], values: Array, draws: Bootstrap) -> dict[str, Any]:
    pooled = estimate(values[:, 0], draws.pooled(values[:, 1:]))
    if pooled is None:
        raise BadInput(
            f"{key[0]}, {key[1]}: the strong model is not the better one there, in no seed; nothing to recover"
        )
    named = dict(zip(("setting", "family", "router", "task", "metric"), key, strict=True))
    return named | {"value": pooled.value, "low": pooled.low, "high": pooled.high}


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.routellm", description=__doc__.splitlines()[0])
    parser.add_argument("--trace", default="routellm", help="two models, tasks of MMLU and GSM8K (routellm)")
    parser.add_argument("--seeds", type=int, default=10, help="splits and trainings")
    parser.add_argument("--keep", type=Path, help="folder for finished seeds, which another run takes up again")
    parser.add_argument("--rows", type=Path, help="rows of an earlier run, to write the document again")
    parser.add_argument("--out", type=Path, help="folder for the rows")
    parser.add_argument("--document", type=Path, help="whose table to replace, e.g. docs/routellm.md")
    given = parser.parse_args(arguments)
    if given.rows is not None:
        rows = json.loads(given.rows.read_text())
    else:
        trace, seeds = load_trace(given.trace), range(given.seeds)
        rows = study(trace, seeds, keep=given.keep, say=lambda line: print(line, file=sys.stderr))
    print(markdown(rows))
    if given.out is not None:
        write_json(rows, given.out / "rows.json")
    if given.document is not None:
        put("routellm", markdown(rows), given.document)


if __name__ == "__main__":
    main()
