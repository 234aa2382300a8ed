"""The command line. Each command's work lies elsewhere; here are its arguments, its words and its exit status.

Exit status: 0 done, 1 failed, 2 bad input, 130 interrupted. Errors are one line on standard error. What a command
needs is imported when it runs, so that ``pointsman --help`` is quick and the base install can do all it can.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

import experiments.cli.bench as bench
import experiments.cli.config as config
import experiments.cli.learn as learn
import experiments.cli.live as live
import experiments.cli.ope as ope
import experiments.cli.sweep as sweep
import experiments.cli.trace as trace
from env.errors import PointsmanError
from experiments.cli.output import optional_json_file

_INTERRUPTED = 130

# Click's base class of usage errors. Typer carries its own copy of Click from some version on, and exports only
# classes below it, so it is found through one of them.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="pointsman",
    help="Learn which LLM each request should go to: record, train, compare, serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(trace.app, name="trace")
app.add_typer(config.app, name="config")
app.add_typer(bench.app, name="bench")
learn.add_to(app)
ope.add_to(app)
live.add_to(app)
sweep.add_to(app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"pointsman {version('pointsman')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; those of the process when not given.

    Returns:
        The exit status.
    """
    # First, so that a library that sets up logging for everyone, at a level of its own, comes too late.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    given = optional_json_file(sys.argv[1:] if arguments is None else arguments)
    try:
        with _terminated_like_ctrl_c():
            status = typer.main.get_command(app).main(args=given, prog_name="pointsman", standalone_mode=False)
    except PointsmanError as error:
        return _complain(str(error), error.exit_code)
    except _UsageError as error:
        return _complain(getattr(error, "format_message", error.__str__)(), 2)
    except (KeyboardInterrupt, typer.Abort):
        status = _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `head` does.
        sys.stderr.close()
        return 1
    except OSError as error:
        return _complain(f"{error.filename or 'system'}: {error.strerror or error}", 1)
    if status == _INTERRUPTED:
        # An interrupt inside `exec` of a string, as where an import makes a dataclass, leaves CPython a mark by which
        # `python -m` ends by the signal whatever its status. The next `exec` takes the mark away.
        exec("")
        return _complain("interrupted", _INTERRUPTED)
    return status if isinstance(status, int) else 0


@contextmanager
def _terminated_like_ctrl_c() -> Iterator[None]:
    """Inside, SIGTERM cleans up as Ctrl-C does, instead of ending the process where it stands."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _complain(message: str, status: int) -> int:
    if message:  # a group without a command has printed its help, and complains about nothing
        print("error:", " ".join(message.split()), file=sys.stderr)
    return status
