"""k-means: groups of similar queries, as plain arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from env.contexts import Floats, Ints

# Lloyd's algorithm has settled long before on anything that clusters at all.
_ROUNDS = 50


def fit_centres(features: Floats, k: int, seed: int = 0) -> Floats:
    """Centres of ``k`` clusters, fewer where there are fewer different rows.

    Lloyd's algorithm (Lloyd 1982, Least squares quantization in PCM) from k-means++ seeds, each drawn with
    probability proportional to its squared distance to those before (Arthur, Vassilvitskii 2007, section 2.2).

    Args:
        features: ``(n, d)``.
        k: 1 or more.
        seed: of the seeding, the only randomness.

    Returns:
        ``(c, d)`` float32 with ``c <= k``; none for no rows.

    Example:
        >>> rows = np.array([[0.0], [0.2], [5.0], [5.2]], dtype=np.float32)
        >>> sorted(fit_centres(rows, k=2).round(2).ravel().tolist())
        [0.10000000149011612, 5.099999904632568]
    """
    centres = _seeds(features, k, np.random.default_rng(seed))
    if len(centres) < 2:
        return (
            centres if len(centres) == 0 else features.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        )
    member = nearest_centre(features, centres)
    for _ in range(_ROUNDS):
        # Members as a matrix (c, n): one product instead of a loop over clusters.
        belongs = (member == np.arange(len(centres))[:, None]).astype(np.float32)
        sizes = belongs.sum(axis=1, keepdims=True)
        # A cluster that lost its last row stays where it was.
        centres = np.where(sizes > 0, belongs @ features / np.maximum(sizes, 1), centres).astype(np.float32)
        before, member = member, nearest_centre(features, centres)
        if np.array_equal(before, member):
            break
    return centres


def nearest_centre(features: Floats, centres: Floats) -> Ints:
    """``(n,)`` index of the nearest of the centres ``(c, d)``, the lowest on a tie; ``c`` is 1 or more.

    Example:
        >>> nearest_centre(np.array([[0.9], [0.1]]), np.array([[0.0], [1.0]]))
        array([1, 0])
    """
    return np.asarray(squared_distances(features, centres).argmin(axis=1), dtype=np.int64)


def squared_distances(features: Floats, centres: Floats) -> NDArray[np.float64]:
    """``(n, c)`` squared distances of rows ``(n, d)`` to centres ``(c, d)``, 0 or more.

    Example:
        >>> squared_distances(np.array([[0.0, 1.0]]), np.array([[2.0, 1.0]]))
        array([[4.]])
    """
    # In float64: where two points nearly coincide, the difference of large squares is all that is left.
    x, c = features.astype(np.float64), centres.astype(np.float64)
    distance = (x * x).sum(axis=1)[:, None] - 2 * x @ c.T + (c * c).sum(axis=1)
    return np.asarray(np.maximum(distance, 0), dtype=np.float64)


def _seeds(features: Floats, k: int, rng: np.random.Generator) -> Floats:
    if len(features) == 0:
        return features[:0]
    chosen = [int(rng.integers(len(features)))]
    distance = squared_distances(features, features[chosen])[:, 0]
    # Rounding leaves a row at a tiny distance to itself.
    same = 1e-12 * max(float((features.astype(np.float64) ** 2).sum(axis=1).max()), 1e-30)
    while len(chosen) < k and distance.max() > same:
        edges = np.cumsum(np.where(distance > same, distance, 0))
        chosen.append(int(np.searchsorted(edges, rng.random() * edges[-1], side="right")))
        distance = np.minimum(distance, squared_distances(features, features[chosen[-1:]])[:, 0])
    return features[chosen]
