"""``pointsman trace``: look at recorded data, check it, bring it in, take it out of the live log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.output import JsonTarget, Output

app = typer.Typer(help="Recorded data: import, look at, check, export.", no_args_is_help=True)

_Source = Annotated[str, typer.Argument(metavar="TRACE", help="Parquet, CSV or JSONL file, or `bundled`.")]

# What a table may lack: its values become null. Without the others there is no trace.
_MAY_BE_ABSENT = ("task", "input_tokens", "output_tokens", "cost_usd", "latency_s")
# Said before a column is renamed: a name is a near miss, a factor of 1,000 is not.
_UNITS = {"cost_usd": " (dollars a call)", "latency_s": " (seconds)"}


@app.command()
def info(source: _Source, json: JsonTarget = None) -> None:
    """Show counts, and the mean score, cost and latency of every model."""
    from env.trace_io import load_trace
    from experiments.trace_report import caveats, table

    out, trace = Output(json), load_trace(source)
    out.say(table(trace))
    for caveat in caveats(trace):
        out.say(f"note: {caveat}")
    out.result({**trace.summary(), "caveats": caveats(trace)})


@app.command()
def validate(source: _Source, json: JsonTarget = None) -> None:
    """Check every value: what is impossible fails (exit status 2), what is doubtful is noted."""
    from env.trace_io import load_trace
    from experiments.trace_report import caveats

    out, trace = Output(json), load_trace(source)
    found = caveats(trace)
    for caveat in found:
        out.say(f"note: {caveat}")
    out.say(f"{source}: valid: {trace!r}")
    out.result({"valid": True, "trace": trace.name, "hash": trace.hash, "caveats": found})


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet, CSV or JSONL, one row per query and model.")],
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    map_: Annotated[
        list[str] | None, typer.Option("--map", metavar="OLD=NEW", help="Rename a column; `OLD=` leaves it out.")
    ] = None,
    json: JsonTarget = None,
) -> None:
    """Rename columns, check every value, and write a trace."""
    import pyarrow as pa

    from env.errors import BadInput, nearest
    from env.trace_formats import read_table
    from env.trace_io import KNOWN, from_table, likely_meant, write_table

    shown, table = Output(json), read_table(source)
    removed: list[str] = []
    for pair in map_ or []:
        old, equals, new = pair.partition("=")
        if not equals:
            raise BadInput(f"--map {pair}: write it as OLD=NEW, for example --map llm=model")
        if old not in table.column_names:
            raise BadInput(f"--map {pair}: {source} has no column `{old}`{nearest(old, table.column_names)}")
        if not new:
            table, removed = table.drop_columns([old]), [*removed, old]
            continue
        if new not in KNOWN:
            raise BadInput(f"--map {pair}: a trace has no column `{new}`{nearest(new, KNOWN)}")
        names = [new if name == old else name for name in table.column_names]
        if names.count(new) > 1:
            raise BadInput(f"--map {pair}: {source} has a column `{new}` already")
        table = table.rename_columns(names)
    unread = [name for name in table.column_names if name not in KNOWN]
    for name, column in likely_meant(unread, table.column_names).items():
        raise BadInput(
            f"{source}: column `{name}` is no part of a trace; is it `{column}`{_UNITS.get(column, '')}? "
            f"--map {name}={column} renames it, --map {name}= leaves it out"
        )
    absent = [name for name in _MAY_BE_ABSENT if name not in table.column_names]
    for name in absent:
        table = table.append_column(name, pa.nulls(table.num_rows))
    dropped = [*removed, *unread]
    table = table.drop_columns(unread)
    trace = from_table(table, name=out.stem, where=str(source))
    write_table(table, out)
    if absent:
        shown.say(f"not in {source}, null in the trace: {', '.join(absent)}")
    if dropped:
        shown.say(f"left out: {', '.join(dropped)} (no part of a trace; --map renames a column)")
    shown.say(f"{out}: {trace!r}")
    shown.result({"path": str(out), "null_columns": absent, "left_out": dropped, **trace.summary()})


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    store: Annotated[str, typer.Option("--store", help="SQLAlchemy URL of the live log.")] = "sqlite:///pointsman.db",
    json: JsonTarget = None,
) -> None:
    """Write what a server recorded as a trace."""
    from experiments.export import export_log

    shown = Output(json)
    trace = export_log(store, out)
    shown.say(f"{out}: {trace!r}")
    shown.result({"path": str(out), **trace.summary()})
