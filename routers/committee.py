"""Several routers side by side, to be averaged: no member is best everywhere, and their mean is never far from it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from env.contexts import Contexts, Floats, Outcomes
from routers.base import Array, Estimator, RouterState


class Committee:
    """Estimators by name that learn the same table and tell scores alone.

    A plain mean, and no weights: weights fitted on a validation part did worse than none on recorded sets, for the
    errors of weights are what a router then chooses by.

    Args:
        members: fresh estimators, best without cost models of their own.
    """

    def __init__(self, members: Mapping[str, Estimator]) -> None:
        self.members = dict(members)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> None:
        """Let every member learn; ``(n, K)`` scores, NaN allowed."""
        # Scores alone: members are not asked what a call costs, and a mean of costs would be taken for nothing.
        scores = Outcomes.of(outcomes.score)
        for member in self.members.values():
            member.fit(contexts, scores)

    def anew(self) -> Committee:
        """Fresh members, with the choices made that those here made when they were fitted."""
        return Committee(
            {name: type(one)(one.n_arms, one.n_features, **one.settled) for name, one in self.members.items()}
        )

    def scores(self, contexts: Contexts) -> dict[str, Floats]:
        """Expected scores ``(n, K)`` by member."""
        return {name: member.predict(contexts).score for name, member in self.members.items()}

    def arrays(self) -> dict[str, Array]:
        """What all members learned, each under its name."""
        return {
            f"{name}.{key}": array
            for name, member in self.members.items()
            for key, array in member.state().arrays.items()
        }

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what :meth:`arrays` gave."""
        for name, member in self.members.items():
            own = {key[len(name) + 1 :]: array for key, array in arrays.items() if key.startswith(f"{name}.")}
            self.members[name] = type(member).from_state(RouterState(member.state().config, own))


def mean_of(scores: Mapping[str, Floats]) -> Floats:
    """``(n, K)`` mean over members of what they know.

    Example:
        >>> mean_of({"a": np.array([[0.2, np.nan]]), "b": np.array([[0.4, 0.5]])}).round(2).tolist()
        [[0.30000001192092896, 0.5]]
    """
    told = np.stack(list(scores.values()))
    known = ~np.isnan(told)
    total = np.where(known, told, 0).sum(axis=0)
    count = known.sum(axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan), dtype=np.float32)
