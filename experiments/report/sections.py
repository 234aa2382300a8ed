"""The sections of a report: what each shows, as blocks that a page is written of."""

from __future__ import annotations

import numpy as np

from experiments.baselines import BEST_SINGLE, ORACLE
from experiments.bootstrap import Array
from experiments.compare import PLACEBO, ZERO, Report
from experiments.money import per_thousand
from experiments.prequential import Course, Prequential, band
from experiments.report.blocks import Block, Folded, Grid, Points, Section, Text
from experiments.report.selection import learned, shown
from experiments.report.summary import dollars, figure, saved
from experiments.report.table import figures, has_aiq, has_cost, short, told
from experiments.slices import SHOWN_DIALS, Slices, Task

_LAST = 4
"""The last quarter of a stream: what a router still loses when it has learned most of what it will."""


def all_figures(report: Report) -> Section:
    """The table that a terminal shows, with the best simple rule."""
    heads, sections = figures(report)
    words = [at for at, head in enumerate(heads) if head in ("router", "told", "verdict")]
    grid = Grid(
        f"Scores from 0 to 1{'; $/1k: US dollars per 1,000 requests' if has_cost(report) else ''}; [95 % interval]",
        tuple(heads),
        tuple(tuple(tuple(row) for row in section) for section in sections),
        tuple(words),
    )
    return Section("All figures", (grid.filled(), Points(tuple(told(has_aiq(report))))))


def savings(report: Report) -> Section:
    """At which cost each router reaches the score of the best single model."""
    entries = [entry for entry in learned(report) if entry.saving is not None]
    yardsticks = [entry for name in (ZERO, PLACEBO, ORACLE) if (entry := report.entry(name)) is not None]
    title = "Cost saved at equal quality"
    if not entries:
        return Section(title, (Text("Costs are not recorded for every cell, so nothing can be said of money."),))
    first = entries[0].saving
    assert first is not None
    rows = []
    for entry in [*entries, *yardsticks]:
        found = entry.saving
        if found is None:
            continue
        spent = "never" if found.usd is None else dollars(found.best_usd - found.usd)
        share = "-" if found.usd is None or not found.best_usd else f"{found.usd / found.best_usd:.0%}"
        rows.append([entry.router, spent, saved(found), share, f"{found.reached:.0%}"])
    text = (
        f"The best single model, as training data show it, scores {short(first.score, '.3f')} at "
        f"{dollars(first.best_usd)} per 1,000 requests. For each router, the cheapest dial that scores as much, on the "
        "mean over seeds. The dial is looked for on the same test queries, which flatters every router a little. "
        "Where a bound is never, so many resamples of the data do not get there that this lies within the interval."
    )
    heads = ["router", "reaches it at, per 1,000", "saves per 1,000 [95 %]", "saves", "reached in resamples"]
    return Section(
        title, (Text(text), Grid.of("US dollars per 1,000 requests at the best single model's score", heads, rows))
    )


def chosen(report: Report, slices: Slices) -> Folded:
    """The share of each arm at three dials, of every router."""
    from experiments.evaluate import DIALS
    from experiments.plot.choices import by_cost

    order, rows = by_cost(report), []
    names = [
        *(entry.router for entry in learned(report)),
        *(name for name in (ZERO, PLACEBO, ORACLE) if report.entry(name)),
    ]
    for name in names:
        for dial in (0.0, *SHOWN_DIALS):
            shares = slices.choices[name][DIALS.index(dial)]
            rows.append([name, f"{dial:g}", *(f"{shares[arm]:.0%}" for arm in order)])
    heads = ["router", "dial", *(slices.arms[arm] for arm in order)]
    grid = Grid.of("Share of test requests, models from the cheapest to the dearest", heads, rows)
    return Folded("The shares of every router in figures", (grid,))


def by_task(report: Report, slices: Slices) -> Section:
    """Score and cost of each router on each task, and what it chose there."""
    title = "By task"
    if not slices.tasks:
        return Section(title, (Text("The trace labels no tasks."),))
    few = [*shown(report), BEST_SINGLE]
    every = [entry.router for entry in report.entries]
    blocks: list[Block] = []
    for at, dial in enumerate(SHOWN_DIALS):
        if not has_cost(report) and dial < 1:
            continue  # where nothing costs, there is nothing to dial
        caption = f"Dial {dial:g}: mean score [95 %]{' at US dollars per 1,000 requests' if has_cost(report) else ''}"
        blocks.append(Grid.of(caption, ["task", "prompts", *few], [_task(task, few, at) for task in slices.tasks]))
        full = Grid.of(caption, ["task", "prompts", *every], [_task(task, every, at) for task in slices.tasks])
        blocks.append(Folded(f"All routers and models, dial {dial:g}", (full,)))
    names = [*shown(report), ORACLE]
    rows = [[_label(task), *(_favourite(task, name, slices) for name in names)] for task in slices.tasks]
    blocks.append(
        Grid.of("Dial 0.5: the model that is chosen most, and how often", ["task", *names], rows, range(len(names) + 1))
    )
    return Section(title, tuple(blocks))


def learning_online(found: Prequential | str) -> tuple[Text, Grid | None]:
    """How routers fare that learn as they go: what was done, and its figures; or why it was not."""
    if isinstance(found, str):
        return Text(found), None
    n = found.best_arm.shape[1]
    streams = "one stream" if len(found.seeds) == 1 else f"{len(found.seeds)} streams, one a seed,"
    world = f", in the scenario {found.scenario}" if found.changes else ""
    price = "Reward is the score."
    if found.cost_weight:
        price = (
            f"Reward is the score less the cost, where {dollars(1 / found.cost_weight)} per 1,000 requests weigh as "
            "much as one point of score: at this price of money the best single model and the cheapest are worth the "
            "same, so that mixing them blindly gains nothing."
        )
    text = (
        f"Routers that learn as they go meet {streams} of {n:,} training queries{world}. Each is judged on "
        f"a query before it learns what its own choice there brought; of the other models it is told nothing. {price} "
        "Regret is against the best single model in hindsight, of each stream"
        f"{' between two changes' if found.changes else ''}; a router that reads prompts can get below 0."
    )
    heads = ["router", "score", "$/1k", "regret at the end [95 %]", f"regret per 100, last {n // _LAST:,} [95 %]"]
    heads += [f"rounds to recover from {change:,} [95 %]" for change in found.changes]
    rows = [_course(found, course) for course in found.courses]
    rows.append(["choosing at random", "-", "-", *_regrets(found, found.chance), *["-"] * len(found.changes)])
    caption = "Means over streams; regret in points of score"
    if found.changes:
        caption += "; rounds until half of what a change cost is regained"
    return Text(text), Grid.of(caption, heads, rows).filled()


def _course(found: Prequential, course: Course) -> list[str]:
    at = {one.at: one for one in course.recoveries}
    cells = []
    for change in found.changes:
        one = at.get(change)
        if one is None:
            cells.append("nothing lost")
        elif one.rounds.value >= one.within:
            cells.append(f"not in {one.within:,}")
        else:
            cells.append(f"{one.rounds.value:.0f} [{one.rounds.low:.0f}, {one.rounds.high:.0f}]")
    cost = float(course.cost_usd.mean())
    return [
        course.router,
        short(float(course.score.mean()), ".3f"),
        per_thousand(cost if np.isfinite(cost) else None),
        *_regrets(found, course.reward),
        *cells,
    ]


def _regrets(found: Prequential, reward: Array) -> list[str]:
    """At the end, and in the last quarter by a hundred requests."""
    total = found.regret(reward)
    n = total.shape[1]
    late = (total[:, -1:] - total[:, [n - n // _LAST - 1]]) / (n // _LAST) * 100
    cells = []
    for values in (total[:, -1:], late):
        mean, low, high = (float(bound[0]) for bound in band(values))
        cells.append(f"{mean:+.1f}" if len(values) == 1 else f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]")
    return cells


def _label(task: Task) -> str:
    return f"{task.name} (tiny)" if task.is_tiny else task.name


def _task(task: Task, routers: list[str], at: int) -> list[str]:
    return [_label(task), f"{task.prompts}", *(_part(task, name, at) for name in routers)]


def _part(task: Task, router: str, at: int) -> str:
    part = task.parts[router][at]
    at_cost = "" if part.cost_usd is None else f" at {per_thousand(part.cost_usd)}"
    return figure(part.score, digits=2) + at_cost


def _favourite(task: Task, router: str, slices: Slices) -> str:
    shares = task.parts[router][0].shares
    arm = int(shares.argmax())
    return f"{slices.arms[arm].rpartition('/')[2]} {shares[arm]:.0%}"
