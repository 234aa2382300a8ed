"""The ``x-pointsman-*`` headers, both ways. Their names are relied on outside: never rename one."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from env.errors import nearest
from env.scheduling import Priority
from instances.gateway.errors import BadRequest

_PREFIX = "x-pointsman-"
_TEXTS = ("agent", "node", "parent", "session", "task")
_KNOWN = (*_TEXTS, "priority", "deadline-ms", "max-cost-usd", "dial")
_LONGEST_TEXT = 200


def routing_of(headers: Mapping[str, str]) -> dict[str, Any]:
    """What the request headers say about the routing, as arguments of ``Call``.

    Raises:
        BadRequest: an unknown header, or a value that is not what its header wants.

    Example:
        >>> routing_of({"x-pointsman-agent": "mail", "x-pointsman-deadline-ms": "1500"})
        {'agent': 'mail', 'deadline_s': 1.5}
    """
    for header in headers:
        name = header.removeprefix(_PREFIX)
        if name != header and name not in _KNOWN:
            raise BadRequest(f"unknown {_PREFIX}* header `{name}`{nearest(name, _KNOWN)}", header)
    found: dict[str, Any] = {}
    for name in _TEXTS:
        value = headers.get(_PREFIX + name)
        if value:
            if len(value) > _LONGEST_TEXT:
                raise BadRequest(f"{_PREFIX}{name}: longer than {_LONGEST_TEXT} characters", _PREFIX + name)
            found[name] = value
    if (priority := headers.get(_PREFIX + "priority")) is not None:
        try:
            found["priority"] = Priority.parse(priority)
        except ValueError as error:
            raise BadRequest(f"{_PREFIX}priority: {error}", _PREFIX + "priority") from None
    for header, argument, unit in (("deadline-ms", "deadline_s", 1e-3), ("max-cost-usd", "max_cost_usd", 1.0)):
        if (text := headers.get(_PREFIX + header)) is not None:
            found[argument] = _number(_PREFIX + header, text) * unit
    if (text := headers.get(_PREFIX + "dial")) is not None:
        found["dial"] = _number(_PREFIX + "dial", text)
    return found


def answer_headers(
    *, request_id: str, model: str, propensity: float, policy: str, cost_usd: float | None = None
) -> dict[str, str]:
    """What the response headers say; the cost of a stream is not known when it begins, so it has none."""
    headers = {
        "x-request-id": request_id,
        _PREFIX + "request-id": request_id,
        _PREFIX + "model": model,
        _PREFIX + "propensity": f"{propensity:.8g}",
        _PREFIX + "policy": policy,
    }
    if cost_usd is not None:
        headers[_PREFIX + "cost-usd"] = _decimal(cost_usd)
    return headers


def _decimal(value: float) -> str:
    """Eight significant digits, never in powers of ten."""
    return f"{Decimal(f'{value:.8g}'):f}"


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise BadRequest(f"{name}: {text!r} is not a number of 0 or more", name)
    return value
