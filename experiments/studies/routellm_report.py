"""The study of a weak and a strong model on paper: its tables, and whether the bars were met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]

BARS = {
    ("in domain", "mmlu"): 0.70,
    ("in domain", "gsm8k"): 0.63,
    ("1,500 MMLU questions", "mmlu"): 0.65,
}
"""APGR asked for of the production router, by what was learned from and tested on."""
PUBLISHED = {"mmlu": 0.603, "gsm8k": 0.622}
"""The best APGRs of RouteLLM's own tables, of routers that were not trained on these sets' own questions."""
_ROUTER, _RANDOM = "auto", "random"
_METRICS = ("apgr", "cpt50", "cpt80", "over tfidf_ridge")
_CURVE = ("tfidf_ridge", "auto")


def markdown(rows: Sequence[Row]) -> str:
    """The facts recomputed, a table for each setting and family, the learning curve, and the bars."""
    lines = [f"Seeds: {rows[0]['seeds']}.", ""]
    lines += ["| all questions | weak, % | strong, % | APGR of random orders |", "|---|---|---|---|"]
    for family in _families(rows, "all questions"):
        weak, strong, area = (
            _row(rows, "all questions", family, _RANDOM, "not named", metric)["value"]
            for metric in ("weak", "strong", "apgr")
        )
        lines.append(f"| {family} | {100 * weak:.2f} | {100 * strong:.2f} | {area:.3f} |")
    for setting, family in BARS:
        if family in _families(rows, setting):
            lines += ["", f"**Learned from: {setting}. Tested on: {family}.**", "", *_table(rows, setting, family)]
    return "\n".join([*lines, *_learning(rows), "", *(f"- {line}" for line in verdicts(rows))])


def verdicts(rows: Sequence[Row]) -> list[str]:
    """For each bar whether the production router reaches it, with the task named and without."""
    lines = []
    for (setting, family), bar in BARS.items():
        for task in ("named", "not named"):
            row = _found(rows, setting, family, _ROUTER, task, "apgr")
            if row is not None:
                met = "met" if row["value"] >= bar else "**not met**"
                lines.append(
                    f"{setting}, {family}, task {task}: {met} ({_told(row)}, asked for {bar:.2f}; best published "
                    f"{PUBLISHED[family]:.3f}, trained otherwise)"
                )
    return lines


def _table(rows: Sequence[Row], setting: str, family: str) -> list[str]:
    here = [row for row in rows if (row["setting"], row["family"]) == (setting, family)]
    areas = sorted((row for row in here if row["metric"] == "apgr"), key=lambda row: -row["value"])
    lines = [
        "| router | task | APGR [95 %] | CPT50, % | CPT80, % | APGR over tfidf_ridge [95 %] |",
        "|---|---|---|---|---|---|",
    ]
    for area in areas:
        cells = [area["router"], area["task"]]
        for metric in _METRICS:
            row = _found(rows, setting, family, area["router"], area["task"], metric)
            cells.append("-" if row is None else _cell(row))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _learning(rows: Sequence[Row]) -> list[str]:
    """APGR on MMLU over the number of labelled MMLU questions."""
    sizes = {
        int(setting.split()[0].replace(",", "")): setting
        for setting in dict.fromkeys(row["setting"] for row in rows)
        if setting.endswith(" MMLU questions")
    }
    if len(sizes) < 2:
        return []
    ways = [(router, task) for router in _CURVE for task in ("not named", "named")]
    ways = [way for way in ways if _found(rows, sizes[min(sizes)], "mmlu", *way, "apgr") is not None]
    settings = {f"{size:,}": sizes[size] for size in sorted(sizes)} | {"all, and GSM8K": "in domain"}
    heads = ["labelled MMLU questions", *(f"{router}, task {task}" for router, task in ways)]
    lines = ["", "**More labels.** APGR on mmlu.", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for label, setting in settings.items():
        cells = [_found(rows, setting, "mmlu", *way, "apgr") for way in ways]
        lines.append("| " + " | ".join([label, *("-" if row is None else _told(row) for row in cells)]) + " |")
    return lines


def _cell(row: Row) -> str:
    if row["metric"].startswith("cpt"):
        return f"{100 * row['value']:.1f}"
    return f"{row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]" if "over" in row["metric"] else _told(row)


def _told(row: Row) -> str:
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _families(rows: Sequence[Row], setting: str) -> list[str]:
    return list(dict.fromkeys(row["family"] for row in rows if row["setting"] == setting))


def _row(rows: Sequence[Row], *key: str) -> Row:
    found = _found(rows, *key)
    assert found is not None, key
    return found


def _found(rows: Sequence[Row], *key: str) -> Row | None:
    names = ("setting", "family", "router", "task", "metric")
    return next((row for row in rows if tuple(row[name] for name in names) == key), None)
