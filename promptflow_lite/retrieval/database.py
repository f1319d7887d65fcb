"""How is an index file read by several threads? Each takes a connection, and puts it back."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Database"]


def _close(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


class Database:
    """The connections to an index file, which never changes.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        # A flow that is called from Python may be dropped without a word; its files are closed all the same.
        weakref.finalize(self, _close, self._idle)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile."""
        connection = self._idle.pop() if self._idle else self._connect()
        try:
            yield connection
        finally:
            self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        # immutable: a rebuild replaces the file by rename, so that an open one never changes.
        uri = f"{self.path.resolve().as_uri()}?mode=ro&immutable=1"
        return sqlite3.connect(uri, uri=True, check_same_thread=False)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        _close(self._idle)
