"""``pointsman serve``: wires a configuration, a policy and the gateway together, and runs them.

Which policy serves, in this order: the one asked for; the configured one; the champion of the MLflow registry, if
there is one; the one shipped for the local models.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import Any, Self

import uvicorn

from env.errors import BadInput, MissingExtra, PointsmanError
from experiments.deploy import CHAMPION, MODEL, load_policy
from experiments.tracking import exists, is_installed
from instances.config import InstanceConfig, RuntimeConfig, load_config
from instances.gateway.app import create_app
from instances.ports import MetricSink, PolicySource
from instances.providers import make_provider
from instances.providers.weights import MissingWeights
from instances.runtime import SHIPPED_POLICY, Runtime, configured_policy
from routers.policy import Policy

_CHAMPION_URI = f"models:/{MODEL}@{CHAMPION}"
_GRACE_S = 5  # for answers under way when the server is told to stop


@dataclass(frozen=True, slots=True)
class Choice:
    """The policy that will serve.

    Attributes:
        policy: decides.
        origin: where it came from, in words.
        source: tells of newer ones, where it came from a registry's alias.
        notes: what the reader should know.
    """

    policy: Policy
    origin: str
    source: PolicySource | None = None
    notes: tuple[str, ...] = ()


def choose_policy(reference: str | None, config: RuntimeConfig) -> Choice:
    """The policy to serve with; see the module's docstring for the order.

    Raises:
        BadInput: the policy asked for or configured cannot be loaded.
        MissingExtra: a registry is named and MLflow is not installed.
    """
    if reference is not None:
        return _from_alias(reference) if "@" in reference else Choice(load_policy(reference), reference)
    if config.policy is not None or config.router != "policy":
        return Choice(configured_policy(config), config.policy or f"untrained router {config.router}")
    notes: tuple[str, ...] = ()
    if is_installed() and exists():
        try:
            champion = _from_alias(_CHAMPION_URI)
        except PointsmanError as error:
            notes = (f"no champion in the registry is used: {error}",)
        else:
            names = {instance.name for instance in config.instances}
            if names.intersection(champion.policy.arm_names):
                return champion
            arms = ", ".join(champion.policy.arm_names)
            notes = (f"the champion in the registry is for other models ({arms}); --policy {_CHAMPION_URI} insists",)
    return Choice(Policy.load(SHIPPED_POLICY), "shipped with Pointsman", notes=notes)


def _from_alias(reference: str) -> Choice:
    if not reference.startswith("models:/"):
        return Choice(load_policy(reference), reference)
    from experiments.deploy import MLflowPolicySource

    source = MLflowPolicySource(reference)
    policy = source.latest()
    if policy is None:
        raise BadInput(f"{reference}: nothing is registered under it")
    return Choice(policy, reference, source)


def choose_models(file: Path | None) -> tuple[RuntimeConfig, tuple[str, ...]]:
    """The configuration in a file, or what is installed of the shipped one, and why the rest was left out.

    Raises:
        PointsmanError: the file is wrong, or none of the shipped models is installed.
    """
    return (load_config(file), ()) if file is not None else installed_only(load_config())


def installed_only(config: RuntimeConfig) -> tuple[RuntimeConfig, tuple[str, ...]]:
    """The configuration without the models that are not installed, and why each was left out.

    For the shipped configuration, which nobody wrote with this machine in mind; in one's own configuration a model
    that cannot be had is an error.

    Raises:
        PointsmanError: none is installed.
    """
    kept: list[InstanceConfig] = []
    absent: dict[str, list[str]] = {}  # what is missing -> the models that lack it
    problem = None
    for instance in config.instances:
        try:
            make_provider(instance)
        except (MissingExtra, MissingWeights) as error:
            problem = problem or error
            absent.setdefault(str(error), []).append(instance.name)
        else:
            kept.append(instance)
    if not kept and problem is not None:
        raise problem
    notes = tuple(f"left out: {', '.join(names)}: {reason}" for reason, names in absent.items())
    return config.model_copy(update={"instances": tuple(kept)}), notes


def masked_arms(policy: Policy, config: RuntimeConfig) -> list[str]:
    """The arms of a policy that no instance of the configuration is: they are never chosen."""
    instances = {instance.name for instance in config.instances}
    return [name for name in policy.arm_names if name not in instances]


class Server:
    """A gateway with its runtime, listening from the moment it is made.

    Args:
        config: of the runtime.
        policy: what decides.
        source: of newer policies.
        metrics: where aggregates go.
        host: to listen on.
        port: to listen on; 0 takes a free one.

    Raises:
        BadInput: the configuration, the policy or the store.
        PointsmanError: the port is in use.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        policy: Policy,
        *,
        source: PolicySource | None = None,
        metrics: MetricSink | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        # Before the runtime is built: a port in use is found without starting a model or opening a database.
        self._socket = _listen(host, port)
        self.host, self.port = host, int(self._socket.getsockname()[1])
        try:
            self.runtime = Runtime(config, policy=policy, source=source, metrics=metrics)
        except BaseException:
            self._socket.close()
            raise
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                create_app(self.runtime),
                log_level="warning",
                access_log=False,
                lifespan="on",
                timeout_graceful_shutdown=_GRACE_S,
                # Uvicorn refuses from this number on.
                limit_concurrency=config.max_connections + 1,
            )
        )

    @property
    def url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"

    def describe(self) -> dict[str, Any]:
        """What serves, JSON-able."""
        router = self.runtime.router("text")
        config, policy = self.runtime.config, self.runtime.policy
        instances = [instance.name for instance in config.instances]
        return {
            "url": self.url,
            "instances": instances,
            "policy": router.policy_version,
            "router": policy.router.name,
            "masked_arms": masked_arms(policy, config),
            "dial": config.dial,
            "exploration": config.exploration,
            "store": self.runtime.store.name,
        }

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM; then finish what is under way, stop the models and close the store.

        Raises:
            PointsmanError: the runtime could not start.
        """
        asyncio.run(self._uvicorn.serve(sockets=[self._socket]))
        if not self._uvicorn.started:
            raise PointsmanError("the server did not start; its log above says why")

    @contextmanager
    def in_background(self, *, timeout_s: float = 120.0) -> Iterator[Self]:
        """Serve in a thread while the block runs; entered when every model has started, or one and time is up.

        Raises:
            PointsmanError: no model came up in time.
        """
        thread = threading.Thread(target=self.run, name="pointsman-server", daemon=True)
        thread.start()
        try:
            until = time.monotonic() + timeout_s
            while not all(instance.started for instance in self.runtime.manager):
                if time.monotonic() > until or not thread.is_alive():
                    if self.runtime.ready:
                        break
                    raise PointsmanError(f"no model was up after {timeout_s:g} s; the log above says why")
                time.sleep(0.05)
            yield self
        finally:
            self._uvicorn.should_exit = True
            thread.join()


class _Uvicorn(uvicorn.Server):
    """Uvicorn that stops on a signal and then returns, instead of raising the signal again.

    Raising it again would kill the process before it has said goodbye to the registry.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal(number, self.handle_exit) for number in (SIGINT, SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen()
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise PointsmanError(
                f"port {port} on {host} is in use; take another with --port (0: any free one)"
            ) from None
        raise PointsmanError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return made
