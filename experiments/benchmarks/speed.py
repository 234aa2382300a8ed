"""The bars that routers are to clear, beside the figures of one run of ``pointsman bench routers --json FILE``.

python -m experiments.benchmarks.speed docs/speed/rows.json docs/speed.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments.benchmarks.rounds import PEERS
from experiments.documents import put

_FLOOR_SHARE, _OF_PRODUCTS, _DIGITS = 0.6, 1.3, 5e-4
_TIMES_FASTER = {"pareto_bandit": 10.0, "obp": 40.0, "mabwiser": 40.0}
_AT_MOST_US = {"linucb": 150.0, "ridge": 150.0, "auto": 3_000.0}
_SHORT = 12  # tokens

Result = Mapping[str, Sequence[Mapping[str, Any]]]
_COLUMNS = {
    "rounds": ("features", "who", "rounds_per_s", "of_floor"),
    "batches": ("features", "router", "call", "ms", "of_products"),
    "prompts": ("router", "featuriser", "tokens", "p50_us", "p99_us"),
    "regret": ("features", "rounds", "float32", "float64", "random"),
}


def bars(result: Result) -> list[dict[str, Any]]:
    """Every bar with what was measured.

    Args:
        result: what the command writes: ``rounds``, ``batches``, ``prompts`` and ``regret``, rows of each.

    Returns:
        Rows ``what, figure, bar, met``; figure and bar as words.
    """
    rows = []
    for row in result["rounds"]:
        own = row["who"].startswith(("linucb", "linear_thompson"))
        if own:
            what = f"d = {row['features']}, {row['who']}, share of the floor"
            rows.append(_bar(what, f"{row['of_floor']:.1%}", f">= {_FLOOR_SHARE:.0%}", row["of_floor"] >= _FLOOR_SHARE))
    rows += _against_peers(result["rounds"])
    for row in result["batches"]:
        what = f"d = {row['features']}, {row['router']}, {row['call']} on a batch, time over bare products"
        ratio = row["of_products"]
        rows.append(_bar(what, f"{ratio:.2f}", f"<= {_OF_PRODUCTS}", ratio <= _OF_PRODUCTS))
    for row in result["prompts"]:
        most = _AT_MOST_US.get(row["router"])
        if row["tokens"] == _SHORT and most is not None:
            what = f"{row['router']}, prompt of {_SHORT} tokens to arm, p50"
            rows.append(_bar(what, f"{row['p50_us']:,.0f} us", f"<= {most:,.0f} us", row["p50_us"] <= most))
    for row in result["regret"]:
        off = abs(row["float32"] / row["float64"] - 1)
        what = f"d = {row['features']}, regret over {row['rounds']:,} rounds, float32 against float64"
        rows.append(_bar(what, f"{row['float32']:.4g} / {row['float64']:.4g}", "three digits", off < _DIGITS))
    return rows


def _against_peers(rounds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    widest = [row for row in rounds if row["features"] == max(row["features"] for row in rounds)]
    ours = [row for row in widest if ": replay" in row["who"]]
    rows = []
    for peer in widest:
        for package, times in _TIMES_FASTER.items():
            if peer["who"] != PEERS[package]:
                continue
            for own in ours:
                faster = own["rounds_per_s"] / peer["rounds_per_s"]
                what = f"d = {own['features']}, {own['who']}, over {peer['who']}"
                rows.append(_bar(what, f"{faster:.0f} x", f">= {times:.0f} x", faster >= times))
    return rows


def _bar(what: str, figure: str, bar: str, met: bool) -> dict[str, Any]:
    return {"what": what, "figure": figure, "bar": bar, "met": bool(met)}


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The bars as a table."""
    shown = Table(title="bars", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for head in ("what", "measured", "bar", ""):
        shown.add_column(head, justify="left" if head in ("what", "") else "right", no_wrap=head == "what")
    for row in rows:
        shown.add_row(row["what"], row["figure"], row["bar"], "met" if row["met"] else "not met")
    return shown


def markdown(result: Result) -> str:
    """The bars, then every figure."""
    lines = ["| what | measured | bar | |", "|---|---|---|---|"]
    lines += [
        f"| {row['what']} | {row['figure']} | {row['bar']} | {'met' if row['met'] else '**not met**'} |"
        for row in bars(result)
    ]
    for name, columns in _COLUMNS.items():
        lines += ["", f"`{name}`", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
        lines += ["| " + " | ".join(_cell(row[column]) for column in columns) + " |" for row in result[name]]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    measured, document = Path(sys.argv[1]), Path(sys.argv[2])
    put("speed", markdown(json.loads(measured.read_text())), document)
