"""From the live log to a trace: what the server recorded is what routers are trained and judged on."""

from __future__ import annotations

from pathlib import Path

from env.errors import BadInput
from env.trace import Trace
from env.trace_io import from_table, table_of, write_table
from instances.store import Store

_SQLITE = "sqlite:///"


def export_log(store: str, out: str | Path) -> Trace:
    """Write the log in a store as a trace.

    Args:
        store: SQLAlchemy URL; it may be in use.
        out: Parquet file.

    Returns:
        The trace that was written.

    Raises:
        BadInput: there is no such store, or nothing was recorded in it.
    """
    # Opening a store creates it; looking must not.
    if store.startswith(_SQLITE) and not Path(store.removeprefix(_SQLITE)).is_file():
        raise BadInput(f"{store}: no such database; `pointsman serve` writes one, its configuration says where")
    opened = Store(store)
    try:
        rows = list(opened.rows())
    finally:
        opened.close()
    if not rows:
        raise BadInput(f"{store}: nothing was recorded yet")
    table = table_of(rows)
    trace = from_table(table, name=Path(out).stem, where=store)
    write_table(table, out)
    return trace
