"""A comparison as a page that opens anywhere, and its twin in Markdown: words first, then pictures and figures."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from env.errors import BadInput, MissingExtra
from env.features import Featuriser
from env.files import write_json, write_text
from env.scenarios import ScenarioLike
from env.trace import Trace
from experiments.bootstrap import LEVEL, REPLICATES
from experiments.compare import Report
from experiments.evaluate import DIALS
from experiments.prequential import Prequential, Says, prequential
from experiments.report.blocks import Block, Grid, Page, Picture, Points, Section, Text
from experiments.report.caveats import of_comparison, of_data
from experiments.report.html import html
from experiments.report.markdown import markdown
from experiments.report.sections import all_figures, by_task, chosen, learning_online, savings
from experiments.report.selection import learned, shown
from experiments.report.summary import summary
from experiments.report.table import has_aiq, has_cost, json_rows, title
from experiments.slices import Slices
from experiments.train import Feedback
from routers import router_class
from routers.plan import plan_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PACKAGES = ("pointsman", "numpy", "matplotlib")
_HELD_OUT = {"prompt": "prompts", "task": "whole tasks", "time": "the newest queries"}


def learn_online(
    report: Report,
    trace: Trace,
    *,
    scenario: ScenarioLike = None,
    featuriser: Featuriser | None = None,
    step: Says | None = None,
) -> Prequential | str:
    """How those routers of a comparison fare that learn as they go, or why that cannot be said.

    Args:
        report: of the comparison.
        trace: that it was made on.
        scenario: what happens meanwhile; nothing when not given.
        featuriser: that the comparison was given.
        step: told what comes next.
    """
    names = online_routers(report)
    if not names:
        return "No router of this comparison learns as it goes."
    seeds, split_by = len(report.seeds), report.split_by
    try:
        return prequential(
            trace, names, scenario=scenario, seeds=seeds, split_by=split_by, featuriser=featuriser, step=step
        )
    except BadInput as error:
        # Worth a line, not the figures that are there already.
        return f"Not looked at: {error}."


def online_routers(report: Report) -> list[str]:
    """The routers that learned from their own choices, and can go on doing so."""
    return [entry.router for entry in learned(report) if entry.feedback is Feedback.BANDIT and _goes_on(entry.router)]


def write_report(
    reports: Sequence[Report],
    folder: str | Path,
    *,
    traces: Sequence[Trace] = (),
    online: Mapping[str, Prequential | str] | None = None,
    command: str | None = None,
) -> list[Path]:
    """Write ``index.html``, ``report.md``, ``rows.json``, and the pictures as PNG, SVG and PDF.

    The page holds its pictures and loads nothing. The same comparison gives the same bytes. Without matplotlib there
    are no pictures, and the page says so.

    Args:
        reports: of one comparison or several.
        folder: is made where there is none.
        traces: that they were made on, to tell what is doubtful about the data.
        online: by the name of a trace, how routers fare that learn as they go (:func:`learn_online`).
        command: the command line that makes the same figures again.

    Returns:
        The files, the page first.
    """
    target, found, data = Path(folder), online or {}, {trace.name: trace for trace in traces}
    album = _Album(target)
    sections = []
    for report in reports:
        heading = f"Trace {report.trace}" if len(reports) > 1 else title(report)
        blocks = _of_trace(report, data.get(report.trace), found.get(report.trace), album)
        sections.append(Section(heading, (*blocks, _protocol(report, command))))
    name = "Comparison of routers" + (f" on {reports[0].trace}" if len(reports) == 1 else "")
    page = Page(name, (*(Text(title(report)) for report in reports if len(reports) > 1), *sections))
    return [
        write_text(html(page), target / "index.html"),
        write_text(markdown(page), target / "report.md"),
        write_json(json_rows(reports), target / "rows.json"),
        *album.files,
    ]


class _Album:
    """Draws pictures, and writes each beside the page."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.files = folder, list[Path]()
        self._taken: set[str] = set()

    def __call__(self, kind: str, trace: str, draw: Callable[[], Figure], alt: str, caption: str) -> Block:
        from experiments.plot import save
        from experiments.plot.style import inline_svg

        try:
            figure = draw()
        except MissingExtra as error:
            return Text(f"No picture: {error}")
        name = self._file(f"{kind}-{trace}")
        self.files += save(figure, self._folder, name)
        return Picture(inline_svg(figure, f"{kind}-{len(self._taken)}", alt), name, alt, caption)

    def _file(self, name: str) -> str:
        """A name that is a file's in this folder and no other picture's, whatever the trace is called."""
        safe = re.sub(r"[^\w.-]+", "_", name)
        while safe in self._taken:
            safe += "_"
        self._taken.add(safe)
        return safe


def _of_trace(
    report: Report, trace: Trace | None, online: Prequential | str | None, album: _Album
) -> tuple[Block, ...]:
    doubts = [*of_comparison(report), *(of_data(trace) if trace is not None else [])]
    short = (*summary(report), f"Read it with the {len(doubts)} caveats below.") if doubts else summary(report)
    sections = [
        Section("In short", (Points(tuple(short)),)),
        Section("Quality and cost", (_frontier(report, album),)),
        all_figures(report),
        savings(report),
    ]
    if report.slices is not None:
        sections += [_choices(report, report.slices, album), by_task(report, report.slices)]
    if online is not None:
        sections.append(_online(report.trace, online, album))
    return (*sections, Section("Caveats", (Points(tuple(doubts)),)))


def _frontier(report: Report, album: _Album) -> Block:
    from experiments.plot import frontier

    names = ", ".join(shown(report))
    if has_aiq(report):
        caption = (
            "Cost against quality. In colour the best router, those asked for and the best simple rules, with the 95 % "
            "interval of the score at each dial; grey the others; dashed what mixing fixed models blindly brings."
        )
        alt = (
            f"Curves of mean score over dollars per 1,000 requests on {report.trace}, for {names}, zero and the oracle."
        )
    else:
        caption = "Mean score at dial 1 with its 95 % interval."
        alt = f"Mean scores of all routers and models on {report.trace}, with intervals."
    return album("frontier", report.trace, lambda: frontier(report), f"{alt} {summary(report)[0]}", caption)


def _choices(report: Report, slices: Slices, album: _Album) -> Section:
    from experiments.plot import choices

    alt = f"Shares of each model at every dial, for {', '.join(shown(report))} and the oracle; the table has figures."
    below = "the cheapest" if has_cost(report) else "the weakest"
    caption = f"What each router chose: the share of test requests that each model got, by dial; {below} model below."
    picture = album("choices", report.trace, lambda: choices(report), alt, caption)
    return Section("What each router chose", (picture, chosen(report, slices)))


def _online(trace: str, found: Prequential | str, album: _Album) -> Section:
    from experiments.plot import learning

    text, grid = learning_online(found)
    blocks: list[Block] = [text]
    if isinstance(found, Prequential) and isinstance(grid, Grid):
        alt = f"Cumulative regret and rewards over a stream, for {', '.join(one.router for one in found.courses)}."
        caption = (
            "Left: what was lost so far against the best single model in hindsight. Right: reward by now. Bands: 95 %."
        )
        blocks += [album("learning", trace, lambda: learning(found), alt, caption), grid]
    return Section("Learning as they go", tuple(blocks))


def _protocol(report: Report, command: str | None) -> Section:
    several = len(report.seeds) > 1
    seeds = f"seeds {report.seeds[0]} to {report.seeds[-1]}, each" if several else f"seed {report.seeds[0]},"
    sizes = sorted({min(report.n_test), max(report.n_test)})
    lines = [
        f"Held out: {_HELD_OUT[report.split_by]}; {seeds} {' to '.join(map(str, sizes))} test queries. No test "
        "prompt is trained on, and every choice, dials included, is made on validation queries.",
        f"Dials: {len(DIALS)} from {DIALS[0]:g} to {DIALS[-1]:g}.",
        f"Intervals: {LEVEL:.0%}, paired bootstrap of {REPLICATES} resamples over prompts and seeds, by whole prompts.",
        f"Trace: SHA-256 {report.trace_hash}.",
        f"Evaluated queries with their outcomes: SHA-256 {report.stream_hash}.",
        *([f"Made by: {command}"] if command else []),
        f"Versions: Python {platform.python_version()}, {', '.join(f'{name} {_version(name)}' for name in _PACKAGES)}.",
        "Figures in full: rows.json beside this page; every decision: pointsman compare with --decisions.",
    ]
    return Section("How this was made", (Points(tuple(lines)),))


def _goes_on(name: str) -> bool:
    return name not in plan_names() and router_class(name).capabilities.online


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
