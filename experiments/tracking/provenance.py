"""What made a run: tags that every run has."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("pointsman", "numpy", "scikit-learn", "torch", "mlflow")
_PATIENCE_S = 5


@cache
def provenance() -> Mapping[str, str]:
    """Versions of Python and of the packages that figures depend on, and the git commit of a checkout.

    Example:
        >>> provenance()["version.numpy"] == version("numpy")
        True
    """
    tags = {"version.python": platform.python_version()}
    for package in _PACKAGES:
        try:
            tags[f"{package}_version" if package == "pointsman" else f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    commit = _commit()
    return tags if commit is None else {**tags, "mlflow.source.git.commit": commit}


def _commit() -> str | None:
    """The commit of the checkout that this file is part of, ``-dirty`` where files differ; None without a checkout.

    That it is *in* the folder of a checkout is not enough: a virtual environment often is in another project's.
    """
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and changed else commit


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
