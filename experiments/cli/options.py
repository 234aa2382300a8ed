"""Options that several commands share, and what their words mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from env.splits import SplitBy
    from experiments.train import Feedback

TraceSource: TypeAlias = Annotated[
    str, typer.Argument(metavar="TRACE", help="Parquet, CSV or JSONL file, or `bundled`.")
]
Track: TypeAlias = Annotated[
    bool | None, typer.Option("--track/--no-track", help="Log to MLflow; by default wherever MLflow is installed.")
]
SplitWord: TypeAlias = Annotated[
    str,
    typer.Option("--split-by", metavar="prompt|task|time", help="What to hold out: prompts, tasks, the newest."),
]
Settings: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the router; may be repeated.")
]


def wants_tracking(asked: bool | None) -> bool:
    """Whether to log to MLflow: as asked for, else where it is installed."""
    from experiments.tracking import is_installed

    return is_installed() if asked is None else asked


def split_of(name: str) -> SplitBy:
    """The word after ``--split-by``; refused where it is none."""
    from typing import cast, get_args

    from env.errors import BadInput
    from env.splits import SplitBy

    if name not in get_args(SplitBy):
        raise BadInput(f"--split-by {name}: it is `prompt`, `task` or `time`")
    return cast(SplitBy, name)


def feedback_of(name: str | None) -> Feedback | None:
    """The word after ``--feedback``; refused where it is none."""
    from env.errors import BadInput
    from experiments.train import Feedback

    if name is None:
        return None
    if name not in (Feedback.FULL, Feedback.BANDIT, Feedback.DR):
        raise BadInput(
            f"--feedback {name}: it is `full` (every model's outcome), `bandit` (the chosen one's) or `dr` (a bandit "
            "log, made a table of doubly robust targets)"
        )
    return Feedback(name)


def settings_of(pairs: Sequence[str]) -> dict[str, Any]:
    """``alpha=0.5`` and the like; values are YAML, so numbers, true, null and text are what they look like."""
    import yaml

    from env.errors import BadInput

    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise BadInput(f"--set {pair}: write it as NAME=VALUE, for example --set alpha=0.5")
        found[name] = yaml.safe_load(value)
    return found
