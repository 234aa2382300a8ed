"""Hyper-parameter search: the settings of any router, chosen on training and validation queries alone."""

from __future__ import annotations

from experiments.sweep.search import Sweep, Tuned, steps, sweep

__all__ = ["Sweep", "Tuned", "steps", "sweep"]
