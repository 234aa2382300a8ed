"""``pointsman route | serve | promote | rollback | status | demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.output import JsonTarget, Output

_Policy = Annotated[
    str | None,
    typer.Option("--policy", metavar="BUNDLE", help="Policy folder, models:/NAME@ALIAS or models:/NAME/VERSION."),
]
_Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", envvar="POINTSMAN_CONFIG", help="YAML; the shipped local models when not given."
    ),
]
_Model = Annotated[str, typer.Option("--model", help="Name in the registry.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (demo, route, serve, promote, rollback, status):
        app.command()(command)


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for everything it writes.")] = Path("demo"),
    requests: Annotated[int, typer.Option("--requests", min=1, help="Real requests to send.")] = 12,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds of the comparison.")] = 3,
    json: JsonTarget = None,
) -> None:
    """The whole loop, offline, in a few minutes: compare, train, promote, serve real models, record."""
    from experiments.demo import run

    shown = Output(json)
    shown.result(run(out, requests=requests, seeds=seeds, say=shown.say, width=shown.width))


def route(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT")],
    policy: _Policy = None,
    config: _Config = None,
    dial: Annotated[
        float | None,
        typer.Option("--dial", min=0, max=1, help="0 = cheapest, 1 = best; else the configured one."),
    ] = None,
    json: JsonTarget = None,
) -> None:
    """Show which model `serve` would send a prompt to, and why, without calling any."""
    from dataclasses import asdict

    from experiments.explain import explain, table
    from experiments.serve import choose_models, choose_policy, masked_arms

    shown, (settings, left_out) = Output(json), choose_models(config)
    choice = choose_policy(policy, settings)
    masked = masked_arms(choice.policy, settings)
    available = [name for name in choice.policy.arm_names if name not in masked]
    notes = [*left_out, *choice.notes]
    if not available:
        notes.append("no model of this policy is configured: this is what it would choose with all of them")
    elif masked:
        notes.append(f"no instance, so never chosen: {', '.join(masked)}")
    explained = explain(choice.policy, prompt, dial=settings.dial if dial is None else dial, models=available or None)
    for note in notes:
        shown.say(f"note: {note}")
    shown.say(table(explained))
    shown.say(f"goes to {explained.why}")
    found = {"why": explained.why, "policy": choice.origin, "masked_arms": masked, "notes": notes}
    shown.result({**asdict(explained), **found})


def serve(
    config: _Config = None,
    policy: _Policy = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; 127.0.0.1 by default.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = None,
    track: Annotated[
        bool | None,
        typer.Option("--track/--no-track", help="Log aggregates to MLflow; by default where the policy comes from it."),
    ] = None,
    json: JsonTarget = None,
) -> None:
    """Serve real models behind the learned policy, over the OpenAI API."""
    from experiments.serve import Server, choose_models, choose_policy
    from instances.gateway.app import exposure

    shown, (settings, notes) = Output(json), choose_models(config)
    choice = choose_policy(policy, settings)
    sink = None
    if track or (track is None and choice.source is not None):
        from experiments.live_metrics import MLflowMetricSink

        sink = MLflowMetricSink(choice.policy.version)
    server = Server(
        settings,
        choice.policy,
        source=choice.source,
        metrics=sink,
        host=host or settings.host,
        port=settings.port if port is None else port,
    )
    for note in (*notes, *choice.notes):
        shown.say(f"note: {note}")
    facts = server.describe() | {"policy_from": choice.origin}
    masked = f" (no instance: {', '.join(facts['masked_arms'])})" if facts["masked_arms"] else ""
    shown.say(f"url      {facts['url']}")
    shown.say(f"models   {', '.join(facts['instances'])}{masked}")
    shown.say(f"policy   {facts['router']} {facts['policy']}, {facts['policy_from']}")
    shown.say(f"dial     {facts['dial']:g}, {facts['exploration']:.0%} of the requests explore")
    shown.say(f"record   {facts['store']}")
    if (warning := exposure(server.host)) is not None:
        typer.echo(f"warning: {warning}", err=True)  # where no pipe hides it
    shown.say(f"{facts['url'].removesuffix('/v1')}/readyz answers 200 when the models have started; Ctrl-C stops")
    shown.result(facts)
    try:
        server.run()
    finally:
        if sink is not None:
            sink.close()
    shown.say("stopped")


def promote(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Policy folder, models:/NAME@ALIAS or /VERSION.")],
    model: _Model = "pointsman",
    json: JsonTarget = None,
) -> None:
    """Register a policy and make it the champion, which `serve` takes up by itself."""
    from dataclasses import asdict

    from experiments.deploy import promote as run

    shown, deployed = Output(json), run(bundle, model=model)
    shown.say(f"champion: {deployed.uri}: {deployed.router} {deployed.policy_version}, trained on {deployed.trace}")
    shown.result(asdict(deployed))


def rollback(model: _Model = "pointsman", json: JsonTarget = None) -> None:
    """Make the previous champion the champion again."""
    from dataclasses import asdict

    from experiments.deploy import rollback as run

    shown, deployed = Output(json), run(model=model)
    shown.say(f"champion: {deployed.uri}: {deployed.router} {deployed.policy_version}, trained on {deployed.trace}")
    shown.result(asdict(deployed))


def status(model: _Model = "pointsman", json: JsonTarget = None) -> None:
    """Show the registry's champion and the one before it."""
    from experiments.deploy import status as run

    shown, found = Output(json), run(model=model)
    shown.say(f"registry  {found['registry']}, model {model}, {found['versions']} versions")
    for alias in ("champion", "previous"):
        it = found[alias]
        if it is None:
            shown.say(f"{alias}  none" + ("; `pointsman promote BUNDLE` makes one" if alias == "champion" else ""))
        else:
            words = f"{it['router']} {it['policy_version']}, trained on {it['trace']}, registered {it['registered']}"
            shown.say(f"{alias}  version {it['number']}: {words}")
    shown.result(found)
