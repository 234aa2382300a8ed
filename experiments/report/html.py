"""A page as one HTML file: nothing is loaded, nothing runs, and no name out of the data is taken for markup."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from experiments.report.blocks import Block, Folded, Grid, Page, Picture, Points, Section, Text

# Nothing may be loaded or run, whatever else should get onto the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; background: #fff; color: #1b1b1b;
  font: 1rem/1.5 system-ui, sans-serif; }
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; border-bottom: 2px solid #ddd; }
p, li { max-width: 46rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.wide:focus-visible { outline: 2px solid #0072b2; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .25rem .5rem .25rem 0; color: #444; }
th, td { padding: .2rem .6rem; text-align: right; white-space: nowrap; vertical-align: top; }
th.word, td.word { text-align: left; }
tbody th { font-weight: 600; position: sticky; left: 0; background: #fff; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; white-space: normal; }
tbody { border-bottom: 1px solid #bbb; }
tbody tr:nth-child(even) > * { background: #f5f7f9; }
figure { margin: 1rem 0; }
figure svg { display: block; width: 100%; min-width: 38rem; height: auto; }
figcaption { color: #444; font-size: .875rem; max-width: 46rem; }
details { margin: 1rem 0; }
summary { cursor: pointer; font-weight: 600; }
""".strip()


def html(page: Page) -> str:
    """The page.

    Example:
        >>> text = html(Page("A <b> page", (Text("1 < 2"),)))
        >>> "A &lt;b&gt; page" in text, "<p>1 &lt; 2</p>" in text, "<script" in text
        (True, True, False)
    """
    body = "\n".join([f"<h1>{escape(page.title)}</h1>", *_blocks(page.blocks, 2)])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(page.title)}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _blocks(blocks: Sequence[Block], level: int) -> list[str]:
    return [_block(block, level) for block in blocks]


def _block(block: Block, level: int) -> str:
    match block:
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Points(items):
            return "\n".join(["<ul>", *(f"<li>{escape(item)}</li>" for item in items), "</ul>"])
        case Grid():
            return _table(block)
        case Picture():
            label = escape(block.caption)
            return (
                f'<figure>\n<div class="wide" role="group" tabindex="0" aria-label="Picture, scrolls: {label}">\n'
                f"{block.svg}\n</div>\n<figcaption>{label}</figcaption>\n</figure>"
            )
        case Folded(title, inside):
            inner = "\n".join(_blocks(inside, level))
            return f"<details>\n<summary>{escape(title)}</summary>\n{inner}\n</details>"
        case Section(title, inside):
            inner = "\n".join(_blocks(inside, level + 1))
            return f"<section>\n<h{level}>{escape(title)}</h{level}>\n{inner}\n</section>"


def _table(grid: Grid) -> str:
    def kind(column: int) -> str:
        return ' class="word"' if column in grid.words else ""

    heads = "".join(f'<th scope="col"{kind(at)}>{escape(head)}</th>' for at, head in enumerate(grid.heads))
    label = escape(grid.caption)
    lines = [
        f'<div class="wide" role="group" tabindex="0" aria-label="Table, scrolls: {label}">\n<table>',
        f"<caption>{label}</caption>",
        f"<thead><tr>{heads}</tr></thead>",
    ]
    for section in grid.sections:
        lines.append("<tbody>")
        for row in section:
            name, *cells = row
            rest = "".join(f"<td{kind(at)}>{escape(cell)}</td>" for at, cell in enumerate(cells, 1))
            lines.append(f'<tr><th scope="row"{kind(0)}>{escape(name)}</th>{rest}</tr>')
        lines.append("</tbody>")
    return "\n".join([*lines, "</table>\n</div>"])
