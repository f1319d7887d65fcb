"""Which passages answer a query? One index on disk: a SQLite file with words (BM25) and vectors (cosine).

The file is written once by `retrieval.build` and never changed after, so that readers need no lock.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.filter import Conditions, conditions
from promptflow_lite.retrieval.fusion import best, diverse, fuse, reciprocal
from promptflow_lite.retrieval.tokenize import Terms, analyzer, query_terms

if TYPE_CHECKING:
    from promptflow_lite.retrieval.embed import Vectors

__all__ = ["FORMAT", "Index", "IndexMode", "Info", "KnownFile", "Mode"]

Mode = Literal["hybrid", "keyword", "vector"]
"""How any retriever of both words and vectors is searched."""
IndexMode = Literal["hybrid", "keyword", "vector", "rrf"]
"""How an index is searched: `rrf` is hybrid search by reciprocal rank fusion."""

FORMAT = 2
"""The version of the file's layout."""
_CANDIDATES = 50
"""Passages that words and vectors each name, of which a hybrid search takes the best."""
_MOST_FREQUENCIES = 100_000
"""Words whose frequency is remembered: queries come from strangers, and memory is not theirs to fill."""


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

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> Info:
        """What the `meta` table holds."""
        said = json.loads(connection.execute("select value from meta where key = 'info'").fetchone()[0])
        if said["format"] != FORMAT:
            raise ValueError(f"format {said['format']}; this version reads {FORMAT}")
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


class _Matrix(NamedTuple):
    ids: Any
    vectors: Vectors


def _close(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


class Index:
    """An open index. Safe to use from several threads; each search takes one of its database connections.

    Args:
        path: the file.

    Raises:
        InputError: there is no such file (code `index-not-found`), or it is no index of ours or of another
            version (`index-unreadable`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        # A flow that is called from Python may be dropped without a word; its files are closed all the same.
        weakref.finalize(self, _close, self._idle)
        self._matrix: _Matrix | None = None
        self._frequencies: dict[str, int] = {}
        # Two first searches at once would read the vectors twice.
        self._lock = threading.Lock()
        if not path.is_file():
            raise InputError(f"{path}: there is no index", code="index-not-found", hint=_how_to_build(path))
        try:
            with self._connection() as connection:
                self.info = Info.read(connection)
        except (sqlite3.Error, TypeError, ValueError, KeyError) as error:
            self.close()
            raise InputError(
                f"{path}: not an index that this version reads ({error})",
                code="index-unreadable",
                hint=_how_to_build(path),
            ) from error

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = self._idle.pop() if self._idle else self._connect()
        try:
            yield connection
        finally:
            self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        # immutable: a rebuild replaces the file by rename, so that an open one never changes.
        uri = f"{self.path.resolve().as_uri()}?mode=ro&immutable=1"
        return sqlite3.connect(uri, uri=True, check_same_thread=False)

    @cached_property
    def terms(self) -> Terms:
        """What cuts queries into search terms, as the index was cut.

        Raises:
            InputError: the tokenizer here cuts otherwise (code `index-tokenizer`).
            MissingExtra: it needs a package that is not installed.
        """
        try:
            return analyzer(self.info.tokenizer)
        except InputError as error:
            raise InputError(
                f"{self.path}: {error.message}", code=error.code, hint=f"pf index update {self.path}"
            ) from error

    def close(self) -> None:
        """Close the file."""
        _close(self._idle)

    def passages(self) -> Iterator[tuple[Document, Vectors]]:
        """Every passage with its vector, in the order of the index."""
        import numpy as np  # noqa: PLC0415  # heavy: first use

        with self._connection() as connection:
            rows = connection.execute(
                "select name, content, metadata, vector from chunks join vectors using (id) order by id"
            )
            for name, content, metadata, vector in rows:
                yield Document(content, name, metadata=json.loads(metadata)), np.frombuffer(vector, "<f4")

    def search(
        self,
        query: str,
        vector: Vectors | None = None,
        *,
        top_k: int = 3,
        mode: IndexMode = "hybrid",
        filter: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        diversity: float = 0.0,
    ) -> list[Document]:
        """The `top_k` best passages, best first.

        Args:
            query: any text.
            vector: the query's vector, for all modes but `keyword`; shape (dimension,), of length 1.
            top_k: at most this many.
            mode: `keyword` (BM25), `vector` (cosine), `hybrid` (both, fused by score) or `rrf` (by rank).
            filter: what must hold of a passage's metadata (`retrieval.filter`), such as
                `{"source": "guide.md", "year": {"min": 2024}}`.
            min_score: leave out what scores less; the scale is the mode's.
            diversity: from 0, best first, to 1, each as unlike those before it as can be.

        Raises:
            InputError: the filter is none, or the vector has another dimension.
        """
        wanted = conditions(filter or {})
        depth = max(_CANDIDATES, top_k)
        limit = depth if diversity else top_k
        with self._connection() as connection:
            scores = self._scores(connection, query, vector, mode, wanted, limit=limit, depth=depth)
            found = [
                (key, score) for key, score in best(scores, limit) if min_score is None or score >= min_score
            ]
            if diversity:
                found = diverse(found, self._vectors_of(connection, found), top_k, diversity=diversity)
            return [_document(connection, key, score) for key, score in found]

    def _scores(
        self,
        connection: sqlite3.Connection,
        query: str,
        vector: Vectors | None,
        mode: IndexMode,
        wanted: Conditions,
        *,
        limit: int,
        depth: int,
    ) -> dict[int, float]:
        if mode == "keyword":
            return self._by_words(connection, query_terms(query, self.terms), limit, wanted)
        if mode == "vector":
            return self._by_vector(connection, vector, limit, wanted)
        words = query_terms(query, self.terms)
        by_words = self._by_words(connection, words, depth, wanted)
        if mode == "rrf":
            return reciprocal(by_words, self._by_vector(connection, vector, depth, wanted))
        by_vector = self._by_vector(connection, vector, depth, wanted, besides=by_words)
        return fuse(by_words, by_vector, greatest=self._greatest(connection, words))

    def files(self) -> dict[str, KnownFile]:
        """The files that it was built of, by path."""
        sql = "select path, name, size, modified, digest from files"
        with self._connection() as connection:
            return {row[0]: KnownFile(*row) for row in connection.execute(sql)}

    def chunks_besides(self, paths: Sequence[str]) -> int:
        """How many chunks are of other files than those of `paths`."""
        inside = "select id from files where path in (select value from json_each(?))"
        sql = f"select count(*) from chunks where file not in ({inside})"  # noqa: S608  # constant text
        with self._connection() as connection:
            return int(connection.execute(sql, (json.dumps(paths),)).fetchone()[0])

    def missing(self, names: Iterable[str]) -> set[str]:
        """Those of `names` that no document, file or chunk here has."""
        sql = "select id from documents union select name from files union select name from chunks"
        with self._connection() as connection:
            return set(names) - {name for (name,) in connection.execute(sql)}

    def sources_of(self, documents: Iterable[str], *, besides: Sequence[str]) -> dict[str, str]:
        """Which file holds each of those documents, by name; the files of the paths `besides` left out."""
        sql = "select documents.id, name, path from documents join files on files.id = file"
        wanted = set(documents)
        with self._connection() as connection:
            return {
                document: name
                for document, name, path in connection.execute(sql)
                if document in wanted and path not in besides
            }

    def kept_vectors(self, digests: Collection[str]) -> dict[str, bytes]:
        """The vectors of those texts, by digest, as far as they are here."""
        if not digests:
            return {}
        sql = "select digest, vector from chunks join vectors using (id)"
        with self._connection() as connection:
            return {digest: vector for digest, vector in connection.execute(sql) if digest in digests}

    def _by_words(
        self, connection: sqlite3.Connection, words: Sequence[str], limit: int, wanted: Conditions
    ) -> dict[int, float]:
        if not words:
            return {}
        inside = f" and rowid in ({wanted.sql})" if wanted.sql else ""
        rows = connection.execute(
            f"select rowid, -bm25(words) as score from words where words match ?{inside} "  # noqa: S608  # values are bound
            "order by score desc, rowid limit ?",
            (_match(words), *wanted.values, limit),
        )
        return dict(rows.fetchall())

    def _greatest(self, connection: sqlite3.Connection, words: Sequence[str]) -> float:
        """What BM25 gives at most for a query: every word, endlessly often (SQLite: fts5_aux.c, k1 = 1.2)."""
        if len(self._frequencies) > _MOST_FREQUENCIES:
            self._frequencies = {}
        known, total = self._frequencies, 0.0
        for word in words:
            if word not in known:
                sql = "select count(*) from words where words match ?"
                known[word] = connection.execute(sql, (_match([word]),)).fetchone()[0]
            having = known[word]
            total += max(1e-6, math.log((self.info.chunks - having + 0.5) / (having + 0.5)))
        return 2.2 * total or 1.0

    def _by_vector(
        self,
        connection: sqlite3.Connection,
        vector: Vectors | None,
        limit: int,
        wanted: Conditions,
        *,
        besides: Iterable[int] = (),
    ) -> dict[int, float]:
        """Cosines of the `limit` nearest passages, and of those `besides`."""
        import numpy as np  # noqa: PLC0415  # heavy: first use

        if vector is None or vector.shape != (self.info.dimension,):
            got = "none" if vector is None else f"one of {vector.shape[-1]} numbers"
            raise InputError(
                f"{self.path}: expected a query vector of {self.info.dimension} numbers "
                f"by {self.info.embedder}, got {got}",
                code="index-embedder",
            )
        ids, vectors = self._vectors(connection)
        if wanted.sql:
            allowed = [key for (key,) in connection.execute(wanted.sql, wanted.values)]
            inside = np.isin(ids, allowed)
            ids, vectors = ids[inside], vectors[inside]
        # Not `@`: its BLAS threads wait for each other in a busy loop; on a machine with other work to do one
        # product took 1.6 to 5 ms in place of 0.1.
        cosines = np.einsum("ij,j->i", vectors, vector)
        nearest = _nearest(cosines, limit)
        also = np.searchsorted(ids, np.fromiter(besides, dtype=ids.dtype))
        rows = np.unique(np.concatenate([nearest, also]))
        return dict(zip(ids[rows].tolist(), cosines[rows].tolist(), strict=True))

    def _vectors_of(self, connection: sqlite3.Connection, found: Sequence[tuple[int, float]]) -> Vectors:
        import numpy as np  # noqa: PLC0415  # heavy: first use

        ids, vectors = self._vectors(connection)
        return vectors[np.searchsorted(ids, np.array([key for key, _ in found], dtype=ids.dtype))]

    def _vectors(self, connection: sqlite3.Connection) -> _Matrix:
        import numpy as np  # noqa: PLC0415  # heavy: first use

        with self._lock:
            if self._matrix is None:
                ids = np.empty(self.info.chunks, dtype=np.int64)
                vectors = np.empty((self.info.chunks, self.info.dimension), dtype="<f4")
                # Row by row: all the blobs at once would double the memory that the process keeps.
                rows = connection.execute("select id, vector from vectors order by id")
                for place, (key, vector) in enumerate(rows):
                    ids[place] = key
                    vectors[place] = np.frombuffer(vector, dtype="<f4")
                self._matrix = _Matrix(ids, vectors)
            return self._matrix


def _nearest(cosines: Any, limit: int) -> Any:
    import numpy as np  # noqa: PLC0415  # heavy: first use

    return np.argpartition(-cosines, limit)[:limit] if limit < len(cosines) else np.arange(len(cosines))


def _match(words: Sequence[str]) -> str:
    """Any of `words`, in the match language. They hold letters, digits and marks only, and are quoted."""
    return " OR ".join(f'"{word}"' for word in words)


def _document(connection: sqlite3.Connection, key: int, score: float) -> Document:
    name, content, metadata = connection.execute(
        "select name, content, metadata from chunks where id = ?", (key,)
    ).fetchone()
    return Document(content=content, id=name, score=score, metadata=json.loads(metadata))


def _how_to_build(path: Path) -> str:
    return f"build it with: pf index build SOURCE --output {path}"
