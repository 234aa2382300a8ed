"""The routing problem: traces, features, rewards and the Gymnasium environments over them.

Importing this package registers the environment ids with Gymnasium:

- ``pointsman/Routing-v0``: one query, one step, one choice (:class:`env.routing_env.RoutingEnv`).
- ``pointsman/RoutingBudget-v0``: a window of queries, and the money for all (:class:`env.budget_env.RoutingBudgetEnv`).
- ``pointsman/RoutingTraffic-v0``: requests that wait in the arms' queues (:class:`env.traffic_env.RoutingTrafficEnv`).
"""

from __future__ import annotations

import gymnasium

# id -> the single environment, and the vector one
_ENVIRONMENTS = {
    "pointsman/Routing-v0": ("env.routing_env:RoutingEnv", "env.vector_env:RoutingVectorEnv"),
    "pointsman/RoutingBudget-v0": ("env.budget_env:RoutingBudgetEnv", "env.budget_env:RoutingBudgetVectorEnv"),
    "pointsman/RoutingTraffic-v0": ("env.traffic_env:RoutingTrafficEnv", "env.traffic_env:RoutingTrafficVectorEnv"),
}

for _id, (_single, _vector) in _ENVIRONMENTS.items():
    if _id not in gymnasium.registry:
        gymnasium.register(id=_id, entry_point=_single, vector_entry_point=_vector)
