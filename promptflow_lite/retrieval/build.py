"""How does an index come to be? Files to chunks to vectors; what did not change is left alone."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.chunk import OVERLAP, SIZE, Chunk, chunk
from promptflow_lite.retrieval.embed import LOCAL, NO_ROLES, Embedder, Roles, embedded
from promptflow_lite.retrieval.index import Index
from promptflow_lite.retrieval.info import FORMAT, Info, KnownFile
from promptflow_lite.retrieval.kept import Kept, building_at, kept_at, unwritable
from promptflow_lite.retrieval.read import Found, SourceFile, Text, find_files, read_file
from promptflow_lite.retrieval.tokenize import Tokenizer, kind_of, tokenizer_of
from promptflow_lite.retrieval.write import Changes, ReadFile, Row, write

__all__ = ["Built", "Progress", "build", "delete", "sources_of", "update"]

Progress = Callable[[str, int, int], None]
"""Told the stage (`read`, `embed`, `index`, `write`), how much of it is done, and of how much."""

_BATCH = 64
_RACY_NS = 2_000_000_000
"""A file changed that shortly before it was read may change again without looking changed from outside."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did."""

    info: Info
    read: int
    """Files that were read; the others had not changed."""
    embedded: int
    """Chunks that were embedded; the others' vectors were there, of the old index or a build cut short."""
    seconds: float


async def build(
    sources: Sequence[str],
    output: Path,
    *,
    embedder: Embedder,
    embedding: str = LOCAL,
    model: str = "",
    roles: Roles = NO_ROLES,
    size: int = SIZE,
    overlap: int = OVERLAP,
    text_column: str = "",
    tokenizer: Tokenizer = "ngrams",
    progress: Progress = lambda stage, done, total: None,
) -> Built:
    """Write the index of `sources` to `output`; one that stood there is replaced when the new one is whole.

    A build that was cut short goes on where it was: the vectors it made are in a file beside the index.

    Args:
        sources: files, folders and glob patterns.
        output: the file to write; its folder is made if need be.
        embedder: makes the vectors.
        embedding: how a search finds the same embedder: `local`, or a connection's name.
        model: the connection's model.
        roles: what `embedder` was told to put before its texts.
        size: words of one chunk at most.
        overlap: words that a chunk repeats of the one before.
        text_column: the column of CSV files, or field of JSON Lines, that is the text, if it is neither
            `content` nor `text`.
        tokenizer: what cuts texts into search terms.
        progress: told how far it is.

    Raises:
        InputError: every file that cannot be read, or a document's name that is there twice, in one message;
            or the output cannot be written, or another build writes it.
        MissingExtra: a kind of file, or the tokenizer, needs a package that is not installed.
    """
    started = time.monotonic()
    info = Info(
        format=FORMAT,
        tokenizer=tokenizer_of(tokenizer),
        embedding=embedding,
        model=model,
        embedder=embedder.name,
        dimension=0,
        size=size,
        overlap=overlap,
        text_column=text_column,
        sources=tuple(_recorded(source, output) for source in sources),
        files=0,
        documents=0,
        chunks=0,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        query_prefix=roles.query,
        passage_prefix=roles.passage,
    )
    with _held(output, embedder.name) as kept, _old(output) as old:
        base = old if old is not None and _cut_alike(old.info, info) else None
        changes = _changes(find_files(sources), info, output, base, progress)
        if (
            base is not None
            and not _any(changes)
            and (base.info.sources, base.info.embedding, base.info.model, base.info.roles)
            == (info.sources, info.embedding, info.model, info.roles)
        ):
            return Built(base.info, read=0, embedded=0, seconds=time.monotonic() - started)
        if not any(read.rows for read in changes.read) and _chunks_left(base, changes) == 0:
            raise InputError(f"{', '.join(sources)}: the files say nothing", code="bad-source")
        rows = {row.digest: row.embedded_text for read in changes.read for row in read.rows}
        known = old.kept_vectors(rows) if old is not None and old.info.embedder == embedder.name else {}
        made = await _embed({d: t for d, t in rows.items() if d not in known}, embedder, kept, progress)
        try:
            info = write(
                output,
                info,
                changes,
                lambda digest: known.get(digest) or kept.vector(digest),
                base=base.path if base is not None else None,
                progress=progress,
            )
        except (OSError, sqlite3.Error) as error:
            raise unwritable(output, error) from error
    return Built(info, read=len(changes.read), embedded=made, seconds=time.monotonic() - started)


async def update(
    output: Path, *, embedder: Embedder, progress: Progress = lambda stage, done, total: None
) -> Built:
    """Build the index at `output` again from where it came from, as it was built.

    Raises:
        InputError: as for `build`; or there is no index.
    """
    index = Index(output)
    index.close()
    info = index.info
    return await build(
        sources_of(info, output),
        output,
        embedder=embedder,
        embedding=info.embedding,
        model=info.model,
        roles=info.roles,
        size=info.size,
        overlap=info.overlap,
        text_column=info.text_column,
        tokenizer=kind_of(info.tokenizer),
        progress=progress,
    )


def delete(output: Path) -> None:
    """Delete the index at `output`, and what a build of it that was cut short left behind.

    Raises:
        InputError: there is neither, or the file is no index, or a build of it is under way.
    """
    if output.exists() or not kept_at(output).exists():
        Index(output).close()
    Kept(output, "").close(done=True)
    for path in (output, building_at(output)):
        path.unlink(missing_ok=True)


def _recorded(source: str, output: Path) -> str:
    """`source` as the index remembers it: relative to its own folder, unless it was given as absolute."""
    path = Path(source).expanduser()
    return str(path) if path.is_absolute() else os.path.relpath(path, output.parent)


def sources_of(info: Info, output: Path) -> list[str]:
    """What the index at `output` was built of, as the current folder sees it."""
    return [
        source if Path(source).is_absolute() else os.path.relpath(output.parent / source)
        for source in info.sources
    ]


@contextmanager
def _held(output: Path, embedder: str) -> Iterator[Kept]:
    kept = Kept(output, embedder)
    done = False
    try:
        yield kept
        done = True
    finally:
        kept.close(done=done)


@contextmanager
def _old(output: Path) -> Iterator[Index | None]:
    """The index that stands at `output`; None if there is none that this version reads."""
    try:
        index = Index(output)
    except InputError:
        yield None
        return
    try:
        yield index
    finally:
        index.close()


def _cut_alike(old: Info, new: Info) -> bool:
    """Whether a file that did not change has the same chunks, words and vectors in both."""
    asked = ("tokenizer", "embedder", "size", "overlap", "text_column")
    return all(getattr(old, name) == getattr(new, name) for name in asked)


def _any(changes: Changes) -> bool:
    return bool(changes.read or changes.touched or changes.gone)


def _chunks_left(base: Index | None, changes: Changes) -> int:
    return 0 if base is None else base.chunks_besides([file.path for file in changes.gone])


def _changes(found: Found, info: Info, output: Path, base: Index | None, progress: Progress) -> Changes:
    before = base.files() if base is not None else {}
    texts: dict[str, str] = {}
    complaints = list(found.complaints)
    read: list[ReadFile] = []
    touched: list[KnownFile] = []
    same: set[str] = set()
    for number, file in enumerate(found.files, start=1):
        try:
            known = before.get(_key(file, output))
            now = _look(file, output, known)
            if known is not None and now.digest == known.digest and now.name == known.name:
                same.add(now.path)
                touched += [now] if now != known else []
            else:
                read.append(_read(file, now, info, texts, complaints))
        except InputError as error:
            complaints.append(error.message)
        except OSError as error:
            complaints.append(f"{file.path}: {error.strerror or error}")
        progress("read", number, len(found.files))
    gone = [file for path, file in before.items() if path not in same]
    if base is not None:
        sources = base.sources_of(texts, besides=[file.path for file in gone])
        complaints += [
            f"{texts[name]}: the id {name!r} is also in {other}" for name, other in sources.items()
        ]
    if complaints:
        raise InputError("\n".join(complaints), code="bad-source")
    return Changes(read, touched, gone)


def _key(file: SourceFile, output: Path) -> str:
    return os.path.relpath(file.path.resolve(), output.parent.resolve())


def _look(file: SourceFile, output: Path, known: KnownFile | None) -> KnownFile:
    """What the file is now; it is opened only if it looks changed from outside."""
    stat = file.path.stat()
    key = _key(file, output)
    if known is not None and (known.size, known.modified) == (stat.st_size, stat.st_mtime_ns):
        return known._replace(name=file.name)
    modified = stat.st_mtime_ns if time.time_ns() - stat.st_mtime_ns > _RACY_NS else 0
    with file.path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return KnownFile(key, file.name, stat.st_size, modified, digest)


def _read(
    file: SourceFile, now: KnownFile, info: Info, texts: dict[str, str], complaints: list[str]
) -> ReadFile:
    names: list[str] = []
    rows: list[Row] = []
    for text in read_file(replace(file, text_column=info.text_column)):
        if text.id in texts:
            complaints.append(f"{file.path}: the id {text.id!r} is also in {texts[text.id]}")
            continue
        texts[text.id] = text.source
        names.append(text.id)
        rows += _rows(text, chunk(text, size=info.size, overlap=info.overlap))
    return ReadFile(now, names, rows)


def _rows(text: Text, chunks: Sequence[Chunk]) -> Iterable[Row]:
    for number, made in enumerate(chunks, start=1):
        headings = [*text.heading, *made.heading]
        above = [text.title, *headings] if text.title else headings
        heading = " > ".join(headings)
        metadata = {
            **text.metadata,
            "document": text.id,
            "source": text.source,
            "start": made.start,
            "end": made.end,
        }
        if text.places:
            place = bisect_right(text.places, made.start, key=itemgetter(0)) - 1
            metadata[text.unit] = text.places[place][1]
        if text.title:
            metadata["title"] = text.title
        if heading:
            metadata["heading"] = heading
        yield Row(
            name=text.id if len(chunks) == 1 else f"{text.id}:{number}",
            content=made.content,
            headings=" / ".join(dict.fromkeys(name.replace("_", " ") for name in above)),
            metadata=metadata,
        )


async def _embed(texts: Mapping[str, str], embedder: Embedder, kept: Kept, progress: Progress) -> int:
    """Have every text's vector kept, by digest; how many had to be made."""
    there = kept.find(texts)
    digests = [digest for digest in texts if digest not in there]
    for start in range(0, len(digests), _BATCH):
        batch = digests[start : start + _BATCH]
        rows = await embedded([texts[digest] for digest in batch], embedder)
        kept.add({digest: row.astype("<f4").tobytes() for digest, row in zip(batch, rows, strict=True)})
        progress("embed", start + len(batch), len(digests))
    return len(digests)
