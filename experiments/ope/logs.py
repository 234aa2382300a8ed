"""A bandit log: what was chosen, with which probability, and what came of it.

From a trace with propensities, as the runtime exports one, or from bare arrays. Later attempts of a request (retries,
fallbacks) are no part of it: they were not the policy's choice, and a trace holds first attempts only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.arm_masks import availability
from env.contexts import Bools, Floats, Index, Ints, Queries
from env.errors import BadInput
from env.trace import Trace

Doubles: TypeAlias = NDArray[np.float64]
Outcome: TypeAlias = Literal["score", "cost_usd", "latency_s"]
Unjudged: TypeAlias = Literal["error", "drop"]

SCORES = (0.0, 1.0)
"""Bounds of a score; a cost and a latency have none that is known beforehand."""


@dataclass(frozen=True, slots=True)
class BanditLog:
    """Decisions of one policy or several, in the order of time.

    Attributes:
        name: what errors and reports call it.
        arms: names of the ``K`` arms.
        actions: ``(n,)`` the arm that was chosen.
        rewards: ``(n,)`` what came of it; see ``outcome``.
        propensities: ``(n,)`` in (0, 1]: the probability with which it was chosen, when it was.
        mask: ``(n, K)`` True where the arm could be chosen.
        groups: ``(n,)`` a number per prompt: what folds and intervals are clustered by.
        queries: what a policy decides on; ``None`` where laws come as arrays.
        dials: ``(n,)`` the dial each caller asked for; ``None`` where that was not kept.
        outcome: what ``rewards`` are: ``score``, ``cost_usd`` or ``latency_s``.
        bounds: lowest and highest possible reward; ``None`` where not known.
        left_out: decisions of the trace that are not here, counted by reason.

    Raises:
        BadInput: a value that no log can hold, with its row and the mend.

    Example:
        >>> log = BanditLog.of(["a", "b"], actions=[0, 1, 0], rewards=[1.0, 0.0, 1.0], propensities=[0.5, 0.5, 0.5])
        >>> len(log), log.bounds
        (3, (0.0, 1.0))
        >>> BanditLog.of(["a", "b"], actions=[0], rewards=[1.0], propensities=[1.5])
        Traceback (most recent call last):
        ...
        env.errors.BadInput: log: row 0: propensity 1.5; the chosen arm's probability is in (0, 1]: log that of the \
decision, when it was made
    """

    name: str
    arms: tuple[str, ...]
    actions: Ints
    rewards: Doubles
    propensities: Doubles
    mask: Bools
    groups: Ints
    queries: Queries | None = None
    dials: Doubles | None = None
    outcome: Outcome = "score"
    bounds: tuple[float, float] | None = SCORES
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, n_arms = len(self.actions), len(self.arms)
        if not n:
            raise BadInput(f"{self.name}: no decision is left to judge by; log some with their propensities")
        for name, values, shape in (
            ("rewards", self.rewards, (n,)),
            ("propensities", self.propensities, (n,)),
            ("mask", self.mask, (n, n_arms)),
            ("groups", self.groups, (n,)),
        ):
            if values.shape != shape:
                raise BadInput(f"{self.name}: {name} have shape {values.shape}; {shape} is expected, a row a decision")
        self._refuse(
            (self.actions < 0) | (self.actions >= n_arms), self.actions, "arm", f"an arm is one of 0 ... {n_arms - 1}"
        )
        self._refuse(
            ~((self.propensities > 0) & (self.propensities <= 1)),
            self.propensities,
            "propensity",
            "the chosen arm's probability is in (0, 1]: log that of the decision, when it was made",
        )
        self._refuse(
            ~np.isfinite(self.rewards),
            self.rewards,
            "reward",
            "judge that answer, or leave decisions out that were not judged (unjudged='drop', --unjudged drop), which "
            "is right only where the answer had no say in that",
        )
        if self.bounds is not None:
            low, high = self.bounds
            self._refuse(
                (self.rewards < low) | (self.rewards > high),
                self.rewards,
                "reward",
                f"bounds say {low:g} to {high:g}: rescale rewards, or give their bounds",
            )
        closed = ~self.mask[np.arange(n), self.actions]
        self._refuse(closed, self.actions, "arm", "it was chosen, and the log says that it was not available")

    def _refuse(self, wrong: Bools, values: NDArray[Any], what: str, rule: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise BadInput(f"{self.name}: row {row}: {what} {values[row]:g}; {rule}")

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def n_arms(self) -> int:
        """Number of arms ``K``."""
        return len(self.arms)

    @property
    def features(self) -> Floats | None:
        """``(n, d)`` what the logging policy saw, where it was kept."""
        return None if self.queries is None else self.queries.features

    @classmethod
    def of(
        cls,
        arms: tuple[str, ...] | list[str],
        *,
        actions: Any,
        rewards: Any,
        propensities: Any,
        mask: Any = None,
        groups: Any = None,
        features: Any = None,
        bounds: tuple[float, float] | None = SCORES,
        name: str = "log",
    ) -> Self:
        """A log from bare arrays; every arm could be chosen and every row is a prompt of its own unless told.

        Args:
            arms: names of the ``K`` arms.
            actions: ``(n,)``.
            rewards: ``(n,)``.
            propensities: ``(n,)``.
            mask: ``(n, K)`` or ``(K,)``.
            groups: ``(n,)``.
            features: ``(n, d)``.
            bounds: of the rewards.
            name: what errors call it.
        """
        chosen = np.asarray(actions, dtype=np.int64)
        n, names = len(chosen), tuple(arms)
        allowed = np.broadcast_to(np.asarray(True if mask is None else mask, dtype=bool), (n, len(names)))
        own = np.arange(n) if groups is None else np.asarray(groups, dtype=np.int64)
        queries = None
        if features is not None:
            queries = Queries(np.full(n, None, dtype=object), None, np.asarray(features, dtype=np.float32))
        return cls(
            name,
            names,
            chosen,
            np.asarray(rewards, dtype=np.float64),
            np.asarray(propensities, dtype=np.float64),
            allowed,
            own,
            queries,
            bounds=bounds,
        )

    @classmethod
    def from_trace(cls, trace: Trace, *, outcome: Outcome = "score", unjudged: Unjudged = "error") -> Self:
        """The decisions of a trace that have a propensity.

        A decision without one was no policy's (a caller pinned the model): it is left out and counted.

        Args:
            trace: one scored arm a query, with the ``propensity`` of its choice; ``available`` per cell, or as the
                runtime writes it, the names that could be chosen in the row of the choice.
            outcome: what the rewards are to be.
            unjudged: what becomes of decisions without a score: an error, or ``"drop"``.

        Raises:
            BadInput: no propensities, two scored arms on a query, or a decision without a score.

        Example:
            >>> from env.trace_io import from_rows
            >>> row = {"query_id": "q", "prompt": "2 + 2?", "model": "a", "score": 1.0, "propensity": 0.5}
            >>> BanditLog.from_trace(from_rows([row])).propensities.tolist()
            [0.5]
        """
        column = trace.cell_columns.get("propensity")
        if column is None or not (stated := column != None).any():  # noqa: E711 - elementwise on an object array
            raise BadInput(
                f"trace {trace.name}: no propensities; off-policy estimates need the probability of every choice "
                "(column `propensity`; `pointsman serve` logs it, `trace export` writes it)"
            )
        seen = trace.observed
        if (twice := seen.sum(axis=1) > 1).any():
            raise BadInput(
                f"trace {trace.name}: query {trace.query_ids[int(np.argmax(twice))]} has a score of several arms; a "
                "log has one a query: judge policies on a full table by `pointsman evaluate`"
            )
        judged = seen.any(axis=1)
        actions = np.where(judged, seen.argmax(axis=1), stated.argmax(axis=1)).astype(np.int64)
        rows = np.arange(len(trace))
        decided = stated[rows, actions]
        if unjudged == "error" and (lost := decided & ~judged).any():
            raise BadInput(
                f"trace {trace.name}: query {trace.query_ids[int(np.argmax(lost))]}: the score is NaN, as of "
                f"{int(lost.sum())} of {int(decided.sum())} decisions; judge the answers, or leave those decisions out "
                "(unjudged='drop', --unjudged drop), which is right only where the answer had no say in that"
            )
        reasons = {"no propensity (pinned by the caller)": ~decided & judged, "not judged": decided & ~judged}
        rewards = getattr(trace, outcome)[rows, actions].astype(np.float64)
        kept = np.flatnonzero(decided & judged)
        arms, mask = _availability(trace)
        dials = trace.query_columns.get("dial")
        log_dials = None
        if dials is not None and all(value is not None for value in dials[kept]):
            log_dials = dials[kept].astype(np.float64)
        return cls(
            f"trace {trace.name}",
            arms,
            actions[kept],
            rewards[kept],
            column[kept, actions[kept]].astype(np.float64),
            mask[kept],
            trace.groups[kept],
            trace.queries.take(kept),
            log_dials,
            outcome,
            SCORES if outcome == "score" else None,
            {reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()},
        )

    def having_left_out(self, reasons: Mapping[str, int]) -> Self:
        """The same log that tells of more decisions which are not here."""
        return replace(self, left_out={**self.left_out, **reasons})

    @classmethod
    def from_obp(cls, feedback: Mapping[str, Any], *, bounds: tuple[float, float] | None = SCORES) -> Self:
        """A log from Open Bandit Pipeline's ``bandit_feedback``; its actions become arms named by their numbers.

        Args:
            feedback: ``n_actions, context (n, d), action (n,), reward (n,), pscore (n,)``.
            bounds: of the rewards.

        Raises:
            BadInput: an array is missing.
        """
        absent = [name for name in ("n_actions", "action", "reward", "pscore") if feedback.get(name) is None]
        if absent:
            raise BadInput(f"bandit_feedback: no {', '.join(absent)}; obp's datasets and logs hold them")
        return cls.of(
            [str(action) for action in range(int(feedback["n_actions"]))],
            actions=feedback["action"],
            rewards=feedback["reward"],
            propensities=feedback["pscore"],
            features=feedback.get("context"),
            bounds=bounds,
            name="bandit_feedback",
        )

    def to_obp(self) -> dict[str, Any]:
        """Open Bandit Pipeline's ``bandit_feedback``, as its estimators take it.

        It knows neither what was available nor which rows share a prompt.

        Example:
            >>> log = BanditLog.of(["a", "b"], actions=[1], rewards=[0.5], propensities=[0.25], features=[[0.1]])
            >>> {name: log.to_obp()[name] for name in ("n_rounds", "n_actions", "action", "pscore")}
            {'n_rounds': 1, 'n_actions': 2, 'action': array([1]), 'pscore': array([0.25])}
        """
        return {
            "n_rounds": len(self),
            "n_actions": self.n_arms,
            "context": np.zeros((len(self), 0), dtype=np.float32) if self.features is None else self.features,
            "action_context": np.eye(self.n_arms, dtype=int),
            "action": self.actions,
            "position": None,
            "reward": self.rewards,
            "pscore": self.propensities,
        }

    def take(self, index: Index) -> Self:
        """The decisions at ``index``."""
        return replace(
            self,
            actions=self.actions[index],
            rewards=self.rewards[index],
            propensities=self.propensities[index],
            mask=self.mask[index],
            groups=self.groups[index],
            queries=None if self.queries is None else self.queries.take(index),
            dials=None if self.dials is None else self.dials[index],
        )


def _availability(trace: Trace) -> tuple[tuple[str, ...], Bools]:
    """Arms of a trace, with those that were available and never chosen at the end, and where each was available."""
    column = trace.cell_columns.get("available")
    cells = [] if column is None else column.ravel().tolist()
    names = tuple(dict.fromkeys([*trace.arms, *(name for cell in cells if isinstance(cell, list) for name in cell)]))
    return names, availability(trace, names)
