"""Files that appear whole or not at all, so that Ctrl-C never leaves half a report."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A scratch path beside ``path``, which takes its name when the block ends without an error.

    A link stays a link: the file behind it is the one that is replaced. What is no file, such as ``/dev/null`` or a
    pipe, is written to as it is: replaced, it would be gone for every other program.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with whole_file(Path(folder) / "report.txt") as scratch:
        ...         _ = scratch.write_text("done")
        ...     [file.name for file in Path(folder).iterdir()]
        ['report.txt']
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield scratch
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)


def write_text(text: str, path: str | Path) -> Path:
    """Write a text file."""
    with whole_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(value: Any, path: str | Path) -> Path:
    """Write a value as JSON; NaN is refused, as JSON has none."""
    return write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", path)
