"""Where an agent that plans pays: PPO against rules that choose for the query at hand, under a budget and in traffic.

python -m experiments.studies.planning --json docs/planning/rows.json --document docs/planning.md

All of them, agents and rules, see the same of a query: what ridge regression expects of every arm (of training queries
with folds that did not hold them). So what differs is what is made of it. Nothing is tuned on test queries.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.budget_env import RoutingBudgetEnv
from env.contexts import Bools, Contexts, Floats, Outcomes
from env.errors import MissingExtra
from env.observation import ObservationLayout
from env.routing_table import RoutingTable
from env.sources.named import load_trace
from env.trace import Trace
from env.trace_table import trace_table
from env.traffic_env import RoutingTrafficEnv
from experiments.bootstrap import Array, Bootstrap
from experiments.documents import put
from experiments.studies.agents import best_open, cell, contexts_of, interval, table_head
from routers.ridge import Ridge
from routers.sb3_training import one_thread

Rule: TypeAlias = Callable[[Floats, Bools], int]
"""The arm for an observation ``(width,)`` and a mask ``(K,)``."""

BUDGET, TRAFFIC = "pointsman/RoutingBudget-v0", "pointsman/RoutingTraffic-v0"
# A twelfth of the bundled trace's training prompts, so that a pass over any part is a whole number of windows.
WINDOW = 76
SETTINGS: dict[str, dict[str, Any]] = {
    BUDGET: {"window": WINDOW, "budget": 0.25},
    # Busier than the best arm can be for long, and a second of waiting worth a twentieth of a score point.
    TRAFFIC: {"window": WINDOW, "utilisation": 1.2},
}
LATENCY_WEIGHT = {BUDGET: 0.0, TRAFFIC: 0.05}
# How far an agent looks ahead: to the end of the window, and not at all.
AGENTS = {"PPO, plans": {BUDGET: 1.0, TRAFFIC: 0.99}, "PPO, one step ahead": {BUDGET: 0.0, TRAFFIC: 0.0}}
GREEDY = {BUDGET: "greedy", TRAFFIC: "greedy, blind to queues"}
_ENVS, _PASSES, _FOLDS = 16, 4, 5
_PPO: dict[str, Any] = {"n_steps": 2 * WINDOW, "batch_size": 304, "n_epochs": 6, "learning_rate": 1e-3}


def informed(train_on: RoutingTable, test_on: RoutingTable) -> tuple[RoutingTable, RoutingTable]:
    """Both tables with observations ``(n, 3K)``: expected scores, and costs and latencies in units of the dearest mean.

    Those of the training table are expected by ridge regressions on the other folds.
    """
    contexts, outcomes = contexts_of(train_on)
    units = [max(float(np.nanmean(column, axis=0).max()), 1e-12) for column in (outcomes.cost_usd, outcomes.latency_s)]
    fold = np.random.default_rng(0).permutation(len(contexts)) % _FOLDS
    own = np.zeros((len(contexts), 3 * train_on.n_arms), dtype=np.float32)
    for one in range(_FOLDS):
        rest, part = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        own[part] = _expected(contexts.take(rest), outcomes.take(rest), contexts.take(part), units)
    unseen = _expected(contexts, outcomes, contexts_of(test_on)[0], units)
    layout = ObservationLayout(3 * train_on.n_arms)
    return replace(train_on, observations=own, layout=layout), replace(test_on, observations=unseen, layout=layout)


def _expected(contexts: Contexts, outcomes: Outcomes, asked: Contexts, units: list[float]) -> Floats:
    told = Ridge(contexts.n_arms, contexts.features.shape[1]).fit(contexts, outcomes).predict(asked)
    return np.hstack([told.score, told.cost_usd / units[0], told.latency_s / units[1]]).astype(np.float32)


def budget_rules(table: RoutingTable) -> dict[str, Rule]:
    """Greedy until the money is gone; one price of money for the window; a price that follows what is left.

    The price at which the training queries would cost so much a query, on average, is read off their expectations.
    """
    k = table.n_arms
    env = RoutingBudgetEnv(table, **SETTINGS[BUDGET])
    score, cost = table.observations[:, :k], table.observations[:, k : 2 * k]
    unit = float(np.nanmean(table.cost_usd, axis=0).max())
    prices = np.concatenate([[0.0], np.logspace(-3, 3, 200)])
    rows = np.arange(len(score))
    mean_cost = np.array([cost[rows, (score - price * cost).argmax(axis=1)].mean() for price in prices])

    def price(allowance: float) -> float:
        within = mean_cost <= allowance
        return float(prices[within.argmax() if within.any() else -1])

    allowance = env.budget_usd / env.window / unit
    fixed = price(allowance)

    def at(weight: float, seen: Floats, mask: Bools) -> int:
        return best_open(seen[:k] - weight * seen[k : 2 * k], mask)

    def paced(seen: Floats, mask: Bools) -> int:
        money, time = (float(share + 1) / 2 for share in seen[-2:])
        return at(price(allowance * money / time), seen, mask)

    return {
        GREEDY[BUDGET]: lambda seen, mask: at(0.0, seen, mask),
        "one price of money": lambda seen, mask: at(fixed, seen, mask),
        "a price that follows the budget": paced,
    }


def traffic_rules(table: RoutingTable) -> dict[str, Rule]:
    """Greedy by score and latency of the call itself; the same with the wait that each queue expects."""
    k, weight = table.n_arms, LATENCY_WEIGHT[TRAFFIC]
    unit = float(np.nanmean(table.latency_s, axis=0).max())

    def utility(seen: Floats) -> NDArray[Any]:
        return np.asarray(seen[:k] - weight * unit * seen[2 * k : 3 * k])

    def aware(seen: Floats, mask: Bools) -> int:
        share = seen[3 * k : 4 * k]  # of a wait w, w / (w + 1 s)
        return best_open(utility(seen) - weight * share / np.maximum(1 - share, 1e-6), mask)

    return {
        GREEDY[TRAFFIC]: lambda seen, mask: best_open(utility(seen), mask),
        "greedy, with the wait": aware,
    }


def trained(env_id: str, table: RoutingTable, gamma: float, steps: int, seed: int) -> Rule:
    """MaskablePPO's most likely arms after so many steps.

    Raises:
        MissingExtra: sb3-contrib is not installed.
    """
    try:
        from sb3_contrib import MaskablePPO
        from stable_baselines3.common.logger import Logger
        from stable_baselines3.common.vec_env import DummyVecEnv
    except ImportError as error:
        raise MissingExtra("MaskablePPO", "dev") from error
    with one_thread():
        envs = DummyVecEnv([lambda: made(env_id, table)] * _ENVS)
        model = MaskablePPO("MlpPolicy", envs, gamma=gamma, seed=seed, device="cpu", **_PPO)
        model.set_logger(Logger(None, []))  # the default one makes a folder for every training
        model.learn(steps)
    return lambda seen, mask: int(model.predict(seen, action_masks=mask, deterministic=True)[0])


def made(env_id: str, table: RoutingTable) -> RoutingBudgetEnv | RoutingTrafficEnv:
    """The environment over a table."""
    kind: Any = RoutingBudgetEnv if env_id == BUDGET else RoutingTrafficEnv
    env: RoutingBudgetEnv | RoutingTrafficEnv = kind(table, **SETTINGS[env_id])
    return env


def play(env: RoutingBudgetEnv | RoutingTrafficEnv, rule: Rule) -> dict[str, Array]:
    """``reward``, ``score``, ``cost_usd``, ``latency_s`` ``(n,)`` of each query, over whole windows of a few passes.

    The reward of a query is its score minus the price of its time, waits included; what went unanswered scored 0.
    """
    rows = {str(query): row for row, query in enumerate(env.table.query_ids)}
    windows = _PASSES * (len(env.table) // env.window)
    total = {figure: np.zeros(len(env.table)) for figure in ("score", "cost_usd", "latency_s")}
    env.reset(seed=0)
    stream = env.truth(windows * env.window).rows
    asked = np.bincount(stream, minlength=len(env.table)).astype(np.float64)
    for window in range(windows):
        seen, info = env.reset(seed=0 if window == 0 else None)
        over = False
        while not over:
            row = rows[info["query_id"]]
            seen, _, over, _, info = env.step(rule(seen, env.action_masks()))
            ended = info.get("completed", ({**info, "step": None},))
            for end in ended:
                at = row if end["step"] is None else int(stream[end["step"]])
                for figure, values in total.items():
                    values[at] += end[figure] or 0
    means = {figure: np.where(asked > 0, values / np.maximum(asked, 1), np.nan) for figure, values in total.items()}
    weight = LATENCY_WEIGHT[BUDGET if isinstance(env, RoutingBudgetEnv) else TRAFFIC]
    return {"reward": means["score"] - weight * means["latency_s"], **means}


def study(trace: Trace, *, steps: int, seeds: int) -> list[dict[str, Any]]:
    """Train and play all of them.

    Returns:
        A row for each environment and contestant: mean ``reward``, ``score``, ``cost_usd``, ``latency_s`` of a query
        and ``gain``, its reward above the greedy rule's on the same queries, each with ``_low`` and ``_high`` (95 %,
        over prompts and seeds).
    """
    draws = Bootstrap.draw(trace.groups, seeds)
    found = []
    for env_id, rules in ((BUDGET, budget_rules), (TRAFFIC, traffic_rules)):
        runs: dict[str, list[tuple[dict[str, Array], NDArray[np.int64]]]] = {}
        for seed in range(seeds):
            parts = [
                trace_table(trace, part=part, split_seed=seed, latency_weight=LATENCY_WEIGHT[env_id])
                for part in ("train", "test")
            ]
            train_on, test_on = informed(*parts)
            at = np.flatnonzero(np.isin(trace.query_ids.astype(str), test_on.query_ids.astype(str)))
            # In the order of the trace, as `at` is.
            order = np.argsort(
                [int(np.flatnonzero(trace.query_ids.astype(str) == str(q))[0]) for q in test_on.query_ids]
            )
            players = rules(train_on) | {
                name: trained(env_id, train_on, gamma[env_id], steps, seed) for name, gamma in AGENTS.items()
            }
            greedy = play(made(env_id, test_on), players[GREEDY[env_id]])
            for name, rule in players.items():
                told = play(made(env_id, test_on), rule)
                told["gain"] = told["reward"] - greedy["reward"]
                runs.setdefault(name, []).append(({key: values[order] for key, values in told.items()}, at))
                print(f"{env_id}, seed {seed}: {name} {np.nanmean(told['reward']):.3f}", file=sys.stderr)
        for name, played in runs.items():
            row: dict[str, Any] = {"env": env_id, "who": name, "seeds": seeds, **SETTINGS[env_id]}
            row |= {"latency_weight": LATENCY_WEIGHT[env_id], "steps": steps if name in AGENTS else None}
            for figure in ("reward", "gain", "score", "cost_usd", "latency_s"):
                row |= interval(figure, [(values[figure], where) for values, where in played], draws)
            found.append(row)
    return found


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown tables, one for each environment."""
    tables = []
    for env_id in (BUDGET, TRAFFIC):
        by_money = env_id == BUDGET
        last = "$ per 1,000 [95 %]" if by_money else "latency s [95 %]"
        lines = table_head([f"`{env_id}`", "reward [95 %]", "above greedy [95 %]", "score [95 %]", last])
        for row in (row for row in rows if row["env"] == env_id):
            spent = cell(row, "cost_usd", 1000) if by_money else cell(row, "latency_s")
            cells = [row["who"], cell(row, "reward"), _signed(row), cell(row, "score"), spent]
            lines.append("| " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _signed(row: Mapping[str, Any]) -> str:
    if row["who"] == GREEDY[row["env"]]:
        return "-"
    return f"{row['gain']:+.3f} [{row['gain_low']:+.3f}, {row['gain_high']:+.3f}]"


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.planning", description=__doc__.splitlines()[0])
    parser.add_argument("--trace", default="bundled", help="a trace with latencies, or the path of one")
    parser.add_argument("--steps", type=int, default=100_000, help="answers that an agent learns from")
    parser.add_argument("--seeds", type=int, default=3, help="splits of the prompts, and runs of each agent")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    parser.add_argument("--document", type=Path, help="whose tables to replace, e.g. docs/planning.md")
    given = parser.parse_args(arguments)
    rows = study(load_trace(given.trace), steps=given.steps, seeds=given.seeds)
    print(markdown(rows))
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    if given.document is not None:
        put("planning", markdown(rows), given.document)


if __name__ == "__main__":
    main()
