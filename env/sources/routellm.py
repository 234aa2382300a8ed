"""RouteLLM's evaluations: a prompt, one true/false column per model, and sometimes ``MODEL_response``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from env.sources.base import SCORE_RULE, Columns, Long, Source, long_of_wide
from env.sources.raw import Raw

_ANSWER = "_response"


def models_of(raw: Raw) -> list[str]:
    """The models: every true/false column besides the prompt."""
    return [name for name in raw.columns if pa.types.is_boolean(raw.table[name].type)]


def looks_like(raw: Raw) -> bool:
    """A prompt, true/false columns, and nothing else but answers."""
    names = {*raw.columns}
    if "prompt" not in names or names & {"model", "query_id"}:
        return False
    models = models_of(raw)
    return bool(models) and names <= {"prompt", *models, *(f"{model}{_ANSWER}" for model in models)}


def to_long(raw: Raw) -> Long:
    """Long rows; the file's name is the task, as ``mmlu_anatomy.csv`` and ``gsm8k_responses.csv`` intend."""
    raw.need("prompt")
    models, n = models_of(raw), len(raw)
    task = Path(raw.where).stem.removesuffix("_responses")
    query: Columns = {
        "query_id": [f"{task}/{row}" for row in range(n)],
        "task": [task] * n,
        "prompt": raw.texts("prompt"),
    }
    answered = [f"{model}{_ANSWER}" in raw.columns for model in models]
    cells: Columns = {
        "score": [raw.numbers(model, 0, 1, SCORE_RULE) for model in models],
        # Without answers it is MMLU, where RouteLLM asks for one token: the letter.
        "output_tokens": [np.full(n, np.nan if kept else 1.0) for kept in answered],
        "response": [
            raw.texts(f"{model}{_ANSWER}") if kept else [None] * n for model, kept in zip(models, answered, strict=True)
        ],
    }
    notes = ("tokens and costs are not recorded: --estimate-tokens and --prices list fill them in, roughly",)
    return Long(long_of_wide(raw, models, query, cells), notes)


SOURCE = Source(
    name="routellm",
    what="wide CSV: prompt, one true/false column per model, `MODEL_response`",
    home="https://github.com/lm-sys/RouteLLM",
    looks_like=looks_like,
    to_long=to_long,
)
