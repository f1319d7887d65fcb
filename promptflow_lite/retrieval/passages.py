"""What do the rows of an index stand for? Passages, kept in memory once they were found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from promptflow_lite.retrieval.database import Database
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.filter import Conditions

__all__ = ["Passages"]

_REMEMBERED_PASSAGES = 10_000
"""Passages whose text stays in memory once it was found: about 10 MB."""
_REMEMBERED_FILTERS = 64
"""Filters whose passages stay in memory, a byte for each passage of the index."""


class _Passage(NamedTuple):
    name: str
    content: str
    metadata: dict[str, Any]


class Passages:
    """The passages of an index, by row: their place in its order. Safe to use from several threads.

    Args:
        database: the index.
        count: how many there are.
    """

    def __init__(self, database: Database, count: int) -> None:
        self._database = database
        self._count = count
        self._known: dict[int, _Passage] = {}
        self._allowed: dict[Conditions, Any] = {}

    def documents(self, found: Sequence[tuple[int, float]]) -> list[Document]:
        """The passages of those rows, with those scores."""
        known = self._known
        missing = [row for row, _ in found if row not in known]
        if missing:
            # Kept by the caller too: another thread may forget them meanwhile.
            known = self._remember(missing, {row: known[row] for row, _ in found if row in known})
        made: list[Document] = []
        for row, score in found:
            name, content, metadata = known[row]
            made.append(Document(content, name, score, metadata.copy()))
        return made

    def allowed(self, wanted: Conditions) -> Any:
        """Which rows a filter leaves: booleans, shape (passages,); None if all."""
        import numpy as np  # noqa: PLC0415  # heavy: first use

        if not wanted.sql:
            return None
        # A filter may come from a stranger, with values that are equal and of another type: 1 and True.
        allowed = self._allowed.get(
            known := Conditions(wanted.sql, (*wanted.values, *map(type, wanted.values)))
        )
        if allowed is None:
            with self._database.connection() as connection:
                keys = [key for (key,) in connection.execute(wanted.sql, wanted.values)]
            allowed = np.isin(self._keys, keys)
            if len(self._allowed) >= _REMEMBERED_FILTERS:
                self._allowed = {}
            self._allowed[known] = allowed
        return allowed

    @cached_property
    def _keys(self) -> Any:
        """The id of each passage, in the order of the rows."""
        import numpy as np  # noqa: PLC0415  # heavy: first use

        with self._database.connection() as connection:
            keys = (key for (key,) in connection.execute("select id from vectors order by id"))
            return np.fromiter(keys, dtype=np.int64, count=self._count)

    def _remember(self, rows: Sequence[int], known: dict[int, _Passage]) -> dict[int, _Passage]:
        """`known` with the passages of `rows`, which are read."""
        row_of = dict(zip(self._keys[rows].tolist(), rows, strict=True))
        sql = "select id, name, content, metadata from chunks where id in (select value from json_each(?))"
        with self._database.connection() as connection:
            for key, name, content, metadata in connection.execute(sql, (json.dumps([*row_of]),)):
                known[row_of[key]] = _Passage(name, content, json.loads(metadata))
        if len(self._known) + len(known) > _REMEMBERED_PASSAGES:
            self._known = {}
        self._known.update(known)
        return known
