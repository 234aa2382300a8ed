"""LLMManager: owns the instances; starts them, looks after their health, closes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from env.errors import nearest
from instances.calls import UnknownModel
from instances.config import RuntimeConfig
from instances.instance import LLMInstance
from instances.providers import make_provider
from instances.recorder import LLMRecorder
from instances.store import Store

_log = logging.getLogger(__name__)


class LLMManager:
    """The instances of one runtime, by name."""

    def __init__(self, config: RuntimeConfig, store: Store) -> None:
        """Build every instance; nothing is started.

        Raises:
            BadInput: the settings of a provider are wrong.
            MissingExtra: a provider needs a package that is not installed.
        """
        self._health_check_s = config.health_check_s
        self._instances = {
            settings.name: LLMInstance(
                settings,
                make_provider(settings),
                LLMRecorder(store, settings.name, config.store_prompts),
                ageing_s=config.ageing_s,
            )
            for settings in config.instances
        }
        self._watch: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[LLMInstance]:
        return iter(self._instances.values())

    def __getitem__(self, name: str) -> LLMInstance:
        """The instance of that name.

        Raises:
            UnknownModel: there is none; the message holds the nearest name.
        """
        if name not in self._instances:
            raise UnknownModel(f"unknown model `{name}`{nearest(name, self._instances)}")
        return self._instances[name]

    def get(self, name: str) -> LLMInstance | None:
        """The instance of that name, or ``None``."""
        return self._instances.get(name)

    @property
    def ready(self) -> bool:
        """True once every instance has started or failed to, if at least one is up.

        Not sooner: the cheapest model is up first, and would answer what the policy means for a better one.
        """
        return self._watch is not None and any(instance.healthy for instance in self)

    async def start(self) -> None:
        """Start all instances at once; returns when each has started or failed to."""
        await asyncio.gather(*(instance.start() for instance in self))
        # Only now: looking after an instance that is still starting would start it twice.
        self._watch = asyncio.create_task(self._look_after())

    async def close(self) -> None:
        """Close all instances; one that fails to close does not keep the others open."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        closed = await asyncio.gather(*(instance.close() for instance in self), return_exceptions=True)
        for instance, problem in zip(self, closed, strict=True):
            if isinstance(problem, BaseException):
                _log.warning("%s did not close: %r", instance.name, problem)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(self._health_check_s)
            down = [instance for instance in self if not instance.healthy]
            for problem in await asyncio.gather(*(i.check() for i in down), return_exceptions=True):
                if isinstance(problem, Exception):
                    _log.warning("health check: %r", problem)
