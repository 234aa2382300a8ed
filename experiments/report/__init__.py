"""What a comparison says: for a terminal, for programs, and as a page for people."""

from __future__ import annotations

from experiments.report.table import json_rows, table, title
from experiments.report.words import gain, is_sure, verdict

__all__ = ["gain", "is_sure", "json_rows", "table", "title", "verdict"]
