"""Downloads: to a file that appears whole or not at all, with its checksum verified and a bar that shows the bytes."""

from __future__ import annotations

import hashlib
import http.client
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from env.errors import BadInput
from env.files import whole_file
from env.sources.public_sets import PublicSet, SetFile

_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 16


def download(found: PublicSet, folder: Path, put_it: str) -> list[Path]:
    """The files of a set in ``folder``, in the order of the set.

    Args:
        found: the set.
        folder: where the files go.
        put_it: the mend, should it fail: where to put the set by hand.

    Raises:
        BadInput: offline, no such file any more, broken off, or not the file that was pinned.
    """
    paths = [folder / file.path for file in found.files]
    for file, path in zip(found.files, paths, strict=True):
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BadInput(f"{found.name}: the file {file.path} would lie outside {folder}: refused; {put_it}")
    with _bar(f"downloading {found.name}", found.size) as advance:
        for file, path in zip(found.files, paths, strict=True):
            fetch(found.url(file), path, file, put_it, advance)
    return paths


def fetch(url: str, target: Path, wanted: SetFile, put_it: str, advance: Callable[[int], None]) -> None:
    """Download one file; what is incomplete or has another checksum is deleted.

    Raises:
        BadInput: what went wrong, and ``put_it``.
    """
    digest, got = hashlib.sha256(), 0
    try:
        with _open(url) as answer, whole_file(target) as scratch:
            with scratch.open("wb") as file:
                # One byte more than there should be is read, and no more of what a server goes on to send.
                while chunk := _read(answer, min(_CHUNK_BYTES, wanted.size + 1 - got)):
                    file.write(chunk)
                    digest.update(chunk)
                    got += len(chunk)
                    advance(len(chunk))
            if got < wanted.size:
                raise BadInput(f"{url}: broken off after {got} of {wanted.size} bytes; try again, or {put_it}")
            if got > wanted.size or digest.hexdigest() != wanted.sha256:
                what = (
                    f"more than its {wanted.size} bytes"
                    if got > wanted.size
                    else f"the checksum is {digest.hexdigest()[:12]}..., not {wanted.sha256[:12]}..."
                )
                raise BadInput(f"{url}: {what}: refused and deleted; its home may have changed: {put_it}")
    except urllib.error.HTTPError as error:
        error.close()
        reason = " ".join(str(error.reason).split())  # that of a redirect is of several lines
        raise BadInput(f"{url}: {error.code} {reason}: {_meaning(error.code)}; {put_it}") from error
    except urllib.error.URLError as error:
        raise BadInput(f"{url}: cannot be reached ({error.reason}): offline? {put_it}") from error
    except _BrokenOff as error:
        told = f"{type(error.__cause__).__name__} after {got} bytes"
        raise BadInput(f"{url}: broken off ({told}); try again, or {put_it}") from error


class _BrokenOff(Exception):
    """The network's failure: an ``OSError`` of writing to the disk is another matter."""


def _open(url: str) -> Any:
    try:
        return urllib.request.urlopen(url, timeout=_TIMEOUT_S)
    except urllib.error.URLError:
        raise
    except (http.client.HTTPException, OSError) as error:
        raise _BrokenOff from error


def _read(answer: Any, count: int) -> bytes:
    try:
        found: bytes = answer.read(count)
        return found
    except (http.client.HTTPException, OSError) as error:  # errors of TLS are OSErrors too
        raise _BrokenOff from error


def _meaning(code: int) -> str:
    if code in (404, 410):
        return "not there any more"
    if 300 <= code < 400:
        return "it sends us on without an end, or nowhere"
    return "its server fails, try again later" if code >= 500 else "its server refuses"


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    # Standard output belongs to results.
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    hidden = not (console.is_terminal or console.is_jupyter)
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
