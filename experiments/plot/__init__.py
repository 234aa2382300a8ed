"""What ``pm.plot`` offers. Each gives a matplotlib ``Figure``; :func:`save` writes it as PNG, SVG and PDF."""

from __future__ import annotations

from experiments.plot.choices import choices
from experiments.plot.frontier import frontier
from experiments.plot.learning import learning
from experiments.plot.scenario import scenario
from experiments.plot.style import save

__all__ = ["choices", "frontier", "learning", "save", "scenario"]
