"""Which prompts a policy was trained on, as its bundle keeps them, and whether a query's prompt is one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from env.contexts import Bools
from env.trace import KEY_DIGITS, Trace


@dataclass(frozen=True, slots=True)
class Seen:
    """The prompts of a trace by every key that names them, so that any log of the same prompts can be compared.

    Attributes:
        prompts: how many.
        without_text: how many queries keep no text.
        keys: by kind of key (``Trace.prompt_keys``).
    """

    prompts: int
    without_text: int
    keys: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, trace: Trace) -> Self:
        """Those of a trace; with features, or queries without text cannot be told from it.

        Example:
            >>> from env.trace_io import from_rows
            >>> rows = [{"query_id": text, "prompt": text, "model": "a", "score": 1.0} for text in ("hi", "bye")]
            >>> trace = from_rows(rows)
            >>> Seen.of(trace.take([0])).holds(trace).tolist()
            [True, False]
        """
        keys = trace.prompt_keys()
        return cls(
            len(np.unique(trace.groups)),
            sum(text is None for text in keys["text"]),
            {kind: frozenset(filter(None, found)) for kind, found in keys.items()},
        )

    @classmethod
    def from_json(cls, record: object) -> Self | None:
        """The one that :meth:`to_json` wrote; ``None`` for what an older version kept."""
        if not isinstance(record, Mapping) or not isinstance(record.get("keys"), Mapping):
            return None
        keys = {kind: frozenset(_cut(joined)) for kind, joined in record["keys"].items()}
        return cls(record["prompts"], record["without_text"], keys)

    def to_json(self) -> dict[str, Any]:
        """For the bundle. The keys of a kind are one text: as a list they would be twice as long in JSON."""
        keys = {kind: "".join(sorted(found)) for kind, found in self.keys.items() if found}
        return {"prompts": self.prompts, "without_text": self.without_text, "keys": keys}

    def holds(self, trace: Trace) -> Bools:
        """``(n,)`` True where the prompt of a query is one of these.

        Two texts decide it between them. Otherwise equal hashes or equal features do: different texts may share
        features, and then none of them counts as unseen.
        """
        keys = trace.prompt_keys()
        known = {
            kind: np.array([key in self.keys.get(kind, ()) for key in found], dtype=bool)
            for kind, found in keys.items()
        }
        found = known["text"] | known["prompt_hash"] | (known["features"] & ~self.decides_by_text(trace))
        return np.asarray(found, dtype=bool)

    def decides_by_text(self, trace: Trace) -> Bools:
        """``(n,)`` True where both sides keep the text, so that no other spelling passes for a new prompt."""
        texts = np.array([prompt is not None for prompt in trace.prompts], dtype=bool)
        return texts & (self.without_text == 0)


def _cut(joined: str) -> list[str]:
    return [joined[at : at + KEY_DIGITS] for at in range(0, len(joined), KEY_DIGITS)]
