"""What commands print: text for people on standard output, or JSON for programs in its place or beside it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Annotated, Any, TypeAlias

import typer
from rich.console import Console, RenderableType
from rich.text import Text

JsonTarget: TypeAlias = Annotated[
    str | None,
    typer.Option("--json", metavar="[FILE]", help="Write the result as JSON to FILE, or to standard output."),
]

STANDARD_OUTPUT = "-"
_FLAG = "--json"
_PIPE_WIDTH = 160  # rich would assume 80 columns for a file or a pipe, and cut the tables


class Output:
    """Where a command's words and its result go.

    Args:
        target: of the JSON result: ``None`` for none, ``-`` for standard output, else a file.
    """

    def __init__(self, target: str | None) -> None:
        self._target = target
        # With JSON on standard output, nothing else may be there.
        quiet = target == STANDARD_OUTPUT
        width = None if sys.stdout.isatty() else _PIPE_WIDTH
        # No markup: `pointsman[local]` and what models answer would be taken for it.
        self.console = Console(width=width, quiet=quiet, markup=False, highlight=False)

    @property
    def width(self) -> int:
        """Columns that fit."""
        return self.console.width

    def say(self, what: RenderableType = "") -> None:
        """Print for people."""
        self.console.print(what, soft_wrap=isinstance(what, str | Text))

    def warn(self, line: str) -> None:
        """Print a line on standard error."""
        print("warning:", " ".join(line.split()), file=sys.stderr)

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Show that something goes on, on a terminal."""
        with _errors().status(Text(what)):
            yield

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[str], None]]:
        """A progress bar on a terminal; call what it gives before each step, with the step's name."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        console = _errors()
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(what, total=total)
            begun = 0

            def advance(name: str) -> None:
                nonlocal begun
                bar.update(task, completed=begun, description=name)
                begun += 1

            yield advance

    def result(self, value: Any) -> None:
        """Hand over the result for programs; NaN becomes null."""
        if self._target is None:
            return
        clean = _without_nan(value)
        if self._target == STANDARD_OUTPUT:
            sys.stdout.write(json.dumps(clean, indent=1) + "\n")
        else:
            from env.files import write_json

            write_json(clean, self._target)


def optional_json_file(arguments: Iterable[str]) -> list[str]:
    """Arguments with ``-`` added after a ``--json`` that names no file.

    Example:
        >>> optional_json_file(["status", "--json"]), optional_json_file(["compare", "t", "--json", "--seeds", "2"])
        (['status', '--json', '-'], ['compare', 't', '--json', '-', '--seeds', '2'])
        >>> optional_json_file(["status", "--json", "out.json"])
        ['status', '--json', 'out.json']
    """
    given = list(arguments)
    found: list[str] = []
    for argument, following in zip_longest(given, given[1:]):
        found.append(argument)
        if argument == _FLAG and (following is None or (following.startswith("-") and following != STANDARD_OUTPUT)):
            found.append(STANDARD_OUTPUT)
    return found


def _errors() -> Console:
    """Progress goes to standard error, so that it is never in a pipe."""
    return Console(stderr=True)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value
