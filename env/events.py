"""What may happen to a stream of queries: prices change, models fail, come and go, judges are late, noisy or bought.

An event is a small frozen object. It changes the arrays of a :class:`Moments` for all arms alike, whatever anyone
chooses, and draws what is left to chance for every cell: so every agent meets the same world.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Floats, Ints, Objects
from env.errors import BadInput

Stage: TypeAlias = Literal["queries", "outcomes", "feedback"]


@dataclass(slots=True)
class Moments:
    """The world over a run of steps, as events find and leave it. ``n`` steps, ``K`` arms.

    Attributes:
        steps: ``(n,)`` numbers of the queries in the stream.
        rows: ``(n,)`` rows of the table that they ask.
        mask: ``(n, K)`` True where the arm may be chosen.
        score: ``(n, K)`` the quality an answer truly has.
        cost_usd: ``(n, K)``.
        latency_s: ``(n, K)``.
        told: ``(n, K)`` the score that the judge will give; NaN where it never gives one.
        delay: ``(n,)`` how many queries later it is given.
    """

    steps: Ints
    rows: Ints
    mask: Bools
    score: Floats
    cost_usd: Floats
    latency_s: Floats
    told: Floats
    delay: Ints

    def close(self, when: Bools, arm: int, timeout_s: float) -> None:
        """Take an arm away. Where it is the last one, it stays, and a call to it fails."""
        alone = self.mask[:, arm] & (self.mask.sum(axis=1) == 1)
        self.mask[when & ~alone, arm] = False
        self.fail(when & alone, arm, timeout_s)

    def fail(self, when: Bools, arm: int, timeout_s: float) -> None:
        """Calls to an arm bring nothing, cost nothing, and take until the timeout."""
        called = when & self.mask[:, arm]
        self.score[called, arm] = 0
        self.cost_usd[called, arm] = 0
        self.latency_s[called, arm] = timeout_s


@dataclass(frozen=True, kw_only=True)
class Event(ABC):
    """Something that happens to the stream.

    Attributes:
        at: when it begins: the number of a query of the first pass (an integer), or in passes (a float: 0.5 is the
            middle of the first pass, 2.5 that of the third).
        until: when it is over, likewise; ``None`` for never.
    """

    kind: ClassVar[str]
    stage: ClassVar[Stage] = "outcomes"

    at: float = 0
    until: float | None = None

    @abstractmethod
    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Change the moments.

        Args:
            now: what to change.
            when: ``(n,)`` True while the event lasts.
            arm: the arm it is about; -1 for all.
            rng: the event's own. It is drawn from as often whatever ``when`` is.
        """

    def to_json(self) -> dict[str, Any]:
        """``kind`` and the fields, JSON-able."""
        fields = asdict(self)
        return {"kind": self.kind} | {k: v.item() if isinstance(v, np.generic) else v for k, v in fields.items()}


@dataclass(frozen=True, kw_only=True)
class _OfOneArm(Event):
    """An event that one arm suffers.

    Attributes:
        arm: its name, or ``"best"`` (highest mean score), ``"weakest"``, ``"dearest"`` or ``"cheapest"``.
    """

    arm: str = "best"


@dataclass(frozen=True, kw_only=True)
class PriceChange(_OfOneArm):
    """The arm's price is multiplied.

    Attributes:
        factor: new price over old.
    """

    kind: ClassVar[str] = "price_change"
    at: float = 0.5
    arm: str = "dearest"
    factor: float = 0.1

    def __post_init__(self) -> None:
        _check(self, "factor", 0, np.inf)

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Multiply the cost."""
        now.cost_usd[when, arm] *= np.float32(self.factor)


@dataclass(frozen=True, kw_only=True)
class QualityDrop(_OfOneArm):
    """Nobody says so, but a share of the arm's answers is now worthless.

    Attributes:
        share: of its answers; their score becomes 0.
    """

    kind: ClassVar[str] = "quality_drop"
    at: float = 0.5
    share: float = 0.5

    def __post_init__(self) -> None:
        _check(self, "share", 0, 1)

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Spoil the answers that chance picks."""
        spoiled = rng.random(len(now.steps)) < self.share
        now.score[when & spoiled & now.mask[:, arm], arm] = 0


@dataclass(frozen=True, kw_only=True)
class Slowdown(_OfOneArm):
    """The arm takes longer.

    Attributes:
        factor: new latency over old.
    """

    kind: ClassVar[str] = "slowdown"
    at: float = 0.5
    factor: float = 3.0

    def __post_init__(self) -> None:
        _check(self, "factor", 0, np.inf)

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Multiply the latency."""
        now.latency_s[when, arm] *= np.float32(self.factor)


@dataclass(frozen=True, kw_only=True)
class Outage(_OfOneArm):
    """The arm is down, until it recovers.

    Attributes:
        noticed: True where health checks see it, so that the arm is masked. False: calls to it fail, with a score
            of 0, at no cost, after ``timeout_s``.
        timeout_s: seconds until a call is given up.
    """

    kind: ClassVar[str] = "outage"
    at: float = 0.4
    noticed: bool = True
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        _check(self, "timeout_s", 0, np.inf)

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Close the arm, or let its calls fail."""
        (now.close if self.noticed else now.fail)(when, arm, self.timeout_s)


@dataclass(frozen=True, kw_only=True)
class RateLimit(_OfOneArm):
    """Others use the arm too: of each window of queries only the first few may go to it.

    In ``pointsman/RoutingTraffic-v0`` a limit can also be one's own doing, see ``Fleet``.

    Attributes:
        calls: how many queries of a window find it open.
        window: queries.
    """

    kind: ClassVar[str] = "rate_limit"
    calls: int = 20
    window: int = 100

    def __post_init__(self) -> None:
        _check(self, "window", 1, np.inf, whole=True)
        _check(self, "calls", 0, self.window, whole=True)

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Close the arm for the rest of each window."""
        now.close(when & (now.steps % self.window >= self.calls), arm, 0.0)


@dataclass(frozen=True, kw_only=True)
class NewArm(_OfOneArm):
    """The arm does not exist before ``at``."""

    kind: ClassVar[str] = "new_arm"
    at: float = 0.5

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Close the arm before its time."""
        now.close(~when, arm, 0.0)


@dataclass(frozen=True, kw_only=True)
class ArmRetired(_OfOneArm):
    """The arm is switched off for good."""

    kind: ClassVar[str] = "arm_retired"
    at: float = 0.5

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Close the arm from then on."""
        now.close(when, arm, 0.0)


@dataclass(frozen=True, kw_only=True)
class PromptShift(Event):
    """From then on only some tasks are asked; their queries come again when all have been asked.

    Attributes:
        tasks: their labels; none for the second half of the labels in alphabetical order.
    """

    kind: ClassVar[str] = "prompt_shift"
    stage: ClassVar[Stage] = "queries"
    at: float = 0.5
    tasks: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        # JSON has lists only, and one label may come alone.
        given: Any = self.tasks
        object.__setattr__(self, "tasks", (given,) if isinstance(given, str) else tuple(given))

    def pool(self, labels: Objects, name: str) -> NDArray[np.intp]:
        """Rows of the table that may be asked.

        Raises:
            BadInput: there are no task labels, or none of these.
        """
        known = sorted({str(label) for label in labels if label is not None})
        if len(known) < 2:
            raise BadInput(f"{name}: prompt_shift needs queries of two or more tasks; the trace has {len(known)}")
        for task in self.tasks:
            if task not in known:
                raise BadInput(f"{name}: prompt_shift: no query has the task `{task}`; tasks: {', '.join(known)}")
        wanted = {*self.tasks} if self.tasks else {*known[len(known) // 2 :]}
        return np.flatnonzero([label in wanted for label in labels])

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Nothing is left to do once the queries are chosen, see :meth:`rows`."""

    def rows(self, pool: NDArray[np.intp], since: Ints, seed: list[int]) -> Ints:
        """Rows to ask: fresh orders of the pool, one after the other, whatever passes they fall into.

        Args:
            pool: rows that may be asked.
            since: how many queries ago the event began, for each query.
            seed: of the event.
        """
        blocks, places = np.divmod(since, len(pool))
        rows = np.empty(len(since), dtype=np.int64)
        for block in np.unique(blocks):
            here = blocks == block
            rows[here] = np.random.default_rng([*seed, int(block)]).permutation(pool)[places[here]]
        return rows


@dataclass(frozen=True, kw_only=True)
class DelayedFeedback(Event):
    """Judgements come later. Costs and latencies are known at once.

    Attributes:
        queries: how many queries later.
        law: ``"fixed"``, or ``"geometric"`` with ``queries`` as the mean.
    """

    kind: ClassVar[str] = "delayed_feedback"
    stage: ClassVar[Stage] = "feedback"
    queries: int = 50
    law: Literal["fixed", "geometric"] = "fixed"

    def __post_init__(self) -> None:
        _check(self, "queries", 1, np.inf, whole=True)
        if self.law not in ("fixed", "geometric"):
            raise BadInput(f"delayed_feedback: law is `fixed` or `geometric`, got `{self.law}`")

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Put the judgements off."""
        n = len(now.steps)
        late = np.full(n, self.queries) if self.law == "fixed" else rng.geometric(1 / self.queries, n)
        now.delay[when] = late[when]


@dataclass(frozen=True, kw_only=True)
class MissingFeedback(Event):
    """Most users say nothing.

    Attributes:
        share: of the answers that are never judged.
    """

    kind: ClassVar[str] = "missing_feedback"
    stage: ClassVar[Stage] = "feedback"
    share: float = 0.8

    def __post_init__(self) -> None:
        _check(self, "share", 0, 1)

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Take judgements away, for each arm by a draw of its own."""
        silent = rng.random(now.told.shape) < self.share
        now.told[when[:, None] & silent] = np.nan


@dataclass(frozen=True, kw_only=True)
class NoisyJudge(Event):
    """The judge is unsure, and perhaps partial.

    Attributes:
        noise: standard deviation of what is added to each score; the sum is clipped to [0, 1].
        bias: added to the scores of ``arm``.
        arm: whom the judge favours or dislikes, as for other events; ``None`` for all.
    """

    kind: ClassVar[str] = "noisy_judge"
    stage: ClassVar[Stage] = "feedback"
    noise: float = 0.3
    bias: float = 0.0
    arm: str | None = None

    def __post_init__(self) -> None:
        _check(self, "noise", 0, np.inf)
        _check(self, "bias", -1, 1)

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Blur the scores and shift those of the arm."""
        wrong = self.noise * rng.standard_normal(now.told.shape)
        wrong[:, slice(None) if arm < 0 else arm] += self.bias
        now.told[when] = np.clip(now.told + wrong, 0, 1)[when].astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class PoisonedFeedback(_OfOneArm):
    """Someone praises an arm whatever it answers.

    Attributes:
        share: of the judgements about this arm that are bought: they say 1.
    """

    kind: ClassVar[str] = "poisoned_feedback"
    stage: ClassVar[Stage] = "feedback"
    arm: str = "weakest"
    share: float = 0.3

    def __post_init__(self) -> None:
        _check(self, "share", 0, 1)

    def happen(self, now: Moments, when: Bools, arm: int, rng: np.random.Generator) -> None:
        """Put the bought judgements in place of the honest ones."""
        bought = rng.random(len(now.steps)) < self.share
        now.told[when & bought & now.mask[:, arm], arm] = 1


def _check(event: Event, name: str, low: float, high: float, *, whole: bool = False) -> None:
    value = getattr(event, name)
    allowed = f"{low:g} or more" if high == np.inf else f"{low:g} to {high:g}"
    kind = int | np.integer if whole else int | float | np.number
    if not isinstance(value, kind) or not low <= float(value) <= high or not np.isfinite(float(value)):
        raise BadInput(f"{event.kind}: {name} is {'a whole number, ' * whole}{allowed}, got {value!r}")
