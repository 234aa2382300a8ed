"""What a page is made of, whatever it is written in: text, lists, tables, pictures and sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Points:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. Its first column names the rows.

    Attributes:
        caption: what it shows, with units.
        heads: of the columns.
        sections: rows of cells, in groups that a line divides.
        words: columns, from 0, that hold words; all others hold numbers.
    """

    caption: str
    heads: tuple[str, ...]
    sections: tuple[tuple[tuple[str, ...], ...], ...]
    words: tuple[int, ...] = (0,)

    @classmethod
    def of(cls, caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = (0,)) -> Grid:
        """A table without groups."""
        return cls(caption, tuple(heads), (tuple(tuple(row) for row in rows),), tuple(words))

    def filled(self) -> Grid:
        """Without the columns in which no row has anything but a dash, such as costs that nobody recorded.

        Example:
            >>> Grid.of("", ["router", "$", "score"], [["ridge", "-", ".5"], ["zero", "-", "-"]]).filled().heads
            ('router', 'score')
        """
        rows = [row for section in self.sections for row in section]
        kept = [at for at in range(len(self.heads)) if any(row[at] != "-" for row in rows)]
        sections = tuple(tuple(tuple(row[at] for at in kept) for row in section) for section in self.sections)
        words = tuple(new for new, at in enumerate(kept) if at in self.words)
        return Grid(self.caption, tuple(self.heads[at] for at in kept), sections, words)


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing.

    Attributes:
        svg: for a page, see :func:`experiments.plot.style.inline_svg`.
        file: its name beside the page.
        alt: what it shows, for who cannot see it.
        caption: stands under it.
    """

    svg: str
    file: str
    alt: str
    caption: str


@dataclass(frozen=True, slots=True)
class Folded:
    """What is shown when asked for: long tables."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


Block: TypeAlias = Text | Points | Grid | Picture | Folded | Section


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page."""

    title: str
    blocks: tuple[Block, ...]
