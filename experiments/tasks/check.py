"""Judge a response: lenient on case, punctuation and politeness, strict on content.

Kinds of check (plain JSON, so that prompts files are self-contained):

========  =====================================================================================
number    the last number of the response equals the answer
label     exactly one of ``labels`` is named, and it is the answer
exact     the response is the answer, or a short sentence that ends with it
list      the items, in order
json      each field of ``answer`` is found with its value; the score is the share that is
========  =====================================================================================
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from env.errors import BadInput

MAX_LEAD_WORDS = 10
"""A sentence around an exact answer may have this many extra words; more is an echo of the prompt."""

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")
_NOT_WORD = re.compile(r"[^\w@.+%/:-]+")


def score(check: Mapping[str, Any], response: str) -> float:
    """Score of a response in [0, 1].

    >>> score({"kind": "number", "answer": 1200}, "That is 1,200 metres.")
    1.0
    >>> score({"kind": "label", "answer": "spam", "labels": ["spam", "ham"]}, "Spam or ham?")
    0.0
    >>> score({"kind": "json", "answer": {"city": "Oslo", "rooms": 2}}, '{"city": "oslo", "rooms": 3}')
    0.5
    """
    kind = check.get("kind")
    judge = _KINDS.get(str(kind))
    if judge is None:
        raise BadInput(f"check kind `{kind}` is unknown: use one of {', '.join(sorted(_KINDS))}")
    return judge(check, response)


def tidy(text: str) -> str:
    """Casefolded words with outer punctuation removed."""
    words = (word.strip(".:-/+") for word in _NOT_WORD.sub(" ", text.casefold()).split())
    return " ".join(word for word in words if word)


def _number(check: Mapping[str, Any], response: str) -> float:
    found = _NUMBER.findall(response)
    if not found:
        return 0.0
    value = float(found[-1].replace(",", ""))
    return float(math.isclose(value, float(check["answer"]), rel_tol=1e-9, abs_tol=1e-6))


def _label(check: Mapping[str, Any], response: str) -> float:
    words = f" {tidy(response)} "
    named = [label for label in check["labels"] if f" {tidy(label)} " in words]
    return float(named == [check["answer"]])


def _exact(check: Mapping[str, Any], response: str) -> float:
    said, wanted = tidy(response), tidy(str(check["answer"]))
    if check.get("case"):
        # Upper and lower case are the content here, so the words themselves must match.
        return float(response.strip().strip("\"'.` ") == str(check["answer"]))
    if said == wanted:
        return 1.0
    extra = len(said.split()) - len(wanted.split())
    return float(said.endswith(f" {wanted}") and extra <= MAX_LEAD_WORDS)


def _list(check: Mapping[str, Any], response: str) -> float:
    wanted = [tidy(str(item)) for item in check["answer"]]
    tail = response.rsplit(":", maxsplit=1)[-1]
    return float([tidy(part) for part in re.split(r"[,\s]+", tail) if tidy(part)] == wanted)


def _json(check: Mapping[str, Any], response: str) -> float:
    start, end = response.find("{"), response.rfind("}")
    if start < 0 or end < start:
        return 0.0
    try:
        said = json.loads(response[start : end + 1])
    except ValueError:
        return 0.0
    if not isinstance(said, dict):
        return 0.0
    wanted: dict[str, Any] = check["answer"]
    right = sum(tidy(str(said.get(field, ""))) == tidy(str(value)) for field, value in wanted.items())
    return right / len(wanted)


_KINDS: dict[str, Callable[[Mapping[str, Any], str], float]] = {
    "number": _number,
    "label": _label,
    "exact": _exact,
    "list": _list,
    "json": _json,
}
