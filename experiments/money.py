"""Dollars as people read them: per thousand requests, since a single one costs a fraction of a cent."""

from __future__ import annotations

import numpy as np

_DIGITS = 3


def per_thousand(usd: float | None) -> str:
    """Dollars of one request as dollars per thousand, three significant digits, never in powers of ten.

    Example:
        >>> per_thousand(0.00033), per_thousand(1e-8), per_thousand(0.0151), per_thousand(None)
        ('0.33', '0.00001', '15.1', '-')
    """
    if usd is None:
        return "-"
    return np.format_float_positional(usd * 1000, precision=_DIGITS, unique=False, fractional=False, trim="-")
