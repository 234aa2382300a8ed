"""Arms: the models a router chooses between, and what a call to one of them costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

# One call, or many at once.
_Count = TypeVar("_Count", float, NDArray[np.float64])
_TOKENS_PER_PRICE = 1_000_000


class Tier(StrEnum):
    """The four choices that compete for every model type."""

    STRONGEST_CLOUD = "strongest_cloud"
    STANDARD_CLOUD = "standard_cloud"
    LOCAL = "local"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Price:
    """What a call costs, in US dollars: by tokens, by compute time, by request, or any sum of them.

    Attributes:
        input_usd_per_mtok: dollars per million prompt tokens.
        output_usd_per_mtok: dollars per million generated tokens.
        usd_per_second: dollars per second of compute, for models that one hosts oneself.
        request_usd: dollars per request.
        cached_input_usd_per_mtok: dollars per million prompt tokens read from the provider's cache; ``None`` for as
            much as other prompt tokens.
        reasoning_usd_per_mtok: dollars per million tokens of reasoning; ``None`` for as much as other output.
    """

    input_usd_per_mtok: float = 0.0
    output_usd_per_mtok: float = 0.0
    usd_per_second: float = 0.0
    request_usd: float = 0.0
    cached_input_usd_per_mtok: float | None = None
    reasoning_usd_per_mtok: float | None = None

    def cost(
        self,
        input_tokens: _Count,
        output_tokens: _Count,
        seconds: float = 0.0,
        cached_tokens: _Count | float = 0.0,
        reasoning_tokens: _Count | float = 0.0,
    ) -> _Count:
        """Dollars for one call, or ``(n,)`` for each of ``n``.

        Args:
            input_tokens: all prompt tokens, cached ones included.
            output_tokens: all generated tokens, those of reasoning included (as OpenAI's ``usage`` counts them).
            seconds: of compute.
            cached_tokens: how many of the prompt tokens were read from the provider's cache.
            reasoning_tokens: how many of the generated tokens were reasoning.

        Example:
            >>> Price(input_usd_per_mtok=2.0, output_usd_per_mtok=8.0).cost(1_000, 250)
            0.004
            >>> Price(2.0, 8.0, cached_input_usd_per_mtok=0.5).cost(1_000, 250, cached_tokens=800)
            0.0028
        """
        tokens = input_tokens * self.input_usd_per_mtok + output_tokens * self.output_usd_per_mtok
        if self.cached_input_usd_per_mtok is not None:
            tokens = tokens + cached_tokens * (self.cached_input_usd_per_mtok - self.input_usd_per_mtok)
        if self.reasoning_usd_per_mtok is not None:
            tokens = tokens + reasoning_tokens * (self.reasoning_usd_per_mtok - self.output_usd_per_mtok)
        return tokens / _TOKENS_PER_PRICE + seconds * self.usd_per_second + self.request_usd


@dataclass(frozen=True, slots=True)
class Arm:
    """A model as the bandit sees it.

    Attributes:
        name: unique within a policy; the ``model`` column of a trace.
        tier: which of the four choices it is, where known.
        price: its price table, where known; recorded costs win over it.
        model_types: the modalities it takes, e.g. ``("text", "text+image")``.
        context_window: tokens it can read at most, where known.
    """

    name: str
    tier: Tier | None = None
    price: Price | None = None
    model_types: tuple[str, ...] = ("text",)
    context_window: int | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary without the fields that are not set.

        Example:
            >>> Arm("smol", tier=Tier.LOCAL).to_json()
            {'name': 'smol', 'tier': 'local', 'model_types': ['text']}
        """
        fields: dict[str, Any] = {"name": self.name}
        if self.tier is not None:
            fields["tier"] = self.tier.value
        if self.price is not None:
            # Rates that are not set are left out, so that policies saved before there were such rates stay the same.
            fields["price"] = {name: value for name, value in asdict(self.price).items() if value is not None}
        fields["model_types"] = list(self.model_types)
        if self.context_window is not None:
            fields["context_window"] = self.context_window
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Arm:
        """The arm that ``to_json`` described."""
        return cls(
            name=fields["name"],
            tier=Tier(fields["tier"]) if "tier" in fields else None,
            price=Price(**fields["price"]) if "price" in fields else None,
            model_types=tuple(fields.get("model_types", ("text",))),
            context_window=fields.get("context_window"),
        )
