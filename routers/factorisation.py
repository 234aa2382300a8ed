"""Matrix factorisation: a few abilities that queries ask for and arms have, in place of a model for every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np

from env.contexts import Bools, Contexts, Floats, Outcomes
from env.errors import BadInput
from routers.base import Array, Estimator
from routers.costs import CostModel
from routers.least_squares import Doubles, advantage_errors, plainest
from routers.logistic_regression import Problem, sigmoid

# Share of the training rows that judge rank and penalty where they are not given.
_HELD_OUT = 0.2
# From what may be too rich to what is too plain: `plainest` takes the last that is good enough.
_RANKS = (8, 4, 2, 1)
_ALPHAS = (0.1, 1.0, 10.0, 100.0, 1000.0)


class Factorisation(Estimator):
    """``score = sigmoid(a_k . (U x) + b_k)``: item response theory with the query's item read off its features.

    ``U`` is ``(r, d)``: what a query asks of each of ``r`` abilities; ``a_k`` is how much arm ``k`` has of them and
    ``b_k`` how good it is whatever is asked. This is the multidimensional model of IRT-Router (arXiv 2506.01048), and
    with two arms the bilinear score of RouteLLM's matrix factorisation (arXiv 2406.18665), but fitted without gradient
    descent, by :meth:`~routers.logistic_regression.Problem.solve`. Arms that were scored on few queries lean on the
    abilities that the others revealed.

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        rank: number of abilities ``r``; None chooses it on held-out training rows.
        alpha: penalty on the weights ``a_k U``, not on ``b_k``; None chooses it likewise.
        predict_cost: predict cost and latency of each query; False for each arm's mean.
        seed: of the held-out rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(200, 3)).astype(np.float32)
        >>> scores = np.stack([x[:, 0] > 0, x[:, 0] <= 0, x[:, 0] > 1], axis=1)
        >>> contexts = Contexts.of(x, n_arms=3)
        >>> router = Factorisation(3, 3, rank=1).fit(contexts, Outcomes.of(scores))
        >>> router.state().arrays["query_factors"].shape, router.state().arrays["arm_factors"].shape
        ((3, 1), (1, 3))
        >>> bool(np.take_along_axis(scores, router.act(contexts, rng).arms[:, None], 1).mean() > 0.97)
        True
    """

    name: ClassVar[str] = "factorisation"

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        rank: int | None = None,
        alpha: float | None = None,
        predict_cost: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(n_arms, n_features, rank=rank, alpha=alpha, predict_cost=predict_cost, seed=seed)
        if rank is not None and rank < 1:
            raise BadInput(f"router `{self.name}`: rank is {rank}; it must be 1 or more, or null")
        if alpha is not None and not alpha > 0:
            raise BadInput(f"router `{self.name}`: alpha is {alpha}; it must be above 0, or null")
        self.rank, self.alpha, self.seed = rank, alpha, seed
        self._query_factors = np.zeros((n_features, rank or 1), dtype=np.float32)
        self._arm_factors = np.zeros((rank or 1, n_arms), dtype=np.float32)
        self._intercept = np.full(n_arms, np.nan, dtype=np.float32)
        self._costs = CostModel(n_arms, n_features, per_query=predict_cost)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Solve on all scored cells at once; ``(n, K)`` outcomes, NaN allowed."""
        score = np.clip(outcomes.score, 0, 1)
        known = np.flatnonzero(~np.isnan(score).all(axis=0))
        scored = np.flatnonzero(~np.isnan(score).all(axis=1))
        rank, weights = 1, np.zeros((self.n_features, self.n_arms))
        self._intercept = np.full(self.n_arms, np.nan, dtype=np.float32)
        if len(known):
            x, y = contexts.features[scored], score[np.ix_(scored, known)]
            rank, alpha = self._chosen(x, y)
            problem = Problem(x, y)
            weights[:, known], self._intercept[known] = problem.features_of(problem.solve(alpha, rank=rank))
        left, sizes, right = np.linalg.svd(weights, full_matrices=False)
        root = np.sqrt(sizes[:rank])
        self._query_factors = (left[:, :rank] * root).astype(np.float32)
        self._arm_factors = (root[:, None] * right[:rank]).astype(np.float32)
        self._costs.fit(contexts.features, outcomes)
        return self

    def predict(self, contexts: Contexts) -> Outcomes:
        """Expected score (in [0, 1]), cost and latency, each ``(n, K)``."""
        logits = contexts.features @ self._query_factors @ self._arm_factors + self._intercept
        return Outcomes(sigmoid(logits).astype(np.float32), *self._costs.predict(contexts.features))

    def _chosen(self, x: Floats, y: Floats) -> tuple[int, float]:
        """Rank and penalty: for each rank the plainest penalty by held-out advantage errors, then the plainest rank."""
        ranks = [self.rank] if self.rank is not None else [r for r in _RANKS if r < y.shape[1]] or [1]
        alphas = _ALPHAS if self.alpha is None else (self.alpha,)
        judging = np.random.default_rng(self.seed).random(len(x)) < _HELD_OUT
        # Of an arm that the other rows do not know, nothing could be foretold.
        judging &= ~np.isnan(y[~judging]).all(axis=0).any()
        if len(ranks) * len(alphas) == 1 or judging.all() or not judging.any():
            return ranks[-1], alphas[len(alphas) // 2]
        best: list[tuple[int, float, Doubles]] = []
        for rank in ranks:
            errors = list(_errors(x, y, judging, rank, alphas))
            plain = plainest(errors)
            best.append((rank, alphas[plain], errors[plain]))
        rank, alpha, _ = best[plainest([error for *_, error in best])]
        return rank, alpha

    def _arrays(self) -> dict[str, Array]:
        return {
            "query_factors": self._query_factors,
            "arm_factors": self._arm_factors,
            "intercept": self._intercept,
            **self._costs.arrays(),
        }

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._query_factors, self._arm_factors = arrays["query_factors"], arrays["arm_factors"]
        self._intercept = arrays["intercept"]
        self._costs.restore(arrays)


def _errors(x: Floats, y: Floats, judging: Bools, rank: int, alphas: Sequence[float]) -> list[Doubles]:
    """Advantage errors ``(m,)`` of the judging rows for each penalty."""
    problem = Problem(x[~judging], y[~judging])
    found = []
    for solution in problem.path(alphas[::-1], rank=rank):
        weights, intercept = problem.features_of(solution)
        found.append(advantage_errors(y[judging] - sigmoid(x[judging] @ weights + intercept)))
    return found[::-1]
