"""Which passages answer a query? One index on disk: a SQLite file with words (BM25) and vectors (cosine).

The file is written once by `retrieval.build` and never changed after, so that readers need no lock. Words
and vectors are read into memory at the first search that needs them; the database is asked for the text of
passages that were not found before, and for filters.
"""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.database import Database
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.filter import conditions
from promptflow_lite.retrieval.fusion import best, diverse, fuse, reciprocal
from promptflow_lite.retrieval.info import Info, KnownFile
from promptflow_lite.retrieval.passages import Passages
from promptflow_lite.retrieval.stem import stems
from promptflow_lite.retrieval.tokenize import Terms, analyzer, query_terms
from promptflow_lite.retrieval.words import Postings, Words

if TYPE_CHECKING:
    from promptflow_lite.retrieval.embed import Vectors

__all__ = ["Index", "IndexMode", "read_postings"]

IndexMode = Literal["hybrid", "keyword", "vector", "rrf"]
"""How an index is searched: `rrf` is hybrid search by reciprocal rank fusion."""

_CANDIDATES = 50
"""Passages that words and vectors each name, of which a hybrid search takes the best."""


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
        self._database = Database(path)
        self._held_vectors: Vectors | None = None
        self._held_words: Words | None = None
        # Two first searches at once would read the vectors twice.
        self._lock = threading.Lock()
        if not path.is_file():
            raise InputError(f"{path}: there is no index", code="index-not-found", hint=_how_to_build(path))
        try:
            with self._database.connection() as connection:
                self.info = Info.read(connection)
        except (sqlite3.Error, TypeError, ValueError, KeyError) as error:
            self.close()
            raise InputError(
                f"{path}: not an index that this version reads ({error})",
                code="index-unreadable",
                hint=_how_to_build(path, getattr(error, "sources", ())),
            ) from error
        self._passages = Passages(self._database, self.info.chunks)

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
        self._database.close()

    def passages(self) -> Iterator[tuple[Document, Vectors]]:
        """Every passage with its vector, in the order of the index."""
        import numpy as np  # noqa: PLC0415  # heavy: first use

        with self._database.connection() as connection:
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
        allowed = self._passages.allowed(conditions(filter)) if filter else None
        limit = max(_CANDIDATES, top_k) if diversity else top_k
        found = self._found(query, vector, mode, allowed, limit)
        if min_score is not None:
            found = [one for one in found if one[1] >= min_score]
        if diversity:
            vectors = self._vectors[[row for row, _ in found]]
            found = diverse(found, vectors, top_k, diversity=diversity)
        return self._passages.documents(found)

    def _found(
        self, query: str, vector: Vectors | None, mode: IndexMode, allowed: Any, limit: int
    ) -> list[tuple[int, float]]:
        """The rows of the `limit` best passages and their scores, best first."""
        if mode == "vector":
            scores = _only(allowed, self._cosines(vector), float("-inf"))
            return _scored(scores, best(scores, limit))
        words = stems(query_terms(query, self.terms))
        by_words = self._words.scores(words)
        if mode == "keyword":
            scores = _only(allowed, by_words, 0.0)
            return _scored(scores, best(scores, limit, above=0.0))
        cosines = self._cosines(vector)
        if mode == "hybrid":
            scores = fuse(by_words, cosines, greatest=self._words.greatest(words))
            scores = _only(allowed, scores, float("-inf"))
            return _scored(scores, best(scores, limit))
        depth = max(_CANDIDATES, limit)
        rankings = (
            best(_only(allowed, by_words, 0.0), depth, above=0.0).tolist(),
            best(_only(allowed, cosines, float("-inf")), depth).tolist(),
        )
        return reciprocal(*rankings)[:limit]

    def files(self) -> dict[str, KnownFile]:
        """The files that it was built of, by path."""
        sql = "select path, name, size, modified, digest from files"
        with self._database.connection() as connection:
            return {row[0]: KnownFile(*row) for row in connection.execute(sql)}

    def chunks_besides(self, paths: Sequence[str]) -> int:
        """How many chunks are of other files than those of `paths`."""
        inside = "select id from files where path in (select value from json_each(?))"
        sql = f"select count(*) from chunks where file not in ({inside})"  # noqa: S608  # constant text
        with self._database.connection() as connection:
            return int(connection.execute(sql, (json.dumps(paths),)).fetchone()[0])

    def missing(self, names: Iterable[str]) -> set[str]:
        """Those of `names` that no document, file or chunk here has."""
        sql = "select id from documents union select name from files union select name from chunks"
        with self._database.connection() as connection:
            return set(names) - {name for (name,) in connection.execute(sql)}

    def sources_of(self, documents: Iterable[str], *, besides: Sequence[str]) -> dict[str, str]:
        """Which file holds each of those documents, by name; the files of the paths `besides` left out."""
        sql = "select documents.id, name, path from documents join files on files.id = file"
        wanted = set(documents)
        with self._database.connection() as connection:
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
        with self._database.connection() as connection:
            return {digest: vector for digest, vector in connection.execute(sql) if digest in digests}

    def _cosines(self, vector: Vectors | None) -> Vectors:
        import numpy as np  # noqa: PLC0415  # heavy: first use

        if vector is None or vector.shape != (self.info.dimension,):
            got = "none" if vector is None else f"one of {vector.shape[-1]} numbers"
            raise InputError(
                f"{self.path}: expected a query vector of {self.info.dimension} numbers "
                f"by {self.info.embedder}, got {got}",
                code="index-embedder",
            )
        # Not `@`: its BLAS threads wait for each other in a busy loop; on a machine with other work to do one
        # product took 1.6 to 5 ms in place of 0.05.
        cosines: Vectors = np.vecdot(self._vectors, vector)
        return cosines

    @property
    def _vectors(self) -> Vectors:
        """The vector of each passage: shape (chunks, dimension)."""
        import numpy as np  # noqa: PLC0415  # heavy: first use

        if self._held_vectors is not None:
            return self._held_vectors
        with self._lock, self._database.connection() as connection:
            if self._held_vectors is None:
                vectors = np.empty((self.info.chunks, self.info.dimension), dtype="<f4")
                # Row by row: all the blobs at once would double the memory that the process keeps.
                rows = connection.execute("select vector from vectors order by id")
                for place, (vector,) in enumerate(rows):
                    vectors[place] = np.frombuffer(vector, dtype="<f4")
                self._held_vectors = vectors
            return self._held_vectors

    @property
    def _words(self) -> Words:
        if self._held_words is not None:
            return self._held_words
        with self._lock, self._database.connection() as connection:
            if self._held_words is None:
                self._held_words = Words(read_postings(connection))
            return self._held_words


def read_postings(connection: sqlite3.Connection) -> Postings:
    """The words of the index that `connection` reads."""
    return Postings.of_blobs(dict(connection.execute("select name, value from words")))


def _only(allowed: Any, scores: Vectors, otherwise: float) -> Vectors:
    import numpy as np  # noqa: PLC0415  # heavy: first use

    return scores if allowed is None else np.where(allowed, scores, np.float32(otherwise))


def _scored(scores: Vectors, rows: Any) -> list[tuple[int, float]]:
    return list(zip(rows.tolist(), scores[rows].tolist(), strict=True))


def _how_to_build(path: Path, sources: Sequence[str] = ()) -> str:
    """The command; `sources` as an index remembers them, relative to its folder."""
    named = " ".join(shlex.quote(os.path.normpath(path.parent / source)) for source in sources) or "SOURCE"
    return f"build it with: pf index build {named} --output {path}"
