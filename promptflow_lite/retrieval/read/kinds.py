"""Which kinds of files can be read, and by what?"""

from __future__ import annotations

from collections.abc import Callable

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.read.docx import read_docx
from promptflow_lite.retrieval.read.pdf import read_pdf
from promptflow_lite.retrieval.read.prose import read_html, read_markdown, read_plain
from promptflow_lite.retrieval.read.rows import read_csv, read_jsonl
from promptflow_lite.retrieval.read.text import SourceFile, Text

__all__ = ["SUFFIXES", "read_file"]

_READERS: dict[str, Callable[[SourceFile], list[Text]]] = {
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".txt": read_plain,
    ".html": read_html,
    ".htm": read_html,
    ".pdf": read_pdf,
    ".docx": read_docx,
    ".csv": read_csv,
    ".jsonl": read_jsonl,
}
SUFFIXES = tuple(_READERS)
"""The file kinds that can be read."""


def read_file(file: SourceFile) -> list[Text]:
    """The documents of one file; blank ones are left out.

    Raises:
        InputError: the file cannot be read as what its name says; the message starts with the path.
        MissingExtra: a PDF or DOCX, and no package to read it.
    """
    try:
        texts = _READERS[file.path.suffix.lower()](file)
    except OSError as error:
        raise InputError(f"{file.path}: {error.strerror or error}", code="bad-source") from error
    return [text for text in texts if text.content.strip()]
