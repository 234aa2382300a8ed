"""Routers: policies over LLMs, one algorithm in one file, one contract for all (``routers.base``)."""

from __future__ import annotations

import functools
import importlib
from importlib.metadata import entry_points
from typing import Any

from env.errors import BadInput, nearest
from routers.base import Capabilities, Decision, Router, RouterState, Unsupported

__all__ = [
    "Capabilities",
    "Decision",
    "Router",
    "RouterState",
    "Unsupported",
    "make",
    "names",
    "router_class",
]

# name -> "module:class", imported when asked for, so that naming a router never imports torch.
_BUILT_IN = {
    "random": "routers.fixed:RandomRouter",
    "fixed": "routers.fixed:FixedRouter",
    "round_robin": "routers.round_robin:RoundRobin",
    "best_per_task": "routers.per_task:BestPerTask",
    "zero": "routers.zero:ZeroRouter",
    "zero_cost": "routers.zero:ZeroCost",
    "placebo": "routers.placebo:Placebo",
    "ucb1": "routers.ucb:UCB1",
    "epsilon_greedy": "routers.epsilon_greedy:EpsilonGreedy",
    "squarecb": "routers.squarecb:SquareCB",
    "beta_thompson": "routers.beta_thompson:BetaThompson",
    "beta_thompson_task": "routers.beta_thompson_task:BetaThompsonTask",
    "bootstrap_thompson": "routers.bootstrap_thompson:BootstrapThompson",
    "budget": "routers.budget:Budget",
    "affinity": "routers.affinity:Affinity",
    "max_cost": "routers.max_cost:MaxCost",
    "quality_floor": "routers.quality_floor:QualityFloor",
    "linucb": "routers.linucb:LinUCB",
    "linear_thompson": "routers.thompson:LinearThompson",
    "fgts": "routers.fgts:FGTS",
    "neural_linear": "routers.neural_linear:NeuralLinear",
    "neural_ucb": "routers.neural_ucb:NeuralUCB",
    "sliding_window_linucb": "routers.sliding_window:SlidingWindowLinUCB",
    "watchful_linucb": "routers.watchful:WatchfulLinUCB",
    "discounted_linucb": "routers.discounted:DiscountedLinUCB",
    "discounted_thompson": "routers.discounted:DiscountedThompson",
    "knn": "routers.knn:KNN",
    "ridge": "routers.ridge:Ridge",
    "logistic": "routers.logistic:LogisticRouter",
    "boosting": "routers.boosting:Boosting",
    "factorisation": "routers.factorisation:Factorisation",
    "clusters": "routers.clusters:Clusters",
    "tfidf_knn": "routers.tfidf:TfidfKNN",
    "tfidf_knn_mean_cost": "routers.tfidf:TfidfKNNMeanCost",
    "tfidf_ridge": "routers.tfidf:TfidfRidge",
    "tfidf_ridge_mean_cost": "routers.tfidf:TfidfRidgeMeanCost",
    "kernel_ridge": "routers.kernel_ridge:KernelRidge",
    "task_posterior": "routers.task_posterior:TaskPosterior",
    "recipe": "routers.recipe:Recipe",
    "auto": "routers.auto:Auto",
    "ppo": "routers.ppo:PPORouter",
    "a2c": "routers.a2c:A2CRouter",
    "dqn": "routers.dqn:DQNRouter",
    "barp": "routers.barp:BaRP",
}


@functools.cache
def _registry() -> dict[str, str]:
    """Built-in routers and those that installed packages offer in the group ``pointsman.routers``."""
    plugins = {point.name: point.value for point in entry_points(group="pointsman.routers")}
    return {**plugins, **_BUILT_IN}


def names() -> list[str]:
    """Names of all routers, sorted.

    Example:
        >>> "linucb" in names()
        True
    """
    return sorted(_registry())


def router_class(name: str) -> type[Router]:
    """The class behind a name.

    Raises:
        BadInput: unknown name; the message holds the nearest one.
        MissingExtra: its optional packages are not installed.
    """
    if name not in _registry():
        from routers.plan import plan_names

        if name in plan_names():
            raise BadInput(f"`{name}` is a plan, which makes several calls for one request: routers.plan.make_plan")
        raise BadInput(f"unknown router `{name}`{nearest(name, names())}")
    module, _, attribute = _registry()[name].partition(":")
    found: type[Router] = getattr(importlib.import_module(module), attribute)
    return found


def make(name: str, n_arms: int, n_features: int, **settings: Any) -> Router:
    """A fresh router.

    Raises:
        BadInput: an unknown name or an unknown setting.

    Example:
        >>> make("linucb", n_arms=3, n_features=8, alpha=0.5).name
        'linucb'
    """
    try:
        return router_class(name)(n_arms, n_features, **settings)
    except TypeError as error:
        raise BadInput(f"router `{name}`: {error}") from error
