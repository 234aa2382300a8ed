"""How soon routers come to terms with a world that changed: rounds to recovery in four scenarios.

python -m experiments.studies.drift --trace paretobandit_val --out docs/drift --document docs/drift.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from env.contexts import Contexts, Floats, Ints
from env.errors import BadInput
from env.files import write_json
from env.routing_table import RoutingTable
from env.scenarios import Scenario
from env.scenarios import make as scenario
from env.sources.named import load_trace
from env.stream import Batch, QueryStream
from env.trace import Trace
from experiments.bootstrap import Array
from experiments.documents import put
from experiments.folds import featurised
from experiments.plot.style import COLOURS, empty_figure, save
from experiments.prequential import REGAINED, recovery, replayed
from experiments.prequential import rewards as rewards_of
from experiments.studies.bandit_problems import principal_axes
from routers import make

Play: TypeAlias = Callable[["World", Batch, int], Ints]
"""The arms ``(n,)`` a router chooses on a stream, learning each outcome; with a seed."""

BEFORE, AFTER = 2_000, 1_500
"""Rounds before the change and after it."""
COMPONENTS = 16
COST_WEIGHT = 100.0
"""Score points per dollar."""
FACTOR = 0.01
"""What is left of the dearest arm's price."""
OWN, RIVALS = "watchful_linucb", ("linucb", "paretobandit")
_FIRST_SEED = 1_000


@dataclass(frozen=True)
class World:
    """A trace made ready.

    Attributes:
        table: the queries, and what each arm brings.
        features: ``(n, d)`` principal components, of unit mean square length.
    """

    table: RoutingTable
    features: Floats

    @classmethod
    def of(cls, trace: Trace) -> World:
        """Of a trace with all outcomes and costs.

        Raises:
            BadInput: a cost is missing, or an outcome.
        """
        if not trace.has_cost or not trace.observed.all():
            raise BadInput(f"trace {trace.name}: drift needs every outcome with its cost")
        ready = featurised(trace)
        assert ready.features is not None
        center, axes = principal_axes(ready.features, COMPONENTS)
        along = (ready.features - center) @ axes
        rows: Floats = (along / np.sqrt(np.square(along).sum(axis=1).mean())).astype(np.float32)
        contexts = Contexts.of(rows, trace.n_arms, cost_weight=COST_WEIGHT)
        return cls(RoutingTable.of(contexts, trace.outcomes), rows)

    def scenarios(self) -> dict[str, Scenario]:
        """What happens at round :data:`BEFORE`: the outage is then over, and nobody says so."""
        worth = (self.table.score - COST_WEIGHT * self.table.cost_usd).mean(axis=0)
        best, dearest = str(int(worth.argmax())), str(int(self.table.cost_usd.mean(axis=0).argmax()))
        # In passes: a step of its own would have to lie in the first one.
        at, half = ((rounds + 0.5) / len(self.table) for rounds in (BEFORE, BEFORE // 2))
        return {
            "price cut": scenario("price_change", arm=dearest, at=at, factor=FACTOR),
            "silent regression": scenario("quality_drop", arm=best, at=at, share=0.5),
            "outage over": scenario("outage", arm=best, at=half, until=at, noticed=False),
            "new arm": scenario("new_arm", arm=best, at=at),
        }


def rewards(batch: Batch) -> Array:
    """``(n, K)`` score minus weighted cost; far below all where an arm is closed."""
    return rewards_of(batch, COST_WEIGHT)


def plays(names: Sequence[str]) -> dict[str, Play]:
    """Routers by name; ``paretobandit`` where it is installed."""

    def own(name: str) -> Play:
        def play(world: World, batch: Batch, seed: int) -> Ints:
            router = make(name, world.table.n_arms, world.features.shape[1])
            return replayed(router, world.features, batch, COST_WEIGHT, seed)

        return play

    found = {name: own(name) for name in names if name != "paretobandit"}
    if "paretobandit" in names and find_spec("pareto_bandit") is not None:
        found["paretobandit"] = paretobandit
    return found


def paretobandit(world: World, batch: Batch, seed: int) -> Ints:
    """ParetoBandit's policy (arXiv 2604.00136) with the exploration and forgetting that its package ships.

    Features whitened and with a constant, as its authors advise; rewards, which it wants in [0, 1], are score minus
    weighted cost, clipped, as list prices would not tell it of a cut.
    """
    # Its settings for a start without a prior.
    best = import_module("pareto_bandit.config").BEST_K3_TABULA_RASA_HPARAMS
    names = [str(arm) for arm in range(world.table.n_arms)]
    rows = np.column_stack([world.features / world.features.std(axis=0), np.ones(len(world.features))])
    policy = import_module("pareto_bandit.policy").DisjointLinUCBPolicy(
        names, dim=rows.shape[1], alpha=best["alpha"], forgetting_factor=best["forgetting_factor"], seed=seed
    )
    told = np.clip(batch.told - COST_WEIGHT * batch.cost_usd, 0, 1)
    arms = np.empty(len(batch.rows), dtype=np.int64)
    for step, row in enumerate(batch.rows.tolist()):
        name, _ = policy.select_arm(rows[row], [names[arm] for arm in np.flatnonzero(batch.mask[step])])
        policy.mark_selected(name)
        arms[step] = int(name)
        policy.update(name, rows[row], float(told[step, arms[step]]), advance_time=False)
    return arms


def study(
    trace: Trace, names: Sequence[str], streams: int, *, say: Callable[[str], None] = lambda line: None
) -> list[dict[str, Any]]:
    """Every router on the same streams of every scenario.

    Returns:
        Rows ``scenario, router, rounds, low, high, loss, reward_before, reward_after, curve``; the interval is by
        bootstrap over streams, the curve the share of the loss regained, by tens of rounds.
    """
    world = World.of(trace)
    rows = []
    for label, what in world.scenarios().items():
        batches = []
        for seed in range(_FIRST_SEED, _FIRST_SEED + streams):
            stream = QueryStream(world.table, "resample", what)
            stream.rewind(np.random.default_rng(seed))
            batches.append(stream.take(BEFORE + AFTER))
        worth = [rewards(batch) for batch in batches]
        was, now = (np.mean([part.mean(axis=0) for part in some], axis=0)
                    for some in ([w[:BEFORE] for w in worth], [w[BEFORE:] for w in worth]))  # fmt: skip
        loss = float(now.max() - now[was.argmax()])
        if loss <= 0:
            say(f"{label} is left out: what was best before is best after it")
            continue
        for name, play in plays(names).items():
            arms = [play(world, batch, _FIRST_SEED + at) for at, batch in enumerate(batches)]
            got = np.stack([w[np.arange(len(a)), a] for w, a in zip(worth, arms, strict=True)])
            gaps = np.stack([w[BEFORE:, now.argmax()] for w in worth]) - got[:, BEFORE:]
            found = recovery(gaps, loss)
            curve = 1 - gaps.mean(axis=0).reshape(-1, 10).mean(axis=1) / loss
            rows.append(
                {"scenario": label, "router": name, "rounds": int(found.value)}
                | {"low": found.low, "high": found.high, "loss": loss}
                | {"reward_before": float(got[:, :BEFORE].mean()), "reward_after": float(got[:, BEFORE:].mean())}
                | {"curve": np.round(curve, 4).tolist()}
            )
            say(f"{label}, {name}: {rows[-1]['rounds']}")
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table, and for each scenario whether the bar was met."""
    lines = [
        "| scenario | router | rounds to recovery [95 %] | mean reward before | after |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        late = ">" if row["rounds"] >= AFTER else ""
        lines.append(
            f"| {row['scenario']} | {row['router']} | {late}{row['rounds']} [{row['low']:.0f}, {row['high']:.0f}] "
            f"| {row['reward_before']:.3f} | {row['reward_after']:.3f} |"
        )
    return "\n".join([*lines, "", *(f"- {line}" for line in verdicts(rows))])


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each scenario, whether the own router needs at most half of the rounds of each rival."""
    found = {(row["scenario"], row["router"]): row["rounds"] for row in rows}
    lines = []
    for label in dict.fromkeys(row["scenario"] for row in rows):
        own = found[label, OWN]
        words = [
            f"{own} against {found[label, rival]} of {rival}: "
            + ("met" if own <= found[label, rival] / 2 else "**not met**")
            for rival in RIVALS
            if (label, rival) in found
        ]
        lines.append(f"{label}: {'; '.join(words)}")
    return lines


def picture(rows: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Share of the loss regained after the change, a panel for each scenario."""
    labels = list(dict.fromkeys(row["scenario"] for row in rows))
    figure = empty_figure(11.0, 3.0)
    panels = figure.subplots(1, len(labels), sharey=True, squeeze=False)[0]
    routers = list(dict.fromkeys(row["router"] for row in rows))
    for axes, label in zip(panels, labels, strict=True):
        for row in rows:
            if row["scenario"] == label:
                smooth = np.convolve(row["curve"], np.ones(5) / 5, "valid")
                colour = COLOURS[routers.index(row["router"])]
                axes.plot(50 + 10 * np.arange(len(smooth)), smooth, color=colour, label=row["router"], linewidth=1.3)
        axes.axhline(REGAINED, color="0.4", linestyle=":", linewidth=1)
        axes.set_ylim(-1, 1.3)
        axes.set_title(label, fontsize=9)
        axes.set_xlabel("rounds after the change (means of 50)", fontsize=7.5)
        axes.tick_params(labelsize=7)
    panels[0].set_ylabel("share of the loss regained", fontsize=8)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), fontsize=8, frameon=False)
    return save(figure, folder, "drift")


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.drift")
    parser.add_argument("--trace", default="paretobandit_val", help="a trace by name or path")
    parser.add_argument("--streams", type=int, default=30, help="seeded streams of each scenario")
    parser.add_argument("--out", type=Path, help="folder for the rows and the picture")
    parser.add_argument("--document", type=Path, help="whose table to replace, e.g. docs/drift.md")
    given = parser.parse_args(arguments)
    names = (OWN, *RIVALS, "discounted_linucb")
    rows = study(load_trace(given.trace), names, given.streams, say=lambda line: print(line, file=sys.stderr))
    print(markdown(rows))
    if given.out is not None:
        write_json(rows, given.out / "rows.json")
        picture(rows, given.out)
    if given.document is not None:
        put("drift", markdown(rows), given.document)


if __name__ == "__main__":
    main()
