"""Which files do sources name? Files, folders and glob patterns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from glob import has_magic
from pathlib import Path
from typing import NamedTuple

from promptflow_lite.retrieval.read.kinds import SUFFIXES
from promptflow_lite.retrieval.read.text import SourceFile

__all__ = ["Found", "find_files"]


class Found(NamedTuple):
    """What sources came to."""

    files: list[SourceFile]
    complaints: list[str]
    """One for each source that is not there or holds nothing, and for each named file of an unknown kind."""


def find_files(sources: Sequence[str]) -> Found:
    """The files that `sources` name: files, folders and glob patterns; each file once.

    A folder is searched through; names that start with a dot, and kinds that cannot be read, are left out.
    """
    found: dict[Path, SourceFile] = {}
    complaints: list[str] = []
    for source in sources:
        files = list(_files_of(Path(source).expanduser()))
        if not files:
            complaints.append(_nothing_at(source))
        for file in files:
            if file.path.suffix.lower() in SUFFIXES:
                found.setdefault(file.path.resolve(), file)
            else:
                kind = repr(file.path.suffix) if file.path.suffix else "a file without a suffix"
                complaints.append(f"{file.path}: cannot read {kind}, only {', '.join(SUFFIXES)}")
    return Found(list(found.values()), complaints)


def _files_of(source: Path) -> Iterator[SourceFile]:
    if source.is_dir():
        yield from _in_folder(source)
    elif source.is_file():
        yield SourceFile(source, source.name)
    elif has_magic(str(source)):
        root = Path(*_before_magic(source.parts))
        for path in sorted(root.glob(str(source.relative_to(root)))):
            if path.is_file() and path.suffix.lower() in SUFFIXES:
                yield SourceFile(path, path.relative_to(root).as_posix())


def _in_folder(folder: Path) -> Iterator[SourceFile]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if not hidden and path.suffix.lower() in SUFFIXES and path.is_file():
            yield SourceFile(path, name.as_posix())


def _before_magic(parts: Sequence[str]) -> list[str]:
    plain: list[str] = []
    for part in parts:
        if has_magic(part):
            break
        plain.append(part)
    return plain


def _nothing_at(source: str) -> str:
    if has_magic(source):
        return f"{source}: no file matches"
    return (
        f"{source}: no file to read in this folder"
        if Path(source).is_dir()
        else f"{source}: no such file or folder"
    )
