"""Off-the-shelf reinforcement learning on the environments, side by side with what needs no agent.

python -m experiments.studies.agents --document docs/agents.md

Nothing is tuned: each library's defaults, and the few settings that are stated in ``AGENTS``. Every seed is a split of
the prompts and a training run; agents are evaluated on prompts that they never met, by their most likely arm.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from env.budget_env import RoutingBudgetEnv
from env.contexts import Bools, Contexts, Floats, Ints, Outcomes
from env.errors import MissingExtra
from env.routing_env import RoutingEnv
from env.routing_table import RoutingTable
from env.sources.named import load_trace
from env.trace import Trace
from env.trace_table import trace_table
from experiments.bootstrap import Array, Bootstrap, estimate
from experiments.documents import put
from routers.ridge import Ridge

Chooser: TypeAlias = Callable[[Floats, Bools, str], int]
"""The arm for an observation ``(width,)`` and a mask ``(K,)``; of the query's id only an oracle makes use."""

ROUTING, BUDGET = "pointsman/Routing-v0", "pointsman/RoutingBudget-v0"
# On the bundled trace a call to the dearest arm then costs a tenth of a score point more than one to the cheapest.
PRICE_OF_A_SCORE_POINT = 0.1
# A window of a twelfth of the bundled trace's training prompts, so that a pass over them, and one over the test
# prompts, is a whole number of windows.
WINDOW = 76
BUDGET_SHARE = 0.25
# Money spent in a window is gone to its end, so its end counts in full.
GAMMA = 1.0
_FIGURES = ("reward", "score", "cost_usd", "refused")


@dataclass(frozen=True)
class Agent:
    """An algorithm of a library.

    Attributes:
        library: whose.
        name: what the library calls it.
        n_envs: environments side by side.
        settings: what differs from the library's defaults; ``gamma`` is set where it matters.
        masks: True where it obeys action masks.
    """

    library: str
    name: str
    n_envs: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    masks: bool = False


AGENTS = {
    "PPO": Agent("stable_baselines3", "PPO", 16, {"n_steps": 128, "learning_rate": 1e-3}),
    "A2C": Agent("stable_baselines3", "A2C", 16),
    "DQN": Agent("stable_baselines3", "DQN", 4, {"learning_rate": 1e-3, "exploration_fraction": 0.5}),
    "MaskablePPO": Agent("sb3_contrib", "MaskablePPO", 16, {"n_steps": 128, "learning_rate": 1e-3}, masks=True),
    "PPO (skrl)": Agent("skrl", "PPO", 16, {"rollouts": 128, "mini_batches": 32}),
}


def train(agent: Agent, env_id: str, table: RoutingTable, steps: int, seed: int) -> Chooser:
    """Train an agent on an environment over a table.

    Args:
        agent: which.
        env_id: ``ROUTING`` or ``BUDGET``.
        table: the training queries.
        steps: answers to learn from.
        seed: of the stream and of the agent.

    Returns:
        Its most likely arms.

    Raises:
        MissingExtra: the library is not installed.
    """
    import torch

    torch.set_num_threads(1)
    return (_train_skrl if agent.library == "skrl" else _train_sb3)(agent, env_id, table, steps, seed)


def _train_sb3(agent: Agent, env_id: str, table: RoutingTable, steps: int, seed: int) -> Chooser:
    import importlib

    try:
        algorithm = getattr(importlib.import_module(agent.library), agent.name)
        from stable_baselines3.common.logger import Logger
        from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
    except ImportError as error:
        raise MissingExtra(f"the agent `{agent.name}`", "dev") from error
    envs: VecEnv
    if env_id == ROUTING:
        from env.sb3_vec_env import RoutingSB3VecEnv

        envs = RoutingSB3VecEnv(agent.n_envs, table)
    else:
        envs = DummyVecEnv([lambda: RoutingBudgetEnv(table, **_about(env_id))] * agent.n_envs)
    own = dict(agent.settings) | ({"gamma": GAMMA} if env_id == BUDGET else {})
    model = algorithm("MlpPolicy", envs, seed=seed, device="cpu", **own)
    model.set_logger(Logger(None, []))  # the default one makes a folder for every training
    model.learn(steps)

    def choose(observation: Floats, mask: Bools, query_id: str) -> int:
        obeyed = {"action_masks": mask} if agent.masks else {}
        return int(model.predict(observation, deterministic=True, **obeyed)[0])

    return choose


def _train_skrl(agent: Agent, env_id: str, table: RoutingTable, steps: int, seed: int) -> Chooser:
    try:
        import gymnasium as gym
        import skrl
        import torch
        from skrl.agents.torch.ppo import PPO, PPO_CFG
        from skrl.envs.wrappers.torch import wrap_env
        from skrl.memories.torch import RandomMemory
        from skrl.trainers.torch import SequentialTrainer
        from skrl.utils import set_seed
        from skrl.utils.model_instantiators.torch import categorical_model, deterministic_model
    except ImportError as error:
        raise MissingExtra(f"the agent `{agent.name}` of skrl", "dev") from error
    skrl.logger.setLevel("WARNING")
    set_seed(seed)
    envs = wrap_env(
        gym.make_vec(env_id, num_envs=agent.n_envs, trace=table, **_about(env_id)), "gymnasium", verbose=False
    )
    spaces = {"observation_space": envs.observation_space, "action_space": envs.action_space, "device": "cpu"}
    # The network that Stable-Baselines3 has by default: skrl has none.
    network = [{"name": "net", "input": "OBSERVATIONS", "layers": [64, 64], "activations": "tanh"}]
    own = PPO_CFG(**agent.settings, **({"discount_factor": GAMMA} if env_id == BUDGET else {}))
    own.experiment.write_interval = own.experiment.checkpoint_interval = 0
    policy = categorical_model(**spaces, network=network, output="ACTIONS")
    learner = PPO(
        models={"policy": policy, "value": deterministic_model(**spaces, network=network, output="ONE")},
        memory=RandomMemory(memory_size=own.rollouts, num_envs=agent.n_envs, device="cpu"),
        cfg=own,
        **spaces,
    )
    # Written for robots: what is printed, drawn and closed is switched off.
    quiet = {"headless": True, "disable_progressbar": True, "close_environment_at_exit": False}
    SequentialTrainer(env=envs, agents=learner, cfg={"timesteps": -(-steps // agent.n_envs), **quiet}).train()
    learner.enable_training_mode(False)

    def choose(observation: Floats, mask: Bools, query_id: str) -> int:
        with torch.no_grad():
            told = learner.act(torch.as_tensor(observation[None]), None, timestep=0, timesteps=0)[1]
        return int(told["net_output"].argmax())

    return choose


def play(env: RoutingEnv | RoutingBudgetEnv, choose: Chooser) -> dict[str, Array]:
    """One pass over an environment's queries, or as many whole windows as it has.

    Returns:
        ``reward``, ``score``, ``cost_usd`` and ``refused`` ``(n,)`` of each query of the table; 0 where it went
        unanswered, NaN where it was not asked.
    """
    row_of = {str(query): row for row, query in enumerate(env.table.query_ids)}
    window = env.window if isinstance(env, RoutingBudgetEnv) else 1
    found = {figure: np.full(len(env.table), np.nan) for figure in _FIGURES}
    if isinstance(env, RoutingBudgetEnv):
        asked = [row_of[query] for query in _order(env)]
        for values in found.values():
            values[asked] = 0
    for episode in range(len(env.table) // window):
        observation, info = env.reset(seed=0 if episode == 0 else None)
        over = False
        while not over:
            row = row_of[info["query_id"]]
            arm = choose(observation, env.action_masks(), info["query_id"])
            observation, reward, over, _, info = env.step(arm)
            found["reward"][row] = reward
            for figure in _FIGURES[1:]:
                found[figure][row] = info[figure] or 0
    return found


def _order(env: RoutingBudgetEnv) -> list[str]:
    """Ids of the queries of its whole windows: the bandit's stream, which is the same whatever is answered."""
    bandit = RoutingEnv(env.table)
    count = len(env.table) // env.window * env.window
    return [bandit.reset(seed=0 if step == 0 else None)[1]["query_id"] for step in range(count)]


def contexts_of(table: RoutingTable) -> tuple[Contexts, Outcomes]:
    """A table as a router learns from it."""
    weights = 0.0 if table.cost_weight is None else table.cost_weight
    contexts = Contexts.of(table.observations, table.n_arms, cost_weight=weights, mask=table.allowed)
    return contexts, Outcomes(table.score, table.cost_usd, table.latency_s)


def references(env_id: str, train_on: RoutingTable, test_on: RoutingTable, seed: int) -> dict[str, Chooser]:
    """What an agent is compared with. The oracle knows the outcomes of the test queries, the others do not.

    Under a budget the ridge and the oracle charge themselves one price of money: the lowest at which the mean cost
    of what they would choose, of the training and of the test queries, stays within the budget. Each takes the best
    open arm where its first choice is closed, and the best single arm gives way to the cheapest.
    """
    rng = np.random.default_rng(seed)
    contexts, outcomes = contexts_of(train_on)
    d = train_on.layout.width
    ridge = Ridge(train_on.n_arms, d).fit(contexts, outcomes)
    known = contexts_of(test_on)[1]
    row_of = {str(query): row for row, query in enumerate(test_on.query_ids)}
    if env_id == ROUTING:
        assert train_on.cost_weight is not None
        weight = oracle_weight = float(train_on.cost_weight[0])
    else:
        prices = np.asarray(train_on.price_usd)
        allowance = float(prices.min() + BUDGET_SHARE * np.ptp(prices))
        weight = price_of_money(ridge.predict(contexts), allowance)
        oracle_weight = price_of_money(known, allowance)

    def by_ridge(observation: Floats, mask: Bools, query_id: str) -> int:
        told = ridge.predict(Contexts.of(observation[None, :d], train_on.n_arms))
        return best_open(told.score[0] - weight * told.cost_usd[0], mask)

    def by_oracle(observation: Floats, mask: Bools, query_id: str) -> int:
        row = row_of[query_id]
        return best_open(known.score[row] - oracle_weight * known.cost_usd[row], mask)

    singles = [_single(arm, outcomes) for arm in range(train_on.n_arms)]
    return {
        "random": lambda _, mask, __: int(rng.choice(np.flatnonzero(mask))),
        "best single": max(
            singles, key=lambda single: float(np.nanmean(play(_make(env_id, train_on), single)["reward"]))
        ),
        "ridge, full information": by_ridge,
        "oracle": by_oracle,
    }


def _single(arm: int, outcomes: Outcomes) -> Chooser:
    order = -np.nanmean(outcomes.cost_usd, axis=0)
    order[arm] = 1
    return lambda _, mask, __: best_open(order, mask)


def best_open(utility: NDArray[Any], mask: Bools) -> int:
    """The arm of the highest utility ``(K,)`` among those that are open."""
    return int(np.where(mask, utility, -np.inf).argmax())


def price_of_money(outcomes: Outcomes, allowance_usd: float) -> float:
    """The lowest price of money at which the best arms cost no more than a budget a query, on average."""
    rows = np.arange(len(outcomes))
    tops = np.ptp(outcomes.score) / np.ptp(np.nanmean(outcomes.cost_usd, axis=0))
    for price in np.concatenate([[0.0], tops * np.logspace(-3, 2, 200)]):
        arms = (outcomes.score - price * outcomes.cost_usd).argmax(axis=1)
        if outcomes.cost_usd[rows, arms].mean() <= allowance_usd:
            return float(price)
    return float(price)


def study(trace: Trace, *, steps: int, seeds: int, agents: Mapping[str, Agent] = AGENTS) -> list[dict[str, Any]]:
    """Train and evaluate all of them.

    Returns:
        A row for each environment and agent: mean ``reward``, ``score``, ``cost_usd`` and ``refused`` a query, each
        with ``_low`` and ``_high`` (95 %, over prompts and seeds), ``steps``, ``prompts`` and ``wall_s``.
    """
    draws = Bootstrap.draw(trace.groups, seeds)
    rows = []
    for env_id in (ROUTING, BUDGET):
        settings: Any = {"cost_weight": cost_weight_of(trace)} if env_id == ROUTING else {}
        runs: dict[str, list[tuple[dict[str, Array], Ints]]] = {}
        wall: dict[str, float] = {}
        for seed in range(seeds):
            train_on = trace_table(trace, split_seed=seed, **settings)
            test_on = trace_table(trace, part="test", split_seed=seed, **settings)
            at = np.flatnonzero(np.isin(trace.query_ids.astype(str), test_on.query_ids.astype(str)))
            choosers = references(env_id, train_on, test_on, seed)
            for name in (*agents, *choosers):
                started = time.perf_counter()
                chooser = train(agents[name], env_id, train_on, steps, seed) if name in agents else choosers[name]
                wall[name] = wall.get(name, 0.0) + time.perf_counter() - started
                runs.setdefault(name, []).append((play(_make(env_id, test_on), chooser), at))
                print(f"{env_id}, seed {seed}: {name}", file=sys.stderr)
        prompts = len(np.unique(trace.groups[trace.split(0).train]))
        for name, found in runs.items():
            row: dict[str, Any] = {"env": env_id, "agent": name, "library": None, "steps": None}
            if name in agents:
                agent = agents[name]
                row |= {
                    "library": agent.library,
                    "n_envs": agent.n_envs,
                    "settings": dict(agent.settings),
                    "steps": steps,
                }
            row |= {"seeds": seeds, "prompts": prompts, **settings, **_about(env_id), "wall_s": wall[name] / seeds}
            for figure in _FIGURES:
                row |= interval(figure, [(values[figure], rows_of) for values, rows_of in found], draws)
            rows.append(row)
    return rows


def _about(env_id: str) -> dict[str, Any]:
    """Settings of an environment beside its table."""
    return {"window": WINDOW, "budget": BUDGET_SHARE} if env_id == BUDGET else {}


def _make(env_id: str, table: RoutingTable) -> RoutingEnv | RoutingBudgetEnv:
    return RoutingEnv(table) if env_id == ROUTING else RoutingBudgetEnv(table, **_about(env_id))


def cost_weight_of(trace: Trace) -> float:
    """The cost weight at which the dearest arm's mean cost weighs a tenth of a score point more than the cheapest's."""
    means = np.nanmean(trace.cost_usd[trace.split(0).train], axis=0)
    # Two digits, so that it can be stated.
    return float(f"{PRICE_OF_A_SCORE_POINT / np.ptp(means):.1e}")


def interval(figure: str, runs: list[tuple[Array, Ints]], draws: Bootstrap) -> dict[str, float]:
    """``figure``, ``figure_low`` and ``figure_high``: its mean with a 95 % interval over prompts and seeds.

    Args:
        figure: its name.
        runs: for each seed the values ``(m,)`` of queries, and their rows ``(m,)`` in the trace; NaN is left out.
        draws: of the trace.
    """
    means, replicates = [], []
    for values, at in runs:
        seen = np.isfinite(values)
        weights = draws.prompts[:, at[seen]].astype(np.float64)
        means.append(float(values[seen].mean()))
        replicates.append((weights @ values[seen]) / weights.sum(axis=1))
    found = estimate(np.array(means), draws.pooled(np.array(replicates)))
    assert found is not None and found.low is not None and found.high is not None
    return {figure: found.value, f"{figure}_low": found.low, f"{figure}_high": found.high}


def markdown(rows: list[dict[str, Any]], *, seconds: bool = False) -> str:
    """The rows as Markdown tables, one for each environment; ``seconds`` adds how long a training took."""
    tables = []
    for env_id in dict.fromkeys(row["env"] for row in rows):
        here = [row for row in rows if row["env"] == env_id]
        head = [f"`{env_id}`", "reward [95 %]", "score [95 %]", "$ per 1,000 [95 %]", "refused", "steps", "prompts"]
        lines = table_head(head + ["wall s"] * seconds)
        for row in here:
            agent = row["agent"] if row["library"] in (None, "skrl") else f"{row['agent']} ({row['library']})"
            cells = [agent, cell(row, "reward"), cell(row, "score"), cell(row, "cost_usd", 1000)]
            cells += [
                f"{row['refused']:.1%}",
                "-" if row["steps"] is None else f"{row['steps']:,}",
                f"{row['prompts']:,}",
            ]
            cells += [f"{row['wall_s']:.0f}"] if seconds else []
            lines.append("| " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def table_head(names: list[str]) -> list[str]:
    """The first two lines of a Markdown table."""
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]


def cell(row: Mapping[str, Any], figure: str, factor: int = 1) -> str:
    """A figure with its interval."""
    value, low, high = (factor * row[key] for key in (figure, f"{figure}_low", f"{figure}_high"))
    form = ".2g" if factor > 1 else ".3f"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def main(arguments: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m experiments.studies.agents", description=__doc__.splitlines()[0])
    parser.add_argument("--trace", default="bundled", help="a trace, or the path of one")
    parser.add_argument("--steps", type=int, default=30_000, help="answers that an agent learns from")
    parser.add_argument("--seeds", type=int, default=3, help="splits of the prompts, and runs of each agent")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    parser.add_argument("--document", type=Path, help="whose table to replace, e.g. docs/agents.md")
    given = parser.parse_args(arguments)
    rows = study(load_trace(given.trace), steps=given.steps, seeds=given.seeds)
    print(markdown(rows, seconds=True))
    # How long it took says more about the machine than about the agents.
    kept = [{key: value for key, value in row.items() if key != "wall_s"} for row in rows]
    if given.json is not None:
        given.json.write_text(json.dumps(kept, indent=1) + "\n")
    if given.document is not None:
        put("agents", markdown(kept), given.document)


if __name__ == "__main__":
    main()
