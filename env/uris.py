"""How an address is shown: without the passwords and tokens that it may hold."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

_HIDDEN = "***"
_SCHEME = re.compile(r"\s*(?:[A-Za-z][\w+.-]*:)?//")
_FILE = re.compile(r"\s*(?:sqlite[\w+]*|file):///")
_USER_IN_TEXT = re.compile(r"//[^\s/]+@")  # as a client writes it, percent-encoded
_DELIMITERS = re.compile(r"[\s:/?#@&=\[\]]+")
_SHORTEST = 3  # shorter ones are in any text, and tell nothing


def shown_uri(uri: str) -> str:
    """``uri`` without its user, password and query values: which of them are secret, their names do not tell.

    A password may hold any character, written as it is. Where it cannot be told where one ends, more is hidden.

    Example:
        >>> shown_uri("postgresql://me:pa/ss@db.example/log?sslpassword=secret")
        'postgresql://***@db.example/log?sslpassword=***'
        >>> shown_uri("sqlite:///mlflow.db"), shown_uri("a folder")
        ('sqlite:///mlflow.db', 'a folder')
    """
    before, user, rest = _split(uri)
    if "?" in user:
        # A password with a question mark, or a query with an at sign.
        return f"{before}{_HIDDEN}"
    address, mark, query = rest.partition("?")
    values = "&".join(_hide_value(part) for part in query.split("&")) if query else ""
    return f"{before}{_HIDDEN if user else ''}{address}{mark}{values}"


def without_secrets(text: str, uri: str) -> str:
    """``text``, for example of an error, without what ``shown_uri`` hides of ``uri``, however it is quoted.

    Example:
        >>> without_secrets("no route to http://me:pw@host/api", "http://me:pw@host")
        'no route to http://***@host/api'
    """
    _, user, rest = _split(uri)
    values = [part.partition("=")[2] or part for part in rest.partition("?")[2].split("&")]
    text = text.replace(uri, shown_uri(uri))
    text = _USER_IN_TEXT.sub(f"//{_HIDDEN}@", text.replace(f"{user}@", f"{_HIDDEN}@") if user else text)
    for secret in (user, *values):
        for form in (secret, quote(secret), unquote(secret)):
            if len(form) >= _SHORTEST:
                text = text.replace(form, _HIDDEN)
    # An error may quote only the piece that it stumbled over.
    for piece in _DELIMITERS.split(" ".join((user, *values))):
        if len(piece) >= _SHORTEST:
            text = re.sub(rf"(?<!\w){re.escape(piece)}(?!\w)", _HIDDEN, text)
    return text


def _split(uri: str) -> tuple[str, str, str]:
    """What comes before the user and password, these, and the rest, which begins with ``@`` where there is a user."""
    scheme = _SCHEME.match(uri)
    before = scheme[0] if scheme is not None else ""
    if _FILE.match(uri) is None:
        # Up to the last `@`: hiding too much costs less than showing a piece of a password.
        user, at, rest = uri.removeprefix(before).rpartition("@")
        if at and (before or ":" in user or "//" in user):
            return before, user, at + rest
    return before, "", uri.removeprefix(before)


def _hide_value(part: str) -> str:
    name, equals, _ = part.partition("=")
    return f"{name}={_HIDDEN}" if equals else _HIDDEN
