"""Beta Thompson sampling: for each cluster of prompts and each arm, a belief about how often the arm is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from env.contexts import Contexts, Ints
from env.errors import BadInput
from routers.base import Array, Capabilities
from routers.beta_groups import GroupedBeta
from routers.kmeans import fit_centres, nearest_centre, squared_distances


class BetaThompson(GroupedBeta):
    """Thompson sampling with a beta belief for each cluster of prompts and each arm.

    ``theta_ck ~ Beta(prior / 2 + successes, prior / 2 + failures)``, and the arm of the highest draw minus weighted
    mean cost and latency is chosen (Thompson 1933; Agrawal, Goyal 2012, arXiv 1111.1797, algorithm 1, in every
    cluster by itself). ``fit`` forms the clusters by k-means on the training features; without it the first
    ``clusters`` different prompts found one each, and a centre moves to the mean of its prompts (MacQueen 1967, Some
    methods for classification and analysis of multivariate observations). Propensities are integrals
    (:func:`~routers.beta_law.beta_argmax_law`, error at most 1e-3).

    Args:
        n_arms: ``K``.
        n_features: ``d``.
        clusters: how many at most; fewer know more of each arm, more know the prompt better.
        prior: pulls that the prior mean of one half is worth, 1 or more; 2 is the uniform prior.
        seed: of the clustering.

    Example:
        >>> from env.contexts import Outcomes
        >>> contexts = Contexts.of(np.array([[-1.0], [1.0]]), n_arms=2)
        >>> table = Outcomes.of(np.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> router = BetaThompson(2, 1, clusters=2).fit(contexts, table)
        >>> router.act(contexts, np.random.default_rng(0), explore=False).arms
        array([0, 1])
        >>> router.law(contexts).round(2)  # one pull of each arm tells little
        array([[0.78, 0.22],
               [0.28, 0.72]])
    """

    name: ClassVar[str] = "beta_thompson"
    capabilities: ClassVar[Capabilities] = Capabilities(online=True, adds_arms=True, uses_load=True)

    def __init__(self, n_arms: int, n_features: int, *, clusters: int = 8, prior: float = 2.0, seed: int = 0) -> None:
        super().__init__(n_arms, n_features, prior=prior, clusters=clusters, seed=seed)
        if clusters < 1:
            raise BadInput(f"router `{self.name}`: clusters is {clusters}; it must be 1 or more")
        self._centres = np.zeros((0, n_features), dtype=np.float32)
        self._rows = np.zeros(0, dtype=np.int64)

    def _groups(self, contexts: Contexts) -> Ints:
        if len(self._centres) == 0:
            return np.full(len(contexts), -1, dtype=np.int64)
        return nearest_centre(contexts.features, self._centres)

    def _group(self, contexts: Contexts) -> None:
        self._centres = fit_centres(contexts.features, self.settings["clusters"], self.settings["seed"])
        self._rows = np.bincount(self._groups(contexts), minlength=len(self._centres)) if len(contexts) else self._rows
        for _ in self._centres:
            self._add_group()

    def _regroup(self, contexts: Contexts) -> Ints:
        x = contexts.features
        if len(self._centres) < self.settings["clusters"] and not (squared_distances(x, self._centres) < 1e-12).any():
            self._centres, self._rows = np.concatenate([self._centres, x]), np.append(self._rows, 0)
            self._add_group()
        group = self._groups(contexts)
        self._rows[group] += 1
        share = (1 / self._rows[group]).astype(np.float32)
        self._centres[group] += share * (x - self._centres[group])
        return group

    def _arrays(self) -> dict[str, Array]:
        return {**super()._arrays(), "centres": self._centres.copy(), "centre_rows": self._rows.copy()}

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        super()._restore(arrays)
        self._centres, self._rows = arrays["centres"].copy(), arrays["centre_rows"].copy()
