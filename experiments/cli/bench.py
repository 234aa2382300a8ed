"""``pointsman bench``: measured here and now, as ratios against the least work that could do the job."""

from __future__ import annotations

import typer

from experiments.cli.output import JsonTarget, Output

app = typer.Typer(help="Benchmarks: ratios against a floor measured in the same run.", no_args_is_help=True)


@app.command()
def routers(json: JsonTarget = None) -> None:
    """List every router with what it can do and how long a decision takes, and how fast bandits decide and learn."""
    from experiments.benchmarks import rounds
    from experiments.benchmarks.routers import measure, table

    shown = Output(json)
    with shown.busy("measuring decisions"):
        rows = measure()
    shown.say(table(rows))
    with shown.busy("measuring rounds of deciding and learning"):
        played = rounds.measure()
    shown.say(rounds.table(played))
    shown.result({"decisions": rows, "rounds": played})


@app.command()
def env(json: JsonTarget = None) -> None:
    """Steps per second of the environments, alone and side by side."""
    from experiments.benchmarks.env import measure, table

    shown = Output(json)
    with shown.busy("measuring steps"):
        rows = measure()
    shown.say(table(rows))
    shown.result(rows)
