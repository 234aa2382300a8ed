"""What a reader must know before believing the figures of a comparison."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

import numpy as np

from env.trace import Trace
from env.trace_problems import problems
from experiments.baselines import ORACLE
from experiments.compare import Report
from experiments.report.selection import learned
from experiments.slices import ENOUGH_PROMPTS
from experiments.train import Feedback

_FEW_SEEDS = 5
_WIDE = 0.05
_NAMED = 5


def of_comparison(report: Report) -> list[str]:
    """What the comparison itself gives cause to doubt."""
    names = {entry.router for entry in report.entries}
    found = [_sentence(note, names) for note in report.notes]
    if len(report.seeds) < _FEW_SEEDS:
        found.append(
            f"{len(report.seeds)} {'seed is' if len(report.seeds) == 1 else 'seeds are'} few: intervals hardly see how "
            "much a split and a training run weigh; ten are the custom."
        )
    slices = report.slices
    if slices is not None:
        tiny = [task.name for task in slices.tasks if task.is_tiny]
        if tiny:
            found.append(
                f"{len(tiny)} of {len(slices.tasks)} tasks were tested on fewer than {ENOUGH_PROMPTS} prompts and have "
                f"no intervals, do not read them alone: {_some(tiny)}."
            )
    for entry in learned(report)[:1]:
        half = float(np.median(entry.band[1] - entry.band[0])) / 2
        if half > _WIDE:
            found.append(
                f"The data are noisy: the score of {entry.router} at one dial is known to ±{half:.2f} only. "
                "Differences between routers are of the same prompts, and known better."
            )
    told = [entry.router for entry in learned(report) if entry.feedback is Feedback.BANDIT]
    if told:
        found.append(
            "Learned from the outcomes of their own choices alone, where others were told every model's: "
            f"{_some(told)}."
        )
    if report.entry(ORACLE) is not None:
        found.append(
            "A recorded score is one draw: part of what the oracle reaches is luck that no router can foresee."
        )
    return found


def of_data(trace: Trace) -> list[str]:
    """What :func:`env.trace_problems.problems` finds at once, worst first, with the mend."""
    return [
        f"{problem.severity.capitalize()}: {problem.what}. Mend: {problem.mend}."
        for problem in problems(trace, near=False)
    ]


def _sentence(note: str, names: Container[str]) -> str:
    """A note with a large first letter, where that is no router's, and a full stop."""
    named = re.split(r"[ :,]", note)[0] in names
    return f"{note if named else note[:1].upper() + note[1:]}."


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
