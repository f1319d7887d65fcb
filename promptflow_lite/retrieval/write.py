"""How does an index come onto the disk? Written beside the old one, of which it may be a changed copy."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from promptflow_lite.retrieval.index import read_postings
from promptflow_lite.retrieval.info import Info, KnownFile
from promptflow_lite.retrieval.kept import building_at
from promptflow_lite.retrieval.stem import stems
from promptflow_lite.retrieval.tokenize import Terms, analyzer
from promptflow_lite.retrieval.words import postings_of

__all__ = ["Changes", "ReadFile", "Row", "write"]

_SCHEMA = """
create table meta (key text primary key, value text not null);
create table files (
  id integer primary key, path text not null unique, name text not null, size integer not null,
  modified integer not null, digest text not null
);
create table documents (id text primary key, file integer not null) without rowid;
create table chunks (
  id integer primary key, file integer not null, name text not null, content text not null,
  headings text not null, metadata text not null, digest text not null
);
create index chunks_of_file on chunks (file);
create table vectors (id integer primary key, vector blob not null);
create table words (name text primary key, value blob not null) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk as it is stored."""

    name: str
    content: str
    headings: str
    metadata: Mapping[str, Any]

    @property
    def embedded_text(self) -> str:
        """What the vector is of: the headings say what a passage torn from its page is about."""
        return f"{self.headings}\n{self.content}" if self.headings else self.content

    @property
    def digest(self) -> str:
        """The name of the vector."""
        return hashlib.sha256(self.embedded_text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that was read."""

    file: KnownFile
    documents: Sequence[str]
    """The ids of what it holds."""
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Changes:
    """What makes the old index the new one."""

    read: Sequence[ReadFile]
    """Files that are new, or say something else than before."""
    touched: Sequence[KnownFile]
    """Files that say the same, but look changed from outside."""
    gone: Sequence[KnownFile]
    """Files whose chunks go: no longer there, or read anew."""


def write(
    output: Path,
    info: Info,
    changes: Changes,
    vector: Callable[[str], bytes],
    *,
    base: Path | None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Info:
    """Put the index at `output` in one step: what stood there stays until the new one is whole.

    Args:
        output: where.
        info: what it says about itself; its counts are filled in here.
        changes: to `base`.
        vector: the vector of a digest.
        base: the index that it is a changed copy of; None begins with an empty one.
        progress: told the stage (`index`, `write`), how much of it is done, and of how much.

    Raises:
        OSError, sqlite3.Error: it cannot be written.
    """
    beside = building_at(output)
    try:
        beside.unlink(missing_ok=True)  # of a build that was killed
        if base is not None:
            shutil.copyfile(base, beside)
        with closing(sqlite3.connect(beside)) as connection:
            # Nobody else reads this file yet, and a torn one is thrown away: no journal is needed.
            connection.executescript("pragma journal_mode = off; pragma synchronous = off")
            if base is None:
                # Pages that several vectors fit in: of 4 KB ones, half would stay empty.
                connection.executescript("pragma page_size = 16384")
                connection.executescript(_SCHEMA)
            with connection:
                info = _apply(connection, info, changes, vector, progress)
            _shrink(connection)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)
    return info


def _apply(
    connection: sqlite3.Connection,
    info: Info,
    changes: Changes,
    vector: Callable[[str], bytes],
    progress: Callable[[str, int, int], None],
) -> Info:
    total = sum(len(read.rows) for read in changes.read)
    before = _keys(connection)
    for file in changes.gone:
        _remove(connection, file)
    _index_words(
        connection,
        before,
        changes,
        analyzer(info.tokenizer),
        lambda done: progress("index", done, total),
    )
    connection.executemany(
        "update files set size = ?, modified = ? where path = ?",
        [(file.size, file.modified, file.path) for file in changes.touched],
    )
    written = 0
    for read in changes.read:
        _add(connection, read, vector)
        written += len(read.rows)
        progress("write", written, total)
    counts = [
        connection.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608  # constant names
        for table in ("files", "documents", "chunks")
    ]
    first = connection.execute("select vector from vectors limit 1").fetchone()
    info = replace(
        info,
        files=counts[0],
        documents=counts[1],
        chunks=counts[2],
        dimension=len(first[0]) // 4 if first else 0,
    )
    connection.execute("insert or replace into meta values ('info', ?)", (json.dumps(asdict(info)),))
    return info


def _add(connection: sqlite3.Connection, read: ReadFile, vector: Callable[[str], bytes]) -> None:
    file = read.file
    number = connection.execute(
        "insert into files (path, name, size, modified, digest) values (?, ?, ?, ?, ?)",
        (file.path, file.name, file.size, file.modified, file.digest),
    ).lastrowid
    connection.executemany("insert into documents values (?, ?)", [(name, number) for name in read.documents])
    for row in read.rows:
        digest = row.digest
        key = connection.execute(
            "insert into chunks (file, name, content, headings, metadata, digest) values (?, ?, ?, ?, ?, ?)",
            (
                number,
                row.name,
                row.content,
                row.headings,
                json.dumps(row.metadata, ensure_ascii=False),
                digest,
            ),
        ).lastrowid
        connection.execute("insert into vectors values (?, ?)", (key, vector(digest)))


def _remove(connection: sqlite3.Connection, file: KnownFile) -> None:
    (number,) = connection.execute("select id from files where path = ?", (file.path,)).fetchone()
    connection.execute("delete from vectors where id in (select id from chunks where file = ?)", (number,))
    for table in ("chunks", "documents"):
        connection.execute(f"delete from {table} where file = ?", (number,))  # noqa: S608  # constant names
    connection.execute("delete from files where id = ?", (number,))


def _index_words(
    connection: sqlite3.Connection,
    before: Sequence[int],
    changes: Changes,
    terms: Terms,
    progress: Callable[[int], None],
) -> None:
    """Bring the words up to date: of the passages `before` some are gone by now; new ones follow the rest."""
    import numpy as np  # noqa: PLC0415  # heavy: first use

    def words_of_each() -> Iterator[list[str]]:
        done = 0
        for read in changes.read:
            yield from (stems([*terms(row.headings), *terms(row.content)]) for row in read.rows)
            done += len(read.rows)
            progress(done)

    added = words_of_each()
    if before:
        kept = np.isin(before, _keys(connection))
        words = postings_of(added, base=read_postings(connection), kept=kept)
    else:
        words = postings_of(added)
    connection.executemany("insert or replace into words values (?, ?)", words.to_blobs().items())


def _keys(connection: sqlite3.Connection) -> list[int]:
    return [key for (key,) in connection.execute("select id from chunks order by id")]


def _shrink(connection: sqlite3.Connection) -> None:
    free, pages = (
        connection.execute(f"pragma {name}").fetchone()[0] for name in ("freelist_count", "page_count")
    )
    if free > pages // 2:
        connection.execute("vacuum")
