"""Request logs: which prompt, which query, which tokens and which answer each line stands for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env.errors import BadInput
from env.prices import PriceTable
from env.sources.importing import import_files
from env.sources.named import load_trace
from env.trace_io import write_table
from tests.env.test_sources_formats import litellm_rows, write_csv, write_jsonl


def test_litellm_logs_become_requests_with_prompts_costs_and_times(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "spend.jsonl", litellm_rows())
    found = import_files([path], prices=PriceTable.load())
    trace = found.trace
    assert (found.format, trace.arms, trace.query_ids.tolist()) == (
        "requests", ("gpt-4.1", "openai/gpt-4.1"), ["req-1", "req-2"],
    )  # fmt: skip
    assert trace.prompts[0] == "system: Be brief.\n\nuser: A hat?"
    np.testing.assert_allclose(trace.latency_s.diagonal(), [2.0, 1.0])
    assert trace.cell_columns["ttft_s"][0, 0] == 0.5
    assert trace.query_columns["timestamp"][1] == 1_750_000_000.0
    # The provider's cost wins; the other is 200 fresh and 800 cached tokens in, 100 out, at 2, 0.5 and 8 dollars.
    np.testing.assert_allclose(trace.cost_usd.diagonal(), [0.0125, 0.0016])
    assert not np.isfinite(trace.score).any()
    assert any("2 of 2 requests have no score: add `score`" in note for note in found.notes)


def test_litellms_zero_for_a_model_without_a_price_is_no_cost(tmp_path: Path) -> None:
    rows = [{**litellm_rows()[0], "id": f"r{n}", "response_cost": 0.0} for n in range(2)]
    rows[1]["response_cost_failure_debug_info"] = {"error_str": "This model isn't mapped yet."}
    found = import_files([write_jsonl(tmp_path / "log.jsonl", rows)], prices=PriceTable.load())
    np.testing.assert_allclose(found.trace.cost_usd[:, 0], [0, 0.0016], rtol=1e-5)
    assert any(note.startswith("1 requests with output cost 0 dollars") for note in found.notes)


def test_scores_of_another_file_are_joined(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "spend.jsonl", litellm_rows())
    grades = write_csv(
        tmp_path / "grades.csv", [{"query_id": "req-2", "score": 0.75}, {"query_id": "other", "score": 1}]
    )
    found = import_files([path], scores=grades)
    assert found.trace.score[1, 1] == 0.75
    assert np.isnan(found.trace.score[0, 0])
    assert any(f"1 of 2 requests have a score of {grades}" in note for note in found.notes)
    with pytest.raises(BadInput, match=r"grades\.csv: row 1: column score: 9; a score is in"):
        import_files([path], scores=write_csv(grades, [{"query_id": "req-2", "score": 9}]))
    with pytest.raises(BadInput, match=r"no query_id of it is in the requests, for example \('req-1',\)"):
        import_files([path], scores=write_csv(grades, [{"query_id": "other", "score": 1}]))


def test_openai_batches_take_prompts_from_the_requests_beside_the_answers(tmp_path: Path) -> None:
    asked = [
        {
            "custom_id": f"job-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Name river {number}."}]},
        }
        for number in range(2)
    ]
    usage = {"prompt_tokens": 6, "completion_tokens": 2, "total_tokens": 8}
    body: dict[str, Any] = {
        "id": "chatcmpl-9",
        "created": 1_750_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "usage": usage,
    }
    body["choices"] = [{"index": 0, "message": {"role": "assistant", "content": "Rhine"}}]
    answered = [
        {
            "custom_id": f"job-{number}",
            "response": {"status_code": code, "request_id": "r", "body": told},
            "error": None,
        }
        for number, code, told in ((1, 200, body), (0, 500, {}))
    ]
    files = [write_jsonl(tmp_path / "input.jsonl", asked), write_jsonl(tmp_path / "output.jsonl", answered)]
    trace = import_files(files, prices=PriceTable.load(), keep_responses=True).trace
    assert trace.arms == ("gpt-4o-mini-2024-07-18", "gpt-4o-mini")
    assert trace.prompts.tolist() == ["Name river 1.", "Name river 0."]
    np.testing.assert_allclose(trace.cost_usd[0, 0], (6 * 0.15 + 2 * 0.6) / 1e6)
    assert trace.cell_columns["error"][1, 1] == "HTTP 500"
    assert trace.cell_columns["response"][0, 0] == "Rhine"
    with pytest.raises(BadInput, match=r"output\.jsonl: row 1: column messages: .*batch's input file"):
        import_files([files[1]])
    with pytest.raises(BadInput, match="requests only, and no responses"):
        import_files([files[0]])


def test_request_and_response_side_by_side(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "request": {"model": "m", "messages": [{"role": "user", "content": f"Hello {number}"}]},
            "response": {"id": f"r-{number}", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}},
            "score": number,
            "latency_s": 0.5,
        }
        for number in range(2)
    ]
    found = import_files([write_jsonl(tmp_path / "pairs.jsonl", rows)])
    assert found.trace.score[:, 0].tolist() == [0, 1]
    assert found.trace.input_tokens[0, 0] == 3
    assert found.notes == ()
    rows[1]["score"] = 8
    with pytest.raises(BadInput, match=r"pairs\.jsonl: row 2: column score: 8"):
        import_files([write_jsonl(tmp_path / "pairs.jsonl", rows)])
    scaled = import_files([write_jsonl(tmp_path / "pairs.jsonl", rows)], score_range=(0, 10)).trace
    np.testing.assert_allclose(scaled.score[:, 0], [0.0, 0.8])


def call(prompt: str, model: str = "m", **fields: Any) -> dict[str, Any]:
    return {
        "request": {"model": model, "messages": [{"role": "user", "content": prompt}]},
        "response": {"usage": {"prompt_tokens": 100, "completion_tokens": 0}},
        "score": 1.0,
        **fields,
    }


def test_the_responses_api_is_read(tmp_path: Path) -> None:
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 800},
        "output_tokens": 100,
        "output_tokens_details": {"reasoning_tokens": 64},
    }
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}
    asked: list[dict[str, Any]] = [
        {"input": "Hi"},
        {"input": "Hi", "instructions": "Be kind."},
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
                {"type": "reasoning", "summary": []},
                {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "Rain."},
            ],
            "instructions": "Be brief.",
        },
    ]
    rows: list[dict[str, Any]] = [
        {
            "request": {"model": "gpt-4.1", **fields},
            "response": {
                "id": f"resp-{number}",
                "object": "response",
                "created_at": 1_750_000_000 + number,
                "status": "completed",
                "error": None,
                "output": [{"type": "reasoning", "summary": []}, said],
                "usage": usage,
            },
        }
        for number, fields in enumerate(asked)
    ]
    flat = [{**row["request"], **row["response"]} for row in rows]
    batch = [{"custom_id": f"j{n}", "body": row["request"]} for n, row in enumerate(rows)]
    batch += [
        {"custom_id": f"j{n}", "response": {"status_code": 200, "body": row["response"]}, "error": None}
        for n, row in enumerate(rows)
    ]
    for name, log in (("pairs", rows), ("flat", flat), ("batch", batch)):
        path = write_jsonl(tmp_path / f"{name}.jsonl", log)
        trace = import_files([path], prices=PriceTable.load(), keep_responses=True).trace
        assert trace.prompts.tolist() == [
            "Hi",
            "system: Be kind.\n\nuser: Hi",
            "system: Be brief.\n\nuser: Weather?\n\nassistant: [call look({})]\n\ntool: Rain.",
        ]
        assert trace.cell_columns["response"][:, 0].tolist() == ["Hello."] * 3
        assert trace.query_columns["timestamp"].tolist() == [1_750_000_000.0 + n for n in range(3)]
        np.testing.assert_allclose(trace.cost_usd[:, 0], (200 * 2 + 800 * 0.5 + 100 * 8) / 1e6)


def test_an_error_keeps_kind_code_and_message_and_no_secret(tmp_path: Path) -> None:
    told: list[Any] = [
        {"type": "auth", "code": 401, "message": "no", "headers": {"authorization": "Bearer sk-secret-1"}},
        "AuthenticationError: Incorrect API key provided: sk-secret-2. Authorization: Bearer abc.secret-3",
        json.dumps({"error": {"message": "bad key sk-secret-4", "param": "secret-5"}}),
        {"headers": {"x-api-key": "secret-6"}},
        "rejected {'api_key': 'secret-7'}",
    ]
    rows = [call(f"p{n}", error=error) for n, error in enumerate(told)]
    found = import_files([write_jsonl(tmp_path / "log.jsonl", rows)])
    path = write_table(found.table, tmp_path / "mine.parquet")
    errors = load_trace(path).cell_columns["error"][:, 0].tolist()
    assert "secret" not in str(errors)
    assert errors[0] == "auth 401 no"
    assert errors[1].startswith("AuthenticationError: Incorrect API key provided: ***")
    assert errors[2:4] == ["bad key ***", "failed"]


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        ({"prompt_tokens_details": {"cached_tokens": -1000}}, "row 2: column cached_tokens: -1000; it must be"),
        ({"prompt_tokens_details": {"cached_tokens": 101}}, "row 2: column cached_tokens: 101; .* part of the 100"),
        ({"completion_tokens_details": {"reasoning_tokens": 1}}, "row 2: column reasoning_tokens: 1; .* of the 0"),
        ({"prompt_tokens": "many"}, "row 2: column input_tokens: 'many' is not a number"),
        ({"prompt_tokens_details": 7}, "row 2: column prompt_tokens_details: 7 is not an object"),
    ],
)
def test_counts_that_cannot_be_are_refused_by_row(usage: dict[str, Any], said: str, tmp_path: Path) -> None:
    wrong = call("b", response={"usage": {"prompt_tokens": 100, "completion_tokens": 0, **usage}})
    with pytest.raises(BadInput, match=said):
        import_files([write_jsonl(tmp_path / "log.jsonl", [call("a"), wrong])])


@pytest.mark.parametrize(
    "message",
    [{"content": 5}, {"content": ["a"]}, {"tool_calls": 3}, {"tool_calls": [3]}, {"tool_calls": [{"function": "f"}]}],
)
def test_messages_of_no_known_shape_are_refused_by_row(message: dict[str, Any], tmp_path: Path) -> None:
    wrong = call("b", request={"model": "m", "messages": [{"role": "assistant", **message}]})
    with pytest.raises(BadInput, match=r"log\.jsonl: row 2: column messages: "):
        import_files([write_jsonl(tmp_path / "log.jsonl", [call("a"), wrong])])


@pytest.mark.parametrize("answer", [{"choices": [7]}, {"output": [3]}, {"choices": [{"message": "x"}]}, 5])
def test_answers_of_no_known_shape_are_refused_by_row(answer: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"log\.jsonl: row 2: column response"):
        import_files([write_jsonl(tmp_path / "log.jsonl", [call("a"), call("b", response=answer)])])


def test_no_output_tokens_are_none_and_not_unknown(tmp_path: Path) -> None:
    found = import_files([write_jsonl(tmp_path / "log.jsonl", [call("a", completion_tokens=7)])])
    assert found.trace.output_tokens[0, 0] == 0


def test_what_anthropic_counts_apart_is_added(tmp_path: Path) -> None:
    usage = {"input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 800}
    rows = [
        call("a", "claude-3-7-sonnet-20250219", response={"usage": {**usage, "cache_creation_input_tokens": 0}}),
        call("b", "claude-3-7-sonnet-20250219", response={"usage": {**usage, "cache_creation_input_tokens": 50}}),
        # LiteLLM counts them in already.
        call("c", "claude-3-7-sonnet-20250219", response={"usage": {"prompt_tokens": 900, **usage}}),
    ]
    found = import_files([write_jsonl(tmp_path / "log.jsonl", rows)], prices=PriceTable.load())
    assert found.trace.input_tokens[:, 0].tolist() == [900, 950, 900]
    read = (800 * 0.3 + 10 * 15) / 1e6
    np.testing.assert_allclose(found.trace.cost_usd[:, 0], [read + n * 3e-6 for n in (100, 150, 100)], rtol=1e-5)
    assert any(note.startswith("1 requests wrote to Anthropic's cache: those tokens count") for note in found.notes)


def test_models_that_answered_one_prompt_answered_one_query(tmp_path: Path) -> None:
    asked = [("p", "a", 1), ("p", "b", 2), ("q", "a", 3), ("p", "a", 4), ("p", "b", 5)]
    rows = [call(prompt, model, id=f"{model}{n}", startTime=1.75e9 + n) for prompt, model, n in asked]
    # A newest-first export pairs the same calls.
    for log in (rows, rows[::-1]):
        found = import_files([write_jsonl(tmp_path / "log.jsonl", log)])
        trace = found.trace
        assert sorted(zip(trace.query_ids, trace.prompts, strict=True)) == [("a1", "p"), ("a3", "q"), ("a4", "p")]
        assert trace.observed.sum() == 5
        assert any("are one query (5 requests, 3 queries); a repeat to the same model is another" in n
                   for n in found.notes)  # fmt: skip
    named = [{**row, "query_id": f"q{n}"} for n, row in enumerate(rows)]
    assert len(import_files([write_jsonl(tmp_path / "log.jsonl", named)]).trace) == 5
    chosen = [{**row, "propensity": 0.5} for row in rows]
    assert len(import_files([write_jsonl(tmp_path / "log.jsonl", chosen)]).trace) == 5


def test_grades_may_be_by_call_where_calls_were_joined(tmp_path: Path) -> None:
    rows = [call("p", model, id=f"{model}-1", score=None) for model in "ab"]
    path = write_jsonl(tmp_path / "log.jsonl", rows)
    grades = [{"query_id": "b-1", "score": 0.25}, {"query_id": "a-1", "score": 0.75}]
    trace = import_files([path], scores=write_csv(tmp_path / "grades.csv", grades)).trace
    assert trace.score.tolist() == [[0.75, 0.25]]
    some = import_files([path], scores=write_csv(tmp_path / "grades.csv", grades[1:])).trace
    np.testing.assert_array_equal(some.score, [[0.75, np.nan]])


def test_what_a_trace_knows_is_kept_and_the_rest_is_named(tmp_path: Path) -> None:
    rows = [call(f"p{n}", propensity=0.5, agent="writer", colour="red") for n in range(2)]
    found = import_files([write_jsonl(tmp_path / "p.jsonl", rows)])
    assert found.trace.cell_columns["propensity"][:, 0].tolist() == [0.5, 0.5]
    assert found.trace.query_columns["agent"].tolist() == ["writer"] * 2
    assert found.left_out == ("colour",)
    rows[1]["propensity"] = 2
    with pytest.raises(BadInput, match=r"row 2: column propensity: .*probability is in"):
        import_files([write_jsonl(tmp_path / "p.jsonl", rows)])
