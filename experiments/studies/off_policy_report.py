"""The studies of off-policy evaluation and learning on paper: their tables, and whether the bars were met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from experiments.ope.overlap import ENOUGH

Row: TypeAlias = Mapping[str, Any]

GATED = ("ips", "snips", "dr", "switch_dr")
"""Estimators whose nominal 95 % intervals must hold the truth in :data:`BAR` of the logs that tell enough."""
BAR = 0.93


def coverage_table(rows: Sequence[Row]) -> str:
    """A line for each estimator in each condition, and the bars."""
    lines = [
        "| table, log -> policy | decisions | effective | truth | estimator | bias | RMSE | bootstrap | width "
        "| Bernstein | width | anytime | width |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    about = None
    for row in rows:
        key = (row["trace"], row["condition"])
        head = (
            f"{key[0]}: {key[1]} | {row['n']:,} | {row['ess']:.0f} | {row['truth']:.3f}" if key != about else " | | | "
        )
        about = key
        lines.append(
            f"| {head} | {row['estimator']} | {row['bias']:+.4f} | {row['rmse']:.4f} | {_interval(row, 'bootstrap')} "
            f"| {_interval(row, 'bernstein')} | {_interval(row, 'anytime')} |"
        )
    return "\n".join([*lines, "", *(f"- {line}" for line in verdicts(rows))])


def verdicts(rows: Sequence[Row]) -> list[str]:
    """For each estimator that has a bar, the least coverage of the conditions that tell enough."""
    lines = []
    for name in GATED:
        held = [row for row in rows if row["estimator"] == name and row["ess"] >= ENOUGH]
        if not held:
            continue
        least = min(held, key=lambda row: row["bootstrap_coverage"])
        met = least["bootstrap_coverage"] >= BAR
        lines.append(
            f"{name}: {'met' if met else '**not met**'}, the least of {len(held)} coverages is "
            f"{_percent(least['bootstrap_coverage'])} ({least['trace']}: {least['condition']}; {least['logs']:,} logs; "
            f"asked for {BAR:.0%}".replace("93%", "93 %")
            + ")"
        )
    return lines


def _interval(row: Row, kind: str) -> str:
    coverage = row[f"{kind}_coverage"]
    return "- | -" if coverage is None else f"{_percent(coverage)} | {row[f'{kind}_width']:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def learning_table(rows: Sequence[Row]) -> str:
    """A line for each table and router, the ways to learn side by side, and what doubly robust targets brought."""
    ways = list(dict.fromkeys(row["way"] for row in rows))
    lines = [
        f"| table | router | {' | '.join(ways)} | doubly robust over observed [95 %] |",
        "|---|---|" + "---|" * (len(ways) + 1),
    ]
    gains = []
    for trace, router in dict.fromkeys((row["trace"], row["router"]) for row in rows):
        here = {row["way"]: row for row in rows if (row["trace"], row["router"]) == (trace, router)}
        gain = here["doubly robust"]
        gains.append(gain)
        scores = " | ".join(f"{here[way]['score']:.3f}" for way in ways)
        over = f"{gain['over_observed']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
        lines.append(f"| {trace} | {router} | {scores} | {over} |")
    better, worse = sum(gain["low"] > 0 for gain in gains), sum(gain["high"] < 0 for gain in gains)
    said = f"doubly robust targets are surely better than observed cells in {better} of {len(gains)} cases"
    return "\n".join([*lines, "", f"- {said}, surely worse in {worse}"])
