"""A page as Markdown, for a repository or a message: the same words and figures, pictures as files beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from experiments.report.blocks import Block, Folded, Grid, Page, Picture, Points, Section, Text

# What Markdown, or the HTML in it, would take for markup. An underscore inside a word is none.
_MARKUP = re.compile(r"[\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown(page: Page) -> str:
    r"""The page.

    Example:
        >>> print(markdown(Page("A *page*", (Text("1 < 2"), Points(("one", "two"))))))
        # A \*page\*
        <BLANKLINE>
        1 &lt; 2
        <BLANKLINE>
        - one
        - two
        <BLANKLINE>
    """
    return "\n\n".join([f"# {plain(page.title)}", *_blocks(page.blocks, 2)]) + "\n"


def plain(text: str) -> str:
    r"""Text that Markdown shows as it is, on one line.

    Example:
        >>> print(plain("zero_cost <b> | _x_"))
        zero_cost &lt;b&gt; \| \_x\_
    """
    safe = "".join(_HTML.get(letter, letter) for letter in " ".join(text.split()))
    return _MARKUP.sub(lambda found: f"\\{found[0]}", safe)


def _blocks(blocks: Sequence[Block], level: int) -> list[str]:
    return [_block(block, level) for block in blocks]


def _block(block: Block, level: int) -> str:
    match block:
        case Text(text):
            return plain(text)
        case Points(items):
            return "\n".join(f"- {plain(item)}" for item in items)
        case Grid():
            return _table(block)
        case Picture():
            return f"![{plain(block.alt)}]({block.file}.png)\n\n{plain(block.caption)}"
        case Folded(title, inside) | Section(title, inside):
            return "\n\n".join([f"{'#' * level} {plain(title)}", *_blocks(inside, level + 1)])


def _table(grid: Grid) -> str:
    rule = "|".join("---" if at in grid.words else "--:" for at in range(len(grid.heads)))
    rows = [row for section in grid.sections for row in section]
    lines = [f"| {' | '.join(map(plain, row))} |" for row in (grid.heads, *rows)]
    return "\n".join([plain(grid.caption), "", lines[0], f"|{rule}|", *lines[1:]])
