"""A small model trained here: one softmax layer over text features, which answers with its likeliest label.

It costs next to nothing and is good at the closed label sets it was trained on. On anything else it still answers
a label, confidently and wrongly: to know when not to ask it is the router's work.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from env.contexts import Floats
from env.errors import BadInput
from env.features import Featuriser, from_config
from instances.config import InstanceConfig
from instances.providers.base import ChatRequest, Completion, Provider

FORMAT_VERSION = 1
MODEL_FILE, WEIGHTS_FILE = "model.json", "weights.safetensors"

_WORD = re.compile(r"\w+")


class CustomModel:
    """Featuriser, weights ``(d, L)`` and bias ``(L,)``, and the ``L`` labels."""

    def __init__(self, featuriser: Featuriser, labels: tuple[str, ...], weights: Floats, bias: Floats) -> None:
        self.featuriser, self.labels = featuriser, labels
        self.weights, self.bias = weights.astype(np.float32), bias.astype(np.float32)

    @classmethod
    def load(cls, folder: str | Path) -> CustomModel:
        """The model in a folder, as ``experiments.distill`` wrote it.

        Raises:
            BadInput: files missing, of an unknown version, or weights that are not the ones described.
        """
        folder = Path(folder)
        try:
            about: Any = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
            payload = (folder / WEIGHTS_FILE).read_bytes()
        except (OSError, ValueError) as error:
            raise BadInput(f"{folder}: cannot read the custom model: {error}") from None
        if not isinstance(about, dict):
            raise BadInput(f"{folder}/{MODEL_FILE}: not a JSON object; train it again")
        if about.get("format_version") != FORMAT_VERSION:
            version = about.get("format_version")
            raise BadInput(f"{folder}/{MODEL_FILE}: format version {version} is unknown; train it again")
        if hashlib.sha256(payload).hexdigest() != about.get("weights_sha256"):
            raise BadInput(f"{folder}/{WEIGHTS_FILE}: not the weights that {MODEL_FILE} describes; train it again")
        try:
            arrays = load(payload)
            model = cls(from_config(about["featuriser"]), tuple(about["labels"]), arrays["weights"], arrays["bias"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{folder}: malformed custom model: {error}") from None
        if model.weights.shape != (model.featuriser.d, len(model.labels)):
            raise BadInput(f"{folder}: weights of shape {model.weights.shape} do not fit features and labels")
        return model

    def predict(self, prompts: list[str]) -> tuple[list[str], Floats]:
        """The likeliest label of each prompt and its log-probability ``(n,)``."""
        logits = self.featuriser.transform(prompts) @ self.weights + self.bias
        top = logits.max(axis=1, keepdims=True)
        logprobs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        best = logprobs.argmax(axis=1)
        return [self.labels[i] for i in best], logprobs[np.arange(len(best)), best]


class CustomProvider(Provider):
    """A custom model as an instance. Its tokens are words."""

    def __init__(self, settings: InstanceConfig) -> None:
        """Check the settings; the model is read by `start`."""
        if settings.path is None:
            raise BadInput(f"instance `{settings.name}`: provider `custom` needs `path`")
        self._path = Path(settings.path)
        self._model: CustomModel | None = None

    async def start(self) -> None:
        """Read the model, and run it once, so that the first request does not pay for loading the embeddings."""
        if self._model is None:
            model = await asyncio.to_thread(CustomModel.load, self._path)
            await asyncio.to_thread(model.predict, ["warm up"])
            self._model = model

    async def close(self) -> None:
        """Forget the model."""
        self._model = None

    async def healthy(self) -> bool:
        """True once started."""
        return self._model is not None

    async def complete(self, request: ChatRequest) -> Completion:
        """The likeliest label; well under a millisecond, so it runs in the event loop."""
        if self._model is None:
            await self.start()
        assert self._model is not None
        started = time.perf_counter()
        prompt = request.prompt
        labels, logprobs = self._model.predict([prompt])
        return Completion(
            text=labels[0],
            input_tokens=len(_WORD.findall(prompt)),
            output_tokens=len(_WORD.findall(labels[0])),
            latency_s=time.perf_counter() - started,
            logprob=float(logprobs[0]),
        )
