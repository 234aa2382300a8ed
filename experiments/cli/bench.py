"""``pointsman bench``: measured here and now, as ratios against the least work that could do the job."""

from __future__ import annotations

from typing import Annotated

import typer

from experiments.cli.output import JsonTarget, Output

app = typer.Typer(help="Benchmarks: ratios against a floor measured in the same run.", no_args_is_help=True)


@app.command()
def routers(
    ppo: Annotated[
        bool, typer.Option("--ppo", help="Only PPO's training, against SB3's defaults: some ten CPU minutes.")
    ] = False,
    json: JsonTarget = None,
) -> None:
    """List every router with what it can do and how long a decision takes, and how fast bandits decide and learn."""
    shown = Output(json)
    if ppo:
        from experiments.benchmarks import ppo as training

        with shown.busy("training PPO on five seeds, twice each"):
            trained = training.measure()
        shown.say(training.table(trained))
        shown.result({"ppo": trained})
        return
    from experiments.benchmarks import rounds
    from experiments.benchmarks.routers import measure, table

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
