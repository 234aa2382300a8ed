"""From the files of a public set to its table: one recipe a set, checked by tests against files of the same layout."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from env.arms import Price
from env.costs import fill_costs
from env.errors import BadInput
from env.prices import PriceEntry, PriceTable
from env.sources import routellm, routerbench
from env.sources.public_sets import PublicSet
from env.sources.raw import Record, read_raw
from env.sources.tokens import rough_tokens
from env.trace_io import table_of

Recipe = Callable[[PublicSet, Sequence[Path]], pa.Table]
_LETTERS = "ABCDEFGHIJ"


def make(found: PublicSet, paths: Sequence[Path]) -> pa.Table:
    """The table of a set from its files, in the order of ``found.files``.

    Raises:
        BadInput: a file is not of the layout that it had when its commit was pinned.
    """
    try:
        return RECIPES[found.name](found, paths)
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise BadInput(f"set {found.name}: a file has another layout than expected: {error!r}") from error


def _routellm(found: PublicSet, paths: Sequence[Path]) -> pa.Table:
    rows: list[Record] = []
    for path in paths:
        subject = path.stem.removesuffix("_responses")
        task = f"mmlu/{subject.removeprefix('mmlu_')}" if subject.startswith("mmlu_") else subject
        for row in routellm.SOURCE.to_long(read_raw(path)).table.to_pylist():
            rows.append({**row, "task": task, "query_id": f"{task}/{row['query_id'].rpartition('/')[2]}"})
    return _with_rough_costs(found, rows)


def _routerbench(found: PublicSet, paths: Sequence[Path]) -> pa.Table:
    rows: list[Record] = []
    for path in paths:
        part = path.stem.rpartition("_")[2]
        long = routerbench.SOURCE.to_long(read_raw(path)).table
        rows += [{**row, "split": part, "response": None} for row in long.to_pylist()]
    # A few ids stand for two prompts, each with half of the models: neither is a complete query.
    gaps = {row["query_id"].partition("#")[0] for row in rows if row["score"] is None}
    return _sorted(row for row in rows if row["query_id"].partition("#")[0] not in gaps)


def _paretobandit(found: PublicSet, paths: Sequence[Path]) -> pa.Table:
    prefix = found.name.removeprefix("paretobandit_")
    return _sorted(
        {
            "query_id": f"{prefix}-{number:05d}",
            "task": record["source"],
            "prompt": record["prompt"],
            "model": model,
            "score": outcome["reward"],
            "cost_usd": outcome["cost"],
        }
        for number, record in enumerate(read_raw(paths[0]).records)
        for model, outcome in record["arms"].items()
    )


def _mmlu_pro(found: PublicSet, paths: Sequence[Path]) -> pa.Table:
    rows: list[Record] = []
    # A few questions were reworded between the runs: the first run's words stand for all.
    asked: dict[int, str] = {}
    for path in paths:
        model = path.name.removeprefix("model_outputs_").removesuffix("_5shots.zip")
        for record in _zipped(path):
            if not isinstance(record, dict):  # a model's file has running totals between its answers
                continue
            options = [f"{letter}. {text}" for letter, text in zip(_LETTERS, record["options"], strict=False)]
            rows.append(
                {
                    "query_id": f"mmlu_pro/{record['question_id']}",
                    "task": f"mmlu_pro/{record['category']}",
                    "prompt": asked.setdefault(record["question_id"], "\n".join([record["question"], *options])),
                    "model": model,
                    "score": float(record["pred"] == record["answer"]),
                    "response": _text(record.get("generated_text", record.get("model_outputs"))),
                }
            )
    return _with_rough_costs(found, rows)


def _alpaca_eval2(found: PublicSet, paths: Sequence[Path]) -> pa.Table:
    models = [file.path.split("/")[1] for file in found.files]
    answers = [(model, read_raw(path).records) for model, path in zip(models, paths, strict=True)]
    asked = sorted({record["instruction"] for _, records in answers for record in records})
    number = {instruction: f"alpaca/{at:03d}" for at, instruction in enumerate(asked)}
    rows = [
        {
            "query_id": number[record["instruction"]],
            "task": f"alpaca/{record['dataset']}",
            "prompt": record["instruction"],
            "model": model,
            # From 1, the reference is preferred, to 2, the model is.
            "score": record["preference"] - 1.0,
            "response": record["output_2"],
        }
        for model, records in answers
        for record in records
    ]
    return _with_rough_costs(found, rows)


def _azure(found: PublicSet, paths: Sequence[Path]) -> pa.Table:
    records = read_raw(paths[0]).records
    times = [_moment(record["TIMESTAMP"]) for record in records]
    return pa.table(
        {
            "timestamp_s": [(time - times[0]).total_seconds() for time in times],
            "input_tokens": [int(record["ContextTokens"]) for record in records],
            "output_tokens": [int(record["GeneratedTokens"]) for record in records],
        }
    )


def _mooncake(found: PublicSet, paths: Sequence[Path]) -> pa.Table:
    records = read_raw(paths[0]).records
    return pa.table(
        {
            "timestamp_s": [record["timestamp"] / 1000 for record in records],
            "input_tokens": [record["input_length"] for record in records],
            "output_tokens": [record["output_length"] for record in records],
        }
    )


RECIPES: Mapping[str, Recipe] = {
    "routellm": _routellm,
    "routerbench_5shot": _routerbench,
    "paretobandit_val": _paretobandit,
    "paretobandit_val_k4": _paretobandit,
    "mmlu_pro": _mmlu_pro,
    "alpaca_eval2": _alpaca_eval2,
    "azure2023_conv": _azure,
    "azure2023_code": _azure,
    "mooncake_conversation": _mooncake,
}


def _with_rough_costs(found: PublicSet, rows: Iterable[Record]) -> pa.Table:
    """Rows with token counts estimated from the texts, and costs at the set's list prices; answers are left out."""
    counted: dict[str, int] = {}
    made = []
    for row in rows:
        if row["prompt"] not in counted:
            counted[row["prompt"]] = rough_tokens(row["prompt"])
        answer = row.get("response")
        output = row.get("output_tokens") if answer is None else rough_tokens(answer)
        made.append({**row, "input_tokens": counted[row["prompt"]], "output_tokens": output, "response": None})
    entries = [
        PriceEntry(model, Price(rates[0], rates[1]), date.min, found.home)
        for model, rates in (found.prices or {}).items()
    ]
    return fill_costs(_sorted(made), PriceTable(tuple(entries)))[0]


def _sorted(rows: Iterable[Record]) -> pa.Table:
    table = table_of(rows)
    table = table.drop_columns([name for name in table.column_names if name == "response"])
    return table.take(pc.sort_indices(table, [("query_id", "ascending"), ("model", "ascending")]))


def _zipped(path: Path) -> list[Any]:
    with zipfile.ZipFile(path) as archive:
        inside = [n for n in archive.namelist() if n.endswith(".json") and not n.startswith("__MACOSX")]
        found: list[Any] = json.loads(archive.read(inside[0]))
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _moment(value: Any) -> datetime:
    # Azure writes seven digits of a second; Python takes six.
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value)[:26])
