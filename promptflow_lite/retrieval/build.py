"""How does an index come to be? Files to chunks to vectors to one file, which appears whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.chunk import OVERLAP, SIZE, Chunk, chunk
from promptflow_lite.retrieval.embed import LOCAL, Embedder
from promptflow_lite.retrieval.index import FORMAT, Index, Info
from promptflow_lite.retrieval.read import Found, Text, find_files, read_file
from promptflow_lite.retrieval.tokenize import TOKENIZER, terms

if TYPE_CHECKING:
    from promptflow_lite.retrieval.embed import Vectors

__all__ = ["Built", "Progress", "build"]

Progress = Callable[[str, int, int], None]
"""Told the stage (`read`, `embed`), how much of it is done, and of how much."""

_BATCH = 64
_SCHEMA = """
create table meta (key text primary key, value text not null);
create table chunks (
  id integer primary key, name text not null, content text not null, metadata text not null,
  digest text not null
);
create table vectors (id integer primary key, vector blob not null);
create virtual table words using fts5 (
  headings, content, content='', tokenize='porter unicode61 remove_diacritics 2'
);
"""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did."""

    info: Info
    embedded: int
    """Chunks that were embedded; the others' vectors came from the index that stood there before."""
    seconds: float


@dataclass(frozen=True, slots=True)
class _Row:
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
        return hashlib.sha256(self.embedded_text.encode("utf-8", "surrogatepass")).hexdigest()


async def build(
    sources: Sequence[str],
    output: Path,
    *,
    embedder: Embedder,
    embedding: str = LOCAL,
    model: str = "",
    size: int = SIZE,
    overlap: int = OVERLAP,
    progress: Progress = lambda stage, done, total: None,
) -> Built:
    """Write the index of `sources` to `output`; one that stood there is replaced when the new one is whole.

    Args:
        sources: files, folders and glob patterns.
        output: the file to write; its folder is made if need be.
        embedder: makes the vectors.
        embedding: how a search finds the same embedder: `local`, or a connection's name.
        model: the connection's model.
        size: words of one chunk at most.
        overlap: words that a chunk repeats of the one before.
        progress: told how far it is.

    Raises:
        InputError: every file that cannot be read, or a document's name that is there twice, in one message;
            or the output cannot be written.
    """
    started = time.monotonic()
    found = find_files(sources)
    texts = _read_all(found, progress)
    rows = [row for text in texts for row in _rows(text, chunk(text, size=size, overlap=overlap))]
    if not rows:
        raise InputError(f"{', '.join(sources)}: the files say nothing", code="bad-source")
    known = _vectors_of(output, embedder.name)
    missing = {row.digest: row.embedded_text for row in rows if row.digest not in known}
    known |= await _embed(missing, embedder, progress)
    info = Info(
        format=FORMAT,
        tokenizer=TOKENIZER,
        embedding=embedding,
        model=model,
        embedder=embedder.name,
        dimension=len(next(iter(known.values()))) // 4,
        size=size,
        overlap=overlap,
        files=len(found.files),
        documents=len(texts),
        chunks=len(rows),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    try:
        _write(output, info, rows, known)
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{output}: cannot be written: {error}", code="bad-output") from error
    return Built(info, embedded=len(missing), seconds=time.monotonic() - started)


def _read_all(found: Found, progress: Progress) -> list[Text]:
    texts: dict[str, Text] = {}
    complaints = list(found.complaints)
    for number, file in enumerate(found.files, start=1):
        try:
            for text in read_file(file):
                if text.id in texts:
                    complaints.append(f"{file.path}: the id {text.id!r} is also in {texts[text.id].source}")
                texts[text.id] = text
        except InputError as error:
            complaints.append(error.message)
        progress("read", number, len(found.files))
    if complaints:
        raise InputError("\n".join(complaints), code="bad-source")
    return list(texts.values())


def _rows(text: Text, chunks: Sequence[Chunk]) -> Iterable[_Row]:
    for number, made in enumerate(chunks, start=1):
        above = [text.title, *made.heading] if text.title else [*made.heading]
        heading = " > ".join(made.heading)
        metadata = {
            **text.metadata,
            "document": text.id,
            "source": text.source,
            "start": made.start,
            "end": made.end,
        }
        if text.title:
            metadata["title"] = text.title
        if heading:
            metadata["heading"] = heading
        yield _Row(
            name=text.id if len(chunks) == 1 else f"{text.id}:{number}",
            content=made.content,
            headings=" / ".join(dict.fromkeys(name.replace("_", " ") for name in above)),
            metadata=metadata,
        )


def _vectors_of(output: Path, embedder: str) -> dict[str, bytes]:
    """The vectors of the index at `output`, by digest; none if it is not one of the same embedder."""
    try:
        index = Index(output)
    except InputError:
        return {}
    try:
        return index.kept_vectors() if index.info.embedder == embedder else {}
    finally:
        index.close()


async def _embed(texts: Mapping[str, str], embedder: Embedder, progress: Progress) -> dict[str, bytes]:
    digests = list(texts)
    vectors: dict[str, bytes] = {}
    for start in range(0, len(digests), _BATCH):
        batch = digests[start : start + _BATCH]
        rows = await _embedded([texts[digest] for digest in batch], embedder)
        vectors.update((digest, row.astype("<f4").tobytes()) for digest, row in zip(batch, rows, strict=True))
        progress("embed", len(vectors), len(digests))
    return vectors


async def _embedded(texts: list[str], embedder: Embedder) -> Vectors:
    if inspect.iscoroutinefunction(embedder.embed):
        return cast("Vectors", await embedder.embed(texts))
    return cast("Vectors", await asyncio.to_thread(embedder.embed, texts))


def _write(output: Path, info: Info, rows: Sequence[_Row], vectors: Mapping[str, bytes]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f".{output.name}.{os.getpid()}.building")
    beside.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(beside)) as connection:
            _fill(connection, info, rows, vectors)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)


def _fill(
    connection: sqlite3.Connection, info: Info, rows: Sequence[_Row], vectors: Mapping[str, bytes]
) -> None:
    # Nobody else reads this file yet, and a torn one is thrown away: no journal is needed.
    connection.executescript("pragma journal_mode = off; pragma synchronous = off;" + _SCHEMA)
    numbered = list(enumerate(rows, start=1))
    with connection:
        connection.execute("insert into meta values ('info', ?)", (json.dumps(asdict(info)),))
        connection.executemany(
            "insert into chunks values (?, ?, ?, ?, ?)",
            (
                (i, r.name, r.content, json.dumps(r.metadata, ensure_ascii=False), r.digest)
                for i, r in numbered
            ),
        )
        connection.executemany(
            "insert into vectors values (?, ?)", ((i, vectors[r.digest]) for i, r in numbered)
        )
        connection.executemany(
            "insert into words (rowid, headings, content) values (?, ?, ?)",
            ((i, " ".join(terms(r.headings)), " ".join(terms(r.content))) for i, r in numbered),
        )
        connection.execute("insert into words (words) values ('optimize')")
