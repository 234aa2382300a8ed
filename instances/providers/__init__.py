"""Providers: one small class per way of reaching a model, imported only when a configuration names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from instances.config import InstanceConfig
    from instances.providers.base import Provider


def make_provider(settings: InstanceConfig) -> Provider:
    """The provider that ``settings`` names, not started.

    Raises:
        BadInput: the settings name a file or trace that cannot be read.
        MissingExtra: the provider needs a package that is not installed.
    """
    match settings.provider:
        case "openai":
            from instances.providers.openai_compatible import OpenAICompatibleProvider

            return OpenAICompatibleProvider(settings)
        case "local":
            from instances.providers.local import LocalProvider

            return LocalProvider(settings)
        case "replay":
            from instances.providers.replay import ReplayProvider

            return ReplayProvider(settings)
        case "custom":
            from instances.providers.custom import CustomProvider

            return CustomProvider(settings)
        case unknown:
            assert_never(unknown)
