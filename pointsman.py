"""Pointsman: learns which LLM each request should go to.

Three uses, one code path: train routers offline, serve the learned policy, compare in notebooks.

    import pointsman as pm

    trace = pm.load_trace("bundled")
    policy = pm.train(trace, "ridge")
    policy.save("policy")
    llm = pm.get_model("text")
    llm.query("Is 17 larger than 4? Answer yes or no.")

Everything is imported when it is first used, so ``import pointsman`` stays fast and needs no optional package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass

__version__ = "0.1.0"

# public name -> "module:attribute"
_PUBLIC = {
    "Arm": "env.arms:Arm",
    "Price": "env.arms:Price",
    "Tier": "env.arms:Tier",
    "check_trace_env": "env.checkers:check_trace_env",
    "check_vector_env": "env.checkers:check_vector_env",
    "Contexts": "env.contexts:Contexts",
    "Outcomes": "env.contexts:Outcomes",
    "Queries": "env.contexts:Queries",
    "BadInput": "env.errors:BadInput",
    "MissingExtra": "env.errors:MissingExtra",
    "PointsmanError": "env.errors:PointsmanError",
    "default_featuriser": "env.features:default_featuriser",
    "render": "env.prompts:render",
    "DialMap": "env.reward:DialMap",
    "Reward": "env.reward:Reward",
    "RoutingEnv": "env.routing_env:RoutingEnv",
    "Trace": "env.trace:Trace",
    "load_trace": "env.trace_io:load_trace",
    "save_trace": "env.trace_io:save_trace",
    "compare": "experiments.compare:compare",
    "evaluate": "experiments.evaluate:evaluate",
    "explain": "experiments.explain:explain",
    "export_log": "experiments.export:export_log",
    "train": "experiments.train:train",
    "close_runtime": "instances.api:close_runtime",
    "get_model": "instances.api:get_model",
    "RuntimeConfig": "instances.config:RuntimeConfig",
    "load_config": "instances.config:load_config",
    "Runtime": "instances.runtime:Runtime",
    "make_router": "routers:make",
    "router_names": "routers:names",
    "Decision": "routers.base:Decision",
    "Router": "routers.base:Router",
    "Policy": "routers.policy:Policy",
}

__all__ = [
    *_PUBLIC,
    "plot",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "plot":
        return importlib.import_module("experiments.plot")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'pointsman' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC, "plot"])


# Registers the Gymnasium ids `pointsman/...` as `import pointsman` promises.
importlib.import_module("env")

if __name__ == "__main__":
    from experiments.cli import main

    raise SystemExit(main())
