"""`PFClient().connections`: the connections of this process's home."""

from __future__ import annotations

from typing import Any

from promptflow_lite.compat.sdk_errors import ConnectionNameNotSetError, raising
from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.bodies import keep
from promptflow_lite.connections.store import Connections, provider
from promptflow_lite.errors import UserError
from promptflow_lite.settings import settings

__all__ = ["ConnectionOperations"]


class ConnectionOperations:
    """The connections of this process's home."""

    def get(self, name: str, **how: Any) -> Connection:
        """The connection of that name, with its secrets; `how` is taken for Prompt flow's sake.

        Raises:
            ConnectionNotFoundError: there is none.
        """
        with raising():
            return self._store().get(name)

    def list(self, max_results: int = 50, all_results: bool = False) -> list[Connection]:
        """The connections, those of files and of the environment; one that is broken is left out."""
        store = self._store()
        found = []
        for name in store.names():
            try:
                found.append(store.get(name))
            except UserError:
                continue
        return found if all_results else found[:max_results]

    def create_or_update(self, connection: Connection, **how: Any) -> Connection:
        """Keep a connection; one of that name is replaced.

        Raises:
            ConnectionNameNotSetError: it has no name.
            UserErrorException: a field is missing, or holds a placeholder.
        """
        if not connection.name:
            raise ConnectionNameNotSetError("a connection needs a name to be kept under")
        with raising():
            keep(connection, self._store())
            return self._store().get(connection.name)

    def delete(self, name: str) -> None:
        """Delete the file that keeps a connection.

        Raises:
            ConnectionNotFoundError: no file keeps one of that name.
        """
        with raising():
            store = self._store()
            if name not in store.in_files():
                store.describe(name)
                raise UserError(f"connection {name!r} is kept in no file", code="not-a-file")
            store.path_of(name).unlink()

    @staticmethod
    def _store() -> Connections:
        return provider(settings())
