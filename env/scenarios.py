"""Scenarios: named, composable lists of events, for environments whose world does not stand still.

>>> make("price_change") + make("outage", arm="small", at=100, until=200)
Scenario('price_change + outage', 2 events)
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from env.contexts import Bools, Floats, Ints
from env.errors import BadInput, nearest
from env.events import (
    ArmRetired,
    DelayedFeedback,
    Event,
    MissingFeedback,
    Moments,
    NewArm,
    NoisyJudge,
    Outage,
    PoisonedFeedback,
    PriceChange,
    PromptShift,
    QualityDrop,
    RateLimit,
    Slowdown,
)
from env.routing_table import RoutingTable

_KINDS: dict[str, type[Event]] = {
    event.kind: event
    for event in (
        PriceChange, QualityDrop, Slowdown, Outage, RateLimit, NewArm, ArmRetired, PromptShift,
        DelayedFeedback, MissingFeedback, NoisyJudge, PoisonedFeedback,
    )
}  # fmt: skip
# What `make` gives where nothing is said of the time; an event of one's own lasts for ever unless `until` is given.
_TIMES = {"outage": {"at": 0.4, "until": 0.6}}
_STAGES = ("queries", "outcomes", "feedback")
_ROLES = ("best", "weakest", "dearest", "cheapest")


@dataclass(frozen=True, repr=False)
class Scenario:
    """Events that happen to one stream, whoever routes it.

    Scenarios add up: ``one + other`` has the events of both. They are JSON-able, so that an environment made from an
    ``EnvSpec`` has them too.

    Attributes:
        name: what reports call it.
        events: what happens.

    Example:
        >>> scenario = make("quality_drop", arm="large", at=500)
        >>> Scenario.of(scenario.to_json()) == scenario
        True
    """

    name: str
    events: tuple[Event, ...] = ()

    def __repr__(self) -> str:
        return f"Scenario({self.name!r}, {len(self.events)} event{'s' * (len(self.events) != 1)})"

    def __add__(self, other: Scenario) -> Scenario:
        return Scenario(f"{self.name} + {other.name}", self.events + other.events)

    @classmethod
    def of(cls, given: ScenarioLike) -> Scenario:
        """A scenario from a name, an event or its JSON, a list of such, or a scenario.

        Raises:
            BadInput: an unknown name or field, with the nearest one.
        """
        match given:
            case Scenario():
                return given
            case None:
                return cls("stationary")
            case str():
                return make(given)
            case Event():
                return cls(given.kind, (given,))
            case Mapping():
                settings = dict(given)
                return make(str(settings.pop("kind", "")), **settings)
            case Sequence():
                parts = [cls.of(part) for part in given]
                events = tuple(event for part in parts for event in part.events)
                return cls(" + ".join(part.name for part in parts) or "stationary", events)
            case _:
                raise BadInput(f"a scenario is a name, an event, its JSON, or a list of them, got {given!r}")

    def to_json(self) -> list[dict[str, Any]]:
        """The events, JSON-able; :meth:`of` reads them."""
        return [event.to_json() for event in self.events]

    def bind(self, table: RoutingTable) -> BoundScenario:
        """The scenario on one table: arms and steps as numbers.

        Raises:
            BadInput: no such arm or task, or a step that never comes.
        """
        return BoundScenario(table, self)


ScenarioLike: TypeAlias = Scenario | Event | str | Mapping[str, Any] | Sequence[Any] | None


def names() -> list[str]:
    """All scenarios that :func:`make` knows.

    Example:
        >>> names()[:4]
        ['stationary', 'price_change', 'quality_drop', 'slowdown']
    """
    return ["stationary", *_KINDS]


def make(name: str, **settings: Any) -> Scenario:
    """A scenario of one event.

    Args:
        name: one of :func:`names`.
        **settings: fields of the event: always ``at`` and ``until`` (steps as integers, or passes as floats),
            mostly ``arm`` (a name, or ``best``, ``weakest``, ``dearest``, ``cheapest``), and what the kind has: see
            the classes of :mod:`env.events`.

    Raises:
        BadInput: an unknown name, field or value, with the nearest one.

    Example:
        >>> make("outage", arm="large", at=0.25, until=0.5).events[0].noticed
        True
    """
    if name == "stationary" and not settings:
        return Scenario(name)
    if name not in _KINDS:
        raise BadInput(f"unknown scenario `{name}`{nearest(name, names())}")
    known = [*inspect.signature(_KINDS[name]).parameters]
    for setting, value in settings.items():
        if setting not in known:
            raise BadInput(f"scenario {name} has no `{setting}`{nearest(setting, known)}")
        if isinstance(value, bool) != (setting == "noticed") and value is not None:
            raise BadInput(f"scenario {name}: `{setting}` is {value!r}")
    if not {"at", "until"} & settings.keys():
        settings |= _TIMES.get(name, {})
    try:
        return Scenario(name, (_KINDS[name](**settings),))
    except TypeError as error:
        raise BadInput(f"scenario {name}: {error}") from error


class BoundScenario:
    """A scenario on one table: what a stream asks while it makes its passes.

    Attributes:
        scenario: what was bound.
        delays: True where feedback may come late.
    """

    def __init__(self, table: RoutingTable, scenario: Scenario) -> None:
        self.scenario = scenario
        self._table = table
        order = sorted(range(len(scenario.events)), key=lambda index: _STAGES.index(scenario.events[index].stage))
        self._order = [(index, self._placed(scenario.events[index])) for index in order]
        kinds = {event.kind for event in scenario.events}
        self.delays = "delayed_feedback" in kinds

    @property
    def events(self) -> tuple[Event, ...]:
        """What happens."""
        return self.scenario.events

    @property
    def digest(self) -> bytes:
        """The scenario in bytes, arms and steps as numbers."""
        said_otherwise = ("arm", "at", "until")
        placed = [
            {key: value for key, value in placed.event.to_json().items() if key not in said_otherwise}
            | {"arm": placed.arm, "first": placed.first, "last": placed.last}
            for _, placed in self._order
        ]
        return json.dumps(placed, sort_keys=True).encode()

    @property
    def times(self) -> list[int]:
        """Steps at which something begins or ends, in order."""
        edges = {edge for _, placed in self._order for edge in (placed.first, placed.last) if edge}
        return sorted(edges)

    def generators(self, root: int) -> list[np.random.Generator]:
        """A generator of its own for each event: one more event changes nothing of the others."""
        return [np.random.default_rng([root, 2, index]) for index in range(len(self.scenario.events))]

    def choose(self, steps: Ints, rows: Ints, root: int, *, resample: bool) -> None:
        """Let the events of the first stage choose other queries, in place.

        Args:
            steps: ``(n,)``.
            rows: ``(n,)`` rows of the table, as they were drawn.
            root: of the stream.
            resample: draw with replacement, as the stream does.
        """
        for index, placed in self._order:
            if placed.pool is not None and isinstance(placed.event, PromptShift):
                when, seed = placed.when(steps), [root, 3, index]
                if resample:
                    drawn = np.random.default_rng([*seed, int(steps[0])]).choice(placed.pool, len(steps))
                    rows[when] = drawn[when]
                else:
                    rows[when] = placed.event.rows(placed.pool, steps[when] - placed.first, seed)

    def unfold(self, now: Moments, rngs: Sequence[np.random.Generator]) -> None:
        """Let everything else happen, in place: what the answers are worth, then what is said of them."""
        for stage in _STAGES[1:]:
            for index, placed in self._order:
                if placed.event.stage == stage:
                    placed.event.happen(now, placed.when(now.steps), placed.arm, rngs[index])
            if stage == "outcomes":
                now.told = now.score.copy()
        for column in (now.score, now.cost_usd, now.latency_s, now.told):
            column[~now.mask] = np.nan

    def _placed(self, event: Event) -> _Placed:
        first = self._step(event, "at", event.at)
        last = None if event.until is None else self._step(event, "until", event.until)
        if last is not None and last <= first:
            raise BadInput(f"{self._table.name}: {event.kind} is over at step {last}, before it begins at {first}")
        pool = event.pool(self._table.tasks, self._table.name) if isinstance(event, PromptShift) else None
        return _Placed(event, self._arm(event), first, last, pool)

    def _step(self, event: Event, field: str, value: Any) -> int:
        n = len(self._table)
        if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not 0 <= value < np.inf:
            raise BadInput(f"{event.kind}: `{field}` is a step, or a number of passes, 0 or more, got {value!r}")
        if isinstance(value, float | np.floating):
            return int(float(value) * n)
        if field == "at" and value >= n:
            raise BadInput(
                f"{self._table.name}: {event.kind} begins at step {value}, which never comes in a pass of {n} queries; "
                f"for a later pass give it in passes, such as {int(value) / n:.1f}"
            )
        return int(value)

    def _arm(self, event: Event) -> int:
        name = getattr(event, "arm", None)
        if name is None:
            return -1
        table = self._table
        if name in table.arms:
            self._check_recorded(event, table.arms.index(name))
            return table.arms.index(name)
        if name not in _ROLES:
            known = [*table.arms, *_ROLES]
            raise BadInput(f"{table.name}: {event.kind}: no arm `{name}`{nearest(str(name), known)}")
        means = np.array([_mean(column) for column in (table.score if name in _ROLES[:2] else table.cost_usd).T])
        if np.isnan(means).all():
            raise BadInput(f"{table.name}: {event.kind}: no arm is `{name}`, no cost is recorded; name the arm")
        arm = int(np.nanargmax(means) if name in ("best", "dearest") else np.nanargmin(means))
        self._check_recorded(event, arm)
        return arm

    def _check_recorded(self, event: Event, arm: int) -> None:
        """An event that changes what was never recorded would change nothing."""
        columns = {"price_change": self._table.cost_usd, "slowdown": self._table.latency_s}
        if event.kind in columns and not np.isfinite(columns[event.kind][:, arm]).any():
            what = "cost" if event.kind == "price_change" else "latency"
            raise BadInput(f"{self._table.name}: {event.kind}: no {what} of `{self._table.arms[arm]}` is recorded")


@dataclass(frozen=True, slots=True)
class _Placed:
    event: Event
    arm: int
    first: int
    last: int | None
    pool: Any

    def when(self, steps: Ints) -> Bools:
        begun: Bools = steps >= self.first
        return begun if self.last is None else begun & (steps < self.last)


def _mean(values: Floats) -> float:
    seen = values[np.isfinite(values)]
    return float(seen.mean(dtype=np.float64)) if len(seen) else np.nan
