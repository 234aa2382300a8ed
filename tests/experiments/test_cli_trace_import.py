"""``pointsman trace import`` and ``trace info`` as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from env.trace import Trace
from env.trace_io import read_trace, save_trace
from experiments.cli import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


def write_log(path: Path, *, tokens: bool = True) -> None:
    usage = {"usage": {"prompt_tokens": 1000, "completion_tokens": 100}} if tokens else {}
    rows = [
        {
            "query_id": f"q{number}",
            "model": model,
            "messages": [{"role": "user", "content": f"Is {number} odd?"}],
            "response": {"choices": [{"message": {"role": "assistant", "content": "It is odd."}}], **usage},
        }
        for number in range(3)
        for model in ("gpt-4o-mini", "gpt-4.1")
    ]
    path.write_text("\n".join(map(json.dumps, rows)))


def test_a_log_gets_grades_and_prices(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(Path("log.jsonl"))
    lines = [f"q{number},{model},{number / 2}" for number in range(3) for model in ("gpt-4o-mini", "gpt-4.1")]
    Path("grades.csv").write_text("\n".join(["query_id,model,score", *lines]))
    given = ("trace", "import", "log.jsonl", "--scores", "grades.csv", "--prices", "list", "--out", "mine.parquet")
    found = as_json(capsys, *given)
    assert (found["format"], found["queries"], found["arms"]) == ("requests", 3, 2)
    trace = read_trace("mine.parquet")
    assert trace.score[:, 0].tolist() == [0, 0.5, 1]
    assert trace.cost_usd[0].tolist() == pytest.approx([0.00021, 0.0028])
    assert "response" not in trace.cell_columns
    assert main([*given, "--responses"]) == 0
    assert (
        "mine.parquet: Trace('mine': 3 queries x 2 arms, 0.0% not observed), from requests" in capsys.readouterr().out
    )
    assert read_trace("mine.parquet").cell_columns["response"][0, 0] == "It is odd."


def test_own_prices_and_estimated_tokens(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(Path("log.jsonl"), tokens=False)
    entries = [{"model": "gpt-4.1", "input": 1e6, "output": 0, "from": "2030-01-01"}]
    Path("own.json").write_text(json.dumps({"entries": entries}))
    found = as_json(
        capsys, "trace", "import", "log.jsonl", "--estimate-tokens", "--prices", "own.json", "--out", "mine.parquet"
    )
    trace = read_trace("mine.parquet")
    assert trace.input_tokens[0].tolist() == [4, 4]  # Is 0 odd ?
    assert trace.cost_usd[0, 1] == 4
    assert trace.cost_usd[0, 0] == pytest.approx((4 * 0.15 + 4 * 0.6) / 1e6)
    assert any("6 of 6 requests have no score" in note for note in found["notes"])
    assert any("12 token counts are estimates" in note for note in found["notes"])


def test_columns_are_mapped_by_one_option_or_many(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("theirs.csv").write_text("id,text,llm,quality,shade\n1,Hi,a,3,x\n1,Hi,b,5,x\n2,Ho,a,1,x\n")
    one = ("--map", "id=query_id,text=prompt", "--map", "llm=model,quality=score,shade=", "--score-range", "1", "5")
    found = as_json(capsys, "trace", "import", "theirs.csv", *one, "--out", "ours.parquet")
    assert found["left_out"] == ["shade"]
    assert read_trace("ours.parquet").score[0].tolist() == [0.5, 1]
    for words, expected in (
        (("--map", "llm"), "--map llm: write it as OLD=NEW"),
        (("--map", "llm=model,text=model"), "--map text=model: a column has one name; `model` is there twice"),
        (("--format", "routerbanch"), "unknown format `routerbanch`; did you mean `routerbench`"),
        (("--format", "routerbench"), "row 0 (header): column `sample_id` is missing; it has id, text, llm"),
        ((*one, "--prices", "gone.json"), "gone.json: no such price file"),
    ):
        assert expected in refused(capsys, "trace", "import", "theirs.csv", *words, "--out", "x.parquet")
        assert not Path("x.parquet").exists()


def test_info_knows_the_public_sets(
    folder: Path, small_trace: Trace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {known["name"]: known for known in as_json(capsys, "trace", "info")}
    assert listed["routellm"]["licence"] == "Apache-2.0"
    assert listed["bfcl"]["download"] == "by hand"
    assert listed["azure2023_conv"]["kind"] == "arrivals"
    assert main(["trace", "info"]) == 0
    assert "routerbench_5shot" in capsys.readouterr().out
    save_trace(small_trace, folder / "routellm.parquet")
    monkeypatch.setenv("POINTSMAN_DATA", str(folder))
    assert main(["trace", "info", "routellm"]) == 0
    said = capsys.readouterr().out
    assert "routellm: 60 queries" in said
    assert "home: https://github.com/lm-sys/RouteLLM" in said
    assert main(["trace", "validate", "routellm"]) == 0
    capsys.readouterr()
    assert as_json(capsys, "trace", "info", "routellm.parquet")["queries"] == 60


def test_a_trace_is_not_written_under_the_name_of_another_kind(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", "import", "log.jsonl", "--out", "x.csv"]) == 2
    assert capsys.readouterr().err == "error: x.csv: a trace is written as Parquet; name it x.parquet\n"
    assert main(["trace", "export", "--out", "x"]) == 2
    assert not (folder / "x.csv").exists()
