"""What does an index say about itself? How it was made, of which files, and whether this version reads it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from promptflow_lite.retrieval.embed import Roles

__all__ = ["FORMAT", "Info", "KnownFile", "OtherFormat"]

FORMAT = 3
"""The version of the file's layout."""


class OtherFormat(ValueError):
    """The file is of another version of this package."""

    def __init__(self, found: int, sources: Sequence[str]) -> None:
        super().__init__(f"it has format {found}; this version reads format {FORMAT}")
        self.sources = sources


@dataclass(frozen=True, slots=True)
class Info:
    """What an index says about itself."""

    format: int
    tokenizer: str
    embedding: str
    """`local`, or the name of the connection that embedded it."""
    model: str
    """The connection's embedding model; empty for `local`."""
    embedder: str
    """The name of the embedder: only the same one may embed queries."""
    dimension: int
    size: int
    overlap: int
    text_column: str
    """The column of CSV files, or field of JSON Lines, that is the text; empty: `content` or `text`."""
    sources: tuple[str, ...]
    """What it was built of: absolute, or relative to the folder of the index."""
    files: int
    documents: int
    chunks: int
    created: str
    query_prefix: str = ""
    """What the embedder wants before a query, and before a passage; both empty: what its name tells."""
    passage_prefix: str = ""

    @property
    def roles(self) -> Roles:
        """Both prefixes."""
        return Roles(self.query_prefix, self.passage_prefix)

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> Info:
        """What the `meta` table holds."""
        said = json.loads(connection.execute("select value from meta where key = 'info'").fetchone()[0])
        if (found := said.get("format", 1)) != FORMAT:
            raise OtherFormat(found, said.get("sources", ()))
        return cls(**{**said, "sources": tuple(said["sources"])})


class KnownFile(NamedTuple):
    """A file that the index was built of, as it was then."""

    path: str
    """Relative to the folder of the index."""
    name: str
    """What its documents call it."""
    size: int
    modified: int
    """Nanoseconds; 0 where that is not to be relied on."""
    digest: str
    """SHA-256 of its bytes."""
