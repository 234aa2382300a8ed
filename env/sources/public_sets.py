"""The public sets that have a name: what each holds, where its home is, its licence, and the files it is made of."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from env.errors import BadInput, nearest

_RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True, slots=True)
class SetFile:
    """A file at a pinned commit of a set's home.

    Attributes:
        path: inside the repository.
        size: in bytes.
        sha256: of its content, hex.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A set.

    Attributes:
        name: what ``load_trace`` and ``load_arrivals`` take.
        kind: ``"trace"`` or ``"arrivals"``.
        what: one line for people.
        home: its page.
        licence: as its home states it.
        stored: the file's name without suffix in a data folder.
        base: the address that the files' paths follow; empty where the set cannot be downloaded.
        files: what is downloaded; empty where the set is not offered as plain files.
        prices: dollars per million input and output tokens of its models, where costs are computed.
        note: how costs and tokens came about, or why there is no download.
    """

    name: str
    kind: str
    what: str
    home: str
    licence: str
    stored: str
    base: str = ""
    files: tuple[SetFile, ...] = ()
    prices: Mapping[str, tuple[float, float]] | None = None
    note: str = ""

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(file.size for file in self.files)

    def url(self, file: SetFile) -> str:
        """Where a file is downloaded from."""
        return f"{self.base}/{quote(file.path)}"


@functools.cache
def registry() -> Mapping[str, PublicSet]:
    """All sets by name."""
    content = json.loads((Path(__file__).parents[1] / "data" / "public_sets.json").read_text(encoding="utf-8"))
    return {name: _of(name, fields) for name, fields in content.items()}


def public_set(name: str, kind: str) -> PublicSet:
    """The set of that name.

    Raises:
        BadInput: there is none of that kind.

    Example:
        >>> public_set("routellm", "trace").licence
        'Apache-2.0'
    """
    found = registry().get(name)
    if found is None or found.kind != kind:
        raise BadInput(f"no public {kind} set `{name}`{nearest(name, names(kind))}")
    return found


def names(kind: str = "trace") -> tuple[str, ...]:
    """Names of the sets of a kind.

    Example:
        >>> names("arrivals")
        ('azure2023_code', 'azure2023_conv', 'mooncake_conversation')
    """
    return tuple(sorted(name for name, found in registry().items() if found.kind == kind))


def _of(name: str, fields: Mapping[str, object]) -> PublicSet:
    given = {**fields}
    files = given.pop("files", [])
    repository, commit = given.pop("repository", None), given.pop("commit", None)
    prices = given.pop("prices", None)
    assert isinstance(files, list)
    return PublicSet(
        name=name,
        base=f"{_RAW}/{repository}/{commit}" if repository else "",
        files=tuple(SetFile(path, size, sha256) for path, size, sha256 in files),
        prices={model: (rates[0], rates[1]) for model, rates in prices.items()} if isinstance(prices, dict) else None,
        **{"stored": name, **given},  # type: ignore[arg-type]  # the file is ours, and a test reads every set
    )
