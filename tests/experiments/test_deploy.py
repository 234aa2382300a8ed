"""Promotion, rollback and loading through the registry, on a real MLflow over SQLite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from env.errors import BadInput, PointsmanError
from env.features import Featuriser
from env.trace import Trace
from experiments.deploy import MLflowPolicySource, load_policy, promote, rollback, status
from experiments.train import train
from instances.ports import PolicySource
from routers.policy import Policy
from tests.conftest import needs

needs("mlflow", "the registry")


@pytest.fixture(scope="module")
def bundles(trace: Trace, featuriser: Featuriser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    for name in ("ridge", "best_per_task"):
        train(trace, name, folder / name, featuriser=featuriser)
    return {name: folder / name for name in ("ridge", "best_per_task")}


def test_promote_then_roll_back_and_forth(record: str, bundles: dict[str, Path]) -> None:
    first = promote(bundles["ridge"])
    assert (first.model, first.number, first.router, first.trace) == ("pointsman", "1", "ridge", "recorded")
    second = promote(bundles["best_per_task"])
    assert second.number == "2"
    assert status()["champion"]["router"] == "best_per_task"
    assert status()["previous"]["router"] == "ridge"
    assert rollback().router == "ridge"
    assert status()["champion"]["router"] == "ridge"
    assert rollback().router == "best_per_task"


def test_promoting_the_same_policy_twice_registers_it_once(record: str, bundles: dict[str, Path]) -> None:
    assert promote(bundles["ridge"]).number == promote(bundles["ridge"]).number == "1"
    assert status()["versions"] == 1
    assert status()["previous"] is None


def test_a_registered_policy_decides_as_its_bundle(record: str, bundles: dict[str, Path], trace: Trace) -> None:
    promote(bundles["ridge"])
    by_alias, by_number = load_policy("models:/pointsman@champion"), load_policy("models:/pointsman/1")
    local = Policy.load(bundles["ridge"])
    asked = trace.queries.take(slice(0, 50))
    expected = local.decide(asked, rng=np.random.default_rng(0))
    for policy in (by_alias, by_number):
        assert policy.version == local.version
        np.testing.assert_array_equal(policy.decide(asked, rng=np.random.default_rng(0)).arms, expected.arms)


def test_mlflows_users_load_the_champion_and_the_server_downloads_two_files(
    record: str, bundles: dict[str, Path], trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.pyfunc
    import pandas as pd

    promote(bundles["best_per_task"])
    promote(bundles["ridge"])
    prompts = [str(prompt) for prompt in trace.prompts[:20]]
    model = mlflow.pyfunc.load_model("models:/pointsman@champion")
    got = model.predict(pd.DataFrame({"prompt": prompts}))
    rollback()
    before = mlflow.pyfunc.load_model("models:/pointsman@champion")
    local = Policy.load(bundles["ridge"])
    chosen = local.decide(prompts, rng=np.random.default_rng(0), explore=False).arms
    assert got["arm"].tolist() == [local.arm_names[arm] for arm in chosen]
    assert before.unwrap_python_model().policy.router.name == "best_per_task"

    asked: list[str] = []
    download = mlflow.artifacts.download_artifacts

    def noted(artifact_uri: str, **more: str) -> str:
        asked.append(artifact_uri.rpartition("/")[2])
        return str(download(artifact_uri=artifact_uri, **more))

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", noted)
    monkeypatch.setattr("mlflow.pyfunc.load_model", None)
    assert MLflowPolicySource().latest() is not None
    assert asked == ["policy.json", "weights.safetensors"]


def test_a_policy_source_tells_of_a_new_champion_once(record: str, bundles: dict[str, Path]) -> None:
    promote(bundles["ridge"])
    source = MLflowPolicySource()
    assert isinstance(source, PolicySource)
    first = source.latest()
    assert first is not None and first.router.name == "ridge"
    assert source.latest() is None
    promote(bundles["best_per_task"])
    second = source.latest()
    assert second is not None and second.router.name == "best_per_task"


def test_altered_weights_are_refused(record: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    promote(bundles["ridge"])
    stored = next((tmp_path / "mlruns").rglob("weights.safetensors"))
    changed = bytearray(stored.read_bytes())
    changed[-1] ^= 1
    stored.write_bytes(changed)
    with pytest.raises(BadInput, match=r"models:/pointsman/1.*altered since the policy was saved"):
        MLflowPolicySource().latest()
    with pytest.raises(BadInput, match="altered"):
        load_policy("models:/pointsman@champion")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("models:/pointsman@challenger", "nothing is registered under it"),
        ("models:/pointsman/7", "nothing is registered under it"),
        ("models:/nobody@champion", "nothing is registered under it"),
        ("models:/pointsman", "is models:/NAME@ALIAS or models:/NAME/VERSION"),
    ],
)
def test_what_is_not_registered_is_named(record: str, bundles: dict[str, Path], reference: str, message: str) -> None:
    promote(bundles["ridge"])
    with pytest.raises(BadInput, match=message):
        load_policy(reference)


def test_without_a_registry_nothing_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for ask in (rollback, MLflowPolicySource, lambda: load_policy("models:/pointsman@champion")):
        with pytest.raises(BadInput, match="no registry at"):
            ask()
    with pytest.raises(BadInput, match="not a policy bundle"):
        promote(tmp_path / "nothing")
    assert status()["champion"] is None
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_to_roll_back_to_after_one_promotion(record: str, bundles: dict[str, Path]) -> None:
    promote(bundles["ridge"])
    with pytest.raises(BadInput, match="no champion came before"):
        rollback()


def test_a_registry_that_does_not_answer_is_one_line_and_not_one_without_a_champion(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    for ask in (rollback, lambda: load_policy("models:/pointsman@champion"), lambda: load_policy("models:/x/1")):
        with pytest.raises(PointsmanError, match=r"MLflow at http://127\.0\.0\.1:9: ") as refused:
            ask()
        assert not isinstance(refused.value, BadInput)
    assert not caplog.records
