"""Record a trace: ask every instance of a configuration every prompt, judge the answers, keep what was measured.

Recording takes an hour rather than a second, so it is resumable: finished shards lie in a folder beside the output,
each written whole, and a second run goes on where the first one stopped. A call that fails is a row with its error
and without a score; no score is ever made up.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from env.errors import BadInput, PointsmanError, nearest
from env.files import whole_file, write_json
from experiments.tasks.check import score
from instances.config import InstanceConfig, RuntimeConfig, load_config
from instances.providers import make_provider
from instances.providers.base import ChatRequest, Completion, Provider, ProviderError

SHARD_SIZE = 50
"""Prompts per shard: what an interruption can lose."""

_SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("task", pa.string()),
        ("prompt", pa.string()),
        ("model", pa.string()),
        ("score", pa.float32()),
        ("input_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("cost_usd", pa.float64()),
        ("latency_s", pa.float32()),
        ("ttft_s", pa.float32()),
        ("timestamp", pa.timestamp("ms", tz="UTC")),
        ("response", pa.string()),
        ("logprob", pa.float32()),
        ("error", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt to record: a line of the prompts file."""

    query_id: str
    task: str | None
    prompt: str
    check: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recording:
    """What a call to `record` did.

    Attributes:
        out: the trace; not there yet when `missing_shards` is not 0.
        rows: rows that this run asked for.
        failed: of these, calls that failed.
        missing_shards: shards that other runs still have to record (``only``).
    """

    out: Path
    rows: int
    failed: int
    missing_shards: int


def record(
    config: RuntimeConfig | str | Path,
    prompts: str | Path,
    out: str | Path,
    *,
    only: Collection[str] = (),
    shard_size: int = SHARD_SIZE,
    progress: bool = True,
) -> Recording:
    """Record a trace, or go on with one.

    Args:
        config: the instances to ask; they are asked one after another, one prompt at a time, so that the measured
            latency is the model's own.
        prompts: JSON lines ``{"query_id", "task", "prompt", "check"}`` (`experiments.tasks.check`).
        out: the Parquet file, written when every shard is there. The shards lie in ``OUT.recording``; nothing needs
            them once the file is written.
        only: names of the instances that this run asks. Several runs may share the work of one recording.
        shard_size: prompts per shard.
        progress: show a progress bar on standard error, if that is a terminal.

    Raises:
        BadInput: a prompt line is malformed, an instance in `only` is unknown, or the shards that are there were
            recorded with other prompts or settings.
    """
    runtime = config if isinstance(config, RuntimeConfig) else load_config(config)
    path, asked = Path(out), read_prompts(prompts)
    names = [instance.name for instance in runtime.instances]
    for name in only:
        if name not in names:
            raise BadInput(f"no instance `{name}` in the configuration{nearest(name, names)}")
    parts = _Parts(path.with_name(f"{path.name}.recording"), asked, shard_size)
    chosen = [instance for instance in runtime.instances if not only or instance.name in only]
    parts.claim(chosen)
    with _progress(progress) as bar:
        rows, failed = asyncio.run(_record_all(chosen, parts, bar))
    missing = [name for name in names for index in parts.indices if not parts.path(name, index).exists()]
    if not missing:
        _assemble([parts.path(name, index) for name in names for index in parts.indices], path)
    return Recording(path, rows, failed, len(missing))


def read_prompts(path: str | Path) -> list[Prompt]:
    """The prompts in a JSON-lines file.

    Raises:
        BadInput: naming the file, the line and the field.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot read the prompts: {error}") from None
    prompts: list[Prompt] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        prompt = _parse(line, f"{path}: line {number}")
        if prompt.query_id in seen:
            raise BadInput(f"{path}: line {number}: query_id `{prompt.query_id}` is used twice")
        seen.add(prompt.query_id)
        prompts.append(prompt)
    if not prompts:
        raise BadInput(f"{path}: no prompts in it; one JSON object a line with query_id, task, prompt and check")
    return prompts


def _parse(line: str, where: str) -> Prompt:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise BadInput(f"{where}: not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadInput(f"{where}: not a JSON object")
    for name, kind in (("query_id", str), ("prompt", str), ("check", dict)):
        if not isinstance(fields.get(name), kind):
            raise BadInput(f"{where}: `{name}` must be {'an object' if kind is dict else 'a text'}")
    try:
        score(fields["check"], "")
    except (BadInput, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{where}: `check`: {error}") from None
    task = fields.get("task")
    return Prompt(fields["query_id"], None if task is None else str(task), fields["prompt"], fields["check"])


class _Parts:
    """The shards of one recording: ``MODEL-INDEX.parquet``, and per model what it was recorded with."""

    def __init__(self, folder: Path, prompts: Sequence[Prompt], shard_size: int) -> None:
        self.folder = folder
        self.shards = [prompts[start : start + shard_size] for start in range(0, len(prompts), shard_size)]
        self.indices = range(len(self.shards))
        self._prompts = _digest([[each.query_id, each.prompt, each.check] for each in prompts])

    def path(self, model: str, index: int) -> Path:
        return self.folder / f"{model}-{index:04d}.parquet"

    def claim(self, instances: Sequence[InstanceConfig]) -> None:
        """Make sure that the shards on disk belong to these prompts and settings."""
        for instance in instances:
            settings = instance.model_dump(mode="json", exclude_defaults=True)
            made_with = {"prompts": self._prompts, "settings": _digest(settings), "shards": len(self.shards)}
            manifest = self.folder / f"{instance.name}.json"
            if not manifest.exists():
                write_json(made_with, manifest)
            elif json.loads(manifest.read_text(encoding="utf-8")) != made_with:
                raise BadInput(
                    f"{self.folder}: `{instance.name}` was recorded there with other prompts or settings; "
                    f"remove {self.folder.name}/{instance.name}* to record it again"
                )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


async def _record_all(instances: Sequence[InstanceConfig], parts: _Parts, bar: Progress) -> tuple[int, int]:
    rows = failed = 0
    for instance in instances:
        todo = [index for index in parts.indices if not parts.path(instance.name, index).exists()]
        total = sum(map(len, parts.shards))
        line = bar.add_task(instance.name, total=total, completed=total - sum(len(parts.shards[i]) for i in todo))
        if not todo:
            continue
        provider = make_provider(instance)
        try:
            await provider.start()
            for index in todo:
                shard = await _record_shard(instance, provider, parts.shards[index], bar, line)
                with whole_file(parts.path(instance.name, index)) as scratch:
                    pq.write_table(pa.Table.from_pylist(shard, schema=_SCHEMA), scratch)
                rows += len(shard)
                failed += sum(row["error"] is not None for row in shard)
        finally:
            await provider.close()
    return rows, failed


async def _record_shard(
    instance: InstanceConfig, provider: Provider, prompts: Sequence[Prompt], bar: Progress, line: TaskID
) -> list[dict[str, Any]]:
    shard = []
    for prompt in prompts:
        shard.append(await _record_one(instance, provider, prompt))
        bar.advance(line)
    return shard


async def _record_one(instance: InstanceConfig, provider: Provider, prompt: Prompt) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_SCHEMA.names)
    row |= {"query_id": prompt.query_id, "task": prompt.task, "prompt": prompt.prompt, "model": instance.name}
    row["timestamp"] = int(time.time() * 1000)
    request = ChatRequest(({"role": "user", "content": prompt.prompt},), timeout_s=instance.timeout_s)
    try:
        answer = await _ask(provider, request)
    except ProviderError as error:
        return row | {"error": str(error)}
    return row | {
        "score": score(prompt.check, answer.text),
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cost_usd": instance.cost_usd(answer),
        "latency_s": answer.latency_s,
        "ttft_s": answer.ttft_s,
        "response": answer.text,
        "logprob": answer.logprob,
    }


async def _ask(provider: Provider, request: ChatRequest) -> Completion:
    """The answer, streamed: only a stream shows when the first token came."""
    completion = None
    async for delta in provider.stream(request):
        completion = delta.completion or completion
    if completion is None:
        raise ProviderError("the stream ended without a completion")
    return completion


def _assemble(shards: Sequence[Path], out: Path) -> None:
    """One Parquet file out of the shards, without the columns that nothing filled."""
    try:
        table = pa.concat_tables([pq.read_table(shard, schema=_SCHEMA, partitioning=None) for shard in shards])
    except (pa.ArrowInvalid, OSError) as error:
        raise PointsmanError(f"cannot read a recorded shard: {error}; remove it and record again") from None
    filled = [name for name in table.column_names if table[name].null_count < len(table) or name == "score"]
    with whole_file(out) as scratch:
        pq.write_table(table.select(filled), scratch, compression="zstd", compression_level=19)


@contextmanager
def _progress(show: bool) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Standard output is for what was recorded; and bars in a file would be noise.
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not (show and console.is_terminal)) as bar:
        yield bar
