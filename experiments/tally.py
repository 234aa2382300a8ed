"""What decisions come to: every figure of every router, on the data as it is and on every bootstrap replicate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from env.trace import Trace
from experiments.baselines import BEST_SINGLE, CHEAPEST, ORACLE, fixed_name
from experiments.bootstrap import Array, Bootstrap, Estimate, estimate
from experiments.evaluate import DIALS, Evaluation
from experiments.folds import Fold
from experiments.metrics import (
    Frontier,
    audc,
    cost_save,
    curve,
    hull_aiq,
    mean_over,
    optimal_selection,
    peak,
    percentiles,
    perf_gain,
    qnc,
)
from experiments.multiplicity import adjusted
from experiments.savings import Saving, saving
from experiments.train import Feedback

ZERO, PLACEBO = "zero", "placebo"
REFERENCES_OF_VERDICTS = (ZERO, PLACEBO, "random")
"""Rows that are themselves what others are held to, and so have no verdict."""
FIT_TIME = "fit_s"
BEST, MIDDLE = DIALS.index(1.0), DIALS.index(0.5)
_SHOWN = {"0.5": MIDDLE, "1": BEST}
_SLOW = 0.95
_BOUNDED = ("cost_save", "qnc")
"""Figures of which many replicates lie on a bound: nothing saved."""
_EQUAL = 1e-9  # means of the same scores, summed in another order, are the same score


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a comparison.

    Attributes:
        router: its name.
        feedback: what it learned from; ``None`` for what is not a router.
        per_seed: each metric ``(S,)``, NaN where it has no value.
        pooled: each metric over all seeds, with its interval.
        cost: ``(D,)`` mean dollars a query at each dial, over seeds.
        score: ``(D,)`` mean score.
        band: ``(2, D)`` interval of the mean score.
        saving: what it saves at the best single arm's score; ``None`` where costs are not known.
        adjusted: p-values of the differences that verdicts rest on, corrected for all verdicts of the table.
    """

    router: str
    feedback: Feedback | None
    per_seed: Mapping[str, Array]
    pooled: Mapping[str, Estimate]
    cost: Array
    score: Array
    band: Array
    saving: Saving | None = None
    adjusted: Mapping[str, float] = field(default_factory=dict)


class Tally:
    """Means per router, seed and dial, and the figures made of them.

    Args:
        draws: the replicates.
        against: routers that the others' differences are told from.
    """

    def __init__(self, draws: Bootstrap, against: Sequence[str]) -> None:
        self.draws, self.against = draws, tuple(dict.fromkeys(against))
        self.fit_s: dict[str, list[float]] = {}
        # name -> one (1 + B, D) array a seed; row 0 is the data as it is, the others are the replicates.
        self._cost: dict[str, list[Array]] = {}
        self._score: dict[str, list[Array]] = {}
        # name -> figures, each (1 + B,), one dict a seed
        self._figures: dict[str, list[dict[str, Array]]] = {}

    @property
    def names(self) -> list[str]:
        """Everything that was added, in order."""
        return list(self._cost)

    def hold_to_best(self, names: Sequence[str]) -> str | None:
        """Tell every row's difference from the best of some routers too; its name.

        The best on the test queries: whoever beats it was given no easier rule to beat.
        """
        if not names:
            return None
        aiq = {name: float(self._stack(name, "aiq")[:, 0].mean()) for name in names}
        last = {name: float(self._stack(name, "score_at_dial_1")[:, 0].mean()) for name in names}
        best = max(names, key=(last if np.isnan([*aiq.values()]).any() else aiq).__getitem__)
        self.against = tuple(dict.fromkeys([*self.against, best]))
        return best

    def add(self, part: Fold, made: Sequence[Evaluation]) -> None:
        """Take in the decisions of one seed; baselines must be among them."""
        drawn = self.draws.prompts[:, part.test_index]
        weights = np.vstack([np.ones((1, len(part.test))), drawn])
        for one in made:
            self._cost.setdefault(one.router, []).append(mean_over(weights, one.outcomes.cost_usd))
            self._score.setdefault(one.router, []).append(mean_over(weights, one.outcomes.score))
        fixed = {fixed_name(arm) for arm in part.test.arms} | {BEST_SINGLE, CHEAPEST}
        dearest = np.max([self._cost[fixed_name(arm)][-1][:, 0] for arm in part.test.arms], axis=0)
        for one in made:
            found = self._of_curve(one.router, dearest, single=one.router in fixed)
            found |= _of_choices(one, part.test, weights, single=one.router in fixed)
            self._figures.setdefault(one.router, []).append(found)

    def _of_curve(self, name: str, dearest: Array, *, single: bool) -> dict[str, Array]:
        cost, score = self._cost[name][-1], self._score[name][-1]
        left = self._cost[CHEAPEST][-1][:, 0], self._score[CHEAPEST][-1][:, 0]
        right, best = self._cost[BEST_SINGLE][-1][:, 0], self._score[BEST_SINGLE][-1][:, 0]
        frontier = Frontier(cost, score, *left, right)
        found = {"aiq": frontier.aiq}
        for dial, at in _SHOWN.items():
            found |= {f"score_at_dial_{dial}": score[:, at], f"cost_usd_at_dial_{dial}": cost[:, at]}
        if single:
            return found  # of one point, the rest says the same again
        line = curve(cost, score, *left)
        has_range = right > left[0]
        return found | {
            "hull_aiq": hull_aiq(*line, *frontier.span),
            "audc": audc(*line, dearest),
            "peak": peak(score),
            "perf_gain": perf_gain(score, best),
            # Whoever wants the best arm's quality can call that arm: nobody has to pay more, or goes without.
            "cost_save": np.where(has_range, np.fmax(cost_save(cost, score, right, best - _EQUAL), 0), np.nan),
            "qnc": np.where(has_range, np.fmin(qnc(*line, right, best - _EQUAL), 1), np.nan),
        }

    def entries(self, order: Sequence[str], feedback: Mapping[str, Feedback]) -> tuple[Entry, ...]:
        """The rows of some routers, in order; ``feedback`` of those that are routers."""
        made, replicates = [], {}
        for name in order:
            entry, replicates[name] = self._entry(name, feedback.get(name))
            made.append(entry)
        judged = [entry for entry in made if entry.feedback and entry.router not in REFERENCES_OF_VERDICTS]
        told = [
            (entry.router, metric, entry.pooled[metric].value) for entry in judged for metric in _differences(entry)
        ]
        if not told:
            return tuple(made)
        values = np.array([value for *_, value in told])
        found = adjusted(values, np.stack([replicates[name][metric] for name, metric, _ in told])).tolist()
        p_values: dict[str, dict[str, float]] = {}
        for (name, metric, _), p_value in zip(told, found, strict=True):
            p_values.setdefault(name, {})[metric] = p_value
        return tuple(replace(entry, adjusted=p_values.get(entry.router, {})) for entry in made)

    def _stack(self, name: str, figure: str) -> Array:
        return np.stack([found[figure] for found in self._figures[name]])

    def _entry(self, name: str, feedback: Feedback | None) -> tuple[Entry, dict[str, Array]]:
        """A row, and the pooled replicates of its figures."""
        figures = {figure: self._stack(name, figure) for figure in self._figures[name][0]}
        for reference in self.against:
            if reference in self._cost:
                for short, figure in (("aiq", "aiq"), ("score", "score_at_dial_1")):
                    figures[f"delta_{short}_{reference}"] = figures[figure] - self._stack(reference, figure)
        if name not in (ZERO, ORACLE) and feedback is not None and ZERO in self._cost:
            low, high = self._stack(ZERO, "aiq"), self._stack(ORACLE, "aiq")
            rise, gap = figures["aiq"] - low, high - low
            figures["gap_closed"] = np.divide(rise, gap, out=np.full(gap.shape, np.nan), where=gap > 0)
        per_seed = {metric: values[:, 0] for metric, values in figures.items()}
        replicates = {metric: self.draws.pooled(values[:, 1:]) for metric, values in figures.items()}
        pooled = {
            metric: found
            for metric, values in per_seed.items()
            if (found := estimate(values, replicates[metric], centred=metric not in _BOUNDED)) is not None
        }
        if name in self.fit_s:
            per_seed[FIT_TIME] = np.array(self.fit_s[name])
            pooled[FIT_TIME] = Estimate(float(per_seed[FIT_TIME].mean()))
        score, cost = np.stack(self._score[name]), np.stack(self._cost[name])
        heights = [estimate(score[:, 0, at], self.draws.pooled(score[:, 1:, at])) for at in range(len(DIALS))]
        band = np.array([[np.nan if h is None or h.low is None else h.low for h in heights],
                         [np.nan if h is None or h.high is None else h.high for h in heights]])  # fmt: skip
        best_cost, best_score = (np.stack(values[BEST_SINGLE])[..., BEST] for values in (self._cost, self._score))
        saved = saving(cost, score, best_cost, best_score, self.draws)
        means = cost[:, 0].mean(axis=0), score[:, 0].mean(axis=0)
        return Entry(name, feedback, per_seed, pooled, *means, band, saved), replicates


def _differences(entry: Entry) -> list[str]:
    """The differences that a verdict rests on: of the areas, or of the scores at dial 1 where there are none."""
    figure = "aiq" if "aiq" in entry.pooled else "score"
    return [name for name in (f"delta_{figure}_{ZERO}", f"delta_{figure}_{PLACEBO}") if name in entry.pooled]


def _of_choices(one: Evaluation, test: Trace, weights: Array, *, single: bool) -> dict[str, Array]:
    """What was chosen, and how long it took, at the dials that are shown; NaN where that was not recorded."""
    found: dict[str, Array] = {}
    at = list(_SHOWN.values())
    if not single and one.calls is None:
        rates = optimal_selection(one.arms[at], test.score, test.cost_usd, weights)
        found |= {f"optimal_selection_at_dial_{dial}": rates[:, row] for row, dial in enumerate(_SHOWN)}
    means = mean_over(weights, one.outcomes.latency_s[at])
    for row, dial in enumerate(_SHOWN):
        found[f"latency_s_at_dial_{dial}"] = means[:, row]
        slow = percentiles(one.outcomes.latency_s[at[row]], [_SLOW], weights)
        found[f"latency_p95_s_at_dial_{dial}"] = slow[:, 0]
    return found
