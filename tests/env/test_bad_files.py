"""A file that is broken, or holds what no log should, is one line with file and place, and never a traceback."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from env.errors import BadInput
from env.trace_io import from_rows, read_trace
from experiments.cli import main

_DEEP = "[" * 100_000 + "]" * 100_000
_HUGE = "1" + "0" * 400


def lines(*rows: Mapping[str, Any] | str) -> bytes:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()


def arena(**changes: Any) -> dict[str, Any]:
    return {"global_index": "A_1", "question": "?", "llm_selected": "m", "success": True, **changes}


def baseline(**changes: Any) -> dict[str, Any]:
    made = {"dataset_id": "d", "model_name": "m", "record_index": 0, "origin_query": "?", "score": 1.0}
    return {**made, **changes}


def obp(**changes: Any) -> bytes:
    arrays = {"context": np.zeros((3, 2)), "action": np.array([0, 1, 0]), "reward": np.ones(3), "pscore": np.ones(3)}
    file = io.BytesIO()
    np.savez(file, **{**arrays, **changes})
    return file.getvalue()


def npz_of(inside: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("context", "action", "reward", "pscore"):
            archive.writestr(f"{name}.npy", inside)
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def parquet(arms: bytes) -> bytes:
    names = ("query_id", "task", "prompt", "model", "score", "input_tokens", "output_tokens", "cost_usd", "latency_s")
    table = pa.table({name: ["q"] if name in names[:4] else [1.0] for name in names})
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({b"pointsman.arms": arms}), file)
    return file.getvalue()


_LONG = {"query_id": "q", "prompt": "p", "model": "m", "score": 1}
_CHAT = {"model": "m", "messages": [{"role": "user", "content": "?"}], "response": {"id": "x"}}

CASES = {
    "header twice": (
        "a.csv",
        b"query_id,prompt,model,score,score\nq,p,m,1,0\n",
        r"row 0 \(header\): column `score` is there 2",
    ),
    "unread header twice": ("a.csv", b"query_id,prompt,model,score,x,x\nq,p,m,1,0,0\n", r"column `x` is there 2 times"),
    "empty npz": ("a.npz", b"", r"not a readable \.npz file"),
    "truncated npz": ("a.npz", obp()[:300], r"not a readable \.npz file"),
    "corrupt npz": ("a.npz", obp().replace(b"NUMPY", b"NIMPY"), r"not a readable \.npz file"),
    "npz of empty arrays": ("a.npz", npz_of(b""), "array context: not numbers"),
    "npz of truncated arrays": ("a.npz", npz_of(npy()[:140]), r"not a readable \.npz file"),
    "npz of a bad header": ("a.npz", npz_of(npy().replace(b"descr", b"d(((r")), r"not a readable \.npz file"),
    "one array as npz": ("a.npz", npy(), r"not a readable \.npz file"),
    "deep JSON": ("a.json", _DEEP.encode(), "nested more deeply"),
    "deep JSONL": ("a.jsonl", lines(_LONG, f'{{"query_id": "r", "prompt": {_DEEP}}}'), "row 2: .*nested more deeply"),
    "huge cost": (
        "a.jsonl",
        lines(f'{{"query_id": "q", "prompt": "p", "model": "m", "score": 1, "cost_usd": {_HUGE}}}'),
        "row 1: column cost_usd: ",
    ),
    "huge score": (
        "a.jsonl",
        lines(json.dumps(baseline()).replace("1.0", _HUGE)),
        "row 1: column score: a number beyond",
    ),
    "cost beyond 32 bits": (
        "a.jsonl",
        lines(_LONG, {**_LONG, "query_id": "r", "cost_usd": 1e308}),
        "row 2: column cost_usd: 1e.308; traces keep numbers in 32 bits",
    ),
    "counts of two kinds": (
        "a.jsonl",
        lines(baseline(prompt_tokens="12"), baseline(record_index=1, prompt_tokens=12)),
        "row 2: column input_tokens: 12, where others hold '12'",
    ),
    "models of two kinds": (
        "a.jsonl",
        lines(baseline(), baseline(record_index=1, model_name=3)),
        "row 2: column model: 3, where others hold 'm'",
    ),
    "half a character": (
        "a.jsonl",
        lines(_LONG, {**_LONG, "query_id": "r", "prompt": "\ud800"}),
        r"row 2: not JSON: half a character \(\\ud800\)",
    ),
    "half a character in a log": (
        "a.jsonl",
        lines({**_CHAT, "messages": [{"role": "user", "content": "\udc00"}]}),
        "row 1: not JSON: half a character",
    ),
    "half a character in JSON text in a log": (
        "a.jsonl",
        lines(_CHAT, {**_CHAT, "messages": json.dumps([{"role": "user", "content": "\ud800"}])}),
        r"row 2: column prompt: '\\ud800' cannot be stored",
    ),
    "deep JSON text in a log": ("a.jsonl", lines(_CHAT, {**_CHAT, "response": _DEEP}), "row 2: column response"),
    "a result that is a text": (
        "a.jsonl",
        lines({"global_index": "A", "prediction": "m", "generated_result": "x"}),
        "row 1: column generated_result: 'x' is not an object",
    ),
    "a judgement that is a list": (
        "a.jsonl",
        lines(arena(), arena(evaluation_result=[1])),
        r"row 2: column evaluation_result: \[1\] is not an object",
    ),
    "a usage that is a number": (
        "a.jsonl",
        lines(arena(token_usage=3)),
        "row 1: column token_usage: 3 is not an object",
    ),
    "no rounds": (
        "a.npz",
        obp(context=np.zeros((0, 2)), action=np.zeros(0), reward=np.zeros(0), pscore=np.zeros(0)),
        "array action: no rounds",
    ),
    "a scalar context": ("a.npz", obp(context=np.array(3.0)), r"got context \(\)"),
    "a scalar action": ("a.npz", obp(action=np.array(3)), r"action \(\)"),
    "a context of text": ("a.npz", obp(context=np.array([["a", "b"]] * 3)), "array context: not numbers"),
    "an action that is NaN": (
        "a.npz",
        obp(action=np.array([0, np.nan, 1])),
        "row 2: column action: nan is no whole number",
    ),
    "half an action": ("a.npz", obp(action=np.array([0.5, 1, 1])), "row 1: column action: 0.5 is no whole number"),
    "a chance that is NaN": ("a.npz", obp(pscore=np.array([0.5, 1, np.nan])), "row 3: column pscore: NaN"),
    "positions in two dimensions": ("a.npz", obp(position=np.zeros((3, 2))), r"position \(3, 2\)"),
    "positions of text": ("a.npz", obp(position=np.array(["a", "b", "c"])), "array position: not numbers"),
    "actions in two dimensions": ("a.npz", obp(action=np.zeros((3, 1), int)), r"action \(3, 1\)"),
    "a number of actions that is a text": ("a.npz", obp(n_actions=np.array("many")), "array n_actions: not numbers"),
    "metadata that is not ours": ("a.parquet", parquet(b"not json"), r"metadata `pointsman\.arms` is b'not json'"),
    "metadata of another kind": ("a.parquet", parquet(b'{"a": 1}'), r"metadata `pointsman\.arms`"),
    "metadata with an arm twice": ("a.parquet", parquet(b'["q", "q"]'), "no list of different arms"),
    "text that is no UTF-8": ("a.csv", b"query_id,prompt,model,score\nq,\xff\xfe,m,1\n", "[Uu][Tt][Ff]-?8"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_one_line_and_nothing_is_written(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, expected = CASES[case]
    path, out = tmp_path / name, tmp_path / "out.parquet"
    path.write_bytes(content)
    assert main(["trace", "import", str(path), "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and len(told) < 600, told
    assert re.search(f"{re.escape(name)}.*(?:{expected})", told), told
    assert [*tmp_path.iterdir()] == [path]


def test_deep_nesting_does_not_end_the_program_that_reads_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_bytes(lines(_LONG, f'{{"query_id": "r", "prompt": {_DEEP}}}'))
    with pytest.raises(BadInput, match=r"deep\.jsonl: row 2: nested more deeply than any log"):
        read_trace(path)
    path.write_bytes(lines(f'{{"query_id": "r", "prompt": {"[" * 900 + "]" * 900}}}'))
    with pytest.raises(BadInput, match=r"deep\.jsonl: "):
        read_trace(path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"task": 3}, "row 2: column task: 3, where others hold 'sums'"),
        ({"prompt": "\ud800"}, r"row 2: column prompt: .*\\ud800.* cannot be stored"),
        ({"input_tokens": 10**400}, "row 2: column input_tokens: .* cannot be stored"),
    ],
)
def test_rows_at_hand_are_refused_by_row_and_column_too(change: dict[str, Any], expected: str) -> None:
    row = {**_LONG, "task": "sums", "input_tokens": 1}
    with pytest.raises(BadInput, match=f"mine: {expected}"):
        from_rows([row, {**row, "query_id": "r", **change}], "mine")
