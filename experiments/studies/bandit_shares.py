"""What bandit feedback alone is worth: one pass, against the ridge regression that is told every outcome.

python -m experiments.studies.bandit_shares --data FOLDER --out docs/bandits --document docs/bandits.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from env.contexts import Bools
from env.errors import BadInput, PointsmanError
from env.files import write_json
from env.sources.named import load_trace
from experiments.bootstrap import Array
from experiments.documents import put
from experiments.studies.bandit_few_pulls import few_pulls
from experiments.studies.bandit_problems import Divided, Learner, Problem, Setting, compared, divide, told
from experiments.studies.bandit_shares_report import few_markdown, markdown, picture
from routers.base import Estimator

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Shares of the pass after which the learning curve is read."""
ABUNDANT, SCARCE = 1_000, 25
"""Pulls an arm from which a set counts as abundant, and up to which as scarce."""
SETS = ("routellm", "routerbench_5shot_subset", "mmlu_pro", "bfcl", "alpaca_eval2", "paretobandit_val")

CANDIDATES = tuple(
    Setting(router, exploration, ridge, price)
    for router, explorations in (("linucb", (1.0, 2.0, 3.0)), ("linear_thompson", (0.5, 1.0)))
    for exploration in explorations
    for ridge in (20.0, 50.0)
    for price in (1.0, 1_000.0)
)


def choose(problems: Sequence[Problem], candidates: Sequence[Setting], *, warm: bool) -> Setting:
    """The candidate of the highest sum of held-out AIQs: one for all sets, nothing tested on is looked at."""
    return max(candidates, key=lambda s: sum(problem.held_out(problem.learned(s, warm=warm)) for problem in problems))


def settle(sets: Sequence[Divided], candidates: Sequence[Setting] = CANDIDATES) -> dict[str, Setting]:
    """The setting for a ``cold`` and the one for a ``warm`` start."""
    flat = [problem for one in sets for problem in one.problems]
    return {start: choose(flat, candidates, warm=start == "warm") for start in ("cold", "warm")}


def study(
    sets: Sequence[Divided], settings: Mapping[str, Setting], say: Callable[[str], None] = lambda line: None
) -> list[dict[str, Any]]:
    """Measure one pass at the settings chosen, on the test queries of every seed.

    Args:
        sets: what :func:`divide` made.
        settings: what :func:`settle` chose.
        say: told how far it is.

    Returns:
        Rows ``sets, pulls, start, setting, share_of_pass, daiq, ridge_daiq, share, low, high``: one for each set, and
        pooled ones (ratios of sums) for all, those with :data:`ABUNDANT` pulls an arm and those with :data:`SCARCE`.
    """
    gains: dict[tuple[str, str], Array] = {}
    for one in sets:
        learners: dict[str, Learner] = {"ridge": told("ridge")}
        for start, setting in settings.items():
            for share in SHARES:
                learners[f"{start} {share}"] = partial(_bandit, setting=setting, warm=start == "warm", share=share)
        gains |= {(one.trace.name, name): gain for name, gain in one.gains(learners).items()}
        say(f"{one.trace.name}: measured")
    pulls = {one.trace.name: one.pulls for one in sets}
    groups = {name: [name] for name in pulls} | {
        f"at least {ABUNDANT:,} pulls an arm": [name for name in pulls if pulls[name] >= ABUNDANT],
        f"at most {SCARCE} pulls an arm": [name for name in pulls if pulls[name] <= SCARCE],
        "all sets": list(pulls),
    }
    return [
        {
            "sets": group,
            "pulls": round(float(np.mean([pulls[name] for name in names])), 1),
            "start": start,
            "setting": str(setting),
            "share_of_pass": share,
            **compared(
                [gains[name, f"{start} {share}"] for name in names], ridge=[gains[name, "ridge"] for name in names]
            ),
        }
        for group, names in groups.items()
        if names
        for start, setting in settings.items()
        for share in SHARES
    ]


def _bandit(problem: Problem, setting: Setting, warm: bool, share: float) -> tuple[Estimator, Bools | None]:
    return problem.learned(setting, warm=warm, share=share), None


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.bandit_shares")
    parser.add_argument("--trace", action="append", help="a trace by name or path; again for more (six public sets)")
    parser.add_argument("--data", type=Path, help="folder of their Parquet files; names of public sets when left out")
    parser.add_argument("--seeds", type=int, default=8, help="divisions of each trace")
    parser.add_argument("--out", type=Path, help="folder for the rows and the picture")
    parser.add_argument("--document", type=Path, help="whose table to replace, e.g. docs/bandits.md")
    given = parser.parse_args(arguments)
    traces = []
    for name in given.trace or SETS:
        try:
            traces.append(load_trace(name if given.data is None else str(given.data / f"{name}.parquet")))
        except PointsmanError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    if not traces:
        raise BadInput("no trace was there to be studied")

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    sets = divide(traces, given.seeds)
    settings = settle(sets)
    rows, few = study(sets, settings, say), few_pulls(sets, settings, say=say)
    print(markdown(rows), few_markdown(few), sep="\n\n")
    if given.out is not None:
        write_json(rows, given.out / "rows.json")
        write_json(few, given.out / "few_pulls.json")
        picture(rows, given.out)
    if given.document is not None:
        put("bandits", markdown(rows), given.document)
        put("few pulls", few_markdown(few), given.document)


if __name__ == "__main__":
    main()
