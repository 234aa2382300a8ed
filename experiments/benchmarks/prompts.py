"""From the text of a prompt to an arm: what a request waits for its decision, at three lengths of prompt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from env.trace_io import read_trace
from experiments.train import train
from routers.policy import Policy

LENGTHS = (12, 200, 2_000)
POLICIES = ("linucb", "ridge", "auto")
_TIMES, _PASSES = 200, 5
# Words that are one token each to the tokenizer of the default featuriser.
_TEXT = "which of these cities is the capital and how many people live there today"


def measure(names: Sequence[str] = POLICIES, times: int = _TIMES) -> list[dict[str, Any]]:
    """Microseconds of ``Policy.decide`` on one prompt, trained on the bundled trace with what each was made to see.

    Args:
        names: routers.
        times: calls in a pass.

    Returns:
        Rows ``router, featuriser, tokens, p50_us, p99_us``: quantiles over calls, median over passes; wall time.
    """
    trace = read_trace("bundled")
    policies = [train(trace, name) for name in names]
    found: dict[tuple[int, int], list[Any]] = {}
    for _ in range(_PASSES):
        for place, policy in enumerate(policies):
            for tokens in LENGTHS:
                found.setdefault((place, tokens), []).append(_quantiles(policy, prompt_of(tokens), times))
    rows = []
    for (place, tokens), quantiles in found.items():
        p50, p99 = np.median(quantiles, axis=0) * 1e6
        policy = policies[place]
        rows.append(
            {
                "router": names[place],
                "featuriser": policy.router.featuriser,
                "tokens": tokens,
                "p50_us": float(p50),
                "p99_us": float(p99),
            }
        )
    return rows


def prompt_of(tokens: int) -> str:
    """A prompt of that many short words.

    Example:
        >>> prompt_of(3)
        'which of these'
    """
    words = _TEXT.split()
    return " ".join(words[at % len(words)] for at in range(tokens))


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table."""
    shown = Table(
        title="from the text of a prompt to an arm; microseconds", title_justify="left", box=SIMPLE_HEAD, pad_edge=False
    )
    for head in ("router", "features", "tokens", "p50", "p99"):
        shown.add_column(head, justify="left" if head in ("router", "features") else "right")
    for row in rows:
        shown.add_row(
            row["router"], row["featuriser"], f"{row['tokens']:,}", f"{row['p50_us']:,.0f}", f"{row['p99_us']:,.0f}"
        )
    return shown


def _quantiles(policy: Policy, prompt: str, times: int) -> Any:
    rng = np.random.default_rng(0)
    policy.decide([prompt], rng=rng)
    taken = np.empty(times)
    for call in range(times):
        began = time.perf_counter()
        policy.decide([prompt], rng=rng)
        taken[call] = time.perf_counter() - began
    return np.quantile(taken, (0.5, 0.99))
