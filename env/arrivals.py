"""When requests come: recorded arrivals replayed, or drawn; as fast as one wants, as bursty as they are."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from env.errors import BadInput, nearest

Times: TypeAlias = NDArray[np.float64]
DRAWN = ("poisson", "bursty")
BURSTY_CV = 4.0
"""Standard deviation over mean of drawn bursty gaps. Recorded LLM traffic reaches 1 (chat) to 13 (code completion)."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Times at which requests come.

    Attributes:
        timestamp_s: ``(n,)`` seconds, from 0, never falling.
        input_tokens: ``(n,)`` tokens of the prompt, where they were recorded.
        output_tokens: ``(n,)`` tokens of the answer, likewise.

    Example:
        >>> arrivals = Arrivals.of([10.0, 11.0, 14.0])
        >>> arrivals.timestamp_s.tolist(), arrivals.rate
        ([0.0, 1.0, 4.0], 0.5)
        >>> arrivals.at_rate(2.0).timestamp_s.tolist()
        [0.0, 0.25, 1.0]
    """

    timestamp_s: Times
    input_tokens: NDArray[Any] | None = None
    output_tokens: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        times = self.timestamp_s
        if times.ndim != 1 or len(times) < 2 or not np.isfinite(times).all():
            raise BadInput("arrivals are two or more times in seconds")
        if times[0] != 0 or (np.diff(times) < 0).any():
            raise BadInput("arrival times begin at 0 and never fall; sort them, Arrivals.of(...) moves them to 0")

    def __len__(self) -> int:
        return len(self.timestamp_s)

    @classmethod
    def of(cls, timestamps: Sequence[float] | NDArray[Any]) -> Arrivals:
        """Arrivals at ascending times in seconds, moved so that the first is 0.

        Raises:
            BadInput: fewer than two times, or times that fall.
        """
        times = np.asarray(timestamps, dtype=np.float64)
        return cls(times - times[0] if len(times) else times)

    @classmethod
    def load(cls, path: str | Path) -> Arrivals:
        """Arrivals of a Parquet file: a column ``timestamp_s``, and token counts where it has them.

        Raises:
            BadInput: no such file or column.
        """
        try:
            table = pq.read_table(path)
        except (OSError, ValueError) as error:
            raise BadInput(f"{path}: no Parquet file of arrivals: {error}") from error
        if "timestamp_s" not in table.column_names:
            raise BadInput(f"{path}: arrivals have a column `timestamp_s`; found {', '.join(table.column_names)}")
        counted = ("input_tokens", "output_tokens")
        tokens = {name: table[name].to_numpy() for name in counted if name in table.column_names}
        return replace(cls.of(table["timestamp_s"].to_numpy()), **tokens)

    @classmethod
    def poisson(cls, rate: float, n: int, rng: np.random.Generator) -> Arrivals:
        """``n`` requests that come independently, ``rate`` a second on average."""
        return cls._after(rng.exponential(1 / rate, n))

    @classmethod
    def bursty(cls, rate: float, n: int, rng: np.random.Generator, cv: float = BURSTY_CV) -> Arrivals:
        """``n`` requests in bursts: gaps of a Gamma law.

        Args:
            rate: requests per second on average.
            n: number of requests.
            rng: draws the gaps.
            cv: standard deviation of the gaps over their mean; 1 is Poisson, above 1 bursty, below 1 regular. 4 where
                nothing is said.
        """
        return cls._after(rng.gamma(1 / cv**2, cv**2 / rate, n))

    @classmethod
    def _after(cls, gaps: Times) -> Arrivals:
        return cls(np.concatenate([[0.0], np.cumsum(gaps[1:])]))

    @property
    def rate(self) -> float:
        """Requests per second, on average."""
        return float((len(self) - 1) / self.timestamp_s[-1]) if self.timestamp_s[-1] > 0 else np.inf

    @property
    def cv(self) -> float:
        """Standard deviation of the gaps over their mean: 1 for Poisson, more for bursts."""
        gaps = np.diff(self.timestamp_s)
        return float(gaps.std() / gaps.mean()) if gaps.any() else 0.0

    def at_rate(self, rate: float) -> Arrivals:
        """The same arrivals with time stretched so that ``rate`` come a second: gaps keep their proportions.

        Raises:
            BadInput: a rate that is not above 0, or arrivals all at once.
        """
        check_rate(rate)
        if not np.isfinite(self.rate):
            raise BadInput("all arrivals come at once: no rate can be given to them")
        return replace(self, timestamp_s=self.timestamp_s * (self.rate / rate))

    def window(self, start: int, n: int) -> Times:
        """``(n,)`` arrival times from arrival ``start`` on, the first at 0; after the last, the first follows.

        What comes after the end of a record is not known: the mean gap stands there.
        """
        at = start + np.arange(n)
        span = self.timestamp_s[-1] + 1 / self.rate
        times = self.timestamp_s[at % len(self)] + span * (at // len(self))
        return np.asarray(times - times[0])


ArrivalsLike: TypeAlias = str | Mapping[str, Any] | Arrivals


class ArrivalStream:
    """Arrivals for one episode after the other: the same for every agent, decided by one seed.

    Args:
        given: ``"poisson"``, ``"bursty"`` (a cv of 4, see :meth:`Arrivals.bursty`), ``{"kind": "bursty", "cv": 6.0}``,
            the name of recorded arrivals or the path of a Parquet file of them, or :class:`Arrivals`. Recorded ones are
            replayed from a random place on, one window after the other, round and round.
        rate: requests per second.

    Raises:
        BadInput: an unknown name or setting, with the nearest one.

    Example:
        >>> stream = ArrivalStream({"kind": "bursty", "cv": 2.0}, rate=10.0)
        >>> stream.rewind(7)
        >>> len(stream.take(5))
        5
    """

    def __init__(self, given: ArrivalsLike, rate: float) -> None:
        check_rate(rate)
        self.rate = rate
        self._recorded: Arrivals | None = None
        self._cv = 1.0
        if isinstance(given, Mapping):
            settings = dict(given)
            kind = str(settings.pop("kind", ""))
            known = {"bursty": ("cv",)}.get(kind, ())
            for name in settings:
                if name not in known:
                    raise BadInput(f"arrivals of kind `{kind}` have no `{name}`{nearest(name, known or ('kind',))}")
            self._cv = float(settings.get("cv", BURSTY_CV if kind == "bursty" else 1.0))
            given = kind
        elif given == "bursty":
            self._cv = BURSTY_CV
        if not 0 < self._cv < np.inf:
            raise BadInput(f"the cv of arrivals is above 0, got {self._cv:g}")
        if isinstance(given, str):
            self._recorded = None if given in DRAWN else recorded_arrivals(given).at_rate(rate)
        else:
            self._recorded = given.at_rate(rate)
        self.rewind(0)

    def rewind(self, seed: int) -> None:
        """Begin the stream of a seed."""
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._at = 0 if self._recorded is None else int(self._rng.integers(len(self._recorded)))

    def take(self, n: int) -> Times:
        """``(n,)`` arrival times of the next episode, the first at 0."""
        if self._recorded is None:
            # A Gamma law of cv 1 is the exponential one.
            return Arrivals.bursty(self.rate, n, self._rng, self._cv).timestamp_s if n > 1 else np.zeros(1)
        times = self._recorded.window(self._at, n)
        self._at = (self._at + n) % len(self._recorded)
        return times

    def digest(self, n: int) -> bytes:
        """SHA-256 of the first episode of ``n`` arrivals; all later ones follow from the same seed."""
        again = object.__new__(ArrivalStream)
        again.__dict__.update(self.__dict__)
        again.rewind(self._seed)
        digest = hashlib.sha256(again.take(n).tobytes())
        if self._recorded is not None:
            digest.update(self._recorded.timestamp_s.tobytes())
        return digest.digest()


def recorded_arrivals(name: str) -> Arrivals:
    """Recorded arrivals by the path of a Parquet file, or by name.

    Raises:
        BadInput: neither such a file nor such a name, with the nearest of those that are drawn or recorded.
    """
    if Path(name).suffix or "/" in name:
        return Arrivals.load(name)
    return _named(name)


@functools.lru_cache(maxsize=4)
def _named(name: str) -> Arrivals:
    # On demand: what is drawn or given needs no sources.
    from env.sources.arrivals import load_arrivals
    from env.sources.public_sets import names

    if name not in (recorded := names("arrivals")):
        raise BadInput(f"no arrivals `{name}`{nearest(name, (*DRAWN, *recorded))}")
    found = load_arrivals(name)
    return replace(Arrivals.of(found.timestamp_s), input_tokens=found.input_tokens, output_tokens=found.output_tokens)


def check_rate(rate: float) -> None:
    """Refuse a rate that is none."""
    if not 0 < rate < np.inf:
        raise BadInput(f"a rate is above 0 requests per second, got {rate}")
