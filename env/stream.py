"""The exogenous stream: which query comes when, what each arm would bring, and what happens to the world meanwhile.

No agent can influence it. All randomness of an environment is drawn here, a whole pass at a time and for all arms,
from generators that one number of the environment's own generator seeds. So the first N queries and their outcomes
are the same whether they are taken one by one or a thousand at once, and the same whatever the agent does.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.contexts import Bools, Floats, Ints
from env.errors import BadInput
from env.events import Moments
from env.routing_table import RoutingTable, check_choice
from env.scenarios import Scenario, ScenarioLike

Order: TypeAlias = Literal["shuffle", "resample"]

_ORDERS = ("shuffle", "resample")


class Batch(NamedTuple):
    """The next ``n`` queries of a stream, and what each of the ``K`` arms would bring.

    Attributes:
        steps: ``(n,)`` numbers of the queries, from 0 since the stream began.
        rows: ``(n,)`` rows of the table.
        mask: ``(n, K)`` True where the arm may be chosen.
        score: ``(n, K)`` true quality; NaN where masked.
        cost_usd: ``(n, K)``.
        latency_s: ``(n, K)``.
        told: ``(n, K)`` the score as it is judged; NaN where it never is, or masked.
        delay: ``(n,)`` how many queries later the judgement comes; 0 for at once.
        reward: ``(n, K)`` what an agent is given at once; see :meth:`RoutingTable.rewards`.
        cost_weight: ``(n,)`` the cost weights charged.
        seen: ``(n,)`` the same, normalised as the agent sees them; ``None`` where they are fixed.
    """

    steps: Ints
    rows: Ints
    mask: Bools
    score: Floats
    cost_usd: Floats
    latency_s: Floats
    told: Floats
    delay: Ints
    reward: NDArray[np.float64]
    cost_weight: NDArray[np.float64]
    seen: Floats | None

    def part(self, which: slice) -> Batch:
        """Some of the queries, without a copy."""
        return Batch._make(None if column is None else column[which] for column in self)


class QueryStream:
    """An endless seeded order of a table's queries, in a world of its own.

    Args:
        table: where the queries are.
        order: ``"shuffle"``: passes over all queries, each freshly shuffled, so that no query comes a second
            time before every other came once. ``"resample"``: each query drawn anew, with replacement.
        scenario: what happens to it, see :meth:`Scenario.of`; ``None`` for nothing.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> table = RoutingTable.of(Contexts.of(np.zeros((5, 1)), 1), Outcomes.of(np.ones((5, 1))))
        >>> stream = QueryStream(table)
        >>> stream.rewind(np.random.default_rng(0))
        >>> sorted(stream.take(5).rows.tolist())
        [0, 1, 2, 3, 4]
    """

    def __init__(self, table: RoutingTable, order: Order = "shuffle", scenario: ScenarioLike = None) -> None:
        check_choice("order", order, _ORDERS)
        self.table = table
        self.order = order
        self.scenario = Scenario.of(scenario).bind(table)
        self._root: int | None = None
        self._hash: str | None = None

    @property
    def started(self) -> bool:
        """True once the stream has been seeded."""
        return self._root is not None

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the table's outcomes, the scenario and the first pass: equal hashes, equal streams.

        Every later pass follows from the same seed. Features and fixed weights are not part of it: they belong
        to the agent and to the reward, and agents that see other features can still be compared on one stream.
        """
        if self._root is None:
            raise BadInput("the stream has not begun: call reset(seed=...) first")
        if self._hash is None:
            first, digest = self._pass(0, *self._generators(self._root)), hashlib.sha256(self.table.digest)
            digest.update(self.scenario.digest)
            columns: list[NDArray[Any]] = [first.rows, first.mask, first.score, first.cost_usd, first.latency_s]
            columns += [first.told, first.delay]
            if first.seen is not None:
                columns.append(first.cost_weight)
            for column in columns:
                digest.update(np.ascontiguousarray(column).tobytes())
            self._hash = digest.hexdigest()
        return self._hash

    def rewind(self, rng: np.random.Generator) -> None:
        """Begin a stream; ``rng`` gives one number, and so decides all of it."""
        self._start(int(rng.integers(2**63)))

    def _start(self, root: int) -> None:
        self._root, self._hash = root, None
        self._rngs = self._generators(root)
        self._now, self._at = self._pass(0, *self._rngs), 0

    def truth(self, n: int) -> Batch:
        """The first ``n`` queries since the stream began, once more: for evaluation, no agent may look.

        What :meth:`take` would have given; the stream itself goes on where it was.
        """
        if self._root is None:
            raise BadInput("the stream has not begun: call reset(seed=...) first")
        again = QueryStream(self.table, self.order, self.scenario.scenario)
        again._start(self._root)
        return again.take(n)

    def take(self, n: int) -> Batch:
        """The next ``n`` queries. The arrays are the stream's own: not to be written to."""
        if self._at + n <= len(self._now.rows):
            self._at += n
            return self._now.part(slice(self._at - n, self._at))
        parts = []
        while n:
            if self._at == len(self._now.rows):
                self._now, self._at = self._pass(int(self._now.steps[-1]) + 1, *self._rngs), 0
            parts.append(self.take(min(n, len(self._now.rows) - self._at)))
            n -= len(parts[-1].rows)
        columns = zip(*parts, strict=True)
        return Batch._make(None if column[0] is None else np.concatenate(column) for column in columns)

    def _generators(self, root: int) -> tuple[np.random.Generator, np.random.Generator, list[np.random.Generator]]:
        # One generator for each kind of chance: a drawn cost weight must not change the order of the queries.
        queries, weights = np.random.default_rng([root, 0]), np.random.default_rng([root, 1])
        return queries, weights, self.scenario.generators(root)

    def _pass(
        self,
        first: int,
        order_rng: np.random.Generator,
        weight_rng: np.random.Generator,
        event_rngs: list[np.random.Generator],
    ) -> Batch:
        table, n = self.table, len(self.table)
        steps = np.arange(first, first + n)
        rows = order_rng.permutation(n) if self.order == "shuffle" else order_rng.integers(n, size=n)
        self.scenario.choose(steps, rows, self._root or 0, resample=self.order == "resample")
        if table.cost_weight is None:
            seen = table.layout.draw(weight_rng, n)
            weight = table.layout.cost_weight(seen)
        else:
            seen, weight = None, table.cost_weight[rows]
        score, cost, latency = (c.take(rows, axis=0) for c in (table.score, table.cost_usd, table.latency_s))
        mask = table.allowed.take(rows, axis=0)
        now = Moments(steps, rows, mask, score, cost, latency, told=score, delay=np.zeros(n, dtype=np.int64))
        if self.scenario.events:
            self.scenario.unfold(now, event_rngs)
        return Batch(
            steps, rows, now.mask, now.score, now.cost_usd, now.latency_s, now.told, now.delay,
            table.rewards(now, weight), weight, seen,
        )  # fmt: skip
