"""What is a document before it is cut, and the file that it comes from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptflow_lite.errors import InputError

__all__ = ["SourceFile", "Text", "decoded"]


@dataclass(frozen=True, slots=True)
class Text:
    """What one document says."""

    content: str
    source: str
    """The file, as a path below what was asked for."""
    id: str = ""
    """The document's own name: the `id` of a row, else the source (with the page, for PDF)."""
    title: str = ""
    markdown: bool = False
    """Whether lines that start with `#` are headings."""
    heading: tuple[str, ...] = ()
    """The headings above all of it, outermost first."""
    unit: str = ""
    """What `places` counts: `line` or `paragraph`, from 1, of the file."""
    places: Sequence[tuple[int, int]] = ()
    """Where in the content each such unit begins, and its number; in order, the first at 0."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read, and what to call it."""

    path: Path
    name: str
    text_column: str = ""
    """The column of a CSV file, or the field of JSON Lines, that is the text; empty: `content` or `text`."""


def decoded(file: SourceFile) -> str:
    """What a file of text says.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        # Bytes, not text mode: line ends stay as they are, so that positions are those of the file.
        return file.path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file.path}: not UTF-8 (byte {error.start})", code="bad-source") from error
