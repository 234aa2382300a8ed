"""Recording: what a row holds, failed calls, interruption by force, going on, and refusing what does not fit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from env.errors import BadInput
from env.trace_io import from_rows, read_trace, save_trace
from experiments.record import Recording, read_prompts, record
from instances.config import RuntimeConfig, parse_config

COUNT = 12


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with prompts to ask and a trace that answers them, the last one excepted."""
    lines, rows = [], []
    for number in range(COUNT):
        prompt = f"What is {number} plus 1?"
        check = {"kind": "number", "answer": number + 1}
        lines.append({"query_id": f"q{number}", "task": "sum", "prompt": prompt, "check": check})
        for model, right in (("good", True), ("bad", number % 2 == 0)):
            answer = str(number + 1) if right else "no idea"
            usage = {"input_tokens": 8, "output_tokens": 2, "latency_s": 0.1}
            rows.append({"query_id": f"q{number}", "prompt": prompt, "model": model, "score": 1.0, **usage})
            rows[-1]["response"] = answer
    save_trace(from_rows(rows[:-2]), tmp_path / "answers.parquet")
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return tmp_path


def config(folder: Path, *, speed: float = 1000.0, price: float = 1.0) -> RuntimeConfig:
    return parse_config({"instances": [instance(folder, name, speed, price) for name in ("good", "bad")]})


def instance(folder: Path, name: str, speed: float, price: float) -> dict[str, object]:
    trace = str(folder / "answers.parquet")
    return {"name": name, "provider": "replay", "trace": trace, "speed": speed, "price": {"request_usd": price}}


def run(folder: Path, **changes: object) -> Recording:
    settings = {"shard_size": 5, "progress": False} | changes
    return record(config(folder), folder / "prompts.jsonl", folder / "out.parquet", **settings)  # type: ignore[arg-type]  # settings of several kinds in one mapping


def test_a_recording_is_a_trace_with_judged_answers(world: Path) -> None:
    done = run(world)
    assert (done.rows, done.failed, done.missing_shards) == (2 * COUNT, 2, 0)
    trace = read_trace(done.out)
    assert trace.arms == ("good", "bad")
    assert trace.score[:-1, 0].tolist() == [1.0] * (COUNT - 1)
    assert trace.score[:4, 1].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert trace.cost_usd[0].tolist() == [1.0, 1.0]
    assert set(trace.tasks) == {"sum"}


def test_a_failed_call_is_a_row_with_its_error_and_no_score(world: Path) -> None:
    run(world)
    rows = pq.read_table(world / "out.parquet").to_pylist()
    failed = [row for row in rows if row["error"] is not None]
    assert {row["query_id"] for row in failed} == {f"q{COUNT - 1}"}
    assert all(row["score"] is None and row["response"] is None for row in failed)
    assert all("does not hold this prompt" in row["error"] for row in failed)


def test_two_runs_share_the_work(world: Path) -> None:
    first = run(world, only=["bad"])
    assert first.missing_shards == 3
    assert not first.out.exists()
    second = run(world, only=["good"])
    assert second.rows == COUNT
    assert read_trace(second.out).arms == ("good", "bad")  # in the configuration's order


def test_a_finished_recording_asks_nothing_again(world: Path) -> None:
    run(world)
    before = (world / "out.parquet").read_bytes()
    assert run(world).rows == 0
    assert (world / "out.parquet").read_bytes() == before


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_the_middle_it_goes_on_where_it_stopped(world: Path, end: signal.Signals) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.experiments.test_record import config; "
        "from experiments.record import record; folder = Path(sys.argv[1]); "
        "record(config(folder, speed=1.0), folder / 'prompts.jsonl', folder / 'out.parquet', shard_size=2)"
    )
    root = Path(__file__).parents[2]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", script, str(world)], cwd=root, **silent)
    parts = world / "out.parquet.recording"
    deadline = time.monotonic() + 60
    while len(list(parts.glob("good-*.parquet"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(end)
    assert process.wait(30) != 0
    assert not (world / "out.parquet").exists()
    finished = {path: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    # The settings of the stopped run, so that its shards fit.
    done = record(
        config(world, speed=1.0), world / "prompts.jsonl", world / "out.parquet", shard_size=2, progress=False
    )
    assert done.rows == 2 * (COUNT - len(finished))
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert len(read_trace(done.out)) == COUNT


def test_shards_of_other_settings_are_not_mixed_in(world: Path) -> None:
    run(world)
    (world / "out.parquet").unlink()
    with pytest.raises(BadInput, match=r"`good` was recorded there with other prompts or settings; remove"):
        record(config(world, price=2.0), world / "prompts.jsonl", world / "out.parquet", progress=False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: not a JSON object"),
        ('{"query_id": "q9", "check": {}}', "line 2: `prompt` must be a text"),
        ('{"query_id": "q9", "prompt": "hi", "check": 3}', "line 2: `check` must be an object"),
        ('{"query_id": "q9", "prompt": "hi", "check": {"kind": "vibe"}}', "line 2: `check`: check kind `vibe`"),
        ('{"query_id": "q0", "prompt": "hi", "check": {"kind": "exact", "answer": "x"}}', "`q0` is used twice"),
    ],
)
def test_a_bad_prompts_file_is_named_by_line(world: Path, line: str, message: str) -> None:
    path = world / "prompts.jsonl"
    first = path.read_text(encoding="utf-8").splitlines()[0]
    path.write_text(f"{first}\n{line}\n", encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        read_prompts(path)
    with pytest.raises(BadInput):
        run(world)
    assert not (world / "out.parquet.recording").exists()


def test_an_unknown_instance_is_refused(world: Path) -> None:
    with pytest.raises(BadInput, match=r"no instance `god`.*did you mean `good`"):
        run(world, only=["god"])
