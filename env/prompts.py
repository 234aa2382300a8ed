"""Prompts: the one way from a chat to the text a router sees, and the keys that group equal prompts."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

_TEXT_PARTS = ("text", "input_text", "output_text")
"""Types of parts that are text, in chat completions and in the Responses API."""

_LONGEST_RUN_OF_MARKS = 30
"""As of Unicode's Stream-Safe Text Format (UAX #15): "vastly greater than is required for any language"."""


def _text_of(content: Any) -> str:
    """The text of a message's content; other parts are named, so that a router can tell they are there."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = []
    for part in content:
        kind = part.get("type", "text")
        parts.append(str(part.get("text", "")) if kind in _TEXT_PARTS else f"[{kind}]")
    return "\n".join(parts)


def _said(message: Mapping[str, Any]) -> str:
    """What a message says, and which tools it calls: without the calls, results would answer nothing."""
    calls = [
        f"[call {function.get('name', '')}({function.get('arguments', '')})]"
        for function in (call.get("function") or {} for call in message.get("tool_calls") or ())
    ]
    return "\n".join(filter(None, [_text_of(message.get("content")), *calls]))


def render(messages: Sequence[Mapping[str, Any]]) -> str:
    """Render a chat to a prompt: the whole conversation, never only its last message.

    A lone user message is its bare text, so that a prompt recorded without a chat and the same prompt sent
    through the gateway are the same query.

    Args:
        messages: OpenAI chat messages; content may be text or a list of typed parts.

    Example:
        >>> render([{"role": "user", "content": "2 + 2?"}])
        '2 + 2?'
        >>> print(render([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]))
        system: Be brief.
        <BLANKLINE>
        user: Hi
    """
    if len(messages) == 1 and messages[0].get("role") == "user":
        return _text_of(messages[0].get("content"))
    return "\n\n".join(f"{m.get('role', 'user')}: {_said(m)}" for m in messages)


def normalise(prompt: str) -> str:
    r"""Equal for prompts that look the same: they are one prompt and share a split.

    Unicode's compatibility composition (NFKC), without its format characters (category ``Cf``: zero-width spaces,
    byte order marks, soft hyphens...), case-folded, white space collapsed.

    Example:
        >>> normalise("  What is\n2 + 2 ?")
        'what is 2 + 2 ?'
        >>> normalise("\ufeffCafe\u0301\u200b") == normalise("caf\u00e9")
        True
    """
    return " ".join((prompt.casefold() if prompt.isascii() else _folded(prompt)).split())


def _folded(text: str) -> str:
    characters = set(text)
    for character in characters:
        if unicodedata.category(character) == "Cf":
            text = text.replace(character, "")
    # Putting a run of marks in order takes time that grows with its square, and a server does this between two
    # requests. No writing has such runs, so what has one is left as it is composed.
    marks = "".join(c for c in characters if unicodedata.combining(unicodedata.normalize("NFKD", c)[0]))
    if marks and re.search(f"[{marks}]{{{_LONGEST_RUN_OF_MARKS + 1}}}", text):
        return text.casefold()
    # Folding may leave a text that composes further, and what is composed may fold further.
    for _ in range(2):
        text = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", text)


def prompt_hash(prompt: str, key: bytes = b"") -> str:
    """A keyed hash of the normalised prompt, hex: groups equal prompts where the text may not be stored.

    Example:
        >>> prompt_hash("Hello  world") == prompt_hash("hello world")
        True
        >>> prompt_hash("hello", key=b"site secret") == prompt_hash("hello")
        False
    """
    # Half a surrogate pair, as a cut text may hold, is no UTF-8; and no key may be longer than blake2b takes.
    short = key if len(key) <= hashlib.blake2b.MAX_KEY_SIZE else hashlib.blake2b(key).digest()
    return hashlib.blake2b(normalise(prompt).encode(errors="surrogatepass"), key=short, digest_size=16).hexdigest()
