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
    # For type checkers and editors, which cannot follow __getattr__: the names of _PUBLIC and _MODULES.
    import routers
    from env import scenarios as scenarios
    from env.arms import Arm as Arm
    from env.arms import Price as Price
    from env.arms import Tier as Tier
    from env.budget_env import RoutingBudgetEnv as RoutingBudgetEnv
    from env.checkers import check_trace_env as check_trace_env
    from env.checkers import check_vector_env as check_vector_env
    from env.contexts import Contexts as Contexts
    from env.contexts import Outcomes as Outcomes
    from env.contexts import Queries as Queries
    from env.costs import with_costs as with_costs
    from env.errors import BadInput as BadInput
    from env.errors import MissingExtra as MissingExtra
    from env.errors import PointsmanError as PointsmanError
    from env.features import default_featuriser as default_featuriser
    from env.prices import PriceTable as PriceTable
    from env.prompts import render as render
    from env.reward import DialMap as DialMap
    from env.reward import Reward as Reward
    from env.routing_env import RoutingEnv as RoutingEnv
    from env.routing_table import weight_that_decides as weight_that_decides
    from env.scenarios import Scenario as Scenario
    from env.sources.arrivals import load_arrivals as load_arrivals
    from env.sources.importing import import_files as import_files
    from env.sources.named import load_trace as load_trace
    from env.sources.obp import to_bandit_feedback as to_bandit_feedback
    from env.trace import Trace as Trace
    from env.trace_io import save_trace as save_trace
    from env.traffic_env import RoutingTrafficEnv as RoutingTrafficEnv
    from experiments import plot as plot
    from experiments.compare import compare as compare
    from experiments.explain import explain as explain
    from experiments.export import export_log as export_log
    from experiments.judge import evaluate as evaluate
    from experiments.ope.judge import off_policy as off_policy
    from experiments.ope.logs import BanditLog as BanditLog
    from experiments.prequential import prequential as prequential
    from experiments.report.page import write_report as write_report
    from experiments.sweep.search import sweep as sweep
    from experiments.train import train as train
    from instances.api import close_runtime as close_runtime
    from instances.api import get_model as get_model
    from instances.config import RuntimeConfig as RuntimeConfig
    from instances.config import load_config as load_config
    from instances.runtime import Runtime as Runtime
    from routers.base import Decision as Decision
    from routers.base import Router as Router
    from routers.plan_policy import load_policy as load_policy
    from routers.policy import Policy as Policy

    make_router = routers.make
    router_names = routers.names

__version__ = "0.1.0"

# public name -> "module:attribute"
_PUBLIC = {
    "Arm": "env.arms:Arm",
    "Price": "env.arms:Price",
    "Tier": "env.arms:Tier",
    "RoutingBudgetEnv": "env.budget_env:RoutingBudgetEnv",
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
    "weight_that_decides": "env.routing_table:weight_that_decides",
    "Scenario": "env.scenarios:Scenario",
    "Trace": "env.trace:Trace",
    "PriceTable": "env.prices:PriceTable",
    "with_costs": "env.costs:with_costs",
    "load_arrivals": "env.sources.arrivals:load_arrivals",
    "import_files": "env.sources.importing:import_files",
    "to_bandit_feedback": "env.sources.obp:to_bandit_feedback",
    "load_trace": "env.sources.named:load_trace",
    "save_trace": "env.trace_io:save_trace",
    "RoutingTrafficEnv": "env.traffic_env:RoutingTrafficEnv",
    "compare": "experiments.compare:compare",
    "explain": "experiments.explain:explain",
    "export_log": "experiments.export:export_log",
    "evaluate": "experiments.judge:evaluate",
    "off_policy": "experiments.ope.judge:off_policy",
    "BanditLog": "experiments.ope.logs:BanditLog",
    "prequential": "experiments.prequential:prequential",
    "write_report": "experiments.report.page:write_report",
    "sweep": "experiments.sweep.search:sweep",
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
    "load_policy": "routers.plan_policy:load_policy",
}

# public modules -> where they lie
_MODULES = {"plot": "experiments.plot", "scenarios": "env.scenarios"}

__all__ = [*_PUBLIC, *_MODULES]


if not TYPE_CHECKING:  # where checkers would see it, every misspelt name would be right

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used (PEP 562)."""
        if name in _MODULES:
            return importlib.import_module(_MODULES[name])
        if name not in _PUBLIC:
            raise AttributeError(f"module 'pointsman' has no attribute {name!r}")
        module, _, attribute = _PUBLIC[name].partition(":")
        value = getattr(importlib.import_module(module), attribute)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC, *_MODULES])


# Registers the Gymnasium ids `pointsman/...` as `import pointsman` promises.
importlib.import_module("env")

if __name__ == "__main__":
    from experiments.cli import main

    raise SystemExit(main())
