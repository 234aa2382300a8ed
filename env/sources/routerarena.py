"""RouterArena: a model's ``cached_results`` (JSONL), or a router's predictions (JSON) with their results inside."""

from __future__ import annotations

from typing import Any

from env.sources.base import SCORE_RULE, Long, Source
from env.sources.raw import Raw, Record
from env.trace_io import table_of

_IDS = ("global_index", "global index")


def looks_like(raw: Raw) -> bool:
    """A global index, and a model under either of the two files' names."""
    names = {*raw.columns}
    return bool(names & {*_IDS}) and bool(names & {"llm_selected", "prediction"})


def to_long(raw: Raw) -> Long:
    """Long rows; an answer that was not evaluated has no score, a call that failed has its error."""
    rows = [_row(raw, row, record) for row, record in enumerate(raw.records)]
    notes = []
    if unscored := sum(row["score"] is None for row in rows):
        notes.append(f"{unscored} of {len(rows)} answers were not evaluated: their score is null")
    if raised := sum(row.pop("below_zero") for row in rows):
        notes.append(f"{raised} METEOR scores below 0 count as 0")
    return Long(table_of(rows, raw.fail), tuple(notes))


def _row(raw: Raw, row: int, record: Record) -> dict[str, Any]:
    ident = record.get(_IDS[0]) or record.get(_IDS[1])
    if not ident:
        raw.fail(row, _IDS[0], "null")
    # A prediction holds the cached result of the model that was chosen.
    result = record if "llm_selected" in record else raw.object(row, "generated_result", record.get("generated_result"))
    judged = raw.object(row, "evaluation_result", result.get("evaluation_result"))
    used = raw.object(row, "token_usage", result.get("token_usage"))
    score = judged.get("score") if judged.get("score") is not None else record.get("accuracy")
    failed = result.get("success") is False
    # METEOR is meant to be in [0, 1]; as RouterArena computes it, its penalty can exceed the match.
    below_zero = judged.get("metric") == "meteor_score" and isinstance(score, float) and score < 0
    if failed or below_zero:
        score = None if failed else 0.0
    cost = judged.get("inference_cost") if judged.get("inference_cost") is not None else record.get("cost")
    return {
        "query_id": str(ident),
        "task": str(ident).rpartition("_")[0] or None,
        "prompt": record.get("question") or record.get("prompt"),
        "model": record.get("llm_selected") or record.get("prediction"),
        "score": raw.number(row, "evaluation_result.score", score, 1, SCORE_RULE),
        "below_zero": below_zero,
        "input_tokens": used.get("input_tokens"),
        "output_tokens": used.get("output_tokens"),
        "cost_usd": cost,
        "error": str(result.get("error") or "failed") if failed else None,
        "response": result.get("generated_answer"),
    }


SOURCE = Source(
    name="routerarena",
    what="cached_results JSONL or predictions JSON: global_index, llm_selected, evaluation_result, token_usage",
    home="https://github.com/RouteWorks/RouterArena",
    looks_like=looks_like,
    to_long=to_long,
)
