"""What there is and how it is: ``/v1/models``, ``/healthz``, ``/readyz``."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from instances.config import RESERVED_NAME
from instances.gateway.errors import json_response
from instances.gateway.models import names, routing_of_model
from instances.runtime import Runtime


class Status:
    """The endpoints."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._created = int(time.time())

    async def models(self, _request: Request) -> Response:
        """Every name that the ``model`` field takes."""
        return json_response({"object": "list", "data": [self._model(name) for name in names(self._runtime)]})

    async def model(self, request: Request) -> Response:
        """One of them."""
        name = request.path_params["model"]
        routing_of_model(self._runtime, name)
        return json_response(self._model(name))

    async def alive(self, _request: Request) -> Response:
        """200 while the process serves."""
        return json_response({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """200 when at least one instance is up; which are, either way."""
        ready = self._runtime.ready
        body = {
            "status": "ready" if ready else "starting or down",
            "policy": self._runtime.router("text").policy_version,
            "instances": {instance.name: instance.state for instance in self._runtime.manager},
        }
        return json_response(body, status=200 if ready else 503)

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": RESERVED_NAME}
