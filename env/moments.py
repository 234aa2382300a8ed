"""Moments as logs write them: seconds, milliseconds or finer since 1970, dates, and ISO text."""

from __future__ import annotations

from datetime import date
from typing import Any

from env.splits import _moment

# 1973 in milliseconds and the year 5138 in seconds: no log has moments on the wrong side.
_FIRST_IN_MILLISECONDS = 1e11
_FINER = 1000.0


def seconds(value: Any) -> float | None:
    """A moment in seconds since 1970, UTC where it names no zone; ``None`` for what is no moment.

    Example:
        >>> seconds("1970-01-02"), seconds(1_746_057_600_000), seconds("1746057600"), seconds("soon")
        (86400.0, 1746057600.0, 1746057600.0, None)
    """
    read = None if isinstance(value, bool) else _moment(value)
    if read is None:
        return None
    number, kind = read
    # A date is in seconds already; a number may be in milliseconds, microseconds or nanoseconds.
    while kind is not date and number >= _FIRST_IN_MILLISECONDS:
        number /= _FINER
    return number
