"""Train the small custom model: labelled prompts in, `model.json` and `weights.safetensors` out.

The bundled one is made by ``python -m experiments.distill``: it learns from generated prompts, never from an
evaluation prompt, and the wording of the subjective families differs between the two (`experiments.tasks`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from env.contexts import Floats
from env.features import Concatenated, Featuriser, Hashing, WordLlama
from env.files import whole_file, write_text
from experiments.tasks import evaluation_items, training_items
from experiments.tasks.pools import EVALUATION_COUNT
from instances.providers.custom import FORMAT_VERSION, MODEL_FILE, WEIGHTS_FILE, CustomModel

CLOSED_FAMILIES = ("category", "comparison", "intent", "language", "sentiment", "spam", "topic")
"""Families whose answer is one of a few labels, which a classifier can learn."""
BUNDLED = Path(__file__).resolve().parents[1] / "instances" / "data" / "custom"
TRAINING_PROMPTS = 4_000

_HASHED_FEATURES = 2_048
_L2 = 1e-4
_STEPS = 400
_LEARNING_RATE = 0.05


def bundled_featuriser() -> Featuriser:
    """Word embeddings for what the words mean, hashed n-grams for which words they are."""
    return Concatenated([WordLlama(), Hashing(_HASHED_FEATURES)])


def fit(prompts: Sequence[str], answers: Sequence[str], featuriser: Featuriser) -> CustomModel:
    """Softmax regression with L2, by Adam on the full batch; deterministic, and one label is one column.

    Args:
        prompts: ``n`` texts.
        answers: the label of each.
        featuriser: text to ``(n, d)``.
    """
    labels = tuple(sorted(set(answers)))
    column = {label: i for i, label in enumerate(labels)}
    x = featuriser.transform(prompts).astype(np.float32)
    y = np.eye(len(labels), dtype=np.float32)[[column[answer] for answer in answers]]
    parameters = np.zeros((x.shape[1] + 1, len(labels)), dtype=np.float32)
    x = np.hstack([x, np.ones((len(x), 1), dtype=np.float32)])
    mean, square = np.zeros_like(parameters), np.zeros_like(parameters)
    for step in range(1, _STEPS + 1):
        gradient = x.T @ (_softmax(x @ parameters) - y) / len(x) + _L2 * parameters
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = _LEARNING_RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        parameters -= (rate * mean / (np.sqrt(square) + 1e-8)).astype(np.float32)
    return CustomModel(featuriser, labels, parameters[:-1], parameters[-1])


def write(model: CustomModel, folder: Path, about: dict[str, object]) -> None:
    """Write the model atomically, file by file: a reader sees old weights or new ones and checks their hash."""
    # Half precision halves the file; the arg-max is the same to the third digit of a probability.
    payload = save({"weights": model.weights.astype(np.float16), "bias": model.bias})
    description = {
        "format_version": FORMAT_VERSION,
        "labels": list(model.labels),
        "featuriser": model.featuriser.config(),
        "weights_sha256": hashlib.sha256(payload).hexdigest(),
        **about,
    }
    with whole_file(folder / WEIGHTS_FILE) as scratch:
        scratch.write_bytes(payload)
    write_text(json.dumps(description, indent=2) + "\n", folder / MODEL_FILE)


def train_bundled(folder: Path = BUNDLED) -> float:
    """Train the bundled custom model; returns its accuracy on the evaluation prompts of its families."""
    evaluation = evaluation_items(EVALUATION_COUNT)
    training = training_items(TRAINING_PROMPTS, evaluation, CLOSED_FAMILIES)
    model = fit([each.prompt for each in training], [each.answer for each in training], bundled_featuriser())
    about = {"training_prompts": len(training), "families": list(CLOSED_FAMILIES)}
    write(model, folder, dict(about))
    asked = [item for item in evaluation if item.task in CLOSED_FAMILIES]
    said, _ = model.predict([item.prompt for item in asked])
    return float(np.mean([answer == item.answer for answer, item in zip(said, asked, strict=True)]))


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


if __name__ == "__main__":
    print(f"accuracy on the evaluation prompts of its families: {train_bundled():.3f}")
