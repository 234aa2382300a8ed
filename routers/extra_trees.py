"""Extremely randomised trees, grown by scikit-learn and kept as arrays: they bend on a few hundred rows already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from env.contexts import Floats
from env.errors import MissingExtra
from routers.base import Array

Indices = NDArray[np.int32]

# A leaf needs so many rows, and a split looks at so large a share of the columns.
_LEAF, _SHARE = 8, 0.3
# Fewer rows than these say nothing that a mean does not.
_FEWEST_ROWS = 20
# Rows times trees that are followed at once, so that little memory is needed.
_CHUNK = 1_000_000


class ExtraTrees:
    """The mean of randomised trees, for each of ``K`` targets.

    Geurts, Ernst, Wehenkel 2006, Extremely randomized trees: a split is the best of random ones.

    A row goes left at a node where its value is at most the threshold; a leaf leads to itself.

    Args:
        root: ``(K, T)`` the node each tree begins at; a target of which nothing is known has leaves alone.
        left: ``(N,)`` the node to the left of each.
        right: ``(N,)`` and to the right.
        feature: ``(N,)`` the column a node looks at.
        threshold: ``(N,)`` float64.
        value: ``(N,)`` what a leaf says, float32.

    Example:
        >>> x = np.linspace(0, 1, 200, dtype=np.float32)[:, None]
        >>> trees = ExtraTrees.grown(x, np.hstack([x > 0.5, x < 0.5]), n_trees=10, seed=0)
        >>> trees(np.float32([[0.1], [0.9]])).round().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    def __init__(
        self, root: Indices, left: Indices, right: Indices, feature: Indices, threshold: Array, value: Floats
    ) -> None:
        self.root, self.left, self.right = root, left, right
        self.feature, self.threshold, self.value = feature, threshold, value

    @classmethod
    def constant(cls, values: Array) -> Self:
        """Leaves alone: always ``values`` ``(K,)``."""
        at = np.arange(len(values), dtype=np.int32)
        nothing = np.zeros(len(values), dtype=np.int32)
        return cls(at[:, None], at, at, nothing, nothing.astype(np.float64), np.asarray(values, dtype=np.float32))

    @classmethod
    def grown(cls, rows: Floats, targets: Array, *, n_trees: int, seed: int) -> Self:
        """Grow trees for every target on the rows where it is known.

        Args:
            rows: ``(n, p)`` float32.
            targets: ``(n, K)``; NaN where not known.
            n_trees: ``T``, for each target.
            seed: of columns and thresholds.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        try:
            from sklearn.ensemble import ExtraTreesRegressor
        except ImportError as error:
            raise MissingExtra("growing trees", "train") from error
        parts, roots, size = [], [], 0
        for target in np.asarray(targets, dtype=np.float64).T:
            seen = np.flatnonzero(~np.isnan(target))
            if len(seen) < _FEWEST_ROWS:
                found = [cls.constant(np.array([target[seen].mean() if len(seen) else 0.5]))] * n_trees
            else:
                forest = ExtraTreesRegressor(
                    n_trees, min_samples_leaf=_LEAF, max_features=_SHARE, random_state=seed, n_jobs=1
                ).fit(rows[seen], target[seen])
                found = [cls._of(one.tree_) for one in forest.estimators_]
            starts = size + np.cumsum([0, *(len(one.value) for one in found)])
            parts += [one._moved(int(start)) for one, start in zip(found, starts, strict=False)]
            roots.append(starts[:-1])
            size = int(starts[-1])
        columns = ("left", "right", "feature", "threshold", "value")
        joined = (np.concatenate([getattr(one, name) for one in parts]) for name in columns)
        return cls(np.stack(roots).astype(np.int32), *joined)

    @classmethod
    def _of(cls, tree: object) -> Self:
        """One tree of scikit-learn's."""
        names = ("children_left", "children_right", "feature", "threshold", "value")
        left, right, feature, threshold, value = (np.asarray(getattr(tree, name)) for name in names)
        leaf, itself = left < 0, np.arange(len(left))
        return cls(
            np.zeros((1, 1), dtype=np.int32),
            np.where(leaf, itself, left).astype(np.int32),
            np.where(leaf, itself, right).astype(np.int32),
            np.where(leaf, 0, feature).astype(np.int32),
            np.where(leaf, 0.0, threshold).astype(np.float64),
            value.ravel().astype(np.float32),
        )

    def _moved(self, start: int) -> Self:
        """The same with its first node at ``start``."""
        shift = np.int32(start)
        return type(self)(
            self.root + shift, self.left + shift, self.right + shift, self.feature, self.threshold, self.value
        )

    def __call__(self, rows: Floats) -> NDArray[np.float64]:
        """``(n, K)`` for rows ``(n, p)``."""
        told = np.empty((len(rows), len(self.root)))
        size = max(1, _CHUNK // max(self.root.size, 1))
        for start in range(0, len(rows), size):
            part = rows[start : start + size].astype(np.float32)
            node = np.tile(self.root.ravel(), (len(part), 1))
            at = np.arange(len(part))[:, None]
            while True:
                goes_left = part[at, self.feature[node]] <= self.threshold[node]
                further = np.where(goes_left, self.left[node], self.right[node])
                if (further == node).all():
                    break
                node = further
            told[start : start + size] = self.value[node].reshape(len(part), *self.root.shape).mean(axis=2)
        return told

    def arrays(self) -> dict[str, Array]:
        """Everything, by name."""
        names = ("root", "left", "right", "feature", "threshold", "value")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restored(cls, arrays: Mapping[str, Array]) -> Self:
        """From what :meth:`arrays` gave."""
        return cls(*(arrays[name] for name in ("root", "left", "right", "feature", "threshold", "value")))
