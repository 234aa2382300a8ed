"""``get_model``: name the type of model you need, get an interface; the runtime behind it starts by itself."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - its own exit hook must stand before ours, see _at_exit
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from env.errors import BadInput
from instances.background import BackgroundRuntime
from instances.config import RuntimeConfig, load_config
from instances.interface import LLMInterface, parse_priority
from instances.runtime import Runtime
from routers.policy import Policy

CONFIG_VARIABLE = "POINTSMAN_CONFIG"
"""Environment variable that names the configuration file when no argument does."""

_at_exit: Callable[..., Any] = getattr(threading, "_register_atexit", atexit.register)
"""Hooks run last in, first out. By the time of ``atexit``'s, worker threads refuse work, and closing needs them."""

_lock = threading.Lock()
_registered = False
_shared: BackgroundRuntime | None = None


def get_model(
    model_type: str | Sequence[str] = "text",
    agent: str | None = None,
    priority: str | int | None = None,
    *,
    config: RuntimeConfig | str | Path | None = None,
    policy: Policy | str | Path | None = None,
) -> LLMInterface:
    """An interface to models of a type.

    The first call starts the process's runtime in the background, with ``config``, else the file that
    ``POINTSMAN_CONFIG`` names, else the local models that come with the package. It is closed at exit, or by
    ``close_runtime``.

    Args:
        model_type: ``text``, ``text+image``..., or a list of modalities.
        agent: who will ask.
        priority: ``critical``, ``high``, ``normal`` or ``low``, or 0 to 3.
        config: a configuration or its file; only for the call that starts the runtime.
        policy: a policy or its bundle, instead of the configured one; likewise.

    Raises:
        BadInput: an argument or the configuration is wrong, or the runtime already runs with another one.
    """
    kind = model_type if isinstance(model_type, str) else "+".join(model_type)
    runtime = _runtime(config, policy)
    return LLMInterface(runtime, kind, agent=agent, priority=parse_priority(priority))


def close_runtime() -> None:
    """Stop the process's runtime, if it runs; the next ``get_model`` starts another."""
    global _shared
    with _lock:
        if _shared is not None:
            _shared.close()
            _shared = None


def _runtime(config: RuntimeConfig | str | Path | None, policy: Policy | str | Path | None) -> Runtime:
    global _shared, _registered
    with _lock:
        if _shared is None:
            _shared = BackgroundRuntime(lambda: _build(config, policy))
            if not _registered:
                _at_exit(close_runtime)
                _registered = True
        elif config is not None or policy is not None:
            raise BadInput("the runtime already runs; call close_runtime() before giving it a config or a policy")
        return _shared.runtime


def _build(config: RuntimeConfig | str | Path | None, policy: Policy | str | Path | None) -> Runtime:
    if not isinstance(config, RuntimeConfig):
        config = load_config(config or os.environ.get(CONFIG_VARIABLE) or None)
    if isinstance(policy, str | Path):
        policy = Policy.load(policy)
    return Runtime(config, policy=policy)
