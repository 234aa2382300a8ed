"""Gradient boosting: for each arm a sum of shallow trees. Training is scikit-learn's; serving is array look-ups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Contexts, Floats, Ints, Outcomes
from env.errors import BadInput, MissingExtra
from routers.base import Array, Estimator
from routers.costs import CostModel, column_means
from routers.least_squares import Doubles

# Rows below which nothing is held out to stop on, and so nothing is grown: the mean says all.
_FEWEST_ROWS = 40
_CHUNK = 4_000_000  # branches taken at once


class Boosting(Estimator):
    """Least-squares boosting of regression trees (Friedman 2001, Greedy function approximation, algorithm 2).

    Trees are grown on histograms by scikit-learn's ``HistGradientBoostingRegressor``, one model for each arm, and
    stop when the error on held-out training rows no longer falls. What is kept are complete binary trees as arrays,
    whose sums are scikit-learn's predictions. Trees look at the leading principal components of the features: dense
    embeddings spread what they know over all of them, and growing time goes with their number.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        components: principal components that trees look at; None for the features as they are.
        depth: of a tree, 1 to 8.
        rounds: trees of an arm at most.
        learning_rate: what a tree's leaf is multiplied by.
        predict_cost: predict cost and latency of each query; False for each arm's mean.
        seed: of the held-out rows.

    Raises:
        MissingExtra: on :meth:`fit`, without the ``train`` extra. Deciding needs numpy alone.

    Example:
        >>> router = Boosting(n_arms=2, n_features=3)
        >>> router.predict(Contexts.of(np.zeros((1, 3)), n_arms=2)).score  # untrained
        array([[nan, nan]], dtype=float32)
    """

    name: ClassVar[str] = "boosting"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        components: int | None = 64,
        depth: int = 3,
        rounds: int = 100,
        learning_rate: float = 0.05,
        predict_cost: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(
            n_arms,
            n_features,
            components=components,
            depth=depth,
            rounds=rounds,
            learning_rate=learning_rate,
            predict_cost=predict_cost,
            seed=seed,
        )
        for setting in ("components", "rounds", "learning_rate"):
            value = self.settings[setting]
            if value is not None and not value > 0:
                raise BadInput(f"router `{self.name}`: {setting} is {value}; it must be above 0")
        if not 1 <= depth <= 8:
            raise BadInput(f"router `{self.name}`: depth is {depth}; it must be 1 to 8")
        self._projection: Doubles | None = None
        self._forest = Forest.empty(n_arms, depth)
        self._costs = CostModel(n_arms, n_features, per_query=predict_cost)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Grow trees for every arm on the rows where it was observed; ``(n, K)`` outcomes, NaN allowed.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        components, depth = self.settings["components"], self.settings["depth"]
        self._projection = None
        if components is not None and components < self.n_features:
            self._projection = _principal_components(contexts.features, components)
        x = self._seen(contexts.features)
        self._forest = Forest.empty(self.n_arms, depth, base=column_means(outcomes.score).astype(np.float64))
        for arm in range(self.n_arms):
            seen = ~np.isnan(outcomes.score[:, arm])
            y = outcomes.score[seen, arm]
            if len(y) >= _FEWEST_ROWS and np.ptp(y) > 0:
                self._forest = self._forest.with_arm(arm, grown(x[seen], y, self.settings))
        self._costs.fit(contexts.features, outcomes)
        return self

    def predict(self, contexts: Contexts) -> Outcomes:
        """Expected score (in [0, 1]), cost and latency, each ``(n, K)``."""
        score = np.clip(self._forest(self._seen(contexts.features)), 0, 1).astype(np.float32)
        return Outcomes(score, *self._costs.predict(contexts.features))

    def _seen(self, features: Floats) -> Doubles:
        """What trees look at. In float64: a batch and its rows must fall on the same side of a threshold."""
        rows = features.astype(np.float64)
        return rows if self._projection is None else _rounded(rows @ self._projection)

    def _arrays(self) -> dict[str, Array]:
        projection = {} if self._projection is None else {"projection": self._projection}
        return {**projection, **self._forest.arrays(), **self._costs.arrays()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._projection = arrays.get("projection")
        self._forest = Forest.restored(arrays)
        self._costs.restore(arrays)


class Forest:
    """Complete binary trees of depth ``D`` for ``K`` arms; node ``i`` has the children ``2i + 1`` and ``2i + 2``.

    Args:
        base: ``(K,)`` what each arm's trees are added to; NaN for an arm of which nothing is known.
        arm: ``(T,)`` whose tree it is.
        feature: ``(T, 2^D - 1)`` column that a node looks at.
        threshold: ``(T, 2^D - 1)`` float64; a row goes right where its value is above.
        leaf: ``(T, 2^D)`` what a tree adds.

    Example:
        >>> tree = np.zeros(1, np.int64), np.array([[0]]), np.array([[0.5]]), np.array([[-0.1, 0.1]])
        >>> Forest(np.array([0.5]), *tree)(np.array([[0.4], [0.6]])).round(2).tolist()
        [[0.4], [0.6]]
    """

    def __init__(self, base: Doubles, arm: Ints, feature: Ints, threshold: Doubles, leaf: Doubles) -> None:
        self.base, self.arm, self.feature, self.threshold, self.leaf = base, arm, feature, threshold, leaf
        self._depth = leaf.shape[1].bit_length() - 1

    @classmethod
    def empty(cls, n_arms: int, depth: int, base: Doubles | None = None) -> Forest:
        """No trees yet."""
        nodes = 2**depth - 1
        return cls(
            np.full(n_arms, np.nan) if base is None else base,
            np.zeros(0, dtype=np.int64),
            np.zeros((0, nodes), dtype=np.int64),
            np.zeros((0, nodes)),
            np.zeros((0, nodes + 1)),
        )

    @classmethod
    def restored(cls, arrays: Mapping[str, Array]) -> Forest:
        """From what :meth:`arrays` gave."""
        return cls(*(arrays[name] for name in ("base", "tree_arm", "feature", "threshold", "leaf")))

    def with_arm(self, arm: int, model: Any, output: int = 0) -> Forest:
        """These trees and those of one output of a fitted ``HistGradientBoosting...``, for an arm that has none yet."""
        trees = [_complete(stage[output].nodes, self._depth) for stage in model._predictors]
        if not trees:
            return self
        base = self.base.copy()
        base[arm] = float(np.ravel(model._baseline_prediction)[output])
        feature, threshold, leaf = (np.stack(column) for column in zip(*trees, strict=True))
        return Forest(
            base,
            np.concatenate([self.arm, np.full(len(trees), arm)]),
            np.concatenate([self.feature, feature]),
            np.concatenate([self.threshold, threshold]),
            np.concatenate([self.leaf, leaf]),
        )

    def __call__(self, rows: Doubles) -> Doubles:
        """Predictions ``(n, K)`` for rows ``(n, p)``."""
        told = np.tile(self.base, (len(rows), 1))
        first = np.flatnonzero(np.diff(self.arm, prepend=-1))
        if len(first):
            size = max(1, _CHUNK // len(self.arm))
            for start in range(0, len(rows), size):
                part = slice(start, start + size)
                told[part][:, self.arm[first]] += np.add.reduceat(self._leaves(rows[part]), first, axis=1)
        return told

    def _leaves(self, rows: Doubles) -> Doubles:
        """``(n, T)`` what each tree says of each row."""
        tree, node = np.arange(len(self.arm)), np.zeros((len(rows), len(self.arm)), dtype=np.int64)
        for _ in range(self._depth):
            value = np.take_along_axis(rows, self.feature[tree, node], axis=1)
            node = 2 * node + 1 + (value > self.threshold[tree, node])
        return np.asarray(self.leaf[tree, node - self.feature.shape[1]], dtype=np.float64)

    def arrays(self) -> dict[str, Array]:
        """Everything, by name."""
        return {
            "base": self.base,
            "tree_arm": self.arm,
            "feature": self.feature,
            "threshold": self.threshold,
            "leaf": self.leaf,
        }


def grown(x: Doubles, y: Floats, settings: Mapping[str, Any]) -> Any:
    """A fitted ``HistGradientBoostingRegressor`` that stopped on a share of the rows ``(n, p)`` it was given.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor
    except ImportError as error:
        raise MissingExtra("training `boosting`", "train") from error
    return HistGradientBoostingRegressor(
        max_depth=settings["depth"],
        max_iter=settings["rounds"],
        learning_rate=settings["learning_rate"],
        early_stopping=True,
        validation_fraction=0.2,
        n_iter_no_change=5,
        random_state=settings["seed"],
    ).fit(x, y)


def _complete(nodes: NDArray[Any], depth: int) -> tuple[Ints, Doubles, Doubles]:
    """A tree of scikit-learn's as a complete one: below an early leaf every branch says what the leaf said."""
    inner = 2**depth - 1
    feature, threshold, leaf = np.zeros(inner, dtype=np.int64), np.full(inner, np.inf), np.zeros(inner + 1)
    places = {0: 0}
    for place in range(2 * inner + 1):
        node = nodes[places[place]]
        if place >= inner:
            leaf[place - inner] = node["value"]
            continue
        if node["is_leaf"]:
            places[2 * place + 1] = places[2 * place + 2] = places[place]
        else:
            feature[place], threshold[place] = node["feature_idx"], node["num_threshold"]
            places[2 * place + 1], places[2 * place + 2] = int(node["left"]), int(node["right"])
    return feature, threshold, leaf


def _principal_components(features: Floats, k: int) -> Doubles:
    """``(d, k)`` directions in which the rows vary most; a direction's sign is that of its largest entry."""
    rows = features.astype(np.float64)
    rows -= rows.mean(axis=0) if len(rows) else 0
    _, vectors = np.linalg.eigh(rows.T @ rows)
    leading = vectors[:, ::-1][:, :k]
    largest = np.take_along_axis(leading, np.abs(leading).argmax(axis=0)[None], axis=0)
    return np.asarray(leading * np.sign(largest), dtype=np.float64)


def _rounded(values: Doubles) -> Doubles:
    """To 1e-9: the last bits of a product of matrices differ with the size of the batch."""
    return np.round(values, 9)
