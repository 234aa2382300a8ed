"""What a command logs to MLflow. Whatever goes wrong there costs a line: the work was done, and its result stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from env.errors import MissingExtra, PointsmanError
from experiments.cli.options import wants_tracking
from experiments.cli.output import Output

if TYPE_CHECKING:
    from experiments.tracking import Tracker


class Logbook:
    """Logs what it can.

    Args:
        shown: told where something was logged, or why not.
        asked: by ``--track`` or ``--no-track``; ``None`` for wherever MLflow is installed.

    Raises:
        PointsmanError: logging was asked for, and nothing answers there. Said before the work, not after it.
    """

    def __init__(self, shown: Output, asked: bool | None) -> None:
        self._shown, self._asked, self._wanted = shown, asked is True, wants_tracking(asked)
        self._tracker: Tracker | None = None
        self._problem: PointsmanError | None = None
        if self._asked:
            self._connected()

    def log(self, write: Callable[[Tracker], str]) -> str | None:
        """The id of the run that ``write`` wrote; ``None`` where nothing was logged."""
        if not self._wanted or self._problem is not None:
            return None
        try:
            return write(self._connected())
        except PointsmanError as problem:
            self._problem = problem
            return None

    @contextmanager
    def comparison(self, traces: Sequence[str], key: str, started: float) -> Iterator[Callable[[], str | None]]:
        """What opens the run of a comparison, or finds the one that was interrupted; marked as stopped if it is.

        Opened when what is given is called first, so that bad input leaves no run behind; it may be called often.
        """
        opened: list[str | None] = []

        def begin() -> str | None:
            if not opened:
                opened.append(self.log(lambda tracker: tracker.open_comparison(traces, key=key, started=started)))
            return opened[0]

        try:
            yield begin
        except BaseException as error:
            for run_id in opened:
                if run_id is not None and self._tracker is not None:
                    with suppress(PointsmanError):  # what stopped the work is what to tell
                        self._tracker.stopped(run_id, error)
            raise

    def close(self, run_id: str | None) -> None:
        """Say where the work was logged, or why it was not.

        Raises:
            PointsmanError: it was not, and logging was asked for.
        """
        if self._problem is not None:
            if self._asked:
                raise self._problem
            self._shown.warn(f"not logged: {self._problem} (--no-track leaves MLflow out)")
        elif run_id is not None and self._tracker is not None:
            self._shown.say(f"logged to {self._tracker.address(run_id)}; --no-track switches this off")

    def _connected(self) -> Tracker:
        from experiments.tracking import Tracker, is_installed

        if not is_installed():
            raise MissingExtra("a record or registry in MLflow", "mlflow")
        if self._tracker is None:
            self._tracker = Tracker()
        return self._tracker
