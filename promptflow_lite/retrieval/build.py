"""How does an index come to be? Files to chunks to vectors; what did not change is left alone."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.changes import changes_of
from promptflow_lite.retrieval.chunk import OVERLAP, SIZE
from promptflow_lite.retrieval.embed import LOCAL, NO_ROLES, Embedder, Roles, embedded
from promptflow_lite.retrieval.index import Index
from promptflow_lite.retrieval.info import FORMAT, Info
from promptflow_lite.retrieval.kept import Kept, building_at, kept_at, unwritable
from promptflow_lite.retrieval.read import find_files
from promptflow_lite.retrieval.tokenize import Tokenizer, kind_of, tokenizer_of
from promptflow_lite.retrieval.write import Changes, write

__all__ = ["Built", "Progress", "build", "delete", "sources_of", "update"]

Progress = Callable[[str, int, int], None]
"""Told the stage (`read`, `embed`, `index`, `write`), how much of it is done, and of how much."""

_BATCH = 64


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
        changes = changes_of(find_files(sources), info, output, base, progress)
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
