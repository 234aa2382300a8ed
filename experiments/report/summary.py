"""What a comparison comes to, in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.bootstrap import Estimate
from experiments.compare import PLACEBO, REFERENCES, ZERO, Entry, Report
from experiments.money import per_thousand
from experiments.report.selection import learned
from experiments.report.table import has_aiq, short
from experiments.report.words import gain, is_sure, verdict
from experiments.savings import Saving


def summary(report: Report) -> list[str]:
    """Who beats what, by how much, and how sure one can be."""
    ranked = learned(report)
    if not ranked:
        return ["No router that learns was compared."]
    what = "AIQ" if has_aiq(report) else "the score at dial 1"
    won = [entry for entry in ranked if verdict(entry).startswith("beats") and is_sure(entry)]
    best = ranked[0]
    lines = [_best(best, what) if won else _nothing(best, what), _simple(report, best)]
    if won:
        lines.append(_standings(ranked))
    if best.saving is not None:
        lines.append(_saved(best.router, best.saving))
    closed = best.pooled.get("gap_closed")
    if closed is not None and won:
        lines.append(
            f"From zero to the oracle, which no router can reach, {best.router} goes {closed.value:.0%} of the way"
            f"{_interval(closed, '.0%')}."
        )
    return [line for line in lines if line]


def figure(found: Estimate, sign: str = "", digits: int = 3) -> str:
    """A score or difference with its interval.

    Example:
        >>> figure(Estimate(0.0816, 0.0521, 0.1124), "+")
        '+.082 [+.052, +.112]'
    """
    form = f"{sign}.{digits}f"
    return short(found.value, form) + _interval(found, form)


def saved(found: Saving) -> str:
    """Dollars saved per 1,000 requests with the interval, or that they never are.

    Example:
        >>> saved(Saving(0.5, 0.004, 0.001, None, 0.002, 0.8))
        '$1 [never, $2]'
        >>> saved(Saving(0.5, 0.004, None, None, None, 0.0))
        'never'
    """
    if found.usd is None:
        return "never" if found.high is None else f"never [never, {dollars(found.high)}]"
    return f"{dollars(found.usd)} [{dollars(found.low)}, {dollars(found.high)}]"


def _best(best: Entry, what: str) -> str:
    over_zero, over_placebo = gain(best, ZERO), gain(best, PLACEBO)
    told = []
    if over_zero:
        told.append(f"{figure(over_zero, '+')} over mixing fixed models blindly (zero)")
    if over_placebo:
        told.append(f"{figure(over_placebo, '+')} over the placebo, a learner on shuffled features")
    reached = best.pooled.get("aiq", best.pooled["score_at_dial_1"])
    return f"{best.router} does best: its {what} is {figure(reached)}, {' and '.join(told)}."


def _nothing(best: Entry, what: str) -> str:
    over = gain(best, ZERO)
    by = "" if over is None else f" (over zero by {figure(over, '+')})"
    return (
        f"Nothing beats mixing fixed models here: {best.router} does best{by}, and no router's lead in {what} over "
        "zero, which mixes the models blindly, can be told from chance, all verdicts of the table together."
    )


def _simple(report: Report, best: Entry) -> str:
    """The best router beside the best simple rule; or the best that is none, where that rule is the best."""
    if report.simple is None:
        return ""
    if best.router != report.simple:
        return f"{best.router} {_told(best, report.simple)}, the best of the simple rules."
    asked = [entry for entry in learned(report) if entry.router not in REFERENCES]
    if not asked:
        return f"{best.router} is itself a simple rule."
    return (
        f"{best.router} is itself a simple rule. The best of what was asked for beside the simple rules, "
        f"{asked[0].router}, {_told(asked[0], report.simple)}."
    )


def _told(entry: Entry, reference: str) -> str:
    over = gain(entry, reference)
    if over is None:
        return f"has no figure beside {reference}"
    word = "is better than" if over.above_zero else "is worse than" if over.below_zero else "cannot be told apart from"
    return f"{word} {reference} ({figure(over, '+')})"


def _standings(ranked: Sequence[Entry]) -> str:
    """Who has which verdict."""
    found: dict[str, list[str]] = {}
    for entry in ranked:
        if verdict(entry):
            found.setdefault(verdict(entry), []).append(entry.router + ("" if is_sure(entry) else "*"))
    said = "; ".join(f"{words}: {', '.join(names)}" for words, names in found.items())
    starred = " (* = not when all verdicts are to hold together)" if "*" in said else ""
    return f"Verdicts: {said}{starred}."


def _saved(name: str, found: Saving) -> str:
    single = f"the best single model ({short(found.score, '.3f')} at {dollars(found.best_usd)} per 1,000 requests)"
    if found.usd is None:
        return f"{name} never reaches the score of {single}: at equal quality it saves nothing."
    return f"At the score of {single}, {name} saves {saved(found)} per 1,000."


def dollars(usd: float | None) -> str:
    """Dollars per 1,000 requests, of dollars per request; ``never`` for ``None``."""
    if usd is None:
        return "never"
    return f"{'-' if usd < 0 else ''}${per_thousand(abs(usd))}"


def _interval(found: Estimate, form: str) -> str:
    if found.low is None or found.high is None:
        return ""
    return f" [{short(found.low, form)}, {short(found.high, form)}]"
