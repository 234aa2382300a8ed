"""Rounds of deciding and learning per CPU-second, against reading the matrices once, and against other packages.

One round of a disjoint linear bandit over ``d`` features and ``K`` arms reads ``K d d`` numbers and rewrites ``d d`` of
them. Doing just that, in float32 and from whole cache lines on, is the floor, measured before every contestant of every
pass. What is well above it reads less. Other packages are measured where they can be imported; none is a dependency.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

import routers
from env.contexts import Contexts, Floats, Outcomes
from routers.packed import aligned
from routers.width import WidthBandit

ARMS, _ROUNDS, _PASSES, _PASS_S = 10, 4_000, 3, 0.4
_ALPHA, _RIDGE, _V = 0.3, 1.0, 0.1

PEERS = {"pareto_bandit": "paretobandit LinUCB", "obp": "obp LinUCB", "mabwiser": "mabwiser LinUCB"}
"""Packages beside which this one is measured, by module, as they are shown."""

# Plays rounds `start` to `stop` of a problem.
Play = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Problem:
    """Scores linear in features of unit length with a spectrum of ``1 / sqrt(i)``: 0.5 +- 0.15, noise 0.1.

    Attributes:
        contexts: ``n`` rows.
        outcomes: ``(n, K)`` scores.
        inputs: ``(n, d + 1)`` float64 features and a constant, for packages that add none themselves.
        expected: ``(n, K)`` scores without their noise.
    """

    contexts: Contexts
    outcomes: Outcomes
    inputs: NDArray[np.float64]
    expected: NDArray[np.float64]

    @classmethod
    def drawn(cls, n_features: int, n: int = _ROUNDS) -> Problem:
        """The same problem whenever it is drawn."""
        rng = np.random.default_rng(0)
        features = rng.normal(size=(n, n_features)) / np.sqrt(np.arange(1, n_features + 1))
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        mean = features @ rng.normal(size=(n_features, ARMS))
        mean = 0.5 + 0.15 * (mean - mean.mean()) / mean.std()
        outcomes = Outcomes.of(mean + 0.1 * rng.normal(size=mean.shape))
        return cls(Contexts.of(features, ARMS), outcomes, np.c_[features, np.ones(n)], mean)


def measure(sizes: Sequence[int] = (384, 64), pass_s: float = _PASS_S) -> list[dict[str, Any]]:
    """Rounds per CPU-second of everything that can be imported here, for each number of features.

    Args:
        sizes: numbers of features ``d``.
        pass_s: CPU seconds a contestant plays in each pass.

    Returns:
        Rows ``features, who, rounds_per_s, of_floor``: medians over passes; ``of_floor`` is a share of the floor's
        rounds per second in the same pass.
    """
    rows = []
    for n_features in sizes:
        problem = Problem.drawn(n_features)
        floor = _floor(n_features)
        found: dict[str, list[tuple[float, float]]] = {}
        players = [(who, Turns(play)) for who, play in _contestants(problem)]
        for _ in range(_PASSES):
            for who, turns in players:
                least = Turns(floor).seconds(pass_s / 4)
                found.setdefault(who, []).append((turns.seconds(pass_s), least))
        least = statistics.median(least for pairs in found.values() for _, least in pairs)
        rows.append(_row(n_features, "floor: read all, rewrite one", least, 1.0))
        rows += [
            _row(n_features, who, statistics.median(s for s, _ in pairs), statistics.median(f / s for s, f in pairs))
            for who, pairs in found.items()
        ]
    return rows


class Turns:
    """Plays on where it stopped, for a given CPU time."""

    def __init__(self, play: Play) -> None:
        self._play, self._next = play, 1
        play(0, 1)  # what is compiled is compiled now

    def seconds(self, at_least: float) -> float:
        """CPU seconds a round, over enough rounds to take ``at_least``."""
        played, size, began = 0, 1, time.process_time()
        while (taken := time.process_time() - began) < at_least:
            if self._next + size > _ROUNDS:
                self._next = 0
            self._play(self._next, self._next + size)
            self._next += size
            played += size
            size = min(2 * size, _ROUNDS // 4)
        return taken / played


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table."""
    shown = Table(
        title=f"deciding and learning, {ARMS} arms; rounds per CPU-second",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    shown.add_column("features", justify="right")
    shown.add_column("who", no_wrap=True)
    shown.add_column("rounds/s", justify="right")
    shown.add_column("of the floor", justify="right")
    for row in rows:
        shown.add_row(str(row["features"]), row["who"], f"{row['rounds_per_s']:,.0f}", f"{row['of_floor']:.1%}")
    return shown


def _floor(n_features: int) -> Play:
    matrices = aligned(ARMS, n_features * n_features)
    matrices += 1
    read, rewrite = _passes()

    def play(start: int, stop: int) -> None:
        read(matrices, stop - start)
        rewrite(matrices[0], stop - start)

    return play


def _passes() -> tuple[Callable[[Floats, int], object], Callable[[Floats, int], object]]:
    """Reading an array and rewriting one, so many times; compiled where it can be, as calls weigh on small arrays."""
    if find_spec("numba") is None:
        return _read, _rewrite
    import numba

    @numba.njit(fastmath=True)  # type: ignore[untyped-decorator, unused-ignore] # numba is optional, and has no types
    def read(matrices: Floats, times: int) -> Any:
        total = np.float32(0)
        for time_ in range(times):
            for arm in range(len(matrices)):
                row = matrices[arm]
                # Differs from time to time, so that one pass is not taken for all of them.
                part = np.float32(time_)
                for cell in range(row.size):
                    part += row[cell]
                total += part
        return total

    @numba.njit(fastmath=True)  # type: ignore[untyped-decorator, unused-ignore] # likewise
    def rewrite(matrix: Floats, times: int) -> None:
        for _ in range(times):
            for cell in range(matrix.size):
                matrix[cell] *= np.float32(0.9999999)

    return read, rewrite


def _read(matrices: Floats, times: int) -> None:
    everything = matrices.reshape(-1)
    for _ in range(times):
        np.dot(everything, everything)  # a product of a vector with itself reads it once


def _rewrite(matrix: Floats, times: int) -> None:
    for _ in range(times):
        np.multiply(matrix, np.float32(0.9999999), out=matrix)


def _contestants(problem: Problem) -> Iterator[tuple[str, Play]]:
    engine = "NumPy" if find_spec("numba") is None else "compiled"
    for name, settings in (("linucb", {"alpha": _ALPHA}), ("linear_thompson", {"v": _V})):
        yield f"{name}, {engine}: replay", _replaying(problem, name, settings)
        if name == "linear_thompson":
            yield f"{name}, {engine}: replay, no log", _replaying(problem, name, settings, propensities=False)
        yield f"{name}, {engine}: act, update", _stepping(problem, name, settings)
    for package, play in (("pareto_bandit", _paretobandit), ("obp", _obp), ("mabwiser", _mabwiser)):
        if find_spec(package) is not None:
            yield PEERS[package], play(problem)


def _replaying(problem: Problem, name: str, settings: dict[str, float], propensities: bool = True) -> Play:
    router = routers.make(name, ARMS, problem.contexts.features.shape[1], ridge=_RIDGE, **settings)
    assert isinstance(router, WidthBandit)
    rng = np.random.default_rng(0)

    def play(start: int, stop: int) -> None:
        rows = slice(start, stop)
        router.replay(problem.contexts.take(rows), problem.outcomes.take(rows), rng, propensities=propensities)

    return play


def _stepping(problem: Problem, name: str, settings: dict[str, float]) -> Play:
    router = routers.make(name, ARMS, problem.contexts.features.shape[1], ridge=_RIDGE, **settings)
    rng = np.random.default_rng(0)

    def play(start: int, stop: int) -> None:
        for row in range(start, stop):
            asked = problem.contexts.take(slice(row, row + 1))
            decision = router.act(asked, rng)
            got = problem.outcomes.take(slice(row, row + 1)).at(decision.arms)
            router.update(asked, decision.arms, got, decision.propensities)

    return play


def _paretobandit(problem: Problem) -> Play:
    names = [str(arm) for arm in range(ARMS)]
    policy = import_module("pareto_bandit.policy").DisjointLinUCBPolicy(
        names, dim=problem.inputs.shape[1], alpha=_ALPHA, init_lambda=_RIDGE, seed=0
    )
    scores = problem.outcomes.score

    def play(start: int, stop: int) -> None:
        for row in range(start, stop):
            name, _ = policy.select_arm(problem.inputs[row])
            policy.update(name, problem.inputs[row], float(scores[row, int(name)]))

    return play


def _obp(problem: Problem) -> Play:
    policy = import_module("obp.policy").LinUCB(
        dim=problem.inputs.shape[1], n_actions=ARMS, epsilon=_ALPHA, random_state=0
    )
    scores = problem.outcomes.score

    def play(start: int, stop: int) -> None:
        for row in range(start, stop):
            context = problem.inputs[row : row + 1]
            arm = int(policy.select_action(context)[0])
            policy.update_params(arm, float(scores[row, arm]), context)

    return play


def _mabwiser(problem: Problem) -> Play:
    mab = import_module("mabwiser.mab")
    arms = list(range(ARMS))
    policy = mab.MAB(arms, mab.LearningPolicy.LinUCB(alpha=_ALPHA, l2_lambda=_RIDGE), seed=0)
    scores: Floats = problem.outcomes.score
    policy.fit(arms, [float(scores[0, arm]) for arm in arms], problem.inputs[:1].repeat(ARMS, axis=0))

    def play(start: int, stop: int) -> None:
        for row in range(start, stop):
            context = problem.inputs[row : row + 1]
            arm = int(policy.predict(context))
            policy.partial_fit([arm], [float(scores[row, arm])], context)

    return play


def _row(n_features: int, who: str, seconds: float, of_floor: float) -> dict[str, Any]:
    return {"features": n_features, "who": who, "rounds_per_s": 1 / seconds, "of_floor": of_floor}
