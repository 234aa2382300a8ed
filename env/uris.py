"""How an address is shown: without the passwords and tokens that it may hold."""

from __future__ import annotations

import re

_HIDDEN = "***"
# Up to the last `@`: a password may hold any character, and hiding too much costs less than showing a piece of it.
_USER = re.compile(r"^([A-Za-z][\w+.-]*://)\S*@")
_QUERY_VALUE = re.compile(r"([?&][^=&\s]*=)[^&\s]*")


def shown_uri(uri: str) -> str:
    """``uri`` without its user, password and query values: which of them are secret, their names do not tell.

    Example:
        >>> shown_uri("postgresql://me:pa/ss@db.example/log?sslpassword=secret")
        'postgresql://***@db.example/log?sslpassword=***'
        >>> shown_uri("sqlite:///mlflow.db"), shown_uri("a folder")
        ('sqlite:///mlflow.db', 'a folder')
    """
    return _QUERY_VALUE.sub(rf"\1{_HIDDEN}", _USER.sub(rf"\1{_HIDDEN}@", uri))


def without_secrets(text: str, uri: str) -> str:
    """``text``, for example of an error, without what ``shown_uri`` hides of ``uri``, wherever it is quoted.

    Example:
        >>> without_secrets("no route to http://me:pw@host/api", "http://me:pw@host")
        'no route to http://***@host/api'
    """
    if (user := _USER.match(uri)) is not None:
        text = text.replace(user[0], shown_uri(user[0]))
    _, mark, query = uri.partition("?")
    return text.replace(mark + query, shown_uri(mark + query)) if query else text
