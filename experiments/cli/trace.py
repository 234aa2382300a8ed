"""``pointsman trace``: look at recorded data, check it, bring it in, take it out of the live log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.output import JsonTarget, Output

app = typer.Typer(help="Recorded data: import, look at, check, export.", no_args_is_help=True)

_HELP = "Parquet, CSV or JSONL file, `bundled`, or the name of a public set."
_Source = Annotated[str, typer.Argument(metavar="TRACE", help=_HELP)]


@app.command()
def info(
    source: Annotated[str | None, typer.Argument(metavar="[TRACE]", help=f"{_HELP} Without one: the sets.")] = None,
    json: JsonTarget = None,
) -> None:
    """Show counts, and the mean score, cost and latency of every model."""
    from env.sources.named import load_trace
    from experiments.trace_report import about, caveats, public_sets, table

    out = Output(json)
    if source is None:
        out.say(public_sets())
        out.result([about(name) for name in _set_names()])
        return
    trace = load_trace(source)
    out.say(table(trace))
    known = about(source)
    for line in [f"{key}: {known[key]}" for key in ("home", "licence", "note") if known.get(key)]:
        out.say(line)
    for caveat in caveats(trace):
        out.say(f"note: {caveat}")
    out.result({**trace.summary(), "caveats": caveats(trace), **({"source": known} if known else {})})


@app.command()
def validate(source: _Source, json: JsonTarget = None) -> None:
    """Check every value, prompt and split: what must be mended fails (exit status 2), the rest is told."""
    from dataclasses import asdict

    from env.sources.named import load_trace
    from experiments.trace_report import problems_table

    out, trace = Output(json), load_trace(source)
    with out.busy(f"looking through {trace.name}"):
        found = trace.problems()
    errors = sum(problem.severity == "error" for problem in found)
    if found:
        out.say(problems_table(found))
    out.say(f"{source}: {f'not valid, {errors} to mend' if errors else 'valid'}: {trace!r}")
    told = {"valid": not errors, "trace": trace.name, "hash": trace.hash}
    out.result({**told, "problems": [asdict(problem) for problem in found]})
    if errors:
        raise typer.Exit(2)


@app.command("import")
def import_(
    sources: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of one format, or their folder.")],
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    format_: Annotated[
        str | None,
        typer.Option("--format", help="long, routerbench, routellm, ...; told by the columns where it is not given."),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OLD=NEW[,...]", help="Rename columns; `OLD=` leaves one out."),
    ] = None,
    score_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--score-range", metavar="LOW HIGH", help="The scale of the scores (those of --scores, where it is given)."
        ),
    ] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="Grades given elsewhere: query_id, score, perhaps model.")
    ] = None,
    estimate_tokens: Annotated[
        bool, typer.Option("--estimate-tokens", help="Count tokens roughly where only the text was recorded.")
    ] = False,
    prices: Annotated[
        str | None,
        typer.Option("--prices", metavar="list|FILE|URL", help="Costs that were not recorded: tokens times prices."),
    ] = None,
    price_date: Annotated[
        str | None,
        typer.Option("--price-date", metavar="DAY", help="Of the prices; else each request's day."),
    ] = None,
    responses: Annotated[bool, typer.Option("--responses", help="Keep the answers too.")] = False,
    json: JsonTarget = None,
) -> None:
    """Read logs in their own format, check every value, and write a trace."""
    from env.prices import PriceTable
    from env.sources.importing import import_files
    from env.trace_io import check_target, write_table

    check_target(out)
    shown, table = Output(json), PriceTable.load()
    found = import_files(
        sources,
        format_,
        name=out.stem,
        columns=_columns(map_ or []),
        score_range=score_range,
        scores=scores,
        estimate_tokens=estimate_tokens,
        prices=None if prices is None else table if prices == "list" else table.update(prices),
        price_day=price_date,
        keep_responses=responses,
    )
    write_table(found.table, out)
    where = ", ".join(map(str, sources))
    if found.null_columns:
        shown.say(f"not in {where}, null in the trace: {', '.join(found.null_columns)}")
    if found.left_out:
        shown.say(f"left out: {', '.join(found.left_out)} (no part of a trace; --map renames a column)")
    for note in found.notes:
        shown.say(f"note: {note}")
    shown.say(f"{out}: {found.trace!r}, from {found.format}")
    told = {"path": str(out), "format": found.format, "notes": list(found.notes)}
    columns = {"null_columns": list(found.null_columns), "left_out": list(found.left_out)}
    shown.result({**told, **columns, **found.trace.summary()})


def _columns(pairs: list[str]) -> dict[str, str]:
    from env.errors import BadInput

    found: dict[str, str] = {}
    for pair in [pair for given in pairs for pair in given.split(",")]:
        old, equals, new = pair.partition("=")
        if not equals or not old:
            raise BadInput(f"--map {pair}: write it as OLD=NEW, for example --map llm=model")
        if old in found or (new and new in found.values()):
            raise BadInput(f"--map {pair}: a column has one name; `{old if old in found else new}` is there twice")
        found[old] = new
    return found


def _set_names() -> list[str]:
    from env.sources.public_sets import registry

    return list(registry())


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    store: Annotated[str, typer.Option("--store", help="SQLAlchemy URL of the live log.")] = "sqlite:///pointsman.db",
    json: JsonTarget = None,
) -> None:
    """Write what a server recorded as a trace."""
    from env.trace_io import check_target
    from experiments.export import export_log

    check_target(out)
    shown = Output(json)
    trace = export_log(store, out)
    shown.say(f"{out}: {trace!r}")
    shown.result({"path": str(out), **trace.summary()})
