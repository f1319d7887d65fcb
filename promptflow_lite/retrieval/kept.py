"""Which vectors has an interrupted build made already? A file beside the index, until the index is whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from promptflow_lite.errors import InputError

__all__ = ["Kept", "building_at", "kept_at", "unwritable"]

_SCHEMA = """
create table if not exists vectors (
  embedder text not null, digest text not null, vector blob not null, primary key (embedder, digest)
) without rowid
"""


def kept_at(output: Path) -> Path:
    """Where the vectors of an unfinished build of `output` are."""
    return output.with_name(f".{output.name}.kept")


def building_at(output: Path) -> Path:
    """Where the next index of `output` is written before it takes its place."""
    return output.with_name(f".{output.name}.building")


class Kept:
    """The vectors that unfinished builds of one index made. One build holds it alone, until `close`.

    Args:
        output: the index to be built; its folder is made if need be.
        embedder: the name of the embedder whose vectors are meant.

    Raises:
        InputError: another build of this index is under way (code `index-busy`), or the folder cannot be
            written (`bad-output`).
    """

    def __init__(self, output: Path, embedder: str) -> None:
        self._path = kept_at(output)
        self._embedder = embedder
        try:
            if output.is_dir():
                raise IsADirectoryError(None, "it is a folder")
            output.parent.mkdir(parents=True, exist_ok=True)
            # A build's worker threads never use it; the lock holds across processes and dies with its own.
            self._connection = sqlite3.connect(self._path, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise unwritable(output, error) from error
        try:
            self._hold()
        except sqlite3.Error as error:
            self._connection.close()
            if "locked" in str(error):
                raise InputError(f"{output}: another build of it is under way", code="index-busy") from error
            raise unwritable(output, error) from error

    def _hold(self) -> None:
        self._connection.execute("pragma page_size = 16384")  # as in `retrieval.write`
        self._connection.execute("pragma locking_mode = exclusive")
        self._connection.execute("pragma synchronous = normal")
        with self._connection:
            self._connection.execute("begin exclusive")
            self._connection.execute(_SCHEMA)

    def find(self, digests: Iterable[str]) -> set[str]:
        """Those of `digests` whose vector is here."""
        sql = "select digest from vectors where embedder = ?"
        return set(digests) & {digest for (digest,) in self._connection.execute(sql, (self._embedder,))}

    def vector(self, digest: str) -> bytes:
        """The vector of that digest, which `find` found or `add` added."""
        sql = "select vector from vectors where embedder = ? and digest = ?"
        (vector,) = self._connection.execute(sql, (self._embedder, digest)).fetchone()
        return bytes(vector)

    def add(self, vectors: Mapping[str, bytes]) -> None:
        """Keep these, by digest; from here on they outlive the process."""
        with self._connection:
            self._connection.executemany(
                "insert or replace into vectors values (?, ?, ?)",
                [(self._embedder, digest, vector) for digest, vector in vectors.items()],
            )

    def close(self, *, done: bool) -> None:
        """Let go of it; throw it away if the index is `done`, or if nothing is in it."""
        # Thrown away while still held: nobody takes it over in between.
        with suppress(sqlite3.Error):
            done = done or not self._connection.execute("select exists (select 1 from vectors)").fetchone()[0]
        if done:
            # The journal first: the file is sound without it, and a kill in between leaves no orphan.
            self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)
        self._connection.close()


def unwritable(output: Path, error: Exception) -> InputError:
    """The complaint that `output` cannot be written."""
    reason = getattr(error, "strerror", None) or error
    return InputError(f"{output}: cannot be written: {reason}", code="bad-output")
