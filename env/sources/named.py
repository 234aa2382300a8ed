"""Public sets by name: found in a data folder, or downloaded from their home once and kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from env.errors import BadInput, nearest
from env.sources.download import download
from env.sources.public_sets import PublicSet, names, public_set
from env.sources.recipes import make
from env.trace import Trace
from env.trace_formats import read_table
from env.trace_io import from_table, read_trace, write_table

DATA_FOLDER = "POINTSMAN_DATA"
# Part of the cache's path: a set that is made in another way is made anew.
_RECIPES_VERSION = "1"


def load_trace(source: str | Path) -> Trace:
    """A trace by the path of its file, ``"bundled"``, or the name of a public set.

    A file of that name comes first, so that nothing on disk is ever hidden by a set.

    Raises:
        BadInput: neither a file nor a set, or what is wrong with it.

    Example:
        >>> load_trace("bundled").n_arms > 1
        True
    """
    name = str(source)
    if name in names() and not Path(source).is_file():
        return load_named(name)
    if name in names("arrivals") and not Path(source).exists():
        raise BadInput(f"{name}: a set of arrivals, and no trace: pointsman.load_arrivals({name!r})")
    if Path(name).suffix == "" and name != "bundled" and not Path(source).exists() and os.sep not in name:
        raise BadInput(f"{name}: no such file, and no public set of that name{nearest(name, ['bundled', *names()])}")
    return read_trace(source)


def load_named(name: str) -> Trace:
    """A public set.

    Looked for in ``POINTSMAN_DATA``, in ``../shared/data`` beside the working directory and beside the repository,
    and in the user's cache; failing that, downloaded from its home.

    Raises:
        BadInput: an unknown name, or a set that is not there and cannot be downloaded.
    """
    path = stored(public_set(name, "trace"))
    return from_table(read_table(path), name=name, where=str(path))


def stored(found: PublicSet) -> Path:
    """The set's Parquet file, downloaded where it is nowhere yet.

    Raises:
        BadInput: it cannot be downloaded; the message says where to put it.
    """
    file = f"{found.stored}.parquet"
    for folder in (*data_folders(), cache_folder()):
        if (folder / file).is_file():
            return folder / file
    put_it = f"put {file} (see {found.home}) into a folder and set {DATA_FOLDER} to it, or into {cache_folder()}"
    if not found.files:
        raise BadInput(f"set {found.name}: {found.note}; {put_it}")
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=f".{found.name}.") as scratch:
            return write_table(make(found, download(found, Path(scratch), put_it)), cache_folder() / file)
    except OSError as error:
        raise BadInput(f"{cache_folder()}: cannot be written to ({error}); set XDG_CACHE_HOME, or {put_it}") from error


def data_folders() -> list[Path]:
    """Folders of data that exist, in the order in which they are searched.

    Raises:
        BadInput: ``POINTSMAN_DATA`` names no folder.
    """
    found = []
    if given := os.environ.get(DATA_FOLDER):
        if not Path(given).is_dir():
            raise BadInput(f"{DATA_FOLDER}={given}: no such folder; unset it, or set it to the folder of the sets")
        found.append(Path(given))
    beside = [Path.cwd().parent / "shared" / "data", Path(__file__).parents[3] / "shared" / "data"]
    return found + [folder for folder in dict.fromkeys(beside) if folder.is_dir()]


def cache_folder() -> Path:
    """Where downloaded sets are kept: ``$XDG_CACHE_HOME/pointsman`` or ``~/.cache/pointsman``, by version."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "pointsman" / f"sets-{_RECIPES_VERSION}"
