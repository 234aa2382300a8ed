"""``pointsman demo``: the whole loop on real data, offline: compare, train, promote, serve real models, record.

Everything it writes is in one folder. Interrupted at any time, it stops the models and leaves whole files only.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from openai import OpenAI
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from env.errors import MissingExtra
from env.prompts import normalise
from env.sources.named import load_trace
from env.trace import Trace
from experiments.compare import Report, compare
from experiments.deploy import MODEL, promote
from experiments.explain import explain
from experiments.export import export_log
from experiments.money import per_thousand
from experiments.report import table
from experiments.serve import Server, installed_only
from experiments.tasks import Item, score
from experiments.tasks.item import Side
from experiments.tasks.pools import EVALUATION_COUNT, evaluation_items, generate
from experiments.trace_report import table as trace_table
from experiments.train import train
from instances.config import RuntimeConfig, load_config
from routers.policy import Policy

ROUTER = "ridge"
_ROUTERS = ("random", "zero", "zero_cost", "best_per_task", "placebo", "linucb", "linear_thompson", "knn", "ridge")
_SEED = 7  # of the new prompts
_MODES = ("pointsman", "pointsman", "pointsman/cheap", "pointsman/best")

Say = Callable[[RenderableType], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """One real answer.

    Attributes:
        request_id: names it in feedback.
        model: the arm that answered.
        text: the answer.
        cost_usd: dollars.
        latency_s: seconds.
    """

    request_id: str
    model: str
    text: str
    cost_usd: float | None
    latency_s: float


def run(
    out: str | Path,
    *,
    requests: int = 12,
    seeds: int = 3,
    say: Say,
    width: int = 120,
    source: str | Path = "bundled",
    config: RuntimeConfig | None = None,
) -> dict[str, Any]:
    """Run the demo.

    Args:
        out: folder for everything it writes.
        requests: real requests to send.
        seeds: of the comparison.
        say: shows a line or a table.
        width: columns that fit.
        source: trace to learn from, recorded with the models of the configuration.
        config: models to serve; the shipped ones that are installed when not given.

    Returns:
        What happened, JSON-able.

    Raises:
        MissingExtra: the `train`, `mlflow` or `local` extra is missing; nothing was written.
    """
    _check_installed(config)
    started, folder = time.time(), Path(out)
    if config is None:
        config, notes = installed_only(load_config())
        for note in notes:
            say(f"note: {note}")
    folder.mkdir(parents=True, exist_ok=True)
    step = _Steps(say)

    step("The data: what real local models answered, what it cost, how long it took.")
    trace = load_trace(source)
    say(trace_table(trace))

    step(f"Compare routers on it: {seeds} seeds, the same test queries for all, intervals over prompts and seeds.")
    report = compare([trace], _ROUTERS, seeds=seeds)[0]
    say(table(report, width=width))
    pictures = _picture(report, folder)
    say(f"The picture: {pictures[0]}")

    step(f"Train {ROUTER}, which sees the prompt alone; log it to MLflow; make it the champion of the registry.")
    policy = train(trace, ROUTER, folder / "policy")
    record = f"sqlite:///{folder / 'mlflow.db'}"
    champion = _register(record, report, pictures, policy, trace, folder, started)
    say(f"{champion['uri']}@champion is {ROUTER} {policy.version}; the bundle is {folder / 'policy'}/")
    say(f"Look at it:  mlflow ui --backend-store-uri {record}")

    step("Serve it: an OpenAI-compatible gateway in front of the same models, now live.")
    exchanges, live = _serve_and_ask(policy, config, folder, requests, say)

    step("What the gateway recorded is a trace, ready to train on.")
    log = folder / "log.parquet"
    recorded = export_log(live, log)
    say(f"{log}: {load_trace(log)!r}, scored by the feedback above")
    right = sum(exchange["score"] for exchange in exchanges)
    say(f"\nDone in {time.time() - started:.0f} s. {right:g} of {len(exchanges)} answers were right. Next:")
    for command, what in (
        ("open notebooks/01_the_loop.ipynb", "the same story, to look at and to change (any notebook editor)"),
        (f"pointsman serve --policy {folder / 'policy'}", "keep serving it"),
        (f'pointsman route "PROMPT" --policy {folder / "policy"}', "see a decision and why"),
        ("pointsman compare YOUR_TRACE.parquet", "compare routers on your own data"),
    ):
        say(f"  {command:50s} {what}")
    return {
        "trace": trace.name,
        "policy": policy.version,
        "exchanges": exchanges,
        "recorded_queries": len(recorded),
        "seconds": time.time() - started,
        "files": sorted(str(path) for path in folder.iterdir()),
    }


def _check_installed(config: RuntimeConfig | None) -> None:
    """Find out now, and all at once, rather than after minutes."""
    needed = {"train": "matplotlib", "mlflow": "mlflow"} | ({"local": "xllamacpp"} if config is None else {})
    missing = [extra for extra, package in needed.items() if find_spec(package) is None]
    if missing:
        raise MissingExtra("the demo", *missing)


class _Steps:
    """Numbers the steps."""

    def __init__(self, say: Say) -> None:
        self._say, self._number = say, 0

    def __call__(self, what: str) -> None:
        self._number += 1
        self._say(Text(f"\n{self._number}. {what}", style="bold"))


def _picture(report: Report, folder: Path) -> list[Path]:
    from experiments.plot import frontier, save

    return save(frontier(report), folder, "frontier")


def _register(
    record: str, report: Report, pictures: list[Path], policy: Policy, trace: Trace, folder: Path, started: float
) -> dict[str, str]:
    from experiments.tracking import Tracker

    tracker = Tracker(record)
    tracker.comparison([report], pictures, started=started)
    tracker.training(policy, trace, started=started)
    promote(folder / "policy", uri=record)
    return {"uri": f"models:/{MODEL}"}


def _serve_and_ask(
    policy: Policy, config: RuntimeConfig, folder: Path, requests: int, say: Say
) -> tuple[list[dict[str, Any]], str]:
    """Send real requests through a live gateway; what came back, and where it was recorded."""
    for old in folder.glob("live.db*"):
        old.unlink()
    store = f"sqlite:///{folder / 'live.db'}"
    with Server(config.model_copy(update={"store": store}), policy).in_background() as server:
        up = [instance.name for instance in server.runtime.manager if instance.started]
        say(f"{server.url} with {', '.join(up)}")
        prompts = _new_prompts(requests)
        say(f"{len(prompts)} new prompts with the official openai client; every second answer is streamed.")
        exchanges = [_exchange(server, item, number) for number, item in enumerate(prompts)]
        say(_table(exchanges))
        first = explain(policy, prompts[0].prompt, dial=config.dial, models=up)
        say(f"Why the first went where it went: {first.why}")
    return exchanges, store


def _new_prompts(count: int) -> list[Item]:
    """Prompts of the families that the trace was recorded on, none of which is in it."""
    taken = frozenset(normalise(item.prompt) for item in evaluation_items(EVALUATION_COUNT))
    return generate(count, seed=_SEED, side=Side.EVALUATION, taken=taken)


def _exchange(server: Server, item: Item, number: int) -> dict[str, Any]:
    """Ask, judge the answer exactly, and tell the gateway."""
    client = OpenAI(base_url=server.url, api_key="not needed", max_retries=0)
    stream, mode = number % 2 == 1, _MODES[number // 2 % len(_MODES)]
    reply = _ask_streaming(client, mode, item.prompt) if stream else _ask(client, mode, item.prompt)
    judged = score(item.check, reply.text)
    _feedback(server.url, reply.request_id, judged)
    return {
        "task": item.task,
        "prompt": item.prompt,
        "asked": mode,
        "stream": stream,
        "model": reply.model,
        "answer": reply.text,
        "cost_usd": reply.cost_usd,
        "latency_s": reply.latency_s,
        "score": judged,
    }


def _ask(client: OpenAI, model: str, prompt: str) -> Reply:
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])
    facts: dict[str, Any] = (answer.model_extra or {})["pointsman"]
    text = answer.choices[0].message.content or ""
    return Reply(answer.id, answer.model, text, facts["cost_usd"], facts["latency_s"])


def _ask_streaming(client: OpenAI, model: str, prompt: str) -> Reply:
    chunks = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": prompt}],
        stream=True,
        stream_options={"include_usage": True},
    )
    text, last = "", None
    for chunk in chunks:
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        last = chunk
    assert last is not None  # a stream that breaks raises
    facts: dict[str, Any] = (last.model_extra or {})["pointsman"]
    return Reply(last.id, last.model, text, facts["cost_usd"], facts["latency_s"])


def _feedback(url: str, request_id: str, value: float) -> None:
    body = json.dumps({"request_id": request_id, "score": value, "source": "exact check", "id": f"demo-{request_id}"})
    asked = urllib.request.Request(f"{url}/feedback", body.encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answered:
        answered.read()


def _table(exchanges: list[dict[str, Any]]) -> Table:
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("task", "asked for", "went to"):
        shown.add_column(head, no_wrap=True)
    for head in ("$/1k requests", "seconds"):
        shown.add_column(head, justify="right", no_wrap=True)
    shown.add_column("right?", no_wrap=True)
    shown.add_column("answer", no_wrap=True, max_width=40)
    for each in exchanges:
        cost = per_thousand(each["cost_usd"])
        verdict = "yes" if each["score"] == 1 else "no" if each["score"] == 0 else f"{each['score']:.0%}"
        asked = each["asked"] + (" (stream)" if each["stream"] else "")
        answer = " ".join(each["answer"].split())
        shown.add_row(each["task"], asked, each["model"], cost, f"{each['latency_s']:.2f}", verdict, answer)
    return shown
