"""What a sweep found, judged on test queries beside the router's own settings, as a comparison judges routers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from env.features import Featuriser
from env.splits import SplitBy
from env.trace import Trace
from experiments.baselines import ORACLE, fixed_arms, oracle
from experiments.bootstrap import Bootstrap
from experiments.compare import Report
from experiments.evaluate import Evaluation, decide_at_every_dial, stream_hash
from experiments.folds import Fold, fold, prepared
from experiments.tally import PLACEBO, ZERO, Tally
from experiments.train import Feedback, default_feedback, learn
from routers import router_class
from routers.policy import Policy

REFERENCES = ("random", ZERO, PLACEBO)
"""Beside the tuned and the default settings; `compare` has the rest."""


def tuned_name(router: str) -> str:
    """Name in reports of a router with the settings that were found."""
    return f"tuned:{router}"


class Judge:
    """Trains with the chosen settings and with the router's own, and decides on the test queries.

    Args:
        trace: with features, test queries and all.
        router: that was tuned.
        held: its settings that were not searched.
        feedback: what it learns from.
        maker: makes what routers see; ``None`` for what each was made for.
        split_by: what the test part is divided off by.
        seeds: how many will be added.
    """

    def __init__(
        self,
        trace: Trace,
        router: str,
        held: Mapping[str, object],
        feedback: Feedback,
        maker: Featuriser | None,
        split_by: SplitBy,
        seeds: int,
    ) -> None:
        self.trace, self.router, self.held, self.feedback = trace, router, held, feedback
        self.maker, self.split_by, self.seeds = maker, split_by, seeds
        self.tally = Tally(Bootstrap.draw(trace.groups, seeds), (ZERO, PLACEBO, router))
        self.parts: list[Fold] = []
        self.policies: dict[str, Policy] = {}
        self.told: dict[str, Feedback] = {}

    def add(self, seed: int, settings: Mapping[str, object]) -> None:
        """One seed, with what was chosen for it."""
        part = fold(self.trace, seed, resample=self.seeds > 1, split_by=self.split_by)
        made: list[Evaluation] = [*fixed_arms(part), oracle(part)]
        for name in dict.fromkeys([*REFERENCES, self.router]):
            made.append(self._decided(part, name, name, self.held if name == self.router else {}))
        tuned = tuned_name(self.router)
        if settings == self.held:
            self.policies.setdefault(tuned, self.policies[self.router])
            self.told[tuned] = self.feedback
            made.append(replace(made[-1], router=tuned))
        else:
            made.append(self._decided(part, self.router, tuned, settings))
        self.tally.add(part, made)
        self.parts.append(part)

    def _decided(self, part: Fold, router: str, name: str, settings: Mapping[str, object]) -> Evaluation:
        kind = router_class(router)
        own, maker = prepared(part, kind.featuriser_for(settings), self.maker)
        self.told[name] = self.feedback if router == self.router else default_feedback(kind, online=True)
        policy = learn(own, router, maker, feedback=self.told[name], settings=settings)
        self.policies.setdefault(name, policy)
        return decide_at_every_dial(policy, own.test, router=name, seed=part.seed)

    def report(self) -> Report:
        """What all seeds came to."""
        tuned = tuned_name(self.router)
        order = [tuned, *dict.fromkeys([self.router, *REFERENCES])]
        order += [name for name in self.tally.names if name not in {*order, ORACLE}]
        seeds = [part.seed for part in self.parts]
        notes = [f"{tuned}: settings chosen on training and validation queries of each seed; no query here had a say"]
        if self.seeds == 1:
            notes.append("one seed: the intervals are over prompts, not over how the trace is divided or searched")
        return Report(
            self.trace.name,
            self.trace.hash,
            self.trace.summary(),
            tuple(seeds),
            tuple(len(part.test) for part in self.parts),
            self.tally.entries([*order, ORACLE], self.told),
            tuple(notes),
            self.policies,
            self.split_by,
            stream_hash=stream_hash(seeds, [part.test for part in self.parts]),
            against=(self.router,),
        )
