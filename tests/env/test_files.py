"""Files appear whole or not at all, and nothing else is ever replaced by one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from env.files import whole_file, write_json, write_text


def test_an_interrupt_leaves_the_older_file(tmp_path: Path) -> None:
    target = write_text("old", tmp_path / "report.txt")
    with pytest.raises(KeyboardInterrupt), whole_file(target) as scratch:
        scratch.write_text("half")
        raise KeyboardInterrupt
    assert [file.name for file in tmp_path.iterdir()] == ["report.txt"]
    assert target.read_text() == "old"


def test_what_is_no_file_is_written_to_and_stays_what_it_was(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_json({"rows": 3}, pipe)
    reader.join(timeout=10)
    assert read == ['{\n "rows": 3\n}\n']
    assert pipe.is_fifo()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real.txt")
    write_text("new", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"
