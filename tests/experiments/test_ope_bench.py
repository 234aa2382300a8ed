"""The benchmark of off-policy estimators: what it tells with and without its peer."""

from __future__ import annotations

from experiments.benchmarks import ope


def test_it_runs_without_the_peer_and_says_so(monkeypatch) -> None:
    monkeypatch.setattr(ope, "find_spec", lambda name: None)
    rows = ope.measure(2_000)
    assert [row["what"] for row in rows[:5]] == ["ips", "snips", "dm", "dr", "switch_dr"]
    assert all(row["ms"] > 0 and row["ratio"] is None for row in rows)
    assert ope.verdict(rows).startswith("obp is not installed, so nothing is compared: pip install")
    assert ope.table(rows).row_count == len(rows)


def test_the_bar_is_held_by_the_slowest_estimator() -> None:
    row = {"what": "ips", "ms": 1.0, "peer_ms": 9.0, "ratio": 9.0, "difference": 0.0, "bar": 5.0}
    others = {**row, "what": "dr", "ratio": 4.9}
    unbarred = {**row, "what": "bootstrap", "ratio": 1.2, "bar": None}
    assert ope.verdict([row, unbarred]) == "at least 5 x obp: met, the least is 9.0 x (ips)"
    assert ope.verdict([row, others, unbarred]) == "at least 5 x obp: not met, the least is 4.9 x (dr)"
