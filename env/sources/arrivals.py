"""When requests arrived at real services, and how long they were: what simulated traffic replays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from env.contexts import Floats
from env.errors import BadInput
from env.sources.named import stored
from env.sources.public_sets import public_set
from env.trace_formats import read_table

_COLUMNS = ("timestamp_s", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests in the order of their arrival.

    Attributes:
        name: of the recording.
        timestamp_s: ``(n,)`` seconds since the first, never decreasing.
        input_tokens: ``(n,)``.
        output_tokens: ``(n,)``.
    """

    name: str
    timestamp_s: Floats
    input_tokens: Floats
    output_tokens: Floats

    def __len__(self) -> int:
        return len(self.timestamp_s)

    @property
    def per_second(self) -> float:
        """Mean rate of arrival."""
        return (len(self) - 1) / float(self.timestamp_s[-1] - self.timestamp_s[0])


def load_arrivals(name: str) -> Arrivals:
    """Arrivals by name, found or downloaded like a public trace: see :func:`env.sources.named.load_named`.

    Raises:
        BadInput: an unknown name, a set that is not there, or a file that is not one of arrivals.
    """
    path = stored(public_set(name, "arrivals"))
    table = read_table(path)
    for column in _COLUMNS:
        if column not in table.column_names:
            raise BadInput(f"{path}: row 0 (header): column `{column}` is missing; arrivals have {', '.join(_COLUMNS)}")
    times, inputs, outputs = (table[column].to_numpy().astype(np.float64) for column in _COLUMNS)
    if len(times) < 2 or not np.isfinite(times).all() or (np.diff(times) < 0).any() or times[-1] == times[0]:
        row = int(np.argmax(np.diff(times) < 0)) + 2 if len(times) > 1 else 1
        raise BadInput(f"{path}: row {row}: column timestamp_s: arrivals are at least two, in the order of their times")
    return Arrivals(name, times - times[0], inputs, outputs)
