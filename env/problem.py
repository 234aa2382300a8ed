"""One thing that is wrong with a trace, or that whoever reads numbers made from it must know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding about a trace.

    Attributes:
        severity: ``"error"``: nothing can be learned or compared before it is mended; ``"warning"``: results may be
            wrong or flattering; ``"note"``: good to know.
        what: one line.
        where: the query ids, arms or columns it is about; the first few, where they are many.
        count: how many of them.
        mend: one line: what to do.
    """

    severity: Severity
    what: str
    where: str
    count: int
    mend: str


def some(names: Iterable[Any]) -> str:
    """The first few of some names.

    Example:
        >>> some(["q1", "q2"]), some(range(10))
        ('q1, q2', '0, 1, 2 and 7 more')
    """
    found = [str(name) for name in names]
    more = len(found) - _SHOWN
    return ", ".join(found) if more <= 0 else f"{', '.join(found[:_SHOWN])} and {more} more"
