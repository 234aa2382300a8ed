"""The trials of a sweep, kept by Optuna: which settings come next, which are given up, and what was found.

A study is rows in an SQL database, its settings JSON; nothing in it is ever unpickled. Optuna's journal files, which
may hold pickles, are no storage here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from env.errors import BadInput, MissingExtra, PointsmanError
from env.uris import shown_uri, without_secrets
from experiments.sweep.space import Choices, Space, every, size

if TYPE_CHECKING:
    import optuna

_SQLITE = "sqlite:///"
_SQL = ("sqlite", "postgresql", "mysql", "mssql")
_RANDOM_FIRST = 10
"""Trials before the model of good settings counts (Optuna's own default)."""
_UNPRUNED_FIRST, _UNPRUNED_FOLDS = 5, 1
"""How many trials run to their end, and on how many folds a later one is seen before it may be given up."""
_ERROR = "error"


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of some settings.

    Attributes:
        number: in the study, from 0.
        settings: that were tried.
        value: the mean over all folds; ``None`` where it was given up, or failed.
        folds: the value of each fold that was run.
        error: in words, why it failed.
    """

    number: int
    settings: dict[str, Any]
    value: float | None
    folds: tuple[float, ...]
    error: str | None = None

    @property
    def state(self) -> str:
        """``complete``, ``pruned`` or ``failed``."""
        if self.error is not None:
            return "failed"
        return "pruned" if self.value is None else "complete"

    def to_json(self) -> dict[str, Any]:
        """For reports."""
        return {"number": self.number, "state": self.state, "settings": self.settings, "value": self.value,
                "folds": list(self.folds), "error": self.error}  # fmt: skip


class Study:
    """A study that goes on where it stopped.

    What is asked next depends on the seed and the trials that are finished, and on nothing else: an interrupted study
    that goes on tries what it would have tried. One process at a time: trials that another left unfinished count as
    interrupted, and are tried again.

    Args:
        name: of the study in its storage.
        space: that is searched.
        storage: a file for SQLite or the address of an SQL database; ``None`` for memory, which forgets.
        seed: of the search.

    Raises:
        MissingExtra: Optuna is not installed.
        BadInput: the storage is none.
        PointsmanError: nothing answers there, or the file is no database.
    """

    def __init__(self, name: str, space: Space, *, storage: str | Path | None = None, seed: int = 0) -> None:
        try:
            import optuna
        except ImportError as error:
            raise MissingExtra("a sweep", "sweep") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self.name, self.space, self.seed = name, space, seed
        self.uri = address_of(storage)
        self._optuna = optuna
        self._distributions = {setting: _distribution(optuna, one) for setting, one in space.items()}
        pruner = optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED_FIRST, n_warmup_steps=_UNPRUNED_FOLDS)
        with self._plainly():
            kept = optuna.storages.RDBStorage(self.uri) if self.uri is not None else None
            self._study = optuna.create_study(
                storage=kept, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
            )
            for left in self._study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
                self._study.tell(left.number, state=optuna.trial.TrialState.FAIL)

    def planned(self, trials: int) -> int:
        """How many trials there will be: as many as asked for, or each setting once where there are fewer."""
        n = size(self.space)
        return trials if n is None else min(n, trials)

    def ask(self, trials: int, in_flight: Sequence[Mapping[str, Any]] = ()) -> optuna.Trial:
        """The next trial of so many; those ``in_flight`` are not told yet."""
        tried = [*(one.settings for one in self.trials()), *in_flight]
        n = size(self.space)
        with self._plainly():
            if n is not None and n <= trials:  # all of them, in order
                self._study.enqueue_trial(next(one for one in every(self.space) if one not in tried))
            # Seeded anew each time: a generator's state would be lost with the process, and its draws come again.
            drawn = np.random.SeedSequence([self.seed, len(tried)]).generate_state(1)
            self._study.sampler = self._optuna.samplers.TPESampler(seed=int(drawn[0]), n_startup_trials=_RANDOM_FIRST)
            return self._study.ask(self._distributions)

    def report(self, trial: optuna.Trial, values: list[float]) -> bool:
        """Keep the values of the folds that were run; True where the trial is to be given up."""
        with self._plainly():
            trial.set_user_attr("folds", values)
            trial.report(sum(values) / len(values), len(values) - 1)
            return trial.should_prune()

    def finish(self, trial: optuna.Trial, values: list[float], *, pruned: bool = False) -> None:
        """Tell what a trial came to: the mean of its folds."""
        state = self._optuna.trial.TrialState
        with self._plainly():
            if pruned:
                self._study.tell(trial, state=state.PRUNED)
            else:
                self._study.tell(trial, sum(values) / len(values))

    def repeat(self, trial: optuna.Trial, same: Trial) -> None:
        """A trial of settings that another has tried comes to what that one came to, without work."""
        if same.error is not None:
            self.fail(trial, same.error)
            return
        for folds in range(1, len(same.folds) + 1):
            self.report(trial, list(same.folds[:folds]))
        self.finish(trial, list(same.folds), pruned=same.value is None)

    def fail(self, trial: optuna.Trial, error: str | None = None) -> None:
        """A trial whose settings do not work, or with no ``error`` one that was interrupted, to be tried again."""
        with self._plainly():
            if error is not None:
                trial.set_user_attr(_ERROR, error)
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)

    def trials(self) -> list[Trial]:
        """Those that are finished, in order; interrupted ones are not."""
        state = self._optuna.trial.TrialState
        with self._plainly():
            found = self._study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED, state.FAIL))
        return [
            Trial(
                one.number,
                dict(one.params),
                one.value if one.state is state.COMPLETE else None,
                tuple(one.user_attrs.get("folds", ())),
                one.user_attrs.get(_ERROR),
            )
            for one in found
            if one.state is not state.FAIL or _ERROR in one.user_attrs
        ]

    def note(self, key: str) -> Any:
        """What was kept with the study under a key, ``None`` where nothing was."""
        with self._plainly():
            return self._study.user_attrs.get(key)

    def keep(self, key: str, value: Any) -> None:
        """Keep something with the study that JSON can say."""
        with self._plainly():
            self._study.set_user_attr(key, value)

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Turn what Optuna and the database raise into one line."""
        try:
            yield
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("optuna", "sqlalchemy", "sqlite3"):
                raise
            uri = self.uri or "memory"
            lines = without_secrets(str(error.__cause__ or error).strip(), uri).splitlines()
            raise PointsmanError(
                f"study at {shown_uri(uri)}: {lines[0] if lines else type(error).__name__}; name another --storage"
            ) from error


def address_of(storage: str | Path | None) -> str | None:
    """The SQL address of a storage, whose folder is made; ``None`` for memory.

    Raises:
        BadInput: it is of another kind, or its folder is a file.

    Example:
        >>> address_of("sweeps.db"), address_of("postgresql://host/sweeps")
        ('sqlite:///sweeps.db', 'postgresql://host/sweeps')
    """
    if storage is None:
        return None
    text = str(storage)
    if "://" in text:
        if text.partition(":")[0].partition("+")[0] not in _SQL:
            raise BadInput(f"storage {shown_uri(text)}: a study is kept in a file or in an SQL database; name a file")
        return text
    try:
        Path(text).absolute().parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise BadInput(f"storage {text}: its folder is a file; name another") from None
    return f"{_SQLITE}{text}"


def _distribution(optuna: Any, one: Any) -> Any:
    made = optuna.distributions
    if isinstance(one, Choices):
        return made.CategoricalDistribution(one.values)
    kind = made.IntDistribution if one.whole else made.FloatDistribution
    return kind(one.low, one.high, log=one.log)


def best(trials: list[Trial], default: float | None) -> Mapping[str, Any]:
    """The settings with the best value; none where no trial is better than the settings held still.

    Example:
        >>> best([Trial(0, {"k": 5}, 0.6, (0.6,)), Trial(1, {"k": 9}, None, (0.9,))], default=0.5)
        {'k': 5}
        >>> best([Trial(0, {"k": 5}, 0.6, (0.6,))], default=0.6)
        {}
    """
    told = [one for one in trials if one.value is not None]
    first = max(told, key=lambda one: (one.value, -one.number), default=None)
    if first is None or (default is not None and first.value is not None and first.value <= default):
        return {}
    return first.settings
