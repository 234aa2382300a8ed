"""Write the generated prompts: ``python -m experiments.tasks prompts OUT.jsonl`` or ``... examples OUT.jsonl``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from experiments.tasks.pools import EVALUATION_COUNT, EXAMPLES_PER_FORM, evaluation_items, example_items


def prompt_lines(count: int = EVALUATION_COUNT) -> list[str]:
    """The evaluation prompts as lines of the file that ``pointsman record --prompts`` reads."""
    return [
        json.dumps(
            {"query_id": f"q{index:04d}", "task": item.task, "prompt": item.prompt, "check": item.check},
            ensure_ascii=False,
        )
        for index, item in enumerate(evaluation_items(count))
    ]


def example_lines() -> list[str]:
    """The few-shot examples as lines of ``instances/data/examples.jsonl``."""
    items = example_items(EXAMPLES_PER_FORM, evaluation_items(EVALUATION_COUNT))
    return [json.dumps({"prompt": item.prompt, "answer": item.answer}, ensure_ascii=False) for item in items]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.tasks", description=__doc__)
    parser.add_argument("what", choices=("prompts", "examples"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=EVALUATION_COUNT, help="prompts to make (prompts only)")
    arguments = parser.parse_args()
    lines = prompt_lines(arguments.count) if arguments.what == "prompts" else example_lines()
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
