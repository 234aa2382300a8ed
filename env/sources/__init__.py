"""Where traces come from: other people's formats, and public sets by name.

A format is one file with a ``SOURCE`` and a line in ``SOURCES``; ``detect`` tells it by its columns, and
``env.sources.importing`` makes the trace. ``env.sources.named`` finds or fetches the public sets.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from env.errors import BadInput, nearest
from env.sources import llmrouterbench, long, obp, request_logs, routellm, routerarena, routerbench
from env.sources.base import Source
from env.sources.raw import Raw, Record

# The first that recognises a file has it; the generic one is the last to be asked.
SOURCES = (
    obp.SOURCE,
    routerarena.SOURCE,
    llmrouterbench.SOURCE,
    routerbench.SOURCE,
    request_logs.SOURCE,
    routellm.SOURCE,
    long.SOURCE,
)


def names() -> tuple[str, ...]:
    """Names of the formats.

    Example:
        >>> "routerbench" in names()
        True
    """
    return tuple(source.name for source in SOURCES)


def get(name: str) -> Source:
    """The format of that name.

    Raises:
        BadInput: there is none.
    """
    for source in SOURCES:
        if source.name == name:
            return source
    raise BadInput(f"unknown format `{name}`{nearest(name, names())}")


def detect(content: Raw | pa.Table | Iterable[Record]) -> str:
    """The name of the format that has such columns.

    Raises:
        BadInput: none has.

    Example:
        >>> detect([{"global_index": "A_1", "llm_selected": "m", "question": "?"}])
        'routerarena'
    """
    raw = content if isinstance(content, Raw) else Raw.of(content)
    for source in SOURCES:
        if source.looks_like(raw):
            return source.name
    known = "; ".join(f"{source.name} ({source.what})" for source in SOURCES)
    raise BadInput(
        f"{raw.where}: columns {', '.join(map(str, raw.columns))} are of no known format; "
        f"--map OLD=NEW renames columns, --format chooses: {known}"
    )
