"""From the live log to a trace: what the server recorded is what routers are trained and judged on."""

from __future__ import annotations

from pathlib import Path

from env.errors import BadInput
from env.trace import Trace
from env.trace_io import from_table, table_of, write_table
from instances.store import Store


def export_log(store: str, out: str | Path) -> Trace:
    """Write the log in a store as a trace.

    Args:
        store: SQLAlchemy URL; it may be in use. It is only looked at, whatever it is.
        out: Parquet file.

    Returns:
        The trace that was written.

    Raises:
        BadInput: there is no such store, it is another program's database, or nothing was recorded in it.
    """
    opened = Store(store, create=False)
    try:
        rows = list(opened.rows())
    finally:
        opened.close()
    if not rows:
        raise BadInput(f"{opened.name}: nothing was recorded yet")
    table = table_of(rows)
    trace = from_table(table, name=Path(out).stem, where=opened.name)
    write_table(table, out)
    return trace
