"""The catalogue of routers, made from the registry, so that it lists them all and says what their classes say.

python -m experiments.catalogue docs/which-router.md
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from experiments.documents import put
from routers import Router, names, router_class
from routers.wrapper import Wrapper

_ROLE = re.compile(r":(?:class|func|meth):`~?(?:[\w.]+\.)?(\w+)`")


def markdown() -> str:
    """Every registered router: where its code is, what it learns from, and the first sentence about it."""
    lines = ["| router | learns from | features | what it is |", "|---|---|---|---|"]
    for name in names():
        kind = router_class(name)
        path = kind.__module__.replace(".", "/") + ".py"
        link = f"[`{name}`](../{path})" if path.startswith("routers/") else f"`{name}`"
        lines.append(f"| {link} | {_learns_from(kind)} | {_features(kind)} | {_summary(kind)} |")
    return "\n".join(lines)


def _learns_from(kind: type[Router]) -> str:
    if issubclass(kind, Wrapper):
        return "as inside"
    able = kind.capabilities
    sources = (("a table", able.offline), ("its choices", able.online), ("duels", hasattr(kind, "prefer")))
    return ", ".join(source for source, can in sources if can) or "nothing"


def _features(kind: type[Router]) -> str:
    """Which features of the prompt it was made to see."""
    if issubclass(kind, Wrapper):
        return "as inside"
    return f"`{kind.featuriser}`" if kind.capabilities.uses_features else "-"


def _summary(kind: type[Router]) -> str:
    first = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return _ROLE.sub(r"`\1`", first).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    put("routers", markdown(), Path(sys.argv[1]))
