"""How every figure looks, and how it becomes a file."""

from __future__ import annotations

import io
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from env.errors import MissingExtra
from env.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which people with any common colour blindness can tell apart, without its yellow, which
# is lost on white. Black and grey are kept for the references. After six lines the dashes change.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_FORMATS = ("png", "svg", "pdf")


def empty_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, without pyplot's global state.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("drawing a figure", "train") from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def save(figure: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write a figure as PNG, SVG and PDF.

    Returns:
        The files, PNG first.
    """
    from matplotlib import rc_context

    target = Path(folder)
    files = [target / f"{name}.{kind}" for kind in _FORMATS]
    # Without a date and with a fixed salt for its ids, the same comparison gives the same file.
    stamp: dict[str, Any] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with rc_context({"svg.hashsalt": "pointsman"}):
        for file in files:
            with whole_file(file) as scratch:
                figure.savefig(scratch, format=file.suffix[1:], metadata=stamp[file.suffix[1:]])
    return files


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """A figure as an ``<svg>`` element that can stand in a page beside others, with its text as text.

    It names no address, and its ids are its own.

    Args:
        figure: what to draw.
        name: of letters, digits and hyphens, before each of its ids.
        description: what it shows, for who cannot see it.
    """
    from matplotlib import rc_context

    drawn = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.hashsalt": "pointsman", "svg.fonttype": "none"}):
        figure.savefig(drawn, format="svg", metadata=nothing)
    text = drawn.getvalue()
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box is not None  # matplotlib writes one
    inside = text[text.index(">", text.index("<svg")) + 1 :]
    inside = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", inside, flags=re.DOTALL)
    inside = inside.replace('<style type="text/css">*{', f"<style>#{name} *{{").replace("xlink:href", "href")
    inside = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", inside)
    head = f'<svg id="{name}" role="img" aria-label="{escape(description)}" viewBox="{box[1]}">'
    return head + "\n".join(line for line in inside.splitlines() if line.strip())


def plain(name: str) -> str:
    r"""A name as a label: what matplotlib would take for a formula, or for a label to leave out, is neither.

    Example:
        >>> plain("a$b$"), plain("_model")
        ('a\\$b\\$', ' _model')
    """
    shown = name.replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown
