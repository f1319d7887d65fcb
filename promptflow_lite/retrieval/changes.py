"""What has changed since an index was built? Files to the chunks that are new, and those that go."""

from __future__ import annotations

import hashlib
import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.chunk import Chunk, chunk
from promptflow_lite.retrieval.index import Index
from promptflow_lite.retrieval.info import Info, KnownFile
from promptflow_lite.retrieval.read import Found, SourceFile, Text, read_file
from promptflow_lite.retrieval.write import Changes, ReadFile, Row

__all__ = ["changes_of"]

_RACY_NS = 2_000_000_000
"""A file changed that shortly before it was read may change again without looking changed from outside."""


def changes_of(
    found: Found, info: Info, output: Path, base: Index | None, progress: Callable[[str, int, int], None]
) -> Changes:
    """What makes the index `base` one of the files `found`; only files that may have changed are opened.

    Args:
        found: the files.
        info: how they are cut.
        output: where the index goes; its files are named from there.
        base: the index as it is; None if there is none that can be changed.
        progress: told the stage `read`, how many files are done, and of how many.

    Raises:
        InputError: every file that cannot be read, or a document's name that is there twice, in one message.
        MissingExtra: a kind of file needs a package that is not installed.
    """
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
