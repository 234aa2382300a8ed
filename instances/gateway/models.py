"""The ``model`` field: the names it takes, and what each says about the routing."""

from __future__ import annotations

from typing import Any

from env.errors import nearest
from instances.calls import UnknownModel
from instances.config import RESERVED_NAME
from instances.gateway.errors import BadRequest
from instances.learning import policy_of
from instances.runtime import Runtime

_DIALS = {"cheap": 0.0, "best": 1.0}
_DIAL = "dial="


def names(runtime: Runtime) -> list[str]:
    """Every name but ``pointsman/dial=...``, of which there are as many as numbers."""
    forms = [RESERVED_NAME, *(f"{RESERVED_NAME}/{form}" for form in (*_DIALS, _bound(runtime)))]
    return [*forms, *(instance.name for instance in runtime.manager)]


def routing_of_model(runtime: Runtime, model: str) -> dict[str, Any]:
    """What a name says, as arguments of ``Call``.

    The version of the bound policy lets that policy choose, as ``pointsman`` does, with whatever it has learned
    since, and so does a version that an answer named, ``<version>+<n>``; both are refused once another one is bound.

    Raises:
        BadRequest: a dial that is no number.
        UnknownModel: no such name; the message says which there are.
    """
    family, _, form = model.partition("/")
    if family != RESERVED_NAME:
        if runtime.manager.get(model) is None:
            raise UnknownModel(f"unknown model `{model}`{nearest(model, names(runtime))}")
        return {"pin": model}
    if form in _DIALS:
        return {"dial": _DIALS[form]}
    if form.startswith(_DIAL):
        try:
            return {"dial": float(form.removeprefix(_DIAL))}
        except ValueError:
            raise BadRequest(f"model: `{form}` is not a dial; for example pointsman/dial=0.3", "model") from None
    if model != RESERVED_NAME and policy_of(form) != _bound(runtime):
        known = ", ".join([*names(runtime), f"{RESERVED_NAME}/{_DIAL}0.3"])
        raise UnknownModel(f"unknown model `{model}`; this server knows {known}")
    return {}


def _bound(runtime: Runtime) -> str:
    return policy_of(runtime.router("text").policy_version)
