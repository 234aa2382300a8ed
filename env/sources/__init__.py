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
# What columns of a trace are often called, for an example of how to rename them.
_USUAL = {
    **dict.fromkeys(("question", "text", "input", "query", "message"), "prompt"),
    **dict.fromkeys(("model_name", "llm", "engine", "deployment"), "model"),
    **dict.fromkeys(("grade", "rating", "reward", "quality", "thumbs", "feedback"), "score"),
    **dict.fromkeys(("ts", "time", "date", "created_at"), "timestamp"),
}


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
    if "choices" in raw.columns:
        raise BadInput(
            f"{raw.where}: these are answers without their requests, and a router learns from prompts; write a line "
            '{"request": {...}, "response": {...}} for each'
        )
    meant = {_USUAL[name.lower()]: name for name in reversed(raw.columns) if name.lower() in _USUAL}
    example = ",".join(f"{old}={new}" for new, old in meant.items()) or "question=prompt,llm=model,grade=score"
    raise BadInput(
        f"{raw.where}: columns {', '.join(map(str, raw.columns))} are of no known format; name those of a prompt, a "
        f"model and a score, for example --map {example}, or choose --format {', '.join(names())}"
    )
