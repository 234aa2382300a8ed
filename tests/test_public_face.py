"""The public face: every name is there, is imported when it is first used, and has its real type for checkers."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pointsman

ROOT = Path(__file__).parents[1]

USER_CODE = """
import pointsman as pm

trace = pm.load_trace("bundled")
policy = pm.train(trace, "ridge")
reveal_type(trace)
reveal_type(policy)
reveal_type(pm.compare)
reveal_type(pm.Policy.load)
reveal_type(pm.make_router("knn", 2, 8))
reveal_type(pm.plot.frontier)
reveal_type(pm.get_model("text"))
pm.load_trace(3)
pm.no_such_name
"""
SEEN = (
    "env.trace.Trace",
    "routers.policy.Policy",
    "def (traces: ",
    "def (folder: ",
    "routers.base.Router",
    "def (report: experiments.compare.Report",
    "instances.interface.LLMInterface",
)


def test_every_name_is_there() -> None:
    for name in pointsman.__all__:
        assert getattr(pointsman, name) is not None, name


def test_checkers_are_told_of_the_same_names_as_the_interpreter() -> None:
    tree = ast.parse((ROOT / "pointsman.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    told = {}
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            told |= {alias.asname: f"{node.module}:{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Assign):
            told |= {ast.unparse(node.targets[0]): ast.unparse(node.value).replace(".", ":")}
    modules = {name: f"{where.rpartition('.')[0]}:{name}" for name, where in pointsman._MODULES.items()}
    assert told == pointsman._PUBLIC | modules


def test_a_checker_sees_the_real_types(tmp_path: Path) -> None:
    file = tmp_path / "user_code.py"
    file.write_text(USER_CODE)
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280)
    assert done.stderr == ""
    # By name, not by path: out of its cache mypy says the path of an earlier run.
    *revealed, argument, unknown = [line for line in done.stdout.splitlines() if f"{file.name}:" in line]
    assert len(revealed) == len(SEEN), done.stdout
    for line, expected in zip(revealed, SEEN, strict=True):
        assert re.search(rf'Revealed type is "{re.escape(expected)}', line), line
    assert 'Argument 1 to "load_trace" has incompatible type "int"' in argument
    assert "no_such_name" in unknown
