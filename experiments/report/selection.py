"""Which routers a picture shows: all of them would be a tangle."""

from __future__ import annotations

from experiments.compare import PLACEBO, REFERENCES, SIMPLE, ZERO, Entry, Report
from experiments.train import Feedback

MOST = 5
"""Routers in colour, beside the zero router and the oracle."""
_ASKED = 3


def height(entry: Entry) -> float:
    """What routers are ranked by: AIQ, or the score at dial 1 where there is none."""
    return entry.pooled.get("aiq", entry.pooled["score_at_dial_1"]).value


def learned(report: Report) -> list[Entry]:
    """The routers that learned something and are no yardstick, the best first."""
    found = [entry for entry in report.entries if entry.feedback not in (None, Feedback.NONE)]
    return sorted((entry for entry in found if entry.router not in (ZERO, PLACEBO)), key=height, reverse=True)


def shown(report: Report) -> list[str]:
    """The best router, then the best of those that were asked for, then the best simple rules, up to :data:`MOST`.

    In the order in which they rank.
    """
    ranked = [entry.router for entry in learned(report)]
    asked = [name for name in ranked if name not in REFERENCES][:_ASKED]
    simple = [name for name in ranked if name in SIMPLE][:2]
    taken = list(dict.fromkeys([*ranked[:1], *asked, *simple, *ranked]))[:MOST]
    return [name for name in ranked if name in taken]
