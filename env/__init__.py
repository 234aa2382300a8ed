"""The routing problem: traces, features, rewards and the Gymnasium environments over them.

Importing this package registers the environment ids with Gymnasium:

- ``pointsman/Routing-v0``: one query, one step, one choice (:class:`env.routing_env.RoutingEnv`).
"""

from __future__ import annotations

import gymnasium

if "pointsman/Routing-v0" not in gymnasium.registry:
    gymnasium.register(
        id="pointsman/Routing-v0",
        entry_point="env.routing_env:RoutingEnv",
        vector_entry_point="env.vector_env:RoutingVectorEnv",
    )
