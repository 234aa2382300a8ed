"""The exogenous stream: which query comes when, and at what price of money. No agent can influence it.

All randomness of an environment is drawn here, a whole pass at a time, from generators that one number of the
environment's own generator seeds. So the first N queries are the same whether they are taken one by one or a
thousand at once, and the same whatever the agent does.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.contexts import Floats, Ints
from env.errors import BadInput
from env.routing_table import RoutingTable, check_choice

Order: TypeAlias = Literal["shuffle", "resample"]

_ORDERS = ("shuffle", "resample")


class Batch(NamedTuple):
    """The next queries of a stream.

    Attributes:
        rows: ``(n,)`` rows of the table.
        cost_weight: ``(n,)`` the cost weights charged.
        seen: ``(n,)`` the same, normalised as the agent sees them; ``None`` where they are fixed.
    """

    rows: Ints
    cost_weight: NDArray[np.float64]
    seen: Floats | None


class QueryStream:
    """An endless seeded order of a table's queries.

    Args:
        table: where the queries are.
        order: ``"shuffle"``: passes over all queries, each freshly shuffled, so that no query comes a second
            time before every other came once. ``"resample"``: each query drawn anew, with replacement.

    Example:
        >>> from env.contexts import Contexts, Outcomes
        >>> table = RoutingTable.of(Contexts.of(np.zeros((5, 1)), 1), Outcomes.of(np.ones((5, 1))))
        >>> stream = QueryStream(table)
        >>> stream.rewind(np.random.default_rng(0))
        >>> sorted(stream.take(5).rows.tolist())
        [0, 1, 2, 3, 4]
    """

    def __init__(self, table: RoutingTable, order: Order = "shuffle") -> None:
        check_choice("order", order, _ORDERS)
        self.table = table
        self.order = order
        self._root: int | None = None
        self._hash: str | None = None

    @property
    def started(self) -> bool:
        """True once the stream has been seeded."""
        return self._root is not None

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the table's outcomes and of the first pass: equal hashes, equal streams.

        Every later pass follows from the same seed. Features and fixed weights are not part of it: they belong
        to the agent and to the reward, and agents that see other features can still be compared on one stream.
        """
        if self._root is None:
            raise BadInput("the stream has not begun: call reset(seed=...) first")
        if self._hash is None:
            first, digest = self._pass(*self._generators()), hashlib.sha256(self.table.digest)
            digest.update(first.rows.astype("<i8").tobytes())
            if first.seen is not None:
                digest.update(first.cost_weight.astype("<f8").tobytes())
            self._hash = digest.hexdigest()
        return self._hash

    def rewind(self, rng: np.random.Generator) -> None:
        """Begin a stream; ``rng`` gives one number, and so decides all of it."""
        self._root, self._hash = int(rng.integers(2**63)), None
        self._order_rng, self._weight_rng = self._generators()
        self._next_pass()

    def take(self, n: int) -> Batch:
        """The next ``n`` queries."""
        if self._at + n <= len(self._now.rows):
            part = slice(self._at, self._at + n)
            self._at += n
            seen = self._now.seen
            return Batch(self._now.rows[part], self._now.cost_weight[part], None if seen is None else seen[part])
        parts = []
        while n:
            if self._at == len(self._now.rows):
                self._next_pass()
            parts.append(self.take(min(n, len(self._now.rows) - self._at)))
            n -= len(parts[-1].rows)
        seens = [part.seen for part in parts if part.seen is not None]
        return Batch(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.cost_weight for part in parts]),
            np.concatenate(seens) if seens else None,
        )

    def _generators(self) -> tuple[np.random.Generator, np.random.Generator]:
        # One generator for each kind of chance: a drawn cost weight must not change the order of the queries.
        return np.random.default_rng([self._root or 0, 0]), np.random.default_rng([self._root or 0, 1])

    def _next_pass(self) -> None:
        self._now, self._at = self._pass(self._order_rng, self._weight_rng), 0

    def _pass(self, order_rng: np.random.Generator, weight_rng: np.random.Generator) -> Batch:
        n = len(self.table)
        rows = order_rng.permutation(n) if self.order == "shuffle" else order_rng.integers(n, size=n)
        if self.table.cost_weight is not None:
            return Batch(rows, self.table.cost_weight[rows], None)
        seen = self.table.layout.draw(weight_rng, n)
        return Batch(rows, self.table.layout.cost_weight(seen), seen)
