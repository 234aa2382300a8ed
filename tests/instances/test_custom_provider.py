"""The custom model: what it answers, and which files it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from env.errors import BadInput
from env.features import Hashing
from experiments.distill import BUNDLED, CLOSED_FAMILIES, fit, write
from experiments.tasks import evaluation_items, score
from instances.config import InstanceConfig
from instances.providers import make_provider
from instances.providers.base import ChatRequest
from instances.providers.custom import CustomModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prompts = ["win money now", "cheap pills now", "lunch on friday", "see you at home"]
    model = fit(prompts, ["spam", "spam", "ham", "ham"], Hashing(64))
    write(model, tmp_path / "model", {})
    return tmp_path / "model"


async def test_it_answers_its_likeliest_label(folder: Path) -> None:
    provider = make_provider(InstanceConfig(name="filter", provider="custom", path=str(folder)))
    assert not await provider.healthy()
    await provider.start()
    assert await provider.healthy()
    answer = await provider.complete(ChatRequest(({"role": "user", "content": "cheap money now"},)))
    assert answer.text == "spam"
    assert (answer.input_tokens, answer.output_tokens) == (3, 1)
    assert answer.logprob is not None and np.log(0.5) < answer.logprob < 0
    await provider.close()


def test_training_is_reproducible(folder: Path, tmp_path: Path) -> None:
    prompts = ["win money now", "cheap pills now", "lunch on friday", "see you at home"]
    write(fit(prompts, ["spam", "spam", "ham", "ham"], Hashing(64)), tmp_path / "again", {})
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


def test_altered_weights_are_refused(folder: Path) -> None:
    path = folder / "weights.safetensors"
    payload = bytearray(path.read_bytes())
    payload[-1] ^= 1
    path.write_bytes(payload)
    with pytest.raises(BadInput, match=r"not the weights that model\.json describes"):
        CustomModel.load(folder)


def test_an_unknown_version_is_refused(folder: Path) -> None:
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(about | {"format_version": 99}))
    with pytest.raises(BadInput, match="format version 99"):
        CustomModel.load(folder)


def test_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder)
    with pytest.raises(BadInput, match="cannot read the custom model"):
        CustomModel.load(folder)


def test_the_bundled_model_generalises_to_wording_it_never_saw() -> None:
    items = [item for item in evaluation_items(760) if item.task in CLOSED_FAMILIES]
    said, logprobs = CustomModel.load(BUNDLED).predict([item.prompt for item in items])
    right = np.array([score(item.check, answer) for item, answer in zip(items, said, strict=True)])
    assert 0.55 < right.mean() < 0.95
    assert logprobs[right == 1].mean() > logprobs[right == 0].mean()  # its confidence means something


@pytest.mark.parametrize("about", [[], "text", None])
def test_a_description_that_is_no_object_is_refused(folder: Path, about: object) -> None:
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(BadInput, match=r"model\.json: not a JSON object; train it again"):
        CustomModel.load(folder)


@pytest.mark.parametrize("change", [{"labels": 7}, {"featuriser": ["hashing"]}, {"featuriser": {"kind": ["hashing"]}}])
def test_a_malformed_description_is_refused_in_one_line(folder: Path, change: dict[str, object]) -> None:
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(about | change))
    with pytest.raises(BadInput) as refused:
        CustomModel.load(folder)
    assert "\n" not in str(refused.value)


def test_the_weights_that_were_checked_are_the_ones_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def replaced_after(path: Path) -> bytes:
        payload = read(path)
        path.unlink()
        return payload

    monkeypatch.setattr(Path, "read_bytes", replaced_after)
    assert CustomModel.load(folder).labels == ("ham", "spam")
