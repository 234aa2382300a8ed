"""What a comparison says, in words."""

from __future__ import annotations

from experiments.bootstrap import Estimate
from experiments.multiplicity import holds
from experiments.tally import PLACEBO, REFERENCES_OF_VERDICTS, ZERO, Entry


def verdict(entry: Entry) -> str:
    """In words, whether a router is worth having; empty for what is not a router or is itself the reference.

    The test is whether the paired interval of the difference lies above 0: on the area under the curve, or on
    the score at dial 1 where the trace has no costs.

    Example:
        >>> import numpy as np
        >>> from experiments.train import Feedback
        >>> gains = {"delta_aiq_zero": Estimate(0.02, 0.01, 0.03), "delta_aiq_placebo": Estimate(0.02, -0.01, 0.05)}
        >>> none = np.zeros(0)
        >>> verdict(Entry("knn", Feedback.FULL, {}, gains, none, none, none))
        'beats zero only'
    """
    over_zero = gain(entry, ZERO)
    if entry.feedback is None or entry.router in REFERENCES_OF_VERDICTS or over_zero is None:
        return ""
    if over_zero.below_zero:
        return "worse than zero"
    if not over_zero.above_zero:
        return "does not beat zero"
    over_placebo = gain(entry, PLACEBO)
    if over_placebo is None:
        return "beats zero"
    return "beats zero, placebo" if over_placebo.above_zero else "beats zero only"


def is_sure(entry: Entry) -> bool:
    """Whether the differences that a verdict claims hold with all verdicts of the table told at once.

    Example:
        >>> import numpy as np
        >>> from experiments.train import Feedback
        >>> none, gains = np.zeros(0), {"delta_aiq_zero": Estimate(0.02, 0.01, 0.03)}
        >>> entry = Entry("knn", Feedback.FULL, {}, gains, none, none, none, adjusted={"delta_aiq_zero": 0.08})
        >>> verdict(entry), is_sure(entry)
        ('beats zero', False)
    """
    said = verdict(entry)
    claimed = [ZERO] if said.startswith(("beats", "worse")) else []
    if said.endswith(PLACEBO):
        claimed.append(PLACEBO)
    told = {name.rsplit("_", 1)[1]: p_value for name, p_value in entry.adjusted.items()}
    return all(holds(told.get(reference)) for reference in claimed)


def gain(entry: Entry, reference: str) -> Estimate | None:
    """The paired difference from a reference: in AIQ, or in the score at dial 1 where there are no costs."""
    return entry.pooled.get(f"delta_aiq_{reference}", entry.pooled.get(f"delta_score_{reference}"))
