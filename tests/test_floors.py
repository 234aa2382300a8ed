"""The house: floors are one-way, rooms are small, and serving a policy needs none of the heavy packages."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("env", "routers", "instances", "experiments")
ONLY_ON_TOP = {"mlflow", "ray", "optuna", "matplotlib", "altair"}
NEVER_AT_IMPORT = {"torch", "stable_baselines3", "sklearn", "mlflow"}
TRAINING_FILES = {"env/sb3_vec_env.py"}
CAN_RUN_CODE = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
LONGEST = 500


def modules() -> list[object]:
    return [
        pytest.param(path, id=str(path.relative_to(ROOT)))
        for floor in FLOORS
        for path in sorted((ROOT / floor).rglob("*.py"))
    ]


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.split(".")[0]


def imported_at_once(tree: ast.Module) -> Iterator[str]:
    """What importing the module imports: not what stands inside functions or under TYPE_CHECKING."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node)


@pytest.mark.parametrize("path", modules())
def test_a_module_keeps_the_rules_of_the_house(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source)
    name = path.relative_to(ROOT)
    floor = FLOORS.index(name.parts[0])
    above = set(FLOORS[floor + 1 :])
    assert not above & set(imported(tree)), "an import runs up the floors"
    if floor < 3:
        assert not ONLY_ON_TOP & set(imported(tree))
        if str(name) not in TRAINING_FILES:
            assert not NEVER_AT_IMPORT & set(imported_at_once(tree))
    assert not CAN_RUN_CODE & set(imported(tree)), "data must not be able to run code when it is loaded"
    assert len(source.splitlines()) <= LONGEST


def test_serving_a_policy_imports_nothing_heavy(tmp_path: Path) -> None:
    """The base install has no torch, scikit-learn, MLflow or matplotlib: blocked here, nothing must miss them."""
    script = f"""
import sys
for name in ("torch", "stable_baselines3", "sklearn", "scipy", "mlflow", "matplotlib", "pandas", "xllamacpp"):
    sys.modules[name] = None  # importing it raises ImportError
import numpy as np
import pointsman as pm
from experiments.cli import main
from instances.gateway.app import create_app
from routers.policy import new_policy
policy = new_policy("linucb", ["small", "large"], pm.default_featuriser())
policy.save({str(tmp_path / "policy")!r})
assert main(["route", "Is it raining?", "--policy", {str(tmp_path / "policy")!r}]) == 0
config = pm.RuntimeConfig.model_validate({{
    "instances": [
        {{"name": "small", "provider": "openai", "base_url": "http://127.0.0.1:9"}},
        {{"name": "large", "provider": "openai", "base_url": "http://127.0.0.1:9"}},
    ],
    "policy": {str(tmp_path / "policy")!r},
    "store": "sqlite:///{tmp_path / "log.db"}",
}})
create_app(pm.Runtime(config))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
