"""Public sets: found where they lie, else downloaded from a server, checked, converted and kept; or a plain refusal."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import json
import re
import socket
import ssl
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

import pointsman as pm
from env.errors import BadInput
from env.sources import named
from env.sources.arrivals import load_arrivals
from env.sources.named import cache_folder, data_folders, load_named, load_trace, stored
from env.sources.public_sets import PublicSet, SetFile, names, public_set, registry
from env.sources.recipes import RECIPES, make
from env.trace import Trace
from env.trace_formats import read_table
from env.trace_io import from_table, save_trace


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data folder, and an empty cache."""
    monkeypatch.delenv("POINTSMAN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(named, "data_folders", lambda: [])
    return tmp_path


@pytest.fixture
def home() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A real server, and the files it has; folders say how it fails: ``cut/`` breaks off half way."""
    files: dict[str, bytes] = {}

    class Home(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path).lstrip("/")
            body = files.get(path)
            failing = path.split("/")[0]
            self.send_response({"loop": 302, "shy": 403}.get(failing, 404 if body is None else 200))
            if failing == "loop":
                self.send_header("Location", self.path)
            if failing != "endless":
                self.send_header("Content-Length", "abc" if failing == "odd" else str(len(body or b"")))
            self.end_headers()
            if failing == "endless":
                with contextlib.suppress(ConnectionError):
                    while True:
                        self.wfile.write(body or b"")
            self.wfile.write((body or b"")[: len(body or b"") // 2] if path.startswith("cut/") else body or b"")

        def log_message(self, *words: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Home) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", files
        server.shutdown()
        thread.join()


def offered(name: str, base: str, files: Mapping[str, bytes], **changes: Any) -> PublicSet:
    """The registry's set with other files."""
    listed = tuple(SetFile(path, len(body), hashlib.sha256(body).hexdigest()) for path, body in files.items())
    return replace(registry()[name], base=base, files=listed, **changes)


def pareto_rows() -> bytes:
    rows = [
        {
            "prompt": f"Riddle {number}?",
            "arms": {m: {"reward": 0.25 * number, "cost": 0.001} for m in ("b", "a")},
            "source": "riddles",
        }
        for number in range(3)
    ]
    return "\n".join(map(json.dumps, rows)).encode()


def no_scraps(folder: Path) -> bool:
    return not [path for path in folder.rglob("*") if path.is_file()]


def test_a_set_is_downloaded_once_and_kept(nowhere: Path, home: tuple[str, dict[str, bytes]]) -> None:
    address, files = home
    files["data/val part.jsonl"] = pareto_rows()
    found = offered("paretobandit_val", address, files)
    path = stored(found)
    assert path == nowhere / "cache" / "pointsman" / "sets-1" / "paretobandit_val.parquet"
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    files.clear()
    assert stored(found) == path
    trace = load_named("paretobandit_val")
    assert (trace.name, trace.arms, trace.query_ids.tolist()) == (
        "paretobandit_val", ("a", "b"), ["val-00000", "val-00001", "val-00002"],
    )  # fmt: skip
    np.testing.assert_allclose(trace.score[:, 0], [0, 0.25, 0.5])


@pytest.mark.parametrize("kind", ["gone", "altered", "broken off"])
def test_a_download_that_fails_says_why_and_leaves_nothing(
    kind: str, nowhere: Path, home: tuple[str, dict[str, bytes]]
) -> None:
    address, files = home
    name = "cut/val.jsonl" if kind == "broken off" else "val.jsonl"
    files[name] = pareto_rows()
    found = offered("paretobandit_val", address, files)
    if kind == "gone":
        files.clear()
    if kind == "altered":
        files[name] = pareto_rows().replace(b"Riddle", b"Puzzle")
    with pytest.raises(BadInput) as caught:
        stored(found)
    said = str(caught.value)
    half = f"broken off after {len(pareto_rows()) // 2} of {len(pareto_rows())} bytes"
    reason = {"gone": "404 Not Found: not there any more", "altered": "refused and deleted", "broken off": half}[kind]
    assert said.startswith(f"{address}/{name}: ")
    assert reason in said
    assert "put paretobandit_val.parquet (see https://github.com/ParetoBandit/ParetoBandit) into a folder" in said
    assert "set POINTSMAN_DATA" in said
    assert "\n" not in said
    assert no_scraps(nowhere / "cache")


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("loop", "infinite loop. The last 30x error message was: Found: it sends us on without an end, or nowhere"),
        ("shy", "403 Forbidden: its server refuses"),
        ("endless", "more than its 2 bytes: refused and deleted"),
    ],
)
def test_a_server_that_fails_in_its_own_way_is_told_so(
    folder: str, reason: str, nowhere: Path, home: tuple[str, dict[str, bytes]]
) -> None:
    address, files = home
    files[f"{folder}/val.jsonl"] = b"{}"
    with pytest.raises(BadInput, match=re.escape(reason)) as caught:
        stored(offered("paretobandit_val", address, files))
    assert "\n" not in str(caught.value)
    assert no_scraps(nowhere / "cache")


def test_a_stated_length_that_is_no_number_does_no_harm(nowhere: Path, home: tuple[str, dict[str, bytes]]) -> None:
    address, files = home
    files["odd/val.jsonl"] = pareto_rows()
    assert stored(offered("paretobandit_val", address, files)).is_file()


def test_a_broken_line_is_not_told_as_a_full_disk(
    nowhere: Path, home: tuple[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, files = home
    files["val.jsonl"] = pareto_rows()

    def broken(*_: object) -> bytes:
        raise ssl.SSLError("decryption failed or bad record mac")

    monkeypatch.setattr(http.client.HTTPResponse, "read", broken)
    with pytest.raises(BadInput, match=r"val.jsonl: broken off \(SSLError after 0 bytes\); try again"):
        stored(offered("paretobandit_val", address, files))


def test_no_file_of_a_set_lies_outside_its_folder(nowhere: Path, home: tuple[str, dict[str, bytes]]) -> None:
    address, files = home
    files["../../val.jsonl"] = pareto_rows()
    with pytest.raises(BadInput, match=r"the file \.\./\.\./val\.jsonl would lie outside .*: refused"):
        stored(offered("paretobandit_val", address, files))
    assert no_scraps(nowhere)


def test_offline_is_said_plainly(nowhere: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = offered("paretobandit_val", f"http://127.0.0.1:{port}", {"val.jsonl": b"x"})
    with pytest.raises(BadInput, match=r"cannot be reached \(.*refused\): offline\? put paretobandit_val.parquet"):
        stored(found)
    assert no_scraps(nowhere / "cache")


def test_a_cache_that_cannot_be_written_to_is_said(nowhere: Path) -> None:
    (nowhere / "cache").write_text("a file where the folder should be")
    with pytest.raises(BadInput, match=r"sets-1: cannot be written to \(.*\); set XDG_CACHE_HOME, or put"):
        stored(offered("paretobandit_val", "http://127.0.0.1:1", {"val.jsonl": b"x"}))


def test_a_file_of_another_layout_is_refused_and_not_kept(nowhere: Path, home: tuple[str, dict[str, bytes]]) -> None:
    address, files = home
    files["val.jsonl"] = b'{"question": "?"}\n'
    with pytest.raises(BadInput, match="set paretobandit_val: a file has another layout than expected: KeyError"):
        stored(offered("paretobandit_val", address, files))
    assert no_scraps(nowhere / "cache")


def test_a_set_without_plain_files_says_where_it_lives(nowhere: Path) -> None:
    with pytest.raises(BadInput, match=r"set bfcl: its home keeps raw results .*put bfcl.parquet \(see https://git"):
        load_named("bfcl")


def test_sets_are_found_in_the_data_folder_first(
    tmp_path: Path, small_trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_trace(small_trace, tmp_path / "mine" / "routellm.parquet")
    monkeypatch.setenv("POINTSMAN_DATA", str(tmp_path / "mine"))
    assert data_folders()[0] == tmp_path / "mine"
    for load in (load_trace, pm.load_trace, load_named):
        assert (load("routellm").name, load("routellm").hash) == ("routellm", small_trace.hash)
    monkeypatch.setenv("POINTSMAN_DATA", str(tmp_path / "gone"))
    with pytest.raises(BadInput, match=r"POINTSMAN_DATA=.*gone: no such folder"):
        load_named("routellm")


def test_sets_are_found_beside_the_working_directory(
    tmp_path: Path, small_trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_trace(small_trace, tmp_path / "shared" / "data" / "bfcl.parquet")
    (tmp_path / "repo").mkdir()
    monkeypatch.chdir(tmp_path / "repo")
    monkeypatch.delenv("POINTSMAN_DATA", raising=False)
    assert load_named("bfcl").hash == small_trace.hash


def test_files_come_before_names_and_unknown_names_are_listed(
    nowhere: Path, small_trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(nowhere)
    with pytest.raises(BadInput, match=r"no such file, and no public set of that name; did you mean `routellm`"):
        load_trace("routelm")
    with pytest.raises(BadInput, match=r"no public trace set `routelm`; did you mean `routellm`"):
        load_named("routelm")
    with pytest.raises(BadInput, match=r"azure2023_conv: a set of arrivals, and no trace: pointsman.load_arrivals"):
        load_trace("azure2023_conv")
    with pytest.raises(BadInput, match=r"no/such/file.parquet: no such file"):
        load_trace("no/such/file.parquet")
    path = save_trace(small_trace, nowhere / "t.parquet")
    assert load_trace(path).hash == load_trace("t.parquet").hash == small_trace.hash
    assert load_trace("bundled").name == "bundled"
    assert cache_folder().is_relative_to(nowhere)


def test_the_registry_is_whole() -> None:
    assert {"routellm", "routerbench_5shot", "mmlu_pro", "bfcl", "alpaca_eval2", "paretobandit_val"} <= {*names()}
    for name, found in registry().items():
        assert found.home.startswith("https://github.com/")
        assert found.licence
        assert bool(found.files) == (name in RECIPES)
        for file in found.files:
            assert found.url(file).startswith("https://raw.githubusercontent.com/")
            assert (len(file.sha256), file.size > 0) == (64, True)
            assert " " not in found.url(file)


def zipped(rows: list[Any]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__MACOSX/._model.json", "")
        archive.writestr("model.json", json.dumps(rows))
    return buffer.getvalue()


def mmlu_pro_rows(*, reworded: bool) -> list[Any]:
    return [
        {
            "question_id": 7,
            "question": "Which  is wet?" if reworded else "Which is wet?",
            "options": ["sand", "water"],
            "answer": "B",
            "category": "nature",
            "pred": "A" if reworded else "B",
            "model_outputs" if reworded else "generated_text": "The answer is (B).",
        },
        "total",
    ]


def alpaca_rows(preference: float) -> bytes:
    row = {
        "dataset": "riddles", "instruction": "Name a sea.", "output_1": "The North Sea.", "generator_1": "reference",
        "output_2": "The Red Sea.", "generator_2": "m", "annotator": "judge", "preference": preference,
    }  # fmt: skip
    return json.dumps([row]).encode()


def routerbench_csv(*rows: str) -> bytes:
    head = ["Unnamed: 0", "sample_id", "prompt", "eval_name", "m", "n", "m|model_response", "m|total_cost"]
    return "\n".join([",".join([*head, "n|total_cost", "oracle_model_to_route_to"]), *rows]).encode()


def azure_csv(*rows: str) -> bytes:
    return "\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]).encode()


def test_each_recipe_reads_its_layout(tmp_path: Path) -> None:
    answered = b"prompt,weak,strong,weak_response,strong_response\n1+1?,False,True,Three.,It is 2.\n"
    layouts: dict[str, dict[str, bytes]] = {
        "routellm": {
            "evals/mmlu_riddles.csv": b'prompt,weak,strong\n"Is it\nA. wet",True,False\n',
            "evals/gsm8k_responses.csv": answered,
        },
        "routerbench_5shot": {
            "zs/riddles_train.csv": routerbench_csv("1,r.1,\"['Wet?']\",riddles,0.0,1.0,\"['A']\",0.1,0.2,m"),
            "zs/riddles_test.csv": routerbench_csv(
                "2,r.2,\"['Dry?']\",riddles,1.0,0.5,\"['A']\",0.1,0.2,m",
                "3,r.3,\"['Hot?']\",riddles,,0.5,,,0.2,m",
                "4,r.3,\"['Hot or cold?']\",riddles,0.5,,\"['A']\",0.1,,m",
            ),
        },
        "mmlu_pro": {
            "e/model_outputs_m_5shots.zip": zipped(mmlu_pro_rows(reworded=False)),
            "e/model_outputs_n_5shots.zip": zipped(mmlu_pro_rows(reworded=True)),
        },
        "alpaca_eval2": {
            "results/m/judge/annotations.json": alpaca_rows(1.75),
            "results/n/annotations.json": alpaca_rows(1),
        },
        "paretobandit_val": {"val.jsonl": pareto_rows()},
        "paretobandit_val_k4": {"val.jsonl": pareto_rows()},
        "azure2023_conv": {
            "a.csv": azure_csv("2023-11-16 18:15:46.6805900,374,44", "2023-11-16 18:15:50.9951690,396,109")
        },
        "azure2023_code": {"a.csv": azure_csv("2023-11-16 18:17:03.9799600,4808,10", "2023-11-16 18:17:04,31,8")},
        "mooncake_conversation": {
            "c.jsonl": b'{"timestamp": 0, "input_length": 67, "output_length": 5, "hash_ids": [0]}\n'
            b'{"timestamp": 1500, "input_length": 7, "output_length": 4, "hash_ids": [0, 1]}\n'
        },
    }
    assert set(layouts) == set(RECIPES)
    made = {}
    for name, files in layouts.items():
        rates = {model: (1.0, 2.0) for model in ("m", "n", "weak", "strong")}
        found = offered(name, "http://x", files, prices=rates)
        for path, body in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(body)
        made[name] = make(found, [tmp_path / name / path for path in files])
    traces = {name: from_table(table, name, name) for name, table in made.items() if registry()[name].kind == "trace"}
    assert traces["routellm"].query_ids.tolist() == ["gsm8k/0", "mmlu/riddles/0"]
    assert traces["routellm"].score.tolist() == [[1, 0], [0, 1]]
    assert traces["routellm"].output_tokens.tolist() == [[4, 2], [1, 1]]
    assert traces["routellm"].has_cost
    assert traces["routerbench_5shot"].query_ids.tolist() == ["r.1", "r.2"]
    assert traces["routerbench_5shot"].query_columns["split"].tolist() == ["train", "test"]
    assert traces["mmlu_pro"].prompts.tolist() == ["Which is wet?\nA. sand\nB. water"]
    assert traces["mmlu_pro"].score.tolist() == [[1, 0]]
    assert traces["alpaca_eval2"].score.tolist() == [[0.75, 0]]
    np.testing.assert_allclose(made["azure2023_conv"]["timestamp_s"], [0, 4.314579])
    np.testing.assert_allclose(made["azure2023_code"]["timestamp_s"], [0, 0.02004])
    np.testing.assert_allclose(made["mooncake_conversation"]["timestamp_s"], [0, 1.5])


def test_arrivals_are_seconds_in_order(nowhere: Path, home: tuple[str, dict[str, bytes]]) -> None:
    address, files = home
    rows = [{"timestamp": 250 * number, "input_length": 10 + number, "output_length": 2} for number in range(5)]
    files["c.jsonl"] = "\n".join(map(json.dumps, rows)).encode()
    stored(offered("mooncake_conversation", address, files))
    arrivals = load_arrivals("mooncake_conversation")
    assert (len(arrivals), arrivals.per_second) == (5, 4.0)
    np.testing.assert_array_equal(arrivals.timestamp_s, [0, 0.25, 0.5, 0.75, 1.0])
    assert arrivals.input_tokens[-1] == 14
    with pytest.raises(BadInput, match="`mooncake_conversations`; did you mean `mooncake_conversation`"):
        load_arrivals("mooncake_conversations")
    with pytest.raises(BadInput, match="no public arrivals set `routellm`"):
        load_arrivals("routellm")


@pytest.mark.parametrize("name", names("trace"))
def test_the_prepared_sets_load_by_name(
    name: str, data_folder: Path, data_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTSMAN_DATA", str(data_folder))
    rows = read_table(data_file(f"{public_set(name, 'trace').stored}.parquet")).num_rows
    trace = load_named(name)
    said = registry()[name].what.replace("the same with a fourth model, ", "")
    queries, models = (int(word) for word in _first_two(said))
    assert (len(trace), trace.n_arms) == (queries, models)
    assert rows == int(np.isfinite(trace.score).sum())


def _first_two(text: str) -> list[str]:
    (found,) = re.findall(r"([\d,]+) queries x (\d+)", text)
    return [found[0].replace(",", ""), found[1]]


@pytest.mark.parametrize("name", names("arrivals"))
def test_the_prepared_arrivals_load_by_name(
    name: str, data_folder: Path, data_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTSMAN_DATA", str(data_folder))
    data_file(f"{public_set(name, 'arrivals').stored}.parquet")
    arrivals = load_arrivals(name)
    assert f"{len(arrivals):,} requests" in registry()[name].what
    assert arrivals.timestamp_s[0] == 0
