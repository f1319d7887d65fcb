"""How is an MLflow store reached: in silence, for seconds and not minutes, with its errors in our words?"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Store", "patient", "reached", "reason"]

_SHORT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ASYNC_TRACE_LOGGING_RETRY_TIMEOUT": "5",
}
"""Instead of MLflow's 120 s, 7 retries and 500 s: the run is done, and can be told later."""
_LONG = {**_SHORT, "MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""For a server that has answered, and has a hundred traces to write."""


class Store:
    """An MLflow store that is being told or asked.

    Args:
        uri: its address.
        client: to it.
    """

    def __init__(self, uri: str, client: MlflowClient) -> None:
        self.uri = uri
        self.client = client

    @property
    def shown(self) -> str:
        """The address, as people and records may see it."""
        return _without_password(self.uri)

    @property
    def is_of_files(self) -> bool:
        """Whether it is a folder of files, as MLflow kept runs before it had a database."""
        return "://" not in self.uri or self.uri.startswith("file:")


@contextlib.contextmanager
def reached(default: str | None = None, *, failed: str = "was not told") -> Iterator[Store]:
    """The store of `MLFLOW_TRACKING_URI`, else `default`, else `mlflow.db` in the working directory.

    The last is MLflow's own default, so that a plain `mlflow ui` in the same folder opens it.

    Args:
        default: see there.
        failed: what the error says of the store.

    Raises:
        ConnectionError: it cannot be reached, or refused; from whatever is done with it.
    """
    # Telemetry is decided when mlflow is imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with _quiet(), _environment(_SHORT):
        import mlflow
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        is_set = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]  # mlflow's
        uri = mlflow.get_tracking_uri() if is_set else default or f"sqlite:///{Path.cwd() / 'mlflow.db'}"
        try:
            with _silent_loggers():
                yield Store(uri, mlflow.MlflowClient(tracking_uri=uri))
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise ConnectionError(f"MLflow at {_without_password(uri)} {failed}: {reason(error)}") from error


def patient() -> contextlib.AbstractContextManager[None]:
    """Give a store that has answered the time to take what is large."""
    return _environment(_LONG, over=_SHORT)


def _without_password(text: str) -> str:
    """An address without the name and the password in it."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def reason(error: Exception) -> str:
    """What matters of an error of MLflow's, which quotes those of three packages below it."""
    text = _without_password(str(error).strip() or type(error).__name__)
    system = re.search(r"\[Errno -?\d+\] ([^\"')]+)", text)
    if system:
        return system.group(1)
    return "no answer in time" if "timed out" in text else text.splitlines()[0][:300]


@contextlib.contextmanager
def _environment(ours: dict[str, str], over: dict[str, str] | None = None) -> Iterator[None]:
    """Our limits instead of MLflow's, where the user set none (`over` is what we set ourselves)."""
    before = dict(os.environ)
    mine = {
        name: value
        for name, value in ours.items()
        if name not in before or before[name] == (over or {}).get(name)
    }
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What MLflow prints about where runs are, and its warnings about its own insides, are not for people."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _silent_loggers() -> Iterator[None]:
    """What MLflow logs about making its tables is noise here; entered after its import, which sets levels."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic", "urllib3.connectionpool")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
