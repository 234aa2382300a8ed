"""The rough count of tokens, against counts by OpenAI's cl100k vocabulary where recorded data are at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from env.sources.tokens import rough_tokens
from env.trace_formats import read_table


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("Hello, world!", 4), ("internationalisation", 2), ("1234567", 3), ("a\n\nb", 3), ("日本", 2)],
)
def test_pieces_are_counted(text: str, count: int) -> None:
    assert rough_tokens(text) == count


@pytest.mark.parametrize("name", ["routellm", "mmlu_pro", "alpaca_eval2"])
def test_english_prompts_are_counted_within_a_few_percent(name: str, data_file: Callable[[str], Path]) -> None:
    table = read_table(data_file(f"{name}.parquet")).select(["prompt", "input_tokens"])
    counted = {}
    for row in table.take(np.arange(0, table.num_rows, 37)).to_pylist():
        if len(row["prompt"]) < 8_000:
            counted[row["prompt"]] = row["input_tokens"]
    rough = np.array([rough_tokens(prompt) for prompt in counted])
    true = np.array(list(counted.values()))
    assert np.median(np.abs(rough - true) / true) < 0.08
    assert abs(rough.sum() / true.sum() - 1) < 0.05
