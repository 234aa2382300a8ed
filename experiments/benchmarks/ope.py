"""Off-policy estimators against Open Bandit Pipeline's, on the same arrays and to the same figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments.benchmarks.clock import cpu_seconds
from experiments.ope.estimators import Case, Parts, dm, dr, ips, snips, switch_dr
from experiments.ope.intervals import bootstrap
from experiments.ope.logs import BanditLog, Doubles
from experiments.ope.models import cross_fitted

ROUNDS, ARMS = 100_000, 10
BAR = 5.0
"""Times obp's speed that every estimator is to reach."""
THRESHOLD = 5.0
_REPLICATES, _FEATURES, _CALLS = 100, 32, 10
_PEER = "obp"
_NEEDED = (_PEER, "seaborn", "torch")  # what obp imports when its estimators are
_CAPTION = """\
CPU ms, least of seven; the bootstrap is of IPS and DR, 100 replicates; models are cross-fitted, 3 folds there, 5 here
same: difference of the two estimates; RMSE of the models: against the true expected rewards
obp checks its arrays at every call, here a log is checked once, when it is made ("make the log")"""


def measure(n: int = ROUNDS) -> list[dict[str, Any]]:
    """CPU time of every estimator, alone and beside obp's where that is installed.

    Args:
        n: decisions in the log.

    Returns:
        Rows ``what, ms, peer_ms, ratio, difference``; the peer's are None where obp is not installed.
    """
    log, law, expected, features, truth = _problem(n)
    peer = _peer(log, law, expected) if all(find_spec(name) for name in _NEEDED) else {}
    own: dict[str, Callable[[], float]] = {
        "ips": lambda: ips(Case.of(log, law)).value,
        "snips": lambda: snips(Case.of(log, law)).value,
        "dm": lambda: dm(Case.of(log, law, expected)).value,
        "dr": lambda: dr(Case.of(log, law, expected)).value,
        "switch_dr": lambda: switch_dr(Case.of(log, law, expected), THRESHOLD).value,
    }
    rows = [_row(name, act, peer.get(name), calls=_CALLS) for name, act in own.items()]
    case = Case.of(log, law, expected)
    both: dict[str, Parts] = {"ips": ips(case), "dr": dr(case)}

    def resampled() -> float:
        found = bootstrap(both, log.groups, replicates=_REPLICATES, rng=np.random.default_rng(0))
        return found["dr"].high - found["dr"].low

    rows.append(_row("make the log", lambda: float(len(_made(log))), None, calls=1))
    rows.append(_row("bootstrap", resampled, peer.get("bootstrap"), calls=1) | {"difference": None})
    return [*rows, _models(log, features, truth, bool(peer))]


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table."""
    shown = Table(
        title=f"off-policy estimates of {ROUNDS:,} decisions, {ARMS} arms",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        caption=_CAPTION,
        caption_justify="left",
    )
    shown.add_column("", no_wrap=True)
    for head in ("here", "obp", "x obp", "same"):
        shown.add_column(head, justify="right")
    for row in rows:
        peer, ratio, difference = row["peer_ms"], row["ratio"], row["difference"]
        shown.add_row(
            row["what"],
            f"{row['ms']:.3g}",
            "-" if peer is None else f"{peer:.3g}",
            "-" if ratio is None else f"{ratio:.1f}",
            "-" if difference is None else f"{difference:.2g}",
        )
    return shown


def verdict(rows: Sequence[dict[str, Any]]) -> str:
    """Whether every estimator is as fast as asked for, in words."""
    compared = [row for row in rows if row["bar"] is not None and row["ratio"] is not None]
    if not compared:
        return "obp is not installed, so nothing is compared: pip install --no-deps obp==0.4.1 mypy_extensions seaborn"
    least = min(compared, key=lambda row: row["ratio"])
    met = "met" if least["ratio"] >= BAR else "not met"
    return f"at least {BAR:g} x obp: {met}, the least is {least['ratio']:.1f} x ({least['what']})"


def _problem(n: int) -> tuple[BanditLog, Doubles, Doubles, Doubles, Doubles]:
    """A log of a softmax policy, the law of a sharper one, a model with errors, features and true rewards."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, _FEATURES)) / np.sqrt(_FEATURES)
    truth = np.clip(0.5 + 0.3 * features @ rng.normal(size=(_FEATURES, ARMS)), 0.05, 0.95)
    logging, law = (_softmax(sharp * (truth + 0.1 * rng.normal(size=truth.shape))) for sharp in (2.0, 4.0))
    arms = (rng.random((n, 1)) < np.cumsum(logging, axis=1)).argmax(axis=1)
    rows = np.arange(n)
    log = BanditLog.of(
        [f"arm{k}" for k in range(ARMS)],
        actions=arms,
        rewards=(rng.random(n) < truth[rows, arms]).astype(np.float64),
        propensities=logging[rows, arms],
    )
    return log, law, np.clip(truth + 0.05 * rng.normal(size=truth.shape), 0, 1), features, truth


def _softmax(scores: Doubles) -> Doubles:
    shares = np.exp(scores)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _made(log: BanditLog) -> BanditLog:
    return BanditLog.of(log.arms, actions=log.actions, rewards=log.rewards, propensities=log.propensities)


def _row(what: str, act: Callable[[], float], peer: Callable[[], float] | None, *, calls: int) -> dict[str, Any]:
    ms = 1e3 * _seconds(act, calls)
    peer_ms = None if peer is None else 1e3 * _seconds(peer, calls)
    return {
        "what": what,
        "ms": ms,
        "peer_ms": peer_ms,
        "ratio": None if peer_ms is None else peer_ms / ms,
        "difference": None if peer is None else abs(act() - peer()),
        "bar": BAR if calls > 1 else None,
    }


def _seconds(act: Callable[[], float], calls: int) -> float:
    """Of one call, several in a row where one is too short for the clock."""

    def some() -> None:
        for _ in range(calls):
            act()

    return cpu_seconds(some) / calls


def _peer(log: BanditLog, law: Doubles, expected: Doubles) -> dict[str, Callable[[], float]]:
    """Its estimators on the same arrays."""
    ope = import_module("obp.ope")
    given = {"reward": log.rewards, "action": log.actions, "pscore": log.propensities}
    given |= {"action_dist": law[:, :, None], "estimated_rewards_by_reg_model": expected[:, :, None]}
    made = {
        "ips": ope.InverseProbabilityWeighting(),
        "snips": ope.SelfNormalizedInverseProbabilityWeighting(),
        "dm": ope.DirectMethod(),
        "dr": ope.DoublyRobust(),
        "switch_dr": ope.SwitchDoublyRobust(tau=THRESHOLD),
    }

    def estimating(name: str) -> Callable[[], float]:
        return lambda: float(made[name].estimate_policy_value(**given))

    def resampled() -> float:
        ends = [
            made[name].estimate_interval(**given, n_bootstrap_samples=_REPLICATES, random_state=0)
            for name in ("ips", "dr")
        ]
        return float(ends[1]["95.0% CI (upper)"] - ends[1]["95.0% CI (lower)"])

    return {**{name: estimating(name) for name in made}, "bootstrap": resampled}


def _models(log: BanditLog, features: Doubles, truth: Doubles, peer: bool) -> dict[str, Any]:
    """Time and error of the cross-fitted model of the reward."""
    own = {"ms": 1e3 * cpu_seconds(lambda: cross_fitted(log, features.astype(np.float32)))}
    error = _rmse(cross_fitted(log, features.astype(np.float32)), truth)
    row = {"peer_ms": None, "ratio": None, "difference": None, "bar": None}
    if not peer:
        return {"what": f"reward model, RMSE {error:.3f}", **own, **row}
    ope, ridge = import_module("obp.ope"), import_module("sklearn.linear_model").Ridge

    def fitted() -> Doubles:
        model = ope.RegressionModel(n_actions=log.n_arms, base_model=ridge())
        found = model.fit_predict(context=features, action=log.actions, reward=log.rewards, n_folds=3, random_state=0)
        return np.asarray(found[:, :, 0])

    peer_ms = 1e3 * cpu_seconds(fitted)
    what = f"reward model, RMSE {error:.3f} (obp {_rmse(fitted(), truth):.3f})"
    return {"what": what, **own, **row, "peer_ms": peer_ms, "ratio": peer_ms / own["ms"]}


def _rmse(expected: Doubles, truth: Doubles) -> float:
    return float(np.sqrt(((expected - truth) ** 2).mean()))
