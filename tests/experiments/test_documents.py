"""Tables put into documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from env.errors import BadInput
from experiments.documents import put


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- /a -->\n<!-- b -->\nkept\n<!-- /b -->\nafter")
    put("a", r"a \1 is no group", page)
    assert page.read_text() == (
        "before\n<!-- a -->\n\na \\1 is no group\n\n<!-- /a -->\n<!-- b -->\nkept\n<!-- /b -->\nafter"
    )


def test_a_document_without_its_markers_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here")
    with pytest.raises(BadInput, match=r"page\.md: no `<!-- a -->`"):
        put("a", "new", page)
    assert page.read_text() == "nothing here"
