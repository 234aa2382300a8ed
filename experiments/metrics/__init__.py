"""The measures of a router, one function each; ``docs/metrics.md`` is the catalogue.

Every function is vectorised over leading axes, so that one call does all bootstrap replicates of a figure.
"""

from experiments.metrics.frontier import Array, Frontier, aiq, curve, mean_over

__all__ = ["Array", "Frontier", "aiq", "curve", "mean_over"]
