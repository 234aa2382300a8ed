"""A bundle that MLflow's users can load as a pyfunc model; the server never does, it reads the bundle's two files.

What MLflow keeps is three lines of code ("models from code"), no pickle. They need this package to be installed where
the model is loaded, as the bundle itself does.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from env.contexts import Queries
from experiments.tracking.store import ctrl_c_waits
from routers.policy import DEFAULT_DIAL, Policy

_CODE = '''"""What MLflow runs to load this policy."""

from mlflow.models import set_model

from experiments.tracking.pyfunc import policy_model

set_model(policy_model())
'''
_CODE_FILE = "model.py"
_BUNDLE = "bundle"
_REQUIRED = ("pointsman", "numpy", "pandas")


def policy_model() -> Any:
    """A ``PythonModel`` that decides with the policy of its bundle.

    ``predict`` takes a table with the column ``prompt``, and ``task`` if need be, and gives one with the columns
    ``arm`` (the model's name) and ``propensity``. Its parameters are ``dial``, ``explore`` and ``seed``.
    """
    import pandas as pd
    from mlflow.pyfunc.model import PythonModel

    class PolicyModel(PythonModel):
        def load_context(self, context: Any) -> None:
            self.policy = Policy.load(context.artifacts[_BUNDLE])

        def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
            given = params or {}
            tasks = [None if pd.isna(task) else str(task) for task in model_input.get("task", ())]
            decision = self.policy.decide(
                Queries.of([str(prompt) for prompt in model_input["prompt"]], tasks or None),
                dial=given.get("dial", DEFAULT_DIAL),
                rng=np.random.default_rng(given.get("seed", 0)),
                explore=given.get("explore", False),
            )
            arms = [self.policy.arm_names[arm] for arm in decision.arms]
            return pd.DataFrame({"arm": arms, "propensity": decision.propensities.astype(np.float64)})

        # MLflow reads it, and warns of any other; as text it would be looked for among this module's names.
        predict.__annotations__["model_input"] = pd.DataFrame

    return PolicyModel()


def make_loadable(folder: Path) -> None:
    """Add to a bundle's folder what ``mlflow.pyfunc.load_model`` needs; the bundle's own files stay as they are.

    Args:
        folder: of the bundle of a router's policy.
    """
    with ctrl_c_waits():
        from mlflow.models import Model
        from mlflow.pyfunc import save_model

    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for examples and type hints; the signature says both
        code, made = Path(scratch) / _CODE_FILE, Path(scratch) / "made"
        code.write_text(_CODE)
        save_model(
            str(made),
            python_model=str(code),
            artifacts={_BUNDLE: str(folder)},
            signature=_signature(),
            pip_requirements=_requirements(),
        )
        # The bundle lies in the model's own folder: one copy of the weights, where the server looks for them.
        model = Model.load(str(made))
        flavour = model.flavors["python_function"]
        flavour["artifacts"] = {_BUNDLE: {"path": ".", "uri": "."}}
        flavour["model_code_path"] = _CODE_FILE
        model.save(str(made / "MLmodel"))
        shutil.rmtree(made / "artifacts")
        shutil.copytree(made, folder, dirs_exist_ok=True)


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    return ModelSignature(
        Schema([ColSpec("string", "prompt"), ColSpec("string", "task", required=False)]),
        Schema([ColSpec("string", "arm"), ColSpec("double", "propensity")]),
        ParamSchema(
            [
                ParamSpec("dial", "double", DEFAULT_DIAL),
                ParamSpec("explore", "boolean", False),
                ParamSpec("seed", "integer", 0),
            ]
        ),
    )


def _requirements() -> list[str]:
    found = []
    for package in _REQUIRED:
        try:
            found.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            found.append(package)
    return found
