"""Bootstrapped Thompson sampling: several models that saw the data differently, one of which decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from env.contexts import Contexts, Floats, Ints, Outcomes, mean_observed
from env.errors import BadInput
from routers.base import Array, Capabilities, Decision, Estimator, sample, utility
from routers.least_squares import Doubles
from routers.linear import make_posterior, stack, with_constant


class BootstrapThompson(Estimator):
    """``B`` replicates of the linear model, each taught every outcome a Poisson(1) number of times.

    The replicates' spread stands for what is not known, without a formula for it (Eckles, Kaptein 2014, Thompson
    sampling with the online bootstrap, arXiv 1410.4009; Poisson weights: Oza, Russell 2001, Online bagging and
    boosting). Where there are no data there is no spread, so each replicate adds a fixed random function ``x' p_bk``,
    ``p_bk ~ N(0, v^2 prior covariance)``, and learns the rest (Osband, Aslanides, Cassirer 2018, arXiv 1806.03335,
    equation 4); they cancel over the replicates. A decision is that of one replicate, drawn uniformly:
    ``P(k) = share of replicates whose best arm is k``, exactly. An arm that no replicate prefers has probability 0,
    so a log tells nothing of it; mix in a little chance where that matters (``Policy.decide(epsilon=...)``).

    Holds ``B K (d + 1)^2`` float32 numbers (half of that with the extra `fast`), and costs about ``B`` times as much
    to teach as LinUCB.

    Args:
        n_arms: ``K``.
        n_features: ``d``; a constant is added.
        replicates: ``B``; probabilities are multiples of ``1 / B``.
        v: standard deviation of a score around its expectation, as the random functions believe it.
        ridge: prior precision of the weights, which are taken to be about ``1 / sqrt(ridge)`` in size.
        seed: of the random functions and of the Poisson weights.

    Example:
        >>> router, contexts = BootstrapThompson(2, 1, replicates=8), Contexts.of(np.zeros((1, 1)), n_arms=2)
        >>> (router.law(contexts) * 8) % 1  # shares of eight replicates
        array([[0., 0.]])
        >>> told = Outcomes.of(np.tile([0.1, 0.9], (40, 1)))
        >>> router.fit(contexts.take([0] * 40), told).law(contexts)
        array([[0., 1.]])
    """

    name: ClassVar[str] = "bootstrap_thompson"
    capabilities: ClassVar[Capabilities] = Capabilities(online=True, adds_arms=True, uses_load=True)

    def __init__(
        self,
        n_arms: int,
        n_features: int,
        *,
        replicates: int = 10,
        v: float = 0.5,
        ridge: float = 10.0,
        seed: int = 0,
    ) -> None:
        super().__init__(n_arms, n_features, replicates=replicates, v=v, ridge=ridge, seed=seed)
        for setting, least in (("replicates", 2), ("v", 0), ("ridge", 1e-12)):
            if not self.settings[setting] >= least:
                raise BadInput(
                    f"router `{self.name}`: {setting} is {self.settings[setting]}; it must be {least} or more"
                )
        self._replicates = [make_posterior(n_arms, n_features + 1, ridge) for _ in range(replicates)]
        # (B, K, D) the weights of the random functions.
        self._random = np.stack([self._random_functions(arm) for arm in range(n_arms)], axis=1)
        self._learned = 0

    def act(self, contexts: Contexts, rng: np.random.Generator, *, explore: bool = True) -> Decision:
        """The best arm of one replicate, one uniform number a row; of their mean without ``explore``."""
        if not explore:
            return super().act(contexts, rng, explore=False)
        return sample(self.law(contexts), utility(self.predict(contexts), contexts), rng)

    def law(self, contexts: Contexts, *, explore: bool = True) -> Doubles:
        """``(n, K)`` the share of replicates that choose each arm."""
        if not explore:
            return super().law(contexts, explore=False)
        scores, cost, latency = self._means(contexts)
        best = np.stack([utility(Outcomes(score, cost, latency), contexts).argmax(axis=1) for score in scores])
        return np.asarray((best[:, :, None] == np.arange(self.n_arms)).mean(axis=0), dtype=np.float64)

    def predict(self, contexts: Contexts) -> Outcomes:
        """Means over the replicates, each ``(n, K)``."""
        scores, cost, latency = self._means(contexts)
        return Outcomes(scores.mean(axis=0), cost, latency)

    def fit(self, contexts: Contexts, outcomes: Outcomes) -> Self:
        """Warm start from a table ``(n, K)``, NaN where not observed; what was learned before is forgotten."""
        inputs, targets = with_constant(contexts.features), stack(outcomes)
        times = np.random.default_rng([self.settings["seed"], 0]).poisson(1.0, (len(self._replicates), len(inputs)))
        for replicate, random, repeats in zip(self._replicates, self._random, times, strict=True):
            rows = np.repeat(np.arange(len(inputs)), repeats)
            own = targets[:, rows]
            own[0] -= inputs[rows] @ random.T
            replicate.fit(inputs[rows], own)
        self._learned = len(inputs)
        return self

    def update(self, contexts: Contexts, arms: Ints, outcomes: Outcomes, propensities: Array) -> None:
        """Learn the outcomes ``(n,)`` of the arms chosen, one row after another; rows without a score are skipped."""
        inputs, targets = with_constant(contexts.features), stack(outcomes)
        for row in np.flatnonzero(outcomes.observed):
            x, arm = inputs[row], int(arms[row])
            self._learned += 1
            # By the outcome's number, so that a router that was saved and loaded goes on with the same weights.
            times = np.random.default_rng([self.settings["seed"], self._learned]).poisson(1.0, len(self._replicates))
            for replicate, random, repeats in zip(self._replicates, self._random, times, strict=True):
                own = targets[:, row].copy()
                own[0] -= x @ random[arm]
                for _ in range(repeats):
                    replicate.update(x, arm, own)

    def add_arm(self) -> None:
        """One more arm, at the prior in every replicate."""
        self._random = np.concatenate([self._random, self._random_functions(self.n_arms)[:, None]], axis=1)
        self.n_arms += 1
        for replicate in self._replicates:
            replicate.add_arm()

    def _means(self, contexts: Contexts) -> tuple[Floats, Floats, Floats]:
        """Scores of every replicate ``(B, n, K)``, and cost and latency by the mean of those that know, ``(n, K)``."""
        inputs = with_constant(contexts.features)
        means = np.stack([replicate.means(inputs[:, :-1]) for replicate in self._replicates], axis=1)
        means[0] += (
            (inputs @ self._random.reshape(-1, inputs.shape[1]).T)
            .reshape(len(inputs), len(self._replicates), self.n_arms)
            .swapaxes(0, 1)
        )
        cost, latency = (mean_observed(means[row]).astype(np.float32) for row in (1, 2))
        return means[0], cost, latency

    def _random_functions(self, arm: int) -> Floats:
        """``(B, D)`` draws from the prior of one arm, the same for an arm however it came to be; their sum is 0."""
        prior = make_posterior(1, self.n_features + 1, self.settings["ridge"])
        scale = self.settings["v"] * np.sqrt(prior.inverse[0].diagonal())
        n = self.settings["replicates"]
        draws = np.random.default_rng([self.settings["seed"], arm]).standard_normal((n, len(scale)))
        # Taking the mean off makes the spread a little smaller than `v` says; this gives it back.
        centred = (draws - draws.mean(axis=0)) * np.sqrt(n / (n - 1))
        return np.asarray(centred * scale, dtype=np.float32)

    def _arrays(self) -> dict[str, Array]:
        learned = [replicate.arrays() for replicate in self._replicates]
        stacked = {name: np.stack([arrays[name] for arrays in learned]) for name in learned[0]}
        return {**stacked, "random": self._random.copy(), "learned": np.array([self._learned], dtype=np.int64)}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        self._random, self._learned = arrays["random"].copy(), int(arrays["learned"][0])
        names = [name for name in arrays if name not in ("random", "learned")]
        for at, replicate in enumerate(self._replicates):
            replicate.restore({name: arrays[name][at] for name in names})
