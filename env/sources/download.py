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

from env.errors import BadInput
from env.files import whole_file
from env.sources.public_sets import PublicSet

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
    with _bar(f"downloading {found.name}", found.size) as advance:
        for file, path in zip(found.files, paths, strict=True):
            fetch(found.url(file), path, file.sha256, put_it, advance)
    return paths


def fetch(url: str, target: Path, sha256: str, put_it: str, advance: Callable[[int], None]) -> None:
    """Download one file; what is incomplete or has another checksum is deleted.

    Raises:
        BadInput: what went wrong, and ``put_it``.
    """
    digest, got = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, whole_file(target) as scratch:
            stated = answer.headers.get("Content-Length")
            with scratch.open("wb") as file:
                while chunk := answer.read(_CHUNK_BYTES):
                    file.write(chunk)
                    digest.update(chunk)
                    got += len(chunk)
                    advance(len(chunk))
            if stated is not None and got != int(stated):
                raise BadInput(f"{url}: broken off after {got} of {stated} bytes; try again, or {put_it}")
            if digest.hexdigest() != sha256:
                raise BadInput(
                    f"{url}: the checksum is {digest.hexdigest()[:12]}..., not {sha256[:12]}...: refused and deleted; "
                    f"its home may have changed: {put_it}"
                )
    except urllib.error.HTTPError as error:
        error.close()
        raise BadInput(f"{url}: {error.code} {error.reason}: not there any more; {put_it}") from error
    except urllib.error.URLError as error:
        raise BadInput(f"{url}: cannot be reached ({error.reason}): offline? {put_it}") from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        told = f"{type(error).__name__} after {got} bytes"
        raise BadInput(f"{url}: broken off ({told}); try again, or {put_it}") from error


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
