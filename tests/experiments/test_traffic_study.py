"""The study of traffic: both sides decide on the same requests, and the tables are those that were made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from env.arrivals import Arrivals
from env.errors import BadInput
from env.features import Hashing
from env.traffic import Fleet
from experiments.folds import Fold, featurised, fold
from experiments.studies import traffic as study_of
from experiments.studies.traffic import (
    DIFFERENCE,
    METRICS,
    RULES,
    Served,
    Weights,
    choose_weights,
    divided,
    figures,
    requests,
    rules,
    serve,
    study,
)
from experiments.studies.traffic_report import markdown, verdicts
from experiments.train import learn
from routers.policy import Policy
from tests.conftest import make_trace, needs

ROOT = Path(__file__).parents[2]
MAKER = Hashing(16)
ARRIVALS = Arrivals.bursty(1.0, 240, np.random.default_rng(0), cv=3.0)


@pytest.fixture(scope="module")
def learned() -> tuple[Policy, Fold]:
    part = fold(featurised(make_trace(n=120), MAKER), 0)
    return learn(part, "ridge", MAKER), part


def test_aware_and_blind_are_what_the_policy_decides(learned: tuple[Policy, Fold]) -> None:
    policy, part = learned
    weights = Weights(cost_weight=50.0, latency_weight=0.2)
    by_rule = rules(policy, part.test, weights, 0, np.zeros(4))
    valued = replace(policy, reward=replace(policy.reward, latency_weight=0.2))
    fleet = Fleet(4, mean_service_s=[0.1, 0.3, 1.2, 0.05])
    rng = np.random.default_rng(0)
    diverted = 0
    for row in range(len(part.test)):
        asked = part.test.queries.take([row])
        blind = valued.decide(asked, rng=rng, cost_weight=50.0, explore=False).arms[0]
        aware = valued.decide(asked, rng=rng, cost_weight=50.0, load=fleet.load(0.0), explore=False).arms[0]
        assert by_rule["blind"](row, 0.0, fleet) == blind
        assert by_rule["aware"](row, 0.0, fleet) == aware
        diverted += int(aware != blind)
        fleet.submit(0.0, int(blind), 1.0)
    assert diverted


def test_every_rule_serves_the_same_requests(learned: tuple[Policy, Fold]) -> None:
    policy, part = learned
    traffic = requests(part, part.test, ARRIVALS, 0.9, seed=3)
    assert len(traffic.rows) == len(traffic.timestamp_s) == len(ARRIVALS)
    counts = np.bincount(traffic.rows)
    assert counts.max() - counts.min() <= 1  # passes: none comes twice before all came once
    by_rule = rules(policy, part.test, Weights(1.0, 0.1), 2, np.zeros(4))
    for rule in RULES:
        served = serve(traffic, by_rule[rule])
        assert len(served.latency_s) == len(ARRIVALS) and served.latency_s.max() <= traffic.deadline_s + 1e-9
        assert (served.score[served.failed == 1] == 0).all()
    fixed = serve(traffic, by_rule["best fixed arm"])
    answered = fixed.failed == 0
    expected = part.test.score[traffic.rows, 2]
    assert np.allclose(fixed.score[answered], expected[answered])


def test_the_utilisation_is_that_of_the_best_arm(learned: tuple[Policy, Fold]) -> None:
    _, part = learned
    traffic = requests(part, part.test, ARRIVALS, 0.5, seed=0)
    best = part.best_single
    rate = (len(traffic.timestamp_s) - 1) / traffic.timestamp_s[-1]
    assert rate * traffic.known_s[best] / study_of.CONCURRENCY == pytest.approx(0.5)
    assert traffic.deadline_s == pytest.approx(10 * traffic.known_s[best])


def test_validation_and_test_share_no_arrival() -> None:
    arrivals = Arrivals.poisson(0.5, 2_000, np.random.default_rng(0))
    held, rest = divided(arrivals)
    assert len(held) + len(rest) == len(arrivals)
    assert len(held) == pytest.approx(len(arrivals) / 3, rel=0.1)
    assert held.rate == pytest.approx(arrivals.rate, rel=0.1) and rest.rate == pytest.approx(arrivals.rate, rel=0.1)


def test_weights_are_chosen_without_test_queries(learned: tuple[Policy, Fold]) -> None:
    policy, part = learned
    spoilt = replace(part, test=replace(part.test, score=1 - part.test.score))
    assert choose_weights(policy, part, ARRIVALS) == choose_weights(policy, spoilt, ARRIVALS)


def test_a_replicate_counts_requests_as_often_as_their_prompt_was_drawn() -> None:
    rng = np.random.default_rng(0)
    served = Served(rng.exponential(1, 50), rng.random(50), rng.random(50), (rng.random(50) < 0.3).astype(float))
    counts = rng.integers(0, 4, size=(3, 50)).astype(np.float32)
    found = figures(served, counts)
    for replicate, times in enumerate(counts.astype(int)):
        latency = np.repeat(served.latency_s, times)
        assert found["p95_s"][replicate] == np.quantile(latency, 0.95, method="inverted_cdf")
        assert found["score"][replicate] == pytest.approx(np.repeat(served.score, times).mean())
        assert found["failed"][replicate] == pytest.approx(np.repeat(served.failed, times).mean())


def test_a_study_gives_every_figure_with_its_interval_and_again_the_same() -> None:
    trace = make_trace(n=120)
    rows = study(trace, ARRIVALS, range(2), maker=MAKER, utilisations=(0.9,))
    assert {(row["rule"], row["metric"]) for row in rows} == {(r, m) for r in (*RULES, DIFFERENCE) for m in METRICS}
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
    value = {(row["rule"], row["metric"]): row["value"] for row in rows}
    for metric in METRICS:
        assert value[DIFFERENCE, metric] == pytest.approx(value["aware", metric] - value["blind", metric])
    assert rows == study(trace, ARRIVALS, range(2), maker=MAKER, utilisations=(0.9,))


def test_outcomes_without_a_latency_are_refused() -> None:
    trace = make_trace()
    without = replace(trace, latency_s=np.full_like(trace.latency_s, np.nan))
    with pytest.raises(BadInput, match="a latency and a cost of every outcome"):
        study(without, ARRIVALS, [0], maker=MAKER)


@pytest.mark.parametrize(
    ("p95", "score", "cost", "met"),
    [
        ((-2, -1), (-1, 1), (-1, 1), True),
        ((-2, 1), (-1, 1), (-1, 1), False),
        ((-2, -1), (-2, -1), (-1, 1), False),
        ((-2, -1), (-1, 1), (1, 2), False),
    ],
)
def test_the_bar_is_a_shorter_tail_at_no_loss(
    p95: tuple[int, int], score: tuple[int, int], cost: tuple[int, int], met: bool
) -> None:
    given = {"p95_s": p95, "score": score, "cost_usd": cost, "answered_usd": cost}
    rows = [
        {"utilisation": 0.9, "rule": DIFFERENCE, "metric": metric, "low": low, "high": high}
        for metric, (low, high) in given.items()
    ]
    assert ("**not met**" not in verdicts(rows)[0]) == met


def test_the_command_writes_rows_picture_and_document(tmp_path: Path, trace_file: Path) -> None:
    needs("train", "the picture")
    import pyarrow as pa
    import pyarrow.parquet as pq

    recorded = tmp_path / "arrivals.parquet"
    pq.write_table(pa.table({"timestamp_s": ARRIVALS.timestamp_s}), recorded)
    document = tmp_path / "page.md"
    document.write_text("Before\n<!-- traffic -->\nold\n<!-- /traffic -->\nAfter\n")
    asked = ["--trace", str(trace_file), "--arrivals", str(recorded), "--seeds", "1", "--out", str(tmp_path / "out")]
    study_of.main([*asked, "--json", str(tmp_path / "rows.json"), "--document", str(document)])
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert rows == json.loads((tmp_path / "out" / "rows.json").read_text())
    text = document.read_text()
    assert markdown(rows) in text and "old" not in text and text.startswith("Before") and text.endswith("After\n")
    assert (tmp_path / "out" / "traffic.png").stat().st_size > 10_000


def test_what_is_absent_is_left_out_in_one_line(
    tmp_path: Path, trace_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_of, "_DRAWN", 240)
    gone = str(tmp_path / "gone.parquet")
    study_of.main(["--trace", gone, "--trace", str(trace_file), "--arrivals", gone, "--seeds", "1"])
    told = capsys.readouterr()
    assert f"{gone} is left out" in told.err and "arrivals are drawn in bursts instead" in told.err
    assert ", arrivals `bursty`" in told.out
    with pytest.raises(BadInput, match="no trace was there"):
        study_of.main(["--trace", gone, "--arrivals", gone])


def test_the_page_shows_the_study_that_was_run() -> None:
    rows = json.loads((ROOT / "docs" / "traffic" / "rows.json").read_text())
    assert markdown(rows) in (ROOT / "docs" / "traffic.md").read_text()
