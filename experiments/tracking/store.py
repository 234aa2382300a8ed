"""Where the record is kept, and how it is reached: what MLflow says when it fails becomes one line.

Nothing needs to be configured: without ``MLFLOW_TRACKING_URI`` the record is ``mlflow.db`` in the working folder,
with its artifacts beside it.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from env.errors import BadInput, MissingExtra, PointsmanError
from env.uris import shown_uri, without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient

_URI_VARIABLE = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
_CONNECT_S = 3  # for a database, which answers at once or not at all
_CONNECT_ARGUMENT = {
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "mysqlconnector": "connection_timeout",
    "pg8000": "timeout",
    "pyodbc": "timeout",
}
"""What the drivers call the time limit of a connection."""
_SERVERS = ("postgresql", "mysql", "mssql")
_HTTP_RETRIES = "2"  # MLflow's own 7 take minutes, in which a command seems to hang


def tracking_uri() -> str:
    """Where the record is kept."""
    return os.environ.get(_URI_VARIABLE) or f"{SQLITE}mlflow.db"


def is_installed() -> bool:
    """True where MLflow can be imported; does not import it, which takes seconds."""
    return importlib.util.find_spec("mlflow") is not None


def exists(uri: str | None = None) -> bool:
    """True where a record may be found, so that looking for one never creates it.

    Example:
        >>> exists("sqlite:///no/such/folder/mlflow.db")
        False
    """
    where = uri or tracking_uri()
    return Path(where.removeprefix(SQLITE)).is_file() if where.startswith(SQLITE) else True


def connect(uri: str | None = None) -> MlflowClient:
    """A client of the record.

    Raises:
        BadInput: the address names a database whose driver is not installed, or makes no sense.
        MissingExtra: MLflow is not installed.
        PointsmanError: nothing answers there.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _HTTP_RETRIES)
    try:
        with ctrl_c_waits():
            from mlflow import MlflowClient
    except ImportError as error:
        raise MissingExtra("a record or registry in MLflow", "mlflow") from error
    # The first connection creates tables, and says so line by line. MLflow sets its own level when imported.
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of every retry
    where = uri or tracking_uri()
    if where.startswith(SQLITE):
        Path(where.removeprefix(SQLITE)).absolute().parent.mkdir(parents=True, exist_ok=True)
    with speaking_plainly(where):
        if where.partition(":")[0].partition("+")[0] in _SERVERS:
            _try_database(where)
        return MlflowClient(tracking_uri=where, registry_uri=where)


def _try_database(uri: str) -> None:
    """Connect once: MLflow itself would try for a minute, and log every failure at length."""
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.pool import NullPool

    try:
        url = make_url(uri)
        argument = _CONNECT_ARGUMENT.get(url.get_driver_name())
        limits = {argument: _CONNECT_S} if argument is not None and argument not in url.query else {}
        engine = create_engine(url, connect_args=limits, poolclass=NullPool)
    except ImportError as error:
        raise BadInput(
            f"MLflow at {shown_uri(uri)}: the database's driver is not installed: `pip install {error.name}`"
        ) from None
    except ValueError as error:
        raise BadInput(f"MLflow at {shown_uri(uri)}: not an address: {without_secrets(str(error), uri)}") from None
    with engine.connect():
        pass


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Hold Ctrl-C back until the block is over: somewhere in MLflow's imports it would be caught and forgotten."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def speaking_plainly(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into one line.

    Args:
        uri: of the record that is spoken to; its passwords are in no error.

    Raises:
        PointsmanError: in place of MLflow's own exception.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("mlflow", "sqlalchemy", "requests"):
            raise
        lines = without_secrets(str(error).strip(), uri).splitlines()
        raise PointsmanError(f"MLflow at {shown_uri(uri)}: {lines[0] if lines else type(error).__name__}") from error
