"""What the documents show, made again: the README's table from a comparison's rows, the notebook's output.

python -m experiments.documents README.md docs/bundled
python -m experiments.documents --execute notebooks/01_the_loop.ipynb
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from env.errors import BadInput
from env.files import write_text

Figure = Mapping[str, float | None]


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A comparison's pooled figures as Markdown: routers by AIQ, then single models, then the oracle."""
    found: dict[str, dict[str, Figure]] = {}
    for row in rows:
        if row["seed"] is None:
            found.setdefault(row["router"], {})[row["metric"]] = row
    lines = [
        "| router | AIQ | over zero [95 %] | score, dial 1 | $ per 1,000, dial 1 |",
        "|---|---|---|---|---|",
    ]
    for router in sorted(found, key=lambda name: (_rank(name), -_value(found[name]["aiq"]))):
        figures = found[router]
        gain = figures.get("delta_aiq_zero")
        over = "-" if gain is None else f"{_value(gain):+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
        lines.append(
            f"| {router} | {_value(figures['aiq']):.3f} | {over} | {_value(figures['score_at_dial_1']):.3f} "
            f"| {_value(figures['cost_usd_at_dial_1']) * 1000:.3g} |"
        )
    return "\n".join(lines)


def _rank(router: str) -> int:
    if router == "oracle":
        return 2
    return int(router.startswith("fixed:") or router in ("best_single", "cheapest"))


def _value(figure: Figure) -> float:
    value = figure["value"]
    return float("nan") if value is None else value


def put(name: str, body: str, document: Path) -> None:
    """Replace what stands between the markers ``<!-- name -->`` and ``<!-- /name -->`` of a document.

    Raises:
        BadInput: the document has no such markers.
    """
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    text = document.read_text()
    if not block.search(text):
        raise BadInput(f"{document}: no `<!-- {name} -->` ... `<!-- /{name} -->`")
    write_text(block.sub(lambda match: f"{match[1]}\n{body}\n\n{match[2]}", text), document)


def execute(notebook: Path, *, write: bool = True) -> None:
    """Run a notebook from its own folder; with ``write`` keep its output in place."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(notebook, as_version=4)
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(notebook.parent)}}).execute()
    for cell in book.cells:
        # When and how often it ran is nobody's business, and would change every time.
        cell.metadata.pop("execution", None)
    if write:
        nbformat.write(book, notebook)


if __name__ == "__main__":
    if sys.argv[1] == "--execute":
        execute(Path(sys.argv[2]))
    else:
        document, folder = Path(sys.argv[1]), Path(sys.argv[2])
        put(f"compare:{folder.name}", markdown_table(json.loads((folder / "rows.json").read_text())), document)
