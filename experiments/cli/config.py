"""``pointsman config``: check a runtime configuration, show it with its defaults, print its schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.output import JsonTarget, Output

app = typer.Typer(help="The runtime's configuration file.", no_args_is_help=True)

_File = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", envvar="POINTSMAN_CONFIG", help="YAML; the shipped one when not given."),
]


@app.command()
def check(file: _File = None, json: JsonTarget = None) -> None:
    """Check a configuration: its keys, and whether the traces to replay are there and hold their models."""
    from instances.config import load_config
    from instances.providers import make_provider

    shown, config = Output(json), load_config(file)
    for instance in config.instances:
        # What the others need (keys, weights) may be only where they are to run.
        if instance.provider == "replay":
            make_provider(instance)
    names = [instance.name for instance in config.instances]
    shown.say(f"{file or 'shipped configuration'}: valid; models: {', '.join(names)}")
    shown.result({"valid": True, "instances": names})


@app.command()
def show(file: _File = None, json: JsonTarget = None) -> None:
    """Print a configuration with every default filled in, and without the passwords in its addresses."""
    import yaml

    from env.uris import shown_uri
    from instances.config import load_config

    shown, settings = Output(json), load_config(file).model_dump(mode="json")
    for holder, key in ((settings, "store"), *((instance, "base_url") for instance in settings["instances"])):
        if holder[key] is not None:
            holder[key] = shown_uri(holder[key])
    shown.say(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).rstrip())
    shown.result(settings)


@app.command()
def schema(json: JsonTarget = None) -> None:
    """Print the JSON schema of configurations, which editors can check against."""
    import json as encoder

    from instances.config import RuntimeConfig

    shown, found = Output(json), RuntimeConfig.model_json_schema()
    if json is None:
        shown.say(encoder.dumps(found, indent=1))
    shown.result(found)
