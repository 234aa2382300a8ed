"""RouterBench: one row per prompt, and for each model a score column, ``|model_response`` and ``|total_cost``."""

from __future__ import annotations

import ast

from env.sources.base import SCORE_RULE, Columns, Long, Source, long_of_wide
from env.sources.raw import Raw

_COST, _ANSWER = "|total_cost", "|model_response"


def models_of(raw: Raw) -> list[str]:
    """The models: those that have a cost column and a score column."""
    return [name for name in raw.columns if f"{name}{_COST}" in raw.columns]


def to_long(raw: Raw) -> Long:
    """Long rows; the list that RouterBench keeps a prompt in is opened."""
    raw.need("sample_id", "prompt", "eval_name")
    models, n = models_of(raw), len(raw)
    prompts = [_opened(text) for text in raw.texts("prompt")]
    ids, repeated = _told_apart(raw, raw.texts("sample_id"), prompts)
    query: Columns = {"query_id": ids, "task": raw.texts("eval_name"), "prompt": prompts}
    cells: Columns = {
        "score": [raw.numbers(model, 0, 1, SCORE_RULE) for model in models],
        "cost_usd": [raw.numbers(f"{model}{_COST}") for model in models],
        "response": [
            [_opened(text) for text in raw.texts(f"{model}{_ANSWER}")]
            if f"{model}{_ANSWER}" in raw.columns
            else [None] * n
            for model in models
        ],
    }
    notes = (f"{repeated} rows repeat a sample_id with another prompt: they are queries of their own",)
    return Long(long_of_wide(raw, models, query, cells), notes if repeated else ())


def _told_apart(raw: Raw, ids: list[str | None], prompts: list[str | None]) -> tuple[list[str], int]:
    """Ids with a number where one stands for two prompts, as some of RouterBench's do."""
    seen: dict[str, list[str | None]] = {}
    found, repeated = [], 0
    for row, (ident, prompt) in enumerate(zip(ids, prompts, strict=True)):
        if ident is None:
            raw.fail(row, "sample_id", "null")
        earlier = seen.setdefault(ident, [])
        if prompt in earlier:
            raw.fail(row, "sample_id", f"a second row for {ident}, with the same prompt")
        earlier.append(prompt)
        repeated += len(earlier) > 1
        found.append(ident if len(earlier) == 1 else f"{ident}#{len(earlier)}")
    return found, repeated


def _opened(text: str | None) -> str | None:
    """The text of ``"['text']"``, the spelling of a Python list of one or more texts."""
    if text is None or not text.startswith("["):
        return text
    try:
        parts = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
        return "\n\n".join(parts)
    return text


SOURCE = Source(
    name="routerbench",
    what="wide table: sample_id, prompt, eval_name, and per model a score and `MODEL|total_cost`",
    home="https://github.com/withmartian/routerbench",
    looks_like=lambda raw: {"sample_id", "eval_name"} <= {*raw.columns} and bool(models_of(raw)),
    to_long=to_long,
    joins=True,
)
