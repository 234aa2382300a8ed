"""Errors that a user of Pointsman sees: one line, with what was wrong, where, and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PointsmanError(Exception):
    """Base of every error raised on purpose; the CLI prints it on one line and exits with ``exit_code``."""

    exit_code = 1


class BadInput(PointsmanError):
    """The caller's data, configuration or arguments are wrong; nothing was written.

    Example:
        >>> raise BadInput("prices.csv: row 7: cost_usd is -1.0; costs are dollars, 0 or more")
        Traceback (most recent call last):
        ...
        env.errors.BadInput: prices.csv: row 7: cost_usd is -1.0; costs are dollars, 0 or more
    """

    exit_code = 2


class NoRendering(BadInput, TypeError):
    """An environment was asked to draw itself.

    Also a ``TypeError``: Stable-Baselines3's ``make_vec_env`` asks every id for ``rgb_array``, and takes that for a no.
    """


class MissingExtra(PointsmanError):
    """Optional parts of Pointsman are not installed; the message holds the line that installs them.

    Example:
        >>> raise MissingExtra("the demo", "train", "local")
        Traceback (most recent call last):
        ...
        env.errors.MissingExtra: the demo needs the extras `train`, `local`: pip install 'pointsman[train,local]'
    """

    def __init__(self, what: str, *extras: str) -> None:
        quoted = ", ".join(f"`{extra}`" for extra in extras)
        names = f"the {quoted} extra" if len(extras) == 1 else f"the extras {quoted}"
        super().__init__(f"{what} needs {names}: pip install 'pointsman[{','.join(extras)}]'")


def nearest(word: str, known: Iterable[str]) -> str:
    """A ``; did you mean ...?`` ending for an unknown name, or the list of known ones.

    Example:
        >>> nearest("linuct", ["linucb", "knn"])
        '; did you mean `linucb`?'
        >>> nearest("zzz", ["linucb", "knn"])
        '; known: knn, linucb'
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; known: {', '.join(names)}"
