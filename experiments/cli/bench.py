"""``pointsman bench``: measured here and now, as ratios against the least work that could do the job."""

from __future__ import annotations

from typing import Annotated, Any

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
    """List every router with what it can do and how long a decision takes, and how fast bandits decide and learn.

    Then batches against bare matrix products, prompts to arms, float32 against float64, and all of it beside its bar.
    """
    shown = Output(json)
    if ppo:
        from experiments.benchmarks import ppo as training

        with shown.busy("training PPO on five seeds, twice each"):
            trained = training.measure()
        shown.say(training.table(trained))
        shown.result({"ppo": trained})
        return
    from experiments.benchmarks import batches, prompts, regret, rounds, speed
    from experiments.benchmarks import routers as decisions
    from experiments.benchmarks.clock import one_thread

    result: dict[str, list[dict[str, Any]]] = {}
    with one_thread():
        for name, part, what in (
            ("decisions", decisions, "decisions"),
            ("rounds", rounds, "rounds of deciding and learning"),
            ("batches", batches, "batches"),
            ("prompts", prompts, "prompts to arms"),
            ("regret", regret, "regret"),
        ):
            with shown.busy(f"measuring {what}"):
                result[name] = part.measure()
            shown.say(part.table(result[name]))
    shown.say(speed.table(speed.bars(result)))
    shown.result({**result, "bars": speed.bars(result)})


@app.command()
def env(json: JsonTarget = None) -> None:
    """Steps per second of the environments, alone and side by side."""
    from experiments.benchmarks.env import measure, table

    shown = Output(json)
    with shown.busy("measuring steps"):
        rows = measure()
    shown.say(table(rows))
    shown.result(rows)


@app.command()
def ope(json: JsonTarget = None) -> None:
    """Off-policy estimators against Open Bandit Pipeline's, where that is installed: same figures, times its speed."""
    from experiments.benchmarks.clock import one_thread
    from experiments.benchmarks.ope import measure, table, verdict

    shown = Output(json)
    with shown.busy("measuring off-policy estimators"), one_thread():
        rows = measure()
    shown.say(table(rows))
    shown.say(verdict(rows))
    shown.result(rows)


@app.command()
def metrics(json: JsonTarget = None) -> None:
    """The whole set of metrics with their replicates: 20 routers, 10 seeds, 12,000 prompts, 20 arms."""
    from experiments.benchmarks.metrics import measure, table

    shown = Output(json)
    with shown.busy("measuring metrics"):
        rows = measure()
    shown.say(table(rows))
    shown.result(rows)
