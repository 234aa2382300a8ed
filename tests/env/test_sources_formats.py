"""Every format is told by its columns and becomes the trace that its rows say, or is refused with row and column."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from env.errors import BadInput
from env.prices import PriceTable
from env.sources import SOURCES, detect, get, names
from env.sources.importing import import_files
from env.sources.raw import Raw, read_raw

Row = Mapping[str, Any]


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


def routerbench_rows() -> list[dict[str, Any]]:
    models = {"lab/tiny-7b": (0.0, 0.0001), "big-1": (1.0, 0.004), "mid|odd": (0.25, 0.001)}
    rows = []
    for number in range(3):
        row: dict[str, Any] = {
            "sample_id": f"riddles.test.{number}",
            "prompt": repr([f'What has {number} keys?\nA) a piano\nB) it\'s a "map"']),
            "eval_name": "riddles",
        }
        row |= {model: score for model, (score, _) in models.items()}
        row |= {f"{model}|model_response": "['A']" for model in models}
        row |= {f"{model}|total_cost": cost for model, (_, cost) in models.items()}
        rows.append({**row, "oracle_model_to_route_to": "big-1"})
    return rows


def routellm_rows(*, answers: bool) -> list[dict[str, Any]]:
    rows = []
    for number in range(4):
        row: dict[str, Any] = {"prompt": f"Is {number} even,\nor odd?", "lab/weak": number % 2 == 0, "strong": True}
        rows.append(row | ({"lab/weak_response": "Even, I think.", "strong_response": "Odd."} if answers else {}))
    return rows


def routerarena_rows(model: str = "small-1") -> list[dict[str, Any]]:
    return [
        {
            "global_index": f"Riddles_deep sea_{number}",
            "question": f"How deep is lake {number}?",
            "llm_selected": model,
            "generated_answer": "Deep.",
            "token_usage": {"input_tokens": 20 + number, "output_tokens": 3, "total_tokens": 23 + number},
            "success": number != 2,
            "provider": "lab",
            "error": None if number != 2 else "timed out",
            "evaluation_result": {
                "extracted_answer": "Deep",
                "ground_truth": "9 m",
                "score": 0.5,
                "metric": "mcq_accuracy",
                "inference_cost": 0.00002,
            },
        }
        for number in range(3)
    ]


def llmrouterbench_rows(model: str = "small-1") -> list[dict[str, Any]]:
    return [
        {
            "dataset_id": "riddles",
            "split": "test",
            "model_name": model,
            "record_index": number,
            "origin_query": f"How old is tree {number}?",
            "prompt": f"Answer shortly.\n\nHow old is tree {number}?",
            "prediction": "100",
            "raw_output": {"choices": [{"text": "100"}]} if number else "100",
            "ground_truth": "100",
            "score": 1.0,
            "prompt_tokens": 12,
            "completion_tokens": 2,
            "cost": 0.00001,
        }
        for number in range(2)
    ]


def litellm_rows() -> list[dict[str, Any]]:
    """As LiteLLM's StandardLoggingPayload has it; the second as its spend logs do, with objects as JSON text."""
    answer = {"id": "chatcmpl-1", "choices": [{"message": {"role": "assistant", "content": "A hat."}}]}
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 800},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "A hat?"}]},
    ]
    return [
        {
            "id": "req-1",
            "call_type": "acompletion",
            "response_cost": 0.0125,
            "status": "success",
            "startTime": 1_750_000_000.0,
            "completionStartTime": 1_750_000_000.5,
            "endTime": 1_750_000_002.0,
            "model": "gpt-4.1",
            "messages": chat,
            "response": {**answer, "usage": usage},
        },
        {
            "request_id": "req-2",
            "spend": None,
            "prompt_tokens": 1000,
            "completion_tokens": 100,
            "startTime": "2025-06-15T15:06:40+00:00",
            "endTime": "2025-06-15T15:06:41Z",
            "model": "openai/gpt-4.1",
            "messages": json.dumps([{"role": "user", "content": "And a coat?"}]),
            "response": json.dumps({**answer, "usage": usage}),
            "status": "success",
        },
    ]


def obp_arrays() -> dict[str, Any]:
    return {"context": np.zeros((1, 2)), "action": np.zeros(1, int), "reward": np.zeros(1), "pscore": np.ones(1)}


def test_every_format_is_told_by_its_columns_alone() -> None:
    layouts: dict[str, list[dict[str, Any]] | pa.Table] = {
        "routerbench": routerbench_rows(),
        "routellm": routellm_rows(answers=True),
        "routerarena": routerarena_rows(),
        "llmrouterbench": llmrouterbench_rows(),
        "requests": litellm_rows(),
        "obp": [obp_arrays()],
        "long": [{"query_id": "q", "prompt": "Hi", "model": "m", "score": 1.0, "cost_usd": 0.1}],
    }
    assert set(layouts) == set(names()) == {source.name for source in SOURCES}
    for name, rows in layouts.items():
        assert detect(rows) == name
        # Only the generic source may claim another's files, and it is asked last.
        assert {source.name for source in SOURCES if source.looks_like(Raw.of(rows))} <= {name, "long"}
    assert names()[-1] == "long"


def test_unknown_columns_and_formats_are_named() -> None:
    with pytest.raises(BadInput, match=r"columns colour, shape are of no known format; .* --map question=prompt,llm"):
        detect(pa.table({"colour": ["red"], "shape": ["round"]}))
    with pytest.raises(
        BadInput, match=r"for example --map thumbs=score,model_name=model,ts=timestamp, or choose --format obp, "
    ) as caught:
        detect(pa.table({"ts": ["1"], "model_name": ["m"], "thumbs": ["up"]}))
    assert len(str(caught.value)) < 300
    with pytest.raises(BadInput, match="these are answers without their requests"):
        detect([{"id": "x", "object": "chat.completion", "model": "m", "choices": []}])
    with pytest.raises(BadInput, match="unknown format `routerbanch`; did you mean `routerbench`"):
        get("routerbanch")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_routerbench_becomes_a_full_table(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"wide{suffix}"
    if suffix == ".csv":
        write_csv(path, routerbench_rows())
    else:
        pq.write_table(pa.Table.from_pylist(routerbench_rows()), path)
    found = import_files([path], keep_responses=True)
    trace = found.trace
    assert (found.format, trace.name, trace.arms) == ("routerbench", "wide", ("lab/tiny-7b", "big-1", "mid|odd"))
    assert trace.prompts[0] == 'What has 0 keys?\nA) a piano\nB) it\'s a "map"'
    assert trace.tasks.tolist() == ["riddles"] * 3
    np.testing.assert_allclose(trace.score, [[0.0, 1.0, 0.25]] * 3)
    np.testing.assert_allclose(trace.cost_usd, [[0.0001, 0.004, 0.001]] * 3)
    assert trace.cell_columns["response"][0, 0] == "A"
    assert "response" not in import_files([path]).trace.cell_columns


def test_a_routerbench_id_of_two_prompts_is_two_queries(tmp_path: Path) -> None:
    rows = routerbench_rows()
    rows[2] |= {"sample_id": rows[0]["sample_id"], "big-1": None}
    first = write_csv(tmp_path / "a.csv", rows[:2])
    second = write_csv(tmp_path / "b.csv", rows[2:])
    found = import_files([first, second])
    assert found.trace.query_ids.tolist() == ["riddles.test.0", "riddles.test.1", "riddles.test.0#2"]
    assert np.isnan(found.trace.score[2, 1])
    assert any("repeat a sample_id with another prompt" in note for note in found.notes)
    with pytest.raises(BadInput, match=r"b\.csv: row 1: column sample_id: a second row for riddles\.test\.0"):
        import_files([first, write_csv(second, [rows[0]])])


def test_routerbench_values_are_refused_by_row_and_column_of_the_file(tmp_path: Path) -> None:
    rows = routerbench_rows()
    rows[1]["big-1"] = 7
    with pytest.raises(BadInput, match=r"x\.csv: row 2: column big-1: 7; a score is in \[0, 1\].*--score-range"):
        import_files([write_csv(tmp_path / "x.csv", rows)])
    rows = routerbench_rows()
    rows[2]["big-1|total_cost"] = "free"
    with pytest.raises(BadInput, match=r"x\.csv: row 3: column big-1\|total_cost: 'free' is not a number"):
        import_files([write_csv(tmp_path / "x.csv", rows)])


def test_a_routerbench_pickle_is_refused_with_the_line_that_converts_it(tmp_path: Path) -> None:
    (tmp_path / "routerbench_0shot.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(
        BadInput, match=r"read_pickle\('.*/routerbench_0shot.pkl'\)\.to_parquet\('.*/routerbench_0shot\.parquet'\)"
    ):
        import_files([tmp_path / "routerbench_0shot.pkl"])


def test_routellm_files_of_a_folder_are_one_trace(tmp_path: Path) -> None:
    folder = tmp_path / "evals"
    folder.mkdir()
    write_csv(folder / "mmlu_riddles.csv", routellm_rows(answers=False))
    write_csv(folder / "gsm8k_responses.csv", routellm_rows(answers=True))
    found = import_files([folder])
    trace = found.trace
    assert (found.format, trace.name, len(trace), trace.arms) == ("routellm", "evals", 8, ("lab/weak", "strong"))
    assert set(trace.tasks) == {"gsm8k", "mmlu_riddles"}
    assert trace.query_ids[-1] == "mmlu_riddles/3"
    np.testing.assert_array_equal(trace.score[:4, 0], [1, 0, 1, 0])
    assert not np.isfinite(trace.cost_usd).any()
    entries = {"entries": [{"model": m, "input": 1.0, "output": 10.0, "from": "2024-01-01"} for m in trace.arms]}
    (tmp_path / "prices.json").write_text(json.dumps(entries))
    priced = import_files([folder], estimate_tokens=True, prices=PriceTable.load(tmp_path / "prices.json"))
    assert priced.trace.input_tokens[0, 0] == 8  # Is, 0, even, a comma, a new line, or, odd, ?
    assert priced.trace.output_tokens[-1, 0] == 1
    np.testing.assert_allclose(priced.trace.cost_usd[-1, 0], (priced.trace.input_tokens[-1, 0] + 10) / 1e6)
    assert any("token counts are estimates" in note for note in priced.notes)


def test_routerarena_results_and_predictions(tmp_path: Path) -> None:
    results = [write_jsonl(tmp_path / f"{model}.jsonl", routerarena_rows(model)) for model in ("small-1", "big-1")]
    found = import_files(results)
    assert (found.format, found.trace.arms) == ("routerarena", ("small-1", "big-1"))
    assert found.trace.tasks[0] == "Riddles_deep sea"
    assert found.trace.input_tokens[1, 0] == 21
    assert np.isnan(found.trace.score[2]).all()
    assert found.trace.cell_columns["error"][2, 0] == "timed out"
    predictions = [
        {
            "global index": row["global_index"],
            "prompt": row["question"],
            "prediction": "small-1",
            "generated_result": {k: v for k, v in row.items() if k != "evaluation_result"},
            "cost": 0.00002,
            "accuracy": 0.5,
        }
        for row in routerarena_rows()
    ]
    (tmp_path / "router.json").write_text(json.dumps(predictions))
    routed = import_files([tmp_path / "router.json"]).trace
    np.testing.assert_array_equal(routed.score[:, 0], found.trace.score[:, 0])
    np.testing.assert_array_equal(routed.cost_usd[:, 0], found.trace.cost_usd[:, 0])


def test_routerarena_scores_below_zero_are_metrics_own_or_refused(tmp_path: Path) -> None:
    rows = routerarena_rows()
    rows[1]["evaluation_result"] |= {"score": -0.03, "metric": "meteor_score"}
    found = import_files([write_jsonl(tmp_path / "m.jsonl", rows)])
    assert found.trace.score[1, 0] == 0
    assert "1 METEOR scores below 0 count as 0" in found.notes
    rows[1]["evaluation_result"]["metric"] = "mcq_accuracy"
    with pytest.raises(BadInput, match=r"m\.jsonl: row 2: column evaluation_result\.score: -0\.03"):
        import_files([write_jsonl(tmp_path / "m.jsonl", rows)])


def test_llmrouterbench_records_and_result_files(tmp_path: Path) -> None:
    flat = import_files([write_jsonl(tmp_path / "records.jsonl", [*llmrouterbench_rows(), *llmrouterbench_rows("b")])])
    assert (flat.format, flat.trace.arms, flat.trace.query_ids.tolist()) == (
        "llmrouterbench", ("small-1", "b"), ["riddles/test/0", "riddles/test/1"],
    )  # fmt: skip
    assert flat.trace.prompts[1] == "How old is tree 1?"
    assert "split" not in flat.trace.query_columns
    for model in ("small-1", "b"):
        records = [{"index": row["record_index"], **row} for row in llmrouterbench_rows(model)]
        for record in records:
            for name in ("dataset_id", "split", "model_name", "record_index"):
                record.pop(name)
        whole = {"dataset_name": "riddles", "split": "test", "model_name": model, "demo": False, "records": records}
        (tmp_path / f"{model}.json").write_text(json.dumps(whole))
    nested = import_files([tmp_path / "small-1.json", tmp_path / "b.json"])
    assert nested.trace.hash == flat.trace.hash
    rows = llmrouterbench_rows()
    rows[0]["record_index"] = None
    with pytest.raises(BadInput, match=r"row 1: column record_index: null"):
        import_files([write_jsonl(tmp_path / "records.jsonl", rows)])


def test_grades_have_a_scale_of_their_own_and_none_is_no_grade(tmp_path: Path) -> None:
    rows = [{"query_id": str(row), "prompt": f"p{row}", "model": "m", "score": 0.5} for row in range(3)]
    log = write_csv(tmp_path / "log.csv", rows)
    grades = write_csv(tmp_path / "grades.csv", [{"query_id": "0", "score": 4}, {"query_id": "1", "score": ""}])
    found = import_files([log], scores=grades, score_range=(1, 5))
    assert found.trace.score[:, 0].tolist() == [0.75, 0.5, 0.5], "what has no grade keeps the log's score"
    assert any("1 of 3 requests have a score of" in note for note in found.notes)
    write_csv(log, [{**row, "score": "up"} for row in rows])
    with pytest.raises(BadInput, match=r"column score: 'up' is not a number; write words as numbers, .* 1 for up"):
        import_files([log])


def test_the_generic_source_renames_scales_and_says_what_is_missing(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "llm": m, "grade": 1 + n, "shade": "x"} for n in range(5) for m in "ab"]
    path = write_csv(tmp_path / "mine.csv", rows)
    columns = {"text": "prompt", "llm": "model", "grade": "score"}
    found = import_files([path], columns=columns, score_range=(1, 5))
    np.testing.assert_allclose(found.trace.score[:, 0], [0, 0.25, 0.5, 0.75, 1])
    assert found.left_out == ("shade",)
    assert any(note.startswith("no column query_id: rows with the same prompt are one query") for note in found.notes)
    with pytest.raises(BadInput, match=r"mine\.csv: row 3: column score: 2; a score is in"):
        import_files([path], columns=columns)
    with pytest.raises(BadInput, match=r"row 9: column score: 5; --score-range says that scores are from 1 to 4"):
        import_files([path], columns=columns, score_range=(1, 4))
    with pytest.raises(BadInput, match=r"--score-range 5 1: the lowest score comes first"):
        import_files([path], columns=columns, score_range=(5, 1))
    with pytest.raises(BadInput, match=r"column `score` is missing; --map OLD=score renames one, --scores FILE"):
        import_files([path], columns={"text": "prompt", "llm": "model", "grade": ""})
    with pytest.raises(BadInput, match=r"has no column `txt`; did you mean `text`"):
        import_files([path], columns={"txt": "prompt"})


def test_names_that_look_like_numbers_stay_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,text,llm,score,cost_usd,task\n007,12,1.0,0.5,0.1,\n7,13,1.0,0.25,,\n")
    trace = import_files([path], columns={"id": "query_id", "text": "prompt", "llm": "model"}).trace
    assert (trace.query_ids.tolist(), trace.prompts.tolist(), trace.arms) == (["007", "7"], ["12", "13"], ("1.0",))
    assert trace.tasks.tolist() == [None, None]
    assert np.isnan(trace.cost_usd[1, 0])


def test_several_generic_files_are_one_trace_and_errors_name_the_file(tmp_path: Path) -> None:
    first = write_csv(tmp_path / "a.csv", [{"query_id": "1", "prompt": "p", "model": "m", "score": 1}])
    second = write_jsonl(tmp_path / "b.jsonl", [{"query_id": "1", "prompt": "p", "model": "n", "score": 0}])
    assert import_files([first, second]).trace.score.tolist() == [[1, 0]]
    write_jsonl(second, [{"query_id": "2", "prompt": "p", "model": "n", "score": 0, "cost_usd": -1}])
    with pytest.raises(BadInput, match=r"b\.jsonl: row 1: column cost_usd: -1"):
        import_files([first, second])


def test_a_prompt_that_comes_back_is_a_query_of_its_own(tmp_path: Path) -> None:
    january = [{"prompt": text, "model": model, "score": 1} for text in ("p", "q", "p") for model in "ab"]
    february = [{"prompt": "p", "model": "a", "score": 0}, {"prompt": "r", "model": "b", "score": 0}]
    files = [write_csv(tmp_path / "jan.csv", january), write_csv(tmp_path / "feb.csv", february)]
    trace = import_files(files).trace
    assert trace.prompts.tolist() == ["p", "q", "p", "p", "r"]
    np.testing.assert_array_equal(trace.score, [[1, 1], [1, 1], [1, 1], [0, np.nan], [np.nan, 0]])
    first = trace.query_ids[0]
    assert trace.query_ids[[2, 3]].tolist() == [f"{first}#2", f"{first}#3"]
    assert import_files(files[1:]).trace.query_ids[0] == first, "ids do not hang on which files are read"
    write_csv(files[1], [{"prompt": "p", "model": "a", "score": 0, "attempt": attempt} for attempt in (0, 1)])
    again = import_files(files[1:]).trace
    assert (len(again), again.skipped_attempts) == (1, 1), "a retry is the same query"
    write_csv(files[1], [{"prompt": "", "model": "a", "score": 0}])
    with pytest.raises(BadInput, match=r"feb\.csv: row 1: column prompt: null, and there is no column query_id"):
        import_files(files)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", "{", r"a\.json: not a readable JSON file"),
        ("a.json", "[1]", r"a\.json: row 1: a JSON object is expected, got int"),
        ("a.json", "[]", r"a\.json: the file holds no rows"),
        ("a.jsonl", '{"a": 1}\nnot json\n', r"a\.jsonl: row 2: not JSON"),
        ("a.jsonl", "[]\n", r"a\.jsonl: row 1: a JSON object per line"),
        ("a.npz", "no zip", r"a\.npz: not a readable \.npz file"),
        ("a.xlsx", "sheet", r"a\.xlsx: unknown kind of file"),
    ],
)
def test_unreadable_files_are_one_line(name: str, content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=expected) as caught:
        read_raw(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_nothing_to_import_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no file to import"):
        import_files([])
    with pytest.raises(BadInput, match=r"no \.parquet, \.csv, .* file in this folder"):
        import_files([tmp_path])
    with pytest.raises(BadInput, match=r"gone\.json: no such file"):
        import_files([tmp_path / "gone.json"])
