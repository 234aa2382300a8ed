"""``pointsman ope``: what a policy would have brought, from a log of what another one chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.output import JsonTarget, Output

if TYPE_CHECKING:
    from experiments.ope.logs import Unjudged


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(ope)


def ope(
    source: Annotated[str, typer.Argument(metavar="LOG", help="A trace with propensities: Parquet, CSV or JSONL.")],
    policy: Annotated[str, typer.Option("--policy", metavar="BUNDLE", help="Folder, or models:/NAME@ALIAS.")],
    dial: Annotated[
        float | None, typer.Option("--dial", min=0, max=1, help="Of the policy; default: what each caller asked for.")
    ] = None,
    estimators: Annotated[
        str | None,
        typer.Option("--estimators", help="Of dm, ips, clipped_ips, snips, dr, switch_dr, mrdr, by commas; or all."),
    ] = None,
    explore: Annotated[
        bool, typer.Option("--explore", help="Judge the router's randomised law, not the greedy one.")
    ] = False,
    retired: Annotated[
        list[str] | None, typer.Option("--retired", metavar="ARM", help="An arm that the policy is known not to have.")
    ] = None,
    unjudged: Annotated[
        str, typer.Option("--unjudged", metavar="error|drop", help="Of decisions whose answer has no score.")
    ] = "error",
    least_propensity: Annotated[
        float | None,
        typer.Option("--least-propensity", help="That the logging policy could give; default: the least in the log."),
    ] = None,
    json: JsonTarget = None,
) -> None:
    """Estimate what a policy would have brought on the requests of a log; refused where the log cannot tell."""
    from env.sources.named import load_trace
    from experiments.deploy import load_policy
    from experiments.ope.estimators import ESTIMATORS
    from experiments.ope.evaluation import DEFAULT
    from experiments.ope.judge import off_policy, table

    shown = Output(json)
    asked = [*ESTIMATORS] if estimators == "all" else estimators.split(",") if estimators else [*DEFAULT]
    trace, judged = load_trace(source), load_policy(policy)
    with shown.busy(f"judging {judged.router.name} on {trace.name}"):
        found = off_policy(
            judged,
            trace,
            dial=dial,
            estimators=asked,
            explore=explore,
            retired=retired or (),
            unjudged=_unjudged(unjudged),
            least_propensity=_probability(least_propensity),
        )
    for one in found:
        if one.estimates:
            shown.say(table(one))
        shown.say(one.verdict)
    shown.result([one.to_json() for one in found])
    if found[0].overlap.refusal is not None:
        raise typer.Exit(1)


def _unjudged(word: str) -> Unjudged:
    from env.errors import BadInput

    known: dict[str, Unjudged] = {"error": "error", "drop": "drop"}
    if word not in known:
        raise BadInput(f"--unjudged {word}: it is `error` or `drop`")
    return known[word]


def _probability(given: float | None) -> float | None:
    from env.errors import BadInput

    if given is not None and not 0 < given <= 1:
        raise BadInput(f"--least-propensity {given:g}: it is a probability above 0, at most 1")
    return given
