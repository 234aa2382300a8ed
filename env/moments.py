"""Moments as logs write them: seconds, milliseconds or finer since 1970, dates, and ISO text."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

# 1973 in milliseconds and the year 5138 in seconds: no log has moments on the wrong side.
_FIRST_IN_MILLISECONDS = 1e11
_FINER = 1000.0


def seconds(value: Any) -> float | None:
    """A moment in seconds since 1970, UTC where it names no zone; ``None`` for what is no moment.

    Example:
        >>> seconds("1970-01-02"), seconds(1_746_057_600_000), seconds("1746057600"), seconds("soon")
        (86400.0, 1746057600.0, 1746057600.0, None)
    """
    read = None if isinstance(value, bool) else moment_of(value)
    if read is None:
        return None
    number, kind = read
    # A date is in seconds already; a number may be in milliseconds, microseconds or nanoseconds.
    while kind is not date and number >= _FIRST_IN_MILLISECONDS:
        number /= _FINER
    return number


def moment_of(value: Any) -> tuple[float, type] | None:
    """A time as a number that sorts, and whether a date (``date``) or a number (``float``) was recorded.

    Seconds since 1970 for dates and ISO text, UTC where they name no zone; numbers as they are. ``None`` for what is
    no time.

    Example:
        >>> moment_of("1970-01-02"), moment_of("12"), moment_of("soon")
        ((86400.0, <class 'datetime.date'>), (12.0, <class 'float'>), None)
    """
    if isinstance(value, str):
        for read in (float, datetime.fromisoformat):
            try:
                value = read(value.strip())
                break
            except ValueError:
                continue
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp(), date
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp(), date
    is_number = isinstance(value, int | float | np.number) and math.isfinite(value)
    return (float(value), float) if is_number else None
